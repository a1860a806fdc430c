//! The way back from the core to one network thread.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
};

/// Answers that wait to be picked up by the network thread that owns the port.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    letters: Vec<T>,
    waker: Option<Waker>,
    closed: bool,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Mailbox { inner: Mutex::new(Inner { letters: Vec::new(), waker: None, closed: false }) }
    }
}

impl<T> Mailbox<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers all of `letters`, with one wake-up, and leaves the vector empty.
    pub(crate) fn deliver(&self, letters: &mut Vec<T>) {
        if letters.is_empty() {
            return;
        }
        let mut inner = self.lock();
        inner.letters.append(letters);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes what is there into `into`; registers `waker` when there is nothing. `false` once closed and empty.
    pub(crate) fn collect(&self, into: &mut Vec<T>, waker: &Waker) -> bool {
        let mut inner = self.lock();
        into.append(&mut inner.letters);
        if into.is_empty() {
            inner.waker = Some(waker.clone());
            return !inner.closed;
        }
        true
    }

    /// No letters will come any more.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
