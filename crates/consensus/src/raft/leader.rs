//! A leader: takes proposals, replicates them, commits what a quorum has, and confirms reads.

mod acks;
mod proposals;
mod reads;
mod transfer;

use std::collections::VecDeque;

use types::raft::Entry;

use super::{core::Core, replicate::Appending, role::Next};
use crate::{Error, LogStore, Message, MessageKind, journal::note, message::NO_NODE, tracker::Flow};
use reads::{ReadRequest, Reads};

/// What only a leader knows. Gone when it steps down.
#[derive(Debug)]
pub(crate) struct Leader {
    /// To whom it hands leadership over; 0 = nobody. While it does, proposals are dropped.
    transferee: u64,
    /// An index at or after the last conf change that is not applied. Only beyond it may the next be proposed.
    pending_conf_index: u64,
    /// Payload bytes proposed and not applied; may be too low, never too high.
    uncommitted_bytes: u64,
    /// Ticks since the last heartbeat.
    heartbeat_elapsed: u32,
    /// Reads that a quorum must confirm.
    reads: Reads,
    /// Reads that wait for the first commit of the term.
    early_reads: VecDeque<ReadRequest>,
}

impl Leader {
    /// The leader of the current term; its first act is an empty entry, which commits what is before it.
    pub(super) fn new<S: LogStore>(core: &mut Core<S>) -> Leader {
        let own = core.id();
        if let Some(progress) = core.tracker.progress.get_mut(&own) {
            progress.become_replicate();
            progress.recent_active = true;
        }
        let mut leader = Leader {
            transferee: NO_NODE,
            // There may be a conf change in the uncommitted tail; waiting is cheaper than looking.
            pending_conf_index: core.log.last().index,
            uncommitted_bytes: 0,
            heartbeat_elapsed: 0,
            reads: Reads::default(),
            early_reads: VecDeque::new(),
        };
        let accepted = leader.append(core, vec![Entry::default()]);
        assert!(accepted, "an empty entry counts no bytes, so it is never too much");
        leader
    }

    pub(crate) fn transferee(&self) -> u64 {
        self.transferee
    }

    pub(crate) fn pending_conf_index(&self) -> u64 {
        self.pending_conf_index
    }

    pub(super) fn tick<S: LogStore>(&mut self, core: &mut Core<S>) -> Next {
        self.heartbeat_elapsed += 1;
        core.election_elapsed += 1;
        if core.election_elapsed >= core.config.election_ticks {
            core.election_elapsed = 0;
            if core.config.check_quorum && !self.check_quorum(core) {
                return Next::Follow;
            }
            // A transfer that takes longer than an election failed.
            self.transferee = NO_NODE;
        }
        if self.heartbeat_elapsed >= core.config.heartbeat_ticks {
            self.heartbeat_elapsed = 0;
            core.broadcast_heartbeat(&self.reads.heartbeat_context());
        }
        Next::Stay
    }

    /// Whether a quorum was heard since the last check.
    fn check_quorum<S: LogStore>(&mut self, core: &mut Core<S>) -> bool {
        let id = core.id();
        if !core.tracker.quorum_active() {
            note!(core.journal, Warn, "{id:x} stepped down to follower since quorum is not active");
            return false;
        }
        core.tracker.expect_signs_of_life(id);
        true
    }

    pub(super) fn step<S: LogStore>(&mut self, core: &mut Core<S>, message: Message) -> Result<(), Error> {
        match message.kind {
            MessageKind::Propose => return self.propose(core, message.entries),
            MessageKind::ReadIndex => {
                self.read_index(core, message);
                return Ok(());
            }
            MessageKind::Append
            | MessageKind::AppendResp
            | MessageKind::Vote
            | MessageKind::VoteResp
            | MessageKind::Snapshot
            | MessageKind::Heartbeat
            | MessageKind::HeartbeatResp
            | MessageKind::TransferLeader
            | MessageKind::TimeoutNow
            | MessageKind::ReadIndexResp
            | MessageKind::PreVote
            | MessageKind::PreVoteResp => {}
        }
        if !core.tracker.progress.contains_key(&message.from) {
            note!(core.journal, Debug, "{:x} no progress available for {:x}", core.id(), message.from);
            return Ok(());
        }
        match message.kind {
            MessageKind::AppendResp => return self.on_append_resp(core, &message),
            MessageKind::HeartbeatResp => self.on_heartbeat_resp(core, &message),
            MessageKind::TransferLeader => self.transfer_to(core, message.from),
            MessageKind::Propose
            | MessageKind::ReadIndex
            | MessageKind::Append
            | MessageKind::Vote
            | MessageKind::VoteResp
            | MessageKind::Snapshot
            | MessageKind::Heartbeat
            | MessageKind::TimeoutNow
            | MessageKind::ReadIndexResp
            | MessageKind::PreVote
            | MessageKind::PreVoteResp => {}
        }
        Ok(())
    }

    /// A message to that follower was lost: probe what it has.
    pub(crate) fn on_unreachable<S: LogStore>(&mut self, core: &mut Core<S>, id: u64) {
        let own = core.id();
        let Some(progress) = core.tracker.progress.get_mut(&id) else {
            note!(core.journal, Debug, "{own:x} no progress available for {id:x}");
            return;
        };
        if progress.flow == Flow::Replicate {
            progress.become_probe();
        }
        note!(
            core.journal,
            Debug,
            "{own:x} failed to send message to {id:x} because it is unreachable [{progress}]"
        );
    }

    /// The snapshot for that follower was delivered, or was not.
    pub(crate) fn on_snapshot_report<S: LogStore>(&mut self, core: &mut Core<S>, id: u64, delivered: bool) {
        let own = core.id();
        let Some(progress) = core.tracker.progress.get_mut(&id) else {
            note!(core.journal, Debug, "{own:x} no progress available for {id:x}");
            return;
        };
        if !matches!(progress.flow, Flow::Snapshot { .. }) {
            return;
        }
        let outcome = if delivered {
            progress.become_probe();
            "succeeded"
        } else {
            progress.become_probe_after_failure();
            "failed"
        };
        note!(
            core.journal,
            Debug,
            "{own:x} snapshot {outcome}, resumed sending replication messages to {id:x} [{progress}]"
        );
        // Delivered: its acknowledgement follows. Failed: the next sign of life is soon enough.
        progress.pause();
    }

    /// Entries up to `index` are applied here: `payload` bytes no longer count as uncommitted, and a joint
    /// configuration that ends by itself may be ended.
    pub(super) fn on_applied<S: LogStore>(&mut self, core: &mut Core<S>, index: u64, payload: u64) {
        if core.tracker.config.auto_leave && index >= self.pending_conf_index {
            self.leave_joint(core);
        }
        self.uncommitted_bytes = self.uncommitted_bytes.saturating_sub(payload);
    }

    /// The configuration changed: fewer may suffice to commit, newcomers want the log.
    pub(super) fn on_new_config<S: LogStore>(&mut self, core: &mut Core<S>) {
        if core.tracker.config.voters.incoming.0.is_empty() {
            return;
        }
        if core.maybe_commit() {
            self.release_early_reads(core);
            core.broadcast_append();
        } else {
            for id in core.tracker.others(core.id()) {
                core.append_to(id, Appending::OnlyEntries);
            }
        }
        self.confirm_reads(core);
        if !core.tracker.config.voters.contains(self.transferee) {
            self.transferee = NO_NODE;
        }
    }
}
