//! A worker that takes its turns when it is told to.

use std::{
    panic,
    sync::Arc,
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{boot::space::steps, inbox::Inbox, worker::Labour};

/// A worker and its jobs.
pub(super) struct Hand<L: Labour> {
    /// `None` when it has ended, or is away.
    labour: Option<L>,
    jobs: Arc<Inbox<L::Job>>,
    batch: Vec<L::Job>,
    away: Option<Away<L>>,
}

/// A turn under way on a thread of its own.
struct Away<L: Labour> {
    /// Lets it go on; gone when it never will.
    go: Option<Sender<()>>,
    told: Receiver<Told<L>>,
    thread: Option<JoinHandle<()>>,
}

enum Told<L: Labour> {
    Waits,
    Done { labour: Option<L>, batch: Vec<L::Job> },
}

impl<L: Labour + Send + 'static> Hand<L> {
    pub(super) fn new(labour: L, jobs: Arc<Inbox<L::Job>>) -> Hand<L> {
        Hand { labour: Some(labour), jobs, batch: Vec::new(), away: None }
    }

    /// Jobs that nobody has taken.
    pub(super) fn waiting(&self) -> usize {
        self.jobs.len()
    }

    /// Takes the jobs that have queued up; whether there is something to do.
    pub(super) fn take_jobs(&mut self) -> bool {
        if self.away.is_some() {
            return true;
        }
        let Some(labour) = &self.labour else { return false };
        if self.batch.is_empty() {
            self.jobs.receive(&mut self.batch, Some(Duration::ZERO));
        }
        !self.batch.is_empty() || labour.has_more()
    }

    /// Does them; `true` when the turn waits for space, which it can only if it `may`.
    pub(super) fn turn(&mut self, may: bool) -> bool {
        if may || self.away.is_some() {
            return self.step();
        }
        if self.labour.as_mut().is_some_and(|labour| !labour.turn(&mut self.batch)) {
            // As when a thread ends: files and locks are let go.
            self.labour = None;
        }
        false
    }

    /// A turn that can wait in the middle. Nothing else runs until it waits or is done.
    fn step(&mut self) -> bool {
        match (&self.away, self.labour.take()) {
            (Some(away), _) => _ = away.go.as_ref().map(|go| go.send(())),
            (None, Some(labour)) => self.away = Some(Away::begin(labour, std::mem::take(&mut self.batch))),
            (None, None) => return false,
        }
        let away = self.away.as_mut().expect("there, or just begun");
        match away.told.recv() {
            Ok(Told::Waits) => true,
            Ok(Told::Done { labour, batch }) => {
                (self.labour, self.batch) = (labour, batch);
                self.away = None;
                false
            }
            Err(_) => {
                // It panicked: that is for whoever steps it.
                let thread = away.thread.take().map(JoinHandle::join);
                self.away = None;
                match thread {
                    Some(Err(reason)) => panic::resume_unwind(reason),
                    _ => false,
                }
            }
        }
    }
}

impl<L: Labour + Send + 'static> Away<L> {
    fn begin(mut labour: L, mut batch: Vec<L::Job>) -> Away<L> {
        let (go, next) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let body = move || {
            let waits = tell.clone();
            steps::wait_by(move || waits.send(Told::Waits).is_ok() && next.recv().is_ok());
            let labour = if labour.turn(&mut batch) { Some(labour) } else { None };
            // Nobody takes it back when the member is gone.
            let _ = tell.send(Told::Done { labour, batch });
        };
        let thread = thread::Builder::new().name("step".into()).spawn(body);
        let thread = thread.unwrap_or_else(|e| panic!("cannot start a thread for a step: {e}"));
        Away { go: Some(go), told, thread: Some(thread) }
    }
}

impl<L: Labour> Drop for Away<L> {
    /// A turn that waits when the member is gone ends: its write fails.
    fn drop(&mut self) {
        self.go = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
