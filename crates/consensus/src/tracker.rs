//! Members as this node knows them: the active configuration, and the progress of everybody in it.

mod changer;
mod config;
mod inflights;
mod progress;

use std::{collections::BTreeMap, fmt};

pub use config::ActiveConfig;
pub use progress::{Flow, Progress};

use crate::quorum::VoteResult;
use inflights::Inflights;

/// The active configuration and one [`Progress`] per member in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracker {
    /// Who votes and who learns.
    pub config: ActiveConfig,
    /// Exactly the voters and learners of `config`.
    pub progress: BTreeMap<u64, Progress>,
    inflight_messages_max: usize,
    inflight_bytes_max: u64,
}

impl Tracker {
    /// Nobody. The bounds are those of each follower's window of appends in flight.
    pub fn new(inflight_messages_max: usize, inflight_bytes_max: u64) -> Tracker {
        Tracker {
            config: ActiveConfig::default(),
            progress: BTreeMap::new(),
            inflight_messages_max,
            inflight_bytes_max,
        }
    }

    /// Nobody, with the same bounds.
    pub(crate) fn emptied(&self) -> Tracker {
        Tracker::new(self.inflight_messages_max, self.inflight_bytes_max)
    }

    fn window(&self) -> Inflights {
        Inflights::new(self.inflight_messages_max, self.inflight_bytes_max)
    }

    /// Everybody but `own`, in order of ids.
    pub(crate) fn others(&self, own: u64) -> Vec<u64> {
        self.progress.keys().copied().filter(|&id| id != own).collect()
    }

    /// Whether one voter decides alone.
    pub(crate) fn is_singleton(&self) -> bool {
        self.config.voters.incoming.0.len() == 1 && !self.config.voters.is_joint()
    }

    /// Whether that member may become leader as far as the configuration is concerned.
    pub(crate) fn may_lead(&self, id: u64) -> bool {
        self.progress.get(&id).is_some_and(|progress| !progress.is_learner)
    }

    /// The highest index that a quorum has durably.
    pub(crate) fn committed_index(&self) -> u64 {
        self.config.voters.committed_index(|id| self.progress.get(&id).map(|progress| progress.matched))
    }

    /// Whether a quorum was heard since the last check.
    pub(crate) fn quorum_active(&self) -> bool {
        let active = |id| {
            let progress = self.progress.get(&id)?;
            (!progress.is_learner).then_some(progress.recent_active)
        };
        self.config.voters.vote_result(active) == VoteResult::Won
    }

    /// Starts a new check of the quorum: nobody but `own` was heard yet.
    pub(crate) fn expect_signs_of_life(&mut self, own: u64) {
        for (&id, progress) in &mut self.progress {
            progress.recent_active = id == own;
        }
    }

    /// Votes granted and refused by members that may vote, and what they come to.
    pub(crate) fn tally(&self, votes: &BTreeMap<u64, bool>) -> (usize, usize, VoteResult) {
        let counts = |id: &u64| self.progress.get(id).is_some_and(|progress| !progress.is_learner);
        let granted = votes.iter().filter(|&(id, &yes)| yes && counts(id)).count();
        let refused = votes.iter().filter(|&(id, &yes)| !yes && counts(id)).count();
        (granted, refused, self.config.voters.vote_result(|id| votes.get(&id).copied()))
    }
}

/// One line per member.
impl fmt::Display for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.progress.iter().try_for_each(|(id, progress)| writeln!(f, "{id}: {progress}"))
    }
}
