//! A disk that does not finish what it was given. Whoever leads hands over to a member whose disk works, and nobody
//! campaigns meanwhile: it could win, and its cluster would be none the better.
//!
//! That the leader is late is not enough. Where all disks are slow, a change of leaders costs an election and gains
//! nothing; so a member must be there that has had *more* in its log than the leader for a while.

use std::time::Duration;

use telemetry::{line, log};
use types::{MemberId, Moment};

use super::Core;

/// Election timeouts after which a leader that could not hand over steps down.
const PATIENCE: u32 = 2;

/// What the core remembers of a stall.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    /// Since when another voter has been ahead of this leader's disk, as far as it was looked at.
    outrun_since: Option<Moment>,
}

impl Core {
    /// Lets so many of raft's ticks pass, unless the disk stalls.
    pub(super) fn tick_raft(&mut self, ticks: u64) {
        for _ in 0..ticks {
            if !self.may_tick() {
                return;
            }
            self.raft.tick();
        }
    }

    /// For how long the log has waited for the disk, once that is longer than an election timeout.
    pub(super) fn disk_stalled(&self) -> Option<Duration> {
        self.log_waits().filter(|waits| *waits > self.config.election_timeout())
    }

    fn log_waits(&self) -> Option<Duration> {
        Some(self.now.since(self.persist.log_waits_since()?))
    }

    fn may_tick(&mut self) -> bool {
        let (timeout, waits) = (self.config.election_timeout(), self.log_waits());
        let Some(waits) = waits.filter(|waits| *waits > timeout / 2) else {
            self.stall.outrun_since = None;
            return true;
        };
        if !self.is_leader() {
            return waits <= timeout;
        }
        let Some(target) = self.ahead_of_own_disk() else {
            self.stall.outrun_since = None;
            return true;
        };
        let outrun = self.now.since(*self.stall.outrun_since.get_or_insert(self.now));
        if waits <= timeout || outrun < timeout / 2 {
            return true;
        }
        if waits > PATIENCE * timeout {
            line!(Warn, "the leader steps down: its disk stalls, and it could not hand over",
                "local-member-id" => self.member_id.to_string(), "stalled" => log::duration(waits));
            self.raft.resign();
            return false;
        }
        if self.raft.basic_status().transferee == 0 {
            line!(Warn, "the leader hands over: its disk stalls",
                "local-member-id" => self.member_id.to_string(), "stalled" => log::duration(waits));
            self.begin_transfer(target);
        }
        true
    }

    /// The voter with the longest log, if that is longer than what is durable here.
    fn ahead_of_own_disk(&self) -> Option<MemberId> {
        let status = self.raft.status();
        let own = status.progress.get(&self.member_id.0)?.matched;
        let voters = status.config.voters.ids();
        let others = status.progress.iter().filter(|(id, progress)| {
            **id != self.member_id.0 && progress.recent_active && voters.contains(id)
        });
        let (id, progress) = others.max_by_key(|(_, progress)| progress.matched)?;
        (progress.matched > own).then_some(MemberId(*id))
    }
}
