//! Leadership handed over, because somebody asks for it or because the leader stops.

use proto::etcdserverpb::MoveLeaderResponse;
use telemetry::{line, log};
use types::{MemberId, Moment};

use super::{Core, Stop, outbox::ReplyTo};
use crate::api::{Error, call::Reply};

/// Who waits for leadership to move.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    waiting: Vec<Waiting>,
    /// This member stops once somebody else leads, or at this moment.
    stop_at: Option<Moment>,
    /// Somebody else leads, and this member stops now: the others have heard of it.
    handed_over: Option<Moment>,
}

/// Heartbeat intervals for which a leader that handed over stays. A member that has not heard of the new leader still
/// sends proposals here, and they would be lost.
const LINGER_TICKS: u32 = 2;

#[derive(Debug)]
struct Waiting {
    reply_to: ReplyTo,
    target: MemberId,
    begun: Moment,
    deadline: Moment,
}

impl Transfers {
    /// Takes everybody.
    pub(super) fn drain(&mut self) -> Vec<ReplyTo> {
        self.waiting.drain(..).map(|waiting| waiting.reply_to).collect()
    }

    /// When [`Core::expire_transfers`] has something to do that cannot wait for housekeeping.
    pub(super) fn next(&self) -> Option<Moment> {
        self.handed_over.or(self.stop_at)
    }
}

impl Core {
    /// Hands leadership to a voter. Answered when that one leads.
    pub(super) fn move_leader(&mut self, reply_to: ReplyTo, target: MemberId) {
        if !self.is_leader() {
            return self.outbox.reply(reply_to, Err(Error::NotLeader));
        }
        if !self.state.cluster().voters().any(|member| member.id == target) {
            return self.outbox.reply(reply_to, Err(Error::BadLeaderTransferee));
        }
        self.begin_transfer(target);
        let deadline = self.now + self.config.request_timeout();
        self.transfers.waiting.push(Waiting { reply_to, target, begun: self.now, deadline });
        self.transfer_ended(self.raft.leader());
    }

    pub(super) fn begin_transfer(&mut self, target: MemberId) {
        let local = self.member_id.to_string();
        line!(Info, "leadership transfer starting",
            "local-member-id" => local.clone(), "current-leader-member-id" => local,
            "transferee-member-id" => target.to_string());
        self.raft.transfer_leader(target.0);
    }

    /// `leader` leads now: whoever waited for it has his answer.
    pub(super) fn transfer_ended(&mut self, leader: u64) {
        let leader = MemberId(leader);
        for waiting in self.transfers.waiting.extract_if(.., |waiting| waiting.target == leader) {
            line!(Info, "leadership transfer finished",
                "local-member-id" => self.member_id.to_string(),
                "new-leader-member-id" => leader.to_string(),
                "took" => log::duration(self.now.since(waiting.begun)));
            let reply = MoveLeaderResponse { header: None };
            self.outbox.reply(waiting.reply_to, Ok(Reply::MoveLeader(reply)));
        }
        if self.transfers.stop_at.is_some() && leader != MemberId(0) && leader != self.member_id {
            self.transfers.handed_over.get_or_insert(self.now + LINGER_TICKS * self.config.tick);
        }
    }

    /// Once it has handed over, or has waited for that long enough. Not left to housekeeping: [`Transfers::next`] would
    /// not let the core sleep until then.
    pub(super) fn stop_if_handed_over(&mut self) {
        if self.transfers.handed_over.is_some_and(|at| at <= self.now) {
            self.stop_with(Stop::Asked);
        } else if self.transfers.stop_at.is_some_and(|at| at <= self.now) {
            self.stop_without_transfer();
        }
    }

    fn stop_without_transfer(&mut self) {
        line!(Warn, "leadership transfer failed", "local-member-id" => self.member_id.to_string(),
            "error" => format!("etcdserver: {}", Error::TimeoutLeaderTransfer));
        self.stop_with(Stop::Asked);
    }

    pub(super) fn expire_transfers(&mut self) {
        let now = self.now;
        for waiting in self.transfers.waiting.extract_if(.., |waiting| waiting.deadline <= now) {
            self.outbox.reply(waiting.reply_to, Err(Error::TimeoutLeaderTransfer));
        }
        // Raft gives a transfer up after an election timeout.
        let given_up = self.is_leader() && self.raft.basic_status().transferee == 0;
        if self.transfers.stop_at.is_some() && given_up {
            self.stop_without_transfer();
        }
    }

    /// Somebody asks this member to stop. A leader first hands over, so that the others need no election.
    pub(super) fn stop_asked(&mut self) {
        if self.stopping.is_some() || self.transfers.stop_at.is_some() {
            return;
        }
        let local = self.member_id.to_string();
        let leader = MemberId(self.raft.leader()).to_string();
        let voters: Vec<MemberId> = self.state.cluster().voters().map(|member| member.id).collect();
        if !self.is_leader() {
            line!(Info, "skipped leadership transfer; local server is not leader",
                "local-member-id" => local, "current-leader-member-id" => leader);
            return self.stop_with(Stop::Asked);
        }
        if voters.len() < 2 {
            line!(Info, "skipped leadership transfer for single voting member cluster",
                "local-member-id" => local, "current-leader-member-id" => leader);
            return self.stop_with(Stop::Asked);
        }
        let others = voters.into_iter().filter(|id| *id != self.member_id);
        let longest = others.filter_map(|id| Some((self.peers.active_since(id)?, id))).min();
        match longest {
            Some((_, target)) => {
                self.begin_transfer(target);
                self.transfers.stop_at = Some(self.now + self.config.request_timeout());
            }
            None => {
                line!(Warn, "leadership transfer failed", "local-member-id" => local,
                    "error" => format!("etcdserver: {}", Error::Unhealthy));
                self.stop_with(Stop::Asked);
            }
        }
    }

    /// The first reason counts.
    fn stop_with(&mut self, stop: Stop) {
        self.stopping.get_or_insert(stop);
    }
}
