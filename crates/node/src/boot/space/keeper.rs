//! The thread that looks after the space: no other may be held up by measuring or by filling the reserve.

use std::{sync::Arc, thread, time::Duration};

use telemetry::line;
use types::Moment;

use super::{Level, Space};
use crate::core::Clock;

/// Time between two steps of growth while nobody waits for it: the first seconds of a member are busy enough.
const GROW_EVERY: Duration = Duration::from_millis(500);

/// Runs until it is dropped.
pub(crate) struct Keeper {
    space: Arc<Space>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread. Without one, there are no marks; a full disk is coped with all the same.
    pub(crate) fn start(space: Arc<Space>) -> Keeper {
        let kept = Arc::clone(&space);
        let body = move || {
            let clock = Clock::start();
            let mut grown_at = clock.now();
            while kept.gauge.wait_for_look() {
                kept.tend(&clock, &mut grown_at);
            }
        };
        let thread = thread::Builder::new().name("space".into()).spawn(body);
        if let Err(error) = &thread {
            line!(Warn, "cannot start the thread that watches the free space", "error" => error.to_string());
        }
        Keeper { space, thread: thread.ok() }
    }
}

impl Space {
    /// Looks, and lets the reserve grow: by a step now and then, or to its old size when writes are refused until then.
    pub(crate) fn tend(&self, clock: &Clock, grown_at: &mut Moment) {
        let mut free = self.look();
        while !self.gauge.has_ended()
            && (self.gauge.level() != Level::Ample || clock.now().since(*grown_at) >= GROW_EVERY)
        {
            *grown_at = clock.now();
            if !self.grow(free) {
                return;
            }
            free = self.look();
        }
    }

    /// The member has ended.
    pub(crate) fn end_tending(&self) {
        self.gauge.end_looks();
        self.end();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.space.gauge.end_looks();
        if let Some(thread) = self.thread.take() {
            // It panics only by a bug; the member has ended by now.
            let _ = thread.join();
        }
        self.space.end();
    }
}
