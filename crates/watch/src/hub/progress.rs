//! Telling clients how far they are when nothing happens.

use types::{
    Moment,
    mutant::{self, Mutant},
};

use super::{Hub, requests::NO_WATCHER};
use crate::{
    frame::Frame,
    slab::Slot,
    watcher::{State, Watcher},
};

impl Hub {
    /// When [`Hub::tick`] has something to do next.
    pub fn next_tick(&self) -> Option<Moment> {
        self.ticks.first().map(|(moment, _)| *moment)
    }

    /// Sends the progress replies that are due (contract/semantics.md 5.12): to each watcher that asked for
    /// them, is synced, and got no event since its stream's last tick.
    pub fn tick(&mut self, now: Moment) {
        while let Some(&(due, stream)) = self.ticks.first()
            && due <= now
        {
            self.ticks.pop_first();
            let interval = self.outbox.streams[stream].progress_interval;
            // A tick that was missed is not made up for, and does not shift the later ones.
            let missed = now.since(due).as_nanos() / interval.as_nanos();
            let steps = u32::try_from(missed + 1).unwrap_or(u32::MAX);
            let next = due + interval.saturating_mul(steps);
            self.outbox.streams[stream].next_tick = next;
            self.ticks.insert((next, stream));
            self.tick_stream(stream);
        }
    }

    fn tick_stream(&mut self, stream: Slot) {
        let watchers: Vec<Slot> = self.outbox.streams[stream].watchers.values().copied().collect();
        for slot in watchers {
            let watcher = &mut self.registry.watchers[slot];
            if !watcher.progress_notify {
                continue;
            }
            let was_quiet = std::mem::replace(&mut watcher.quiet, true);
            if was_quiet && is_synced(watcher, self.head) && self.outbox.takes_events(stream) {
                let head = self.outbox.header(self.head).watch_id(watcher.id);
                self.outbox.send(stream, Frame::control(head));
            }
        }
    }

    /// Answers a progress request if all watchers of the stream have been sent everything up to the head, else
    /// drops it (contract/semantics.md 5.13). Frames of a stream keep their order, so the guarantee holds.
    pub(super) fn progress_of_stream(&mut self, stream: Slot) {
        let watchers = &self.outbox.streams[stream].watchers;
        let synced = watchers.values().all(|slot| is_synced(&self.registry.watchers[*slot], self.head));
        if !synced || watchers.is_empty() || !self.outbox.takes_events(stream) {
            return;
        }
        let head = self.outbox.header(self.head).watch_id(NO_WATCHER);
        self.outbox.send(stream, Frame::control(head));
    }
}

/// Whether the watcher was sent everything up to `head`, and `head` has reached what it wanted.
fn is_synced(watcher: &Watcher, head: i64) -> bool {
    mutant::is_on(Mutant::EarlyProgress) || watcher.state == State::Synced && watcher.start_rev <= head
}
