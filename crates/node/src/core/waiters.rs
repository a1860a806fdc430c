//! Who waits for which proposal, and until when.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use types::Moment;

use super::{member_calls::AskedChange, outbox::ReplyTo};

/// One who waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) reply_to: ReplyTo,
    /// When it asked.
    pub(crate) since: Moment,
    /// What it asked for, when the entry alone does not tell how to answer.
    pub(crate) change: Option<Box<AskedChange>>,
}

/// Proposals of this member that were not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    by_id: HashMap<u64, Waiter>,
    /// Deadlines in order of arrival; all waits are equally long, so the front is the earliest.
    deadlines: VecDeque<(Moment, u64)>,
}

impl Waiters {
    /// Remembers who asked for proposal `id`.
    pub(crate) fn insert(&mut self, id: u64, reply_to: ReplyTo, now: Moment, patience: Duration) {
        self.insert_waiter(id, Waiter { reply_to, since: now, change: None }, patience);
    }

    /// Remembers who asked for a change of membership.
    pub(crate) fn insert_waiter(&mut self, id: u64, waiter: Waiter, patience: Duration) {
        self.deadlines.push_back((waiter.since + patience, id));
        self.by_id.insert(id, waiter);
    }

    /// Whether anybody waits for `id`.
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Takes who waits for `id`; `None` when it was another member's proposal, or given up.
    pub(crate) fn take(&mut self, id: u64) -> Option<Waiter> {
        self.by_id.remove(&id)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Takes the next one whose time is over, with the proposal that it waited for.
    pub(crate) fn pop_late(&mut self, now: Moment) -> Option<(u64, Waiter)> {
        while let Some((deadline, id)) = self.deadlines.front().copied() {
            // Answered ones leave their deadline behind: dropped here, whatever its time.
            if self.by_id.contains_key(&id) && deadline > now {
                return None;
            }
            self.deadlines.pop_front();
            if let Some(waiter) = self.by_id.remove(&id) {
                return Some((id, waiter));
            }
        }
        None
    }

    /// Takes everybody.
    pub(crate) fn drain(&mut self) -> Vec<ReplyTo> {
        self.deadlines.clear();
        self.by_id.drain().map(|(_, waiter)| waiter.reply_to).collect()
    }
}
