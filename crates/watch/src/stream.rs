//! Client streams and what is on its way to them.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use types::Moment;

use crate::{
    effect::Effect,
    event::split,
    frame::{Frame, Head, HeaderFacts},
    limits::Limits,
    request::StreamId,
    slab::{Slab, Slot},
    watcher::Watcher,
};

/// One client stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    /// Its watchers by their number; those that compaction ended stay until the client cancels them.
    pub(crate) watchers: BTreeMap<i64, Slot>,
    /// Where the search for a free number goes on.
    pub(crate) next_auto_id: i64,
    /// Charge and events of each frame handed out and not yet reported as sent, oldest first.
    pub(crate) frames: VecDeque<(usize, usize)>,
    /// Sum of those charges.
    pub(crate) queued: usize,
    /// Too much was queued when there were events to send: the watchers concerned lag until it has drained.
    pub(crate) parked: bool,
    /// Time between progress ticks.
    pub(crate) progress_interval: Duration,
    /// The next one. Invariant: in the hub's `ticks` under this moment.
    pub(crate) next_tick: Moment,
}

/// How large one reply to a watcher that catches up may be. Its first revision may exceed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReplyLimits {
    /// Of encoded events.
    pub(crate) bytes_max: usize,
    /// At least 1.
    pub(crate) revisions_max: usize,
}

/// The streams and the effects for them. Every frame leaves through here, so the budgets are exact.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) streams: Slab<Stream>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) facts: HeaderFacts,
    pub(crate) limits: Limits,
    /// Sum of all streams' `queued`.
    pub(crate) queued: usize,
    /// Events handed out since the start.
    pub(crate) events_total: u64,
}

impl Outbox {
    /// What a stream may have queued now.
    fn stream_bytes_allowed(&self) -> usize {
        let Limits { stream_bytes_max, stream_bytes_floor, queued_bytes_max, .. } = self.limits;
        if self.queued < queued_bytes_max {
            stream_bytes_max
        } else {
            stream_bytes_max.min(stream_bytes_floor)
        }
    }

    /// Whether the stream may get events now. Once full it is parked until half of that has left, so that the
    /// watchers that wait for it come to their turn. A stream with nothing queued always takes a reply.
    pub(crate) fn takes_events(&mut self, stream: Slot) -> bool {
        let allowed = self.stream_bytes_allowed();
        let stream = &mut self.streams[stream];
        stream.parked |= stream.queued > 0 && stream.queued >= allowed;
        !stream.parked
    }

    /// How large one reply to a watcher that catches up may be: small when memory is short.
    pub(crate) fn reply_limits(&self) -> ReplyLimits {
        let Limits { stream_bytes_floor, queued_bytes_max, reply_bytes_max, .. } = self.limits;
        let scarce = self.queued >= queued_bytes_max;
        let bytes_max = if scarce { reply_bytes_max.min(stream_bytes_floor) } else { reply_bytes_max };
        ReplyLimits { bytes_max, revisions_max: self.limits.reply_revisions_max }
    }

    /// A head with only the header.
    pub(crate) fn header(&self, revision: i64) -> Head {
        Head::new(&self.facts, revision)
    }

    /// Queues a frame.
    pub(crate) fn send(&mut self, stream: Slot, frame: Frame) {
        let charge = frame.charge();
        let to = &mut self.streams[stream];
        to.queued += charge;
        to.frames.push_back((charge, frame.events()));
        self.queued += charge;
        self.events_total += frame.events() as u64;
        self.effects.push(Effect::Send { stream: to.id, frame });
    }

    /// Queues encoded events for a watcher, in parts when it asked for that and they are many.
    pub(crate) fn send_events(&mut self, watcher: &mut Watcher, header: Head, body: &Bytes, count: u32) {
        watcher.quiet = false;
        let head = header.watch_id(watcher.id);
        let limit = self.limits.fragment_bytes;
        if !watcher.fragment || count < 2 || head.len() + body.len() < limit {
            return self.send(watcher.stream, Frame::with_events(head, body.clone(), count));
        }
        let parts = split(body, head.fragment().len(), limit);
        let last = parts.len() - 1;
        for (at, (part, count)) in parts.into_iter().enumerate() {
            let head = if at < last { head.fragment() } else { head };
            self.send(watcher.stream, Frame::with_events(head, part, count));
        }
    }

    /// Takes note that the oldest `frames` frames left. Returns whether that ended the stream's parking.
    pub(crate) fn sent(&mut self, stream: Slot, frames: usize) -> bool {
        let from = &mut self.streams[stream];
        assert!(frames <= from.frames.len(), "more was sent than was queued");
        let charge: usize = from.frames.drain(..frames).map(|(charge, _)| charge).sum();
        from.queued -= charge;
        self.queued -= charge;
        let allowed = self.stream_bytes_allowed();
        let from = &mut self.streams[stream];
        let resumed = from.parked && from.queued <= allowed / 2;
        from.parked &= !resumed;
        resumed
    }
}
