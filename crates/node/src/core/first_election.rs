//! The first election after a start (upstream: `adjustTicks`).
//!
//! A member that starts has heard of no leader, and would wait for a whole election timeout. Once it reaches the
//! others it skips most of that: who leads already has its say in the two ticks that are left.

use std::time::Duration;

use telemetry::line;
use types::Moment;

use super::Core;

/// How long a start waits for the others; after that nothing is skipped.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(50);
/// Others that must be reached.
const OTHERS: usize = 2;
/// Ticks that are left for a leader to be heard.
const TICKS_LEFT: u32 = 2;

/// When to look whether ticks can be skipped.
#[derive(Debug)]
pub(crate) struct FirstElection {
    /// `None` once that is decided.
    look_at: Option<Moment>,
    until: Moment,
}

impl FirstElection {
    pub(crate) fn new(now: Moment, skips: bool) -> FirstElection {
        FirstElection { look_at: skips.then_some(now + INTERVAL), until: now + PATIENCE }
    }

    /// When [`Core::hasten_first_election`] has something to do.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.look_at
    }
}

impl Core {
    /// Skips ticks once after the start, when the others can be reached and nobody leads.
    pub(super) fn hasten_first_election(&mut self) {
        let first = &mut self.first_election;
        if first.look_at.is_none_or(|at| self.now < at) {
            return;
        }
        first.look_at = Some(self.now + INTERVAL).filter(|at| *at <= first.until);
        if self.raft.leader() != 0 {
            self.first_election.look_at = None;
            return;
        }
        let others =
            self.state.cluster().members().map(|member| member.id).filter(|id| *id != self.member_id);
        let active = others.filter(|id| self.peers.active_since(*id).is_some()).count();
        if active < OTHERS {
            return;
        }
        self.first_election.look_at = None;
        let ticks = self.config.election_ticks.saturating_sub(TICKS_LEFT);
        line!(Info, "initialized peer connections; fast-forwarding election ticks",
            "local-member-id" => self.member_id.to_string(),
            "forward-ticks" => ticks,
            "forward-duration" => telemetry::log::duration(self.config.tick * ticks),
            "election-ticks" => self.config.election_ticks,
            "election-timeout" => telemetry::log::duration(self.config.election_timeout()),
            "active-remote-members" => active as u64);
        for _ in 0..ticks {
            self.raft.tick();
        }
    }
}
