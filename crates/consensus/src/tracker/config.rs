//! The active configuration.

use std::{collections::BTreeSet, fmt};

use types::raft::ConfState;

use crate::quorum::{Joint, Majority};

/// Who votes and who only gets the log.
///
/// Invariants: learners vote in neither half; `learners_next` are voters of the outgoing half; outside a
/// joint configuration `learners_next` is empty and `auto_leave` false.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActiveConfig {
    /// The voters.
    pub voters: Joint,
    /// Whether the leader ends a joint configuration by itself.
    pub auto_leave: bool,
    /// Members that get the log and do not vote.
    pub learners: BTreeSet<u64>,
    /// Outgoing voters that become learners when the joint configuration ends; until then they still vote.
    pub learners_next: BTreeSet<u64>,
}

impl ActiveConfig {
    /// The form in which it is stored and sent; lists are sorted.
    pub fn conf_state(&self) -> ConfState {
        let list = |set: &BTreeSet<u64>| set.iter().copied().collect();
        ConfState {
            voters: list(&self.voters.incoming.0),
            learners: list(&self.learners),
            voters_outgoing: list(&self.voters.outgoing.0),
            learners_next: list(&self.learners_next),
            auto_leave: self.auto_leave,
        }
    }

    /// Whether it is what `stored` says, in any order of its lists.
    pub(crate) fn equals(&self, stored: &ConfState) -> bool {
        let mut sorted = stored.clone();
        for list in
            [&mut sorted.voters, &mut sorted.learners, &mut sorted.voters_outgoing, &mut sorted.learners_next]
        {
            list.sort_unstable();
        }
        self.conf_state() == sorted
    }
}

impl fmt::Display for ActiveConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "voters={}", self.voters)?;
        if !self.learners.is_empty() {
            write!(f, " learners={}", Majority(self.learners.clone()))?;
        }
        if !self.learners_next.is_empty() {
            write!(f, " learners_next={}", Majority(self.learners_next.clone()))?;
        }
        if self.auto_leave {
            f.write_str(" autoleave")?;
        }
        Ok(())
    }
}
