//! A call that runs when its replies are taken.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::status::Status;

/// Where a call puts its replies, framed as gRPC frames them, one part at a time.
#[derive(Debug, Default)]
pub(crate) struct Tray {
    place: RefCell<Place>,
}

#[derive(Debug, Default)]
struct Place {
    part: Option<Bytes>,
    end: Option<Ending>,
}

/// How a call has ended: `None` when nobody can be told.
type Ending = Option<Status>;

impl Tray {
    pub(crate) fn is_free(&self) -> bool {
        self.place.borrow().part.is_none()
    }

    /// Only to be called when the place is free.
    pub(crate) fn put(&self, part: Bytes) {
        let before = self.place.borrow_mut().part.replace(part);
        debug_assert!(before.is_none(), "a part was not taken");
    }

    /// Ends the replies. Without a status they break off.
    pub(crate) fn end(&self, status: Option<Status>) {
        self.place.borrow_mut().end = Some(status);
    }
}

/// A call and its tray.
pub(super) struct Running {
    /// Gone when it has ended.
    call: Option<Pin<Box<dyn Future<Output = ()>>>>,
    tray: Rc<Tray>,
}

impl Running {
    pub(super) fn new(call: Pin<Box<dyn Future<Output = ()>>>, tray: Rc<Tray>) -> Running {
        Running { call: Some(call), tray }
    }

    /// The next part; how the call has ended, after the last.
    pub(super) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Ending>> {
        loop {
            if let Some(part) = self.tray.place.borrow_mut().part.take() {
                return Poll::Ready(Ok(part));
            }
            let Some(call) = &mut self.call else {
                let end = self.tray.place.borrow().end.clone();
                return Poll::Ready(Err(end.flatten()));
            };
            if call.as_mut().poll(cx).is_ready() {
                self.call = None;
            } else if self.tray.is_free() {
                return Poll::Pending;
            }
        }
    }
}
