//! Committed entries on their way to the state machine.
//!
//! Most are applied at once. A conf change waits until a hard state with its commit index is durable, and what comes
//! after it waits with it: a member that restarts in an older configuration may count votes of members that the
//! others have removed (`consensus`, "What the driver must see to"). And while a leader's snapshot is installed, all that
//! comes after it waits for that.

use std::collections::VecDeque;

use consensus::ApplyWork;
use types::raft::EntryKind;

use super::Core;

/// Works that cannot be applied yet, in order.
#[derive(Debug, Default)]
pub(crate) struct ApplyQueue {
    waiting: VecDeque<ApplyWork>,
}

/// The index that must be durably committed before a work is applied; 0 when it holds no conf change.
fn needed_commit(work: &ApplyWork) -> u64 {
    let last = work.entries.iter().rev().find(|entry| entry.kind != EntryKind::Normal);
    last.map_or(0, |entry| entry.index)
}

impl Core {
    /// Applies a work, or queues it.
    pub(super) fn apply_in_turn(&mut self, work: ApplyWork) {
        let needed = needed_commit(&work);
        let first = self.apply_queue.waiting.is_empty() && !self.installation.is_running();
        if first && needed <= self.persist.durable_commit() {
            return self.apply_work(work);
        }
        self.apply_queue.waiting.push_back(work);
        if needed > self.persist.durable_commit() {
            // Raft's hard state holds that commit index by now, and its part of this turn was sent before.
            self.sync_hard_state();
        }
    }

    /// More is durable, or a snapshot is installed: applies what has waited for that.
    pub(super) fn apply_waiting(&mut self) {
        if self.installation.is_running() {
            return;
        }
        while let Some(work) = self.apply_queue.waiting.front() {
            if self.stopping.is_some() || needed_commit(work) > self.persist.durable_commit() {
                return;
            }
            let work = self.apply_queue.waiting.pop_front().expect("looked at");
            self.apply_work(work);
        }
    }

    /// A leader's snapshot makes what waits needless.
    pub(super) fn forget_applies(&mut self) {
        for work in std::mem::take(&mut self.apply_queue.waiting) {
            if let Some(ack) = work.ack {
                self.raft.applied(&ack);
            }
        }
    }

    fn apply_work(&mut self, work: ApplyWork) {
        self.apply_committed(&work.entries);
        if let Some(ack) = work.ack {
            self.raft.applied(&ack);
        }
        self.run_applied_waits();
        self.run_token_waits();
    }
}
