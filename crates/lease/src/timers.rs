//! The leader's half: when each lease ends, and when its remaining time is next checkpointed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use types::{LeaseId, Moment};

/// A remaining TTL for the log: the next leader will start the lease with this instead of its full TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which lease.
    pub id: LeaseId,
    /// Seconds left, rounded up; at least 1.
    pub remaining_secs: i64,
}

/// When things happen to one lease.
#[derive(Clone, Copy, Debug)]
struct Timer {
    /// The lease has expired when this is at or before now.
    deadline: Moment,
    /// When [`Timers::take_due`] hands it out: the deadline at first, then the time to ask again.
    due: Moment,
    /// When it is next checkpointed; `None` for leases too short for that.
    checkpoint: Option<Moment>,
}

/// Deadlines of all leases of a leader. Every operation is O(log n).
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Invariant: exactly one entry in `queue` per id, at `due`, and one in `checkpoints` per `checkpoint`.
    by_id: BTreeMap<LeaseId, Timer>,
    /// Earliest first. Inclusive: due when at or before now.
    queue: BTreeSet<(Moment, LeaseId)>,
    /// Earliest first, inclusive.
    checkpoints: BTreeSet<(Moment, LeaseId)>,
}

impl Timers {
    /// Sets or moves the deadline of `id`. A checkpoint is planned for `checkpoint`, unless one is planned
    /// already: renewing a lease often must not put its checkpoint off for ever.
    pub(crate) fn arm(&mut self, id: LeaseId, deadline: Moment, checkpoint: Option<Moment>) {
        let planned = self.remove(id).and_then(|old| old.checkpoint);
        let timer = Timer { deadline, due: deadline, checkpoint: planned.or(checkpoint) };
        self.insert(id, timer);
    }

    /// Forgets `id`; nothing happens when it is not armed.
    pub(crate) fn disarm(&mut self, id: LeaseId) {
        self.remove(id);
    }

    /// When `id` expires, `None` when it is not armed.
    pub(crate) fn deadline(&self, id: LeaseId) -> Option<Moment> {
        self.by_id.get(&id).map(|timer| timer.deadline)
    }

    /// Up to `limit` leases that are due, earliest first. Each comes again after `retry`, until disarmed.
    pub(crate) fn take_due(&mut self, now: Moment, retry: Duration, limit: usize) -> Vec<LeaseId> {
        let due = first_until(&self.queue, now, limit);
        for &id in &due {
            let timer = self.remove(id).expect("every queue entry has its timer");
            self.insert(id, Timer { due: now + retry, ..timer });
        }
        due
    }

    /// Up to `limit` checkpoints that are due, earliest first; each lease that still has more than `interval`
    /// left is planned again. `granted_secs` tells the full TTL: a lease just renewed needs no checkpoint.
    pub(crate) fn take_checkpoints(
        &mut self,
        now: Moment,
        interval: Duration,
        limit: usize,
        granted_secs: impl Fn(LeaseId) -> i64,
    ) -> Vec<Checkpoint> {
        let mut taken = Vec::new();
        for id in first_until(&self.checkpoints, now, limit) {
            let timer = self.remove(id).expect("every checkpoint entry has its timer");
            let left = timer.deadline.since(now);
            let again = (left > interval).then(|| now + interval);
            self.insert(id, Timer { checkpoint: again, ..timer });
            let remaining_secs = ceil_secs(left);
            if remaining_secs > 0 && remaining_secs < granted_secs(id) {
                taken.push(Checkpoint { id, remaining_secs });
            }
        }
        taken
    }

    fn insert(&mut self, id: LeaseId, timer: Timer) {
        let old = self.by_id.insert(id, timer);
        assert!(old.is_none(), "lease {id} armed twice");
        self.queue.insert((timer.due, id));
        if let Some(at) = timer.checkpoint {
            self.checkpoints.insert((at, id));
        }
    }

    fn remove(&mut self, id: LeaseId) -> Option<Timer> {
        let timer = self.by_id.remove(&id)?;
        let queued = self.queue.remove(&(timer.due, id));
        assert!(queued, "lease {id} has no place in the queue");
        if let Some(at) = timer.checkpoint {
            self.checkpoints.remove(&(at, id));
        }
        Some(timer)
    }
}

/// The first `limit` ids of a queue that are due at `now`.
fn first_until(queue: &BTreeSet<(Moment, LeaseId)>, now: Moment, limit: usize) -> Vec<LeaseId> {
    queue.iter().take_while(|(due, _)| *due <= now).take(limit).map(|&(_, id)| id).collect()
}

/// Whole seconds, rounded up.
fn ceil_secs(span: Duration) -> i64 {
    let secs = span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0));
    i64::try_from(secs).unwrap_or(i64::MAX)
}
