//! The hub: all streams and watchers of a member.

mod catch_up;
mod notify;
mod progress;
mod requests;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use types::{
    Moment,
    mutant::{self, Mutant},
};

use self::catch_up::Job;
use crate::{
    effect::{Effect, JobId},
    frame::{Frame, HeaderFacts},
    lagging::Wait,
    limits::Limits,
    registry::Registry,
    request::StreamId,
    slab::Slot,
    slice::Recent,
    stream::{Outbox, Stream},
    watcher::{Lag, State},
};

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Open streams.
    pub streams: usize,
    /// Watchers, those that compaction ended included until the client cancels them.
    pub watchers: usize,
    /// Watchers that catch up.
    pub lagging: usize,
    /// Events queued since the start, once for each watcher.
    pub events_total: u64,
    /// Events queued and not yet sent.
    pub events_queued: usize,
    /// Bytes queued and not yet sent; bytes that several streams share count once for each.
    pub bytes_queued: usize,
}

/// All streams and watchers of a member. Holds no clock and does no I/O.
///
/// After each call the caller carries out [`Hub::take_effects`]; after each round of calls it calls
/// [`Hub::catch_up`] once.
#[derive(Debug)]
pub struct Hub {
    outbox: Outbox,
    registry: Registry,
    by_id: BTreeMap<StreamId, Slot>,
    /// Newest revision that apply has reported, inclusive.
    head: i64,
    /// Oldest revision that can be watched from; -1 before the first compaction.
    compacted: i64,
    recent: Recent,
    /// The read that is on its way.
    job: Option<(JobId, Job)>,
    /// Number of the last job.
    last_job: JobId,
    /// The last job read previous rows of recent changes, so the next one is somebody else's.
    fetched_recent: bool,
    /// When streams have their next progress tick.
    ticks: BTreeSet<(Moment, Slot)>,
    /// Reused by `notify`.
    hits: Vec<(Slot, u32)>,
}

impl Hub {
    /// A hub without streams, for a store at revision `head`, compacted at `compacted`.
    ///
    /// # Panics
    /// When `limits` forbid any progress.
    pub fn new(limits: Limits, head: i64, compacted: i64) -> Hub {
        let Limits { slice_bytes_max, slice_rows_max, reply_revisions_max, .. } = limits;
        assert!(slice_bytes_max.min(slice_rows_max).min(reply_revisions_max) > 0, "nobody could catch up");
        Hub {
            outbox: Outbox { limits, ..Outbox::default() },
            registry: Registry::default(),
            by_id: BTreeMap::new(),
            head,
            compacted,
            recent: Recent::new(head),
            job: None,
            last_job: JobId::default(),
            fetched_recent: false,
            ticks: BTreeSet::new(),
            hits: Vec::new(),
        }
    }

    /// Sets what reply headers say from now on.
    pub fn set_header_facts(&mut self, facts: HeaderFacts) {
        self.outbox.facts = facts;
    }

    /// Opens a stream. Its progress ticks come every `progress_interval` from `now` on; the caller adds the
    /// jitter of up to 10 % (contract/semantics.md 5.12).
    ///
    /// # Panics
    /// When the stream is open already, or the interval is zero.
    pub fn open_stream(&mut self, id: StreamId, progress_interval: Duration, now: Moment) {
        assert!(progress_interval > Duration::ZERO, "progress ticks need time between them");
        let next_tick = now + progress_interval;
        let slot = self.outbox.streams.insert(Stream {
            id,
            watchers: BTreeMap::new(),
            next_auto_id: 0,
            frames: VecDeque::new(),
            queued: 0,
            parked: false,
            progress_interval,
            next_tick,
        });
        let earlier = self.by_id.insert(id, slot);
        assert!(earlier.is_none(), "stream numbers are used once");
        self.ticks.insert((next_tick, slot));
    }

    /// Closes a stream and ends its watchers without a word. Unknown streams are ignored.
    pub fn close_stream(&mut self, id: StreamId) {
        let Some(slot) = self.by_id.remove(&id) else { return };
        let stream = self.outbox.streams.remove(slot);
        self.outbox.queued -= stream.queued;
        self.ticks.remove(&(stream.next_tick, slot));
        for watcher in stream.watchers.into_values() {
            self.registry.remove(watcher);
        }
    }

    /// Moves the effects since the last call into `out`, which must be empty and lends its memory.
    pub fn take_effects(&mut self, out: &mut Vec<Effect>) {
        assert!(out.is_empty(), "effects that were not carried out would be lost");
        std::mem::swap(&mut self.outbox.effects, out);
    }

    /// The transport has taken the next `frames` frames of a stream. Unknown streams are ignored.
    ///
    /// # Panics
    /// When that is more than were queued.
    pub fn sent(&mut self, stream: StreamId, frames: usize) {
        let Some(&slot) = self.by_id.get(&stream) else { return };
        if self.outbox.sent(slot, frames) {
            self.resume(slot);
        }
    }

    /// History below `compacted` is gone: watchers that still needed it are told so.
    pub fn compacted(&mut self, compacted: i64) {
        self.compacted = self.compacted.max(compacted);
        while let Some((next_rev, slot)) = self.registry.lagging.oldest()
            && next_rev < self.compacted
        {
            if mutant::is_on(Mutant::SkipCompacted) {
                self.registry.take_turn(slot);
                self.registry.owe(slot, self.compacted, Wait::ThisTurn);
                continue;
            }
            self.cancel_compacted(slot);
        }
    }

    /// The store was replaced by a leader's snapshot. Everything that watchers lack is read from the new store
    /// (contract/semantics.md 5.19); no watcher goes back in time.
    pub fn reset(&mut self, head: i64, compacted: i64) {
        let next_rev = self.head + 1;
        self.job = None;
        self.registry.lagging.wake_needy(&mut self.registry.watchers);
        self.recent = Recent::new(head);
        self.head = head;
        self.compacted = compacted;
        let watchers: Vec<Slot> = self.registry.watchers.iter().map(|(slot, _)| slot).collect();
        for slot in watchers {
            self.reset_watcher(slot, next_rev);
        }
        self.compacted(compacted);
    }

    /// Puts a watcher where it belongs after the head has jumped; synced ones have all below `next_rev`.
    fn reset_watcher(&mut self, slot: Slot, next_rev: i64) {
        let watcher = &mut self.registry.watchers[slot];
        match watcher.state {
            State::Synced => {
                let future = mutant::is_on(Mutant::FutureWatchNow);
                watcher.next_rev = if future { next_rev } else { watcher.next_rev.max(next_rev) };
                if mutant::is_on(Mutant::TimeTravel) {
                    watcher.next_rev = self.compacted.max(1);
                }
                let (stream, next_rev) = (watcher.stream, watcher.next_rev);
                if next_rev <= self.head {
                    let wait = self.wait_on(stream);
                    self.registry.fall_behind(slot, next_rev, wait);
                }
            }
            State::Lagging(_) if watcher.next_rev > self.head => {
                let next_rev = watcher.next_rev;
                self.registry.take_turn(slot);
                self.registry.sync(slot, next_rev);
            }
            State::Lagging(_) | State::Compacted => {}
        }
    }

    /// Figures for metrics. O(streams + frames queued).
    pub fn stats(&self) -> Stats {
        Stats {
            streams: self.by_id.len(),
            watchers: self.registry.watchers.len(),
            lagging: self.registry.lagging.len(),
            events_total: self.outbox.events_total,
            events_queued: (self.outbox.streams.iter())
                .flat_map(|(_, stream)| stream.frames.iter().map(|(_, events)| events))
                .sum(),
            bytes_queued: self.outbox.queued,
        }
    }

    /// Gives the watchers that wait for a stream their turn.
    fn resume(&mut self, stream: Slot) {
        for &slot in self.outbox.streams[stream].watchers.values() {
            let watcher = &self.registry.watchers[slot];
            if watcher.state == State::Lagging(Lag::Stream) {
                let next_rev = watcher.next_rev;
                self.registry.take_turn(slot);
                self.registry.owe(slot, next_rev, Wait::ThisTurn);
            }
        }
    }

    /// Ends a lagging watcher whose history is gone. Its number stays taken.
    fn cancel_compacted(&mut self, slot: Slot) {
        self.registry.compact(slot);
        let watcher = &self.registry.watchers[slot];
        let head = self.outbox.header(0).watch_id(watcher.id).canceled().compact_revision(self.compacted);
        self.outbox.send(watcher.stream, Frame::control(head));
    }
}
