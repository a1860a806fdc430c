//! Changes of membership on their way to raft.
//!
//! A leader voids a change while an earlier one may not be applied on itself, and whoever asked learns nothing but that
//! his time is up. But he may know that the earlier one is applied: from a member that was faster. So each change waits
//! until everything that was committed when it came is applied, and on a new leader everything that it found in its log.

use std::collections::VecDeque;

use consensus::{ConfChange, Message, MessageKind};
use types::raft::EntryKind;

use super::Core;

/// Changes from followers that wait. There is hardly ever a second.
const OTHERS_MAX: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ChangeQueue {
    /// In order of arrival.
    waiting: VecDeque<Held>,
}

#[derive(Debug)]
struct Held {
    /// To be applied before.
    committed: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Asked for here; the number is that of the waiter.
    Own(ConfChange, u64),
    /// A follower's message.
    Passed(Message),
}

/// Whether a message asks for a change of membership.
pub(super) fn asks_for_change(message: &Message) -> bool {
    message.kind == MessageKind::Propose
        && message.entries.iter().any(|entry| entry.kind != EntryKind::Normal)
}

impl Core {
    pub(super) fn queue_own_change(&mut self, change: ConfChange, id: u64) {
        self.queue_change(What::Own(change, id));
    }

    /// Takes a message for which [`asks_for_change`] holds.
    pub(super) fn queue_passed_change(&mut self, message: Message) {
        let passed = self.changes.waiting.iter().filter(|held| matches!(held.what, What::Passed(_)));
        if passed.count() < OTHERS_MAX {
            self.queue_change(What::Passed(message));
        } else {
            // Raft may still take it.
            self.step_now(message);
        }
    }

    fn queue_change(&mut self, what: What) {
        let committed = self.raft.basic_status().hard_state.commit;
        self.changes.waiting.push_back(Held { committed, what });
    }

    /// Hands raft the changes whose time has come. They wait for a leader, as all proposals do.
    pub(super) fn propose_changes(&mut self) {
        let applied = self.state.applied();
        while self.takes_proposals()
            && self.raft.basic_status().pending_conf_index <= applied
            && let Some(held) = self.changes.waiting.pop_front_if(|held| held.committed <= applied)
        {
            match held.what {
                What::Passed(message) => self.step_now(message),
                What::Own(change, id) if self.waiters.contains(id) => {
                    let proposed = self.raft.propose_conf_change(change);
                    self.proposed(proposed, &[id]);
                }
                // Nobody waits for it any more.
                What::Own(..) => {}
            }
        }
    }
}
