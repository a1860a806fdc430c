//! Settings of a node: given once, checked once.

use crate::{Level, error::StartError, message::RESERVED_IDS};

/// How linearizable reads are confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// The leader asks a quorum whether it still leads. Right under any clock.
    #[default]
    Safe,
    /// The leader trusts that no other can be elected within an election timeout. Wrong when clocks drift
    /// without bound. Needs `check_quorum`.
    LeaseBased,
}

/// Settings of a node. [`Config::new`] has etcd's (contract/semantics.md 15.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This member; not 0 and not one of the two highest numbers.
    pub id: u64,
    /// Ticks without a leader before a campaign: the lower end of `[election_ticks, 2 * election_ticks)`,
    /// from which each timeout is drawn. More than `heartbeat_ticks`.
    pub election_ticks: u32,
    /// Ticks between heartbeats; at least 1.
    pub heartbeat_ticks: u32,
    /// Last index that the state machine has applied, inclusive; 0 when it starts from the store's snapshot.
    pub applied: u64,
    /// Whether log writes and application run beside the node, reported by `persisted` and `applied`, rather
    /// than between `ready` and `advance`. An entry is then applied only when it is durable here, too.
    pub async_storage_writes: bool,
    /// Bound on the encoded entries of one append message; a single larger entry still goes. 0: one entry
    /// per message.
    pub message_bytes_max: u64,
    /// Bound on the encoded entries handed out to be applied and not yet reported as applied; a single larger
    /// entry still goes. 0: as `message_bytes_max`.
    pub committed_bytes_max: u64,
    /// Bound on the payload of the leader's uncommitted entries; proposals beyond it are dropped. 0: none.
    pub uncommitted_bytes_max: u64,
    /// Append messages in flight per follower; at least 1.
    pub inflight_messages_max: usize,
    /// Payload bytes in flight per follower, at least `message_bytes_max`; a last message may go beyond it.
    /// 0: none.
    pub inflight_bytes_max: u64,
    /// Whether a leader that hears no quorum for an election timeout steps down, and members that hear a
    /// leader ignore candidates.
    pub check_quorum: bool,
    /// Whether a campaign first asks if it could be won.
    pub pre_vote: bool,
    /// How linearizable reads are confirmed.
    pub read_mode: ReadMode,
    /// Whether a follower passes proposals on to the leader; else it drops them.
    pub proposal_forwarding: bool,
    /// Whether the leader refuses conf changes that do not fit the active configuration. Without it, the
    /// caller must know that they fit when they are applied.
    pub conf_change_validation: bool,
    /// Whether a leader that was removed or made a learner steps down when it applies that.
    pub step_down_on_removal: bool,
    /// Where the random election timeouts come from; members should differ (the id is mixed in).
    pub seed: u64,
    /// Lines below this level are not made.
    pub log_level: Level,
}

impl Config {
    /// etcd's settings for a member.
    pub fn new(id: u64) -> Config {
        Config {
            id,
            election_ticks: 10,
            heartbeat_ticks: 1,
            applied: 0,
            async_storage_writes: true,
            message_bytes_max: 1 << 20,
            committed_bytes_max: 0,
            uncommitted_bytes_max: 0,
            inflight_messages_max: 512,
            inflight_bytes_max: 0,
            check_quorum: true,
            pre_vote: true,
            read_mode: ReadMode::Safe,
            proposal_forwarding: true,
            conf_change_validation: true,
            step_down_on_removal: false,
            seed: 0,
            log_level: Level::Info,
        }
    }

    /// Replaces the zeroes that mean "none" or "as another" and refuses what makes no sense.
    pub(crate) fn validated(mut self) -> Result<Config, StartError> {
        let refuse = |what| Err(StartError::Config(what));
        if self.id == 0 || RESERVED_IDS.contains(&self.id) {
            return refuse("the id is reserved");
        }
        if self.heartbeat_ticks == 0 {
            return refuse("heartbeat ticks must be at least 1");
        }
        if self.election_ticks <= self.heartbeat_ticks {
            return refuse("election ticks must exceed heartbeat ticks");
        }
        if self.inflight_messages_max == 0 {
            return refuse("in-flight messages must be at least 1");
        }
        if self.inflight_bytes_max != 0 && self.inflight_bytes_max < self.message_bytes_max {
            return refuse("in-flight bytes must be at least the message size");
        }
        if self.read_mode == ReadMode::LeaseBased && !self.check_quorum {
            return refuse("lease-based reads need check-quorum");
        }
        if self.committed_bytes_max == 0 {
            self.committed_bytes_max = self.message_bytes_max.max(1);
        }
        for bound in [&mut self.uncommitted_bytes_max, &mut self.inflight_bytes_max] {
            if *bound == 0 {
                *bound = u64::MAX;
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_makes_no_sense() {
        assert!(Config::new(1).validated().is_ok());
        let broken: [fn(&mut Config); 8] = [
            |c| c.id = 0,
            |c| c.id = u64::MAX,
            |c| c.id = u64::MAX - 1,
            |c| c.heartbeat_ticks = 0,
            |c| c.election_ticks = c.heartbeat_ticks,
            |c| c.inflight_messages_max = 0,
            |c| c.inflight_bytes_max = 1,
            |c| (c.read_mode, c.check_quorum) = (ReadMode::LeaseBased, false),
        ];
        for (case, breaks) in broken.iter().enumerate() {
            let mut config = Config::new(1);
            breaks(&mut config);
            assert!(matches!(config.validated(), Err(StartError::Config(_))), "case {case}");
        }
    }
}
