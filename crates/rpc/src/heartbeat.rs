//! Asking silent clients whether they are still there.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Keepalive;

/// What a silent client needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// A ping.
    Ask,
    /// An end: it did not answer the last one in time.
    Dead,
}

/// Asks a silent client whether it is there, and gives it up when it does not answer.
pub(crate) struct Heartbeat {
    keepalive: Keepalive,
    /// `None` when never to ask.
    timer: Option<Pin<Box<Sleep>>>,
    asked: Option<Instant>,
}

impl Heartbeat {
    pub(crate) fn new(keepalive: Keepalive) -> Heartbeat {
        let on = !keepalive.interval.is_zero();
        let timer = on.then(|| Box::pin(sleep_until(Instant::now() + keepalive.interval)));
        Heartbeat { keepalive, timer, asked: None }
    }

    /// What to do now; `last_read` is when the client was last heard of.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, last_read: Instant) -> Poll<Beat> {
        let Some(timer) = &mut self.timer else {
            return Poll::Pending;
        };
        loop {
            ready!(timer.as_mut().poll(cx));
            match self.asked {
                Some(asked) if last_read < asked => return Poll::Ready(Beat::Dead),
                _ => self.asked = None,
            }
            let due = last_read + self.keepalive.interval;
            let now = Instant::now();
            if due > now {
                timer.as_mut().reset(due);
                continue;
            }
            self.asked = Some(now);
            timer.as_mut().reset(now + self.keepalive.timeout);
            return Poll::Ready(Beat::Ask);
        }
    }
}
