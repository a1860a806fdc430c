//! From a request to a proposal: limits, id, encoding.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prost::Message;
use proto::etcdserverpb::{
    AlarmRequest, AlarmType, InternalRaftRequest, RequestHeader, TxnRequest, alarm_request::AlarmAction,
    request_op::Request as Op,
};
use state::{Rejection, Subject};
use telemetry::line;
use types::{MemberId, Moment};

use super::{Core, outbox::ReplyTo};
use crate::{api::Error, boot::space::Level};

/// Committed entries that may wait to be applied before proposals are refused (contract/semantics.md 9.12).
const APPLY_LAG_MAX: u64 = 5000;
/// Bytes put that may wait for the backend, which then is far slower than the log; they are held in memory.
const UNFLUSHED_BYTES_MAX: u64 = 512 << 20;
/// What a pair costs besides its bytes, and what a lease costs, in the eyes of the quota (9.1).
const PAIR_COST: usize = 256;
const LEASE_COST: usize = 64;

/// A proposal on its way to raft.
#[derive(Debug)]
struct Gathered {
    data: Bytes,
    id: u64,
    /// A client waits for it: without him it is not needed.
    asked_for: bool,
}

/// Proposals of this turn, and those that wait for a leader; raft gets them in one batch.
#[derive(Debug, Default)]
pub(crate) struct Proposals {
    gathered: Vec<Gathered>,
    /// Bytes of those.
    gathered_bytes: u64,
    /// A NOSPACE alarm of this member was proposed, and is not known to be raised yet.
    alarm_under_way: bool,
}

impl Proposals {
    fn push(&mut self, data: Bytes, id: u64, asked_for: bool) {
        self.gathered_bytes += data.len() as u64;
        self.gathered.push(Gathered { data, id, asked_for });
    }
}

impl Core {
    /// Proposes a client's request; the answer comes when it is applied.
    pub(super) fn propose(&mut self, reply_to: ReplyTo, mut request: InternalRaftRequest, subject: Subject) {
        if let Err(error) = self.check_room(&request).and_then(|()| self.check_quota(&request)) {
            self.outbox.reply(reply_to, Err(error));
            return;
        }
        let (id, data) = self.encode(&mut request, subject);
        if data.len() > self.config.request_bytes_max {
            self.outbox.reply(reply_to, Err(Error::RequestTooLarge));
            return;
        }
        let behind = self.is_behind();
        // A client that goes away gives its share of the budget back, and leaves its proposal here.
        let unlogged = self.persist.log_bytes() + self.proposals.gathered_bytes;
        if behind
            || unlogged > self.config.log_queue_bytes_max
            || self.persist.unflushed_bytes(self.state.counts().put_bytes) > UNFLUSHED_BYTES_MAX
        {
            self.outbox.reply(reply_to, Err(Error::TooManyRequests));
            return;
        }
        let patience: Duration = self.config.request_timeout();
        self.waiters.insert(id, reply_to, self.now, patience);
        self.proposals.push(data, id, true);
    }

    /// Whether too much is committed and not applied.
    pub(super) fn is_behind(&self) -> bool {
        self.raft.basic_status().hard_state.commit > self.state.applied() + APPLY_LAG_MAX
    }

    /// Proposes something of the member's own, which no client waits for. Gives its id; `None` when it was not
    /// proposed.
    pub(super) fn propose_own(&mut self, mut request: InternalRaftRequest) -> Option<u64> {
        let is_asked_again = request.lease_revoke.is_some() || request.cluster_version_set.is_some();
        if is_asked_again && self.persist.gauge().level() >= Level::Starved {
            return None;
        }
        let auth = self.state.auth();
        let root = if auth.is_enabled() {
            Subject { user: auth::ROOT.to_string(), revision: auth.revision() }
        } else {
            Subject::default()
        };
        let (id, data) = self.encode(&mut request, root);
        self.proposals.push(data, id, false);
        Some(id)
    }

    fn encode(&mut self, request: &mut InternalRaftRequest, subject: Subject) -> (u64, Bytes) {
        let id = self.ids.next();
        request.header = Some(RequestHeader { id, username: subject.user, auth_revision: subject.revision });
        // The one copy of the client's bytes: from here on everybody shares this buffer.
        let mut data = BytesMut::with_capacity(request.encoded_len());
        request.encode(&mut data).expect("BytesMut grows as needed");
        (id, data.freeze())
    }

    /// Hands the proposals to raft, once there is a leader to take them. Whoever waits too long for one is told so,
    /// and his proposal is dropped.
    pub(super) fn propose_gathered(&mut self) {
        if self.proposals.gathered.is_empty() || !self.takes_proposals() {
            return;
        }
        let mut gathered = std::mem::take(&mut self.proposals.gathered);
        self.proposals.gathered_bytes = 0;
        gathered.retain(|proposal| !proposal.asked_for || self.waiters.contains(proposal.id));
        let ids: Vec<u64> = gathered.iter().map(|proposal| proposal.id).collect();
        let proposed = self.raft.propose_batch(gathered.into_iter().map(|proposal| proposal.data));
        self.proposed(proposed, &ids);
    }

    pub(super) fn proposed(&mut self, result: Result<(), consensus::Error>, ids: &[u64]) {
        match result {
            Ok(()) => {}
            Err(consensus::Error::ProposalDropped) => {
                // An alarm may have been among them.
                self.proposals.alarm_under_way = false;
                for id in ids {
                    if let Some(waiter) = self.waiters.take(*id) {
                        telemetry::metrics().server_proposals_failed_total.inc();
                        self.outbox.reply(waiter.reply_to, Err(Error::ProposalDropped));
                    }
                }
            }
            Err(error) => self.fault(format!("raft cannot take a proposal: {error}")),
        }
    }

    /// Refuses what the disk has no room for. No alarm: that would stop the writes of all members until an operator
    /// comes, while here they come back with the space.
    fn check_room(&self, request: &InternalRaftRequest) -> Result<(), Error> {
        let gauge = self.persist.gauge();
        let refused = match gauge.level() {
            // What came since the last look, or is on its way to the backend, takes its room without being seen.
            Level::Ample => !gauge.has_room_for(self.state.counts().put_bytes) && cost(request) > 0,
            Level::Tight => cost(request) > 0,
            Level::Starved => request.compaction.is_none() && request.alarm.is_none(),
            Level::Stalled => true,
        };
        if refused {
            gauge.look_soon();
            return Err(Rejection::NoSpace.into());
        }
        Ok(())
    }

    /// Refuses what the quota does not allow, and raises the alarm then.
    fn check_quota(&mut self, request: &InternalRaftRequest) -> Result<(), Error> {
        let Some(quota) = self.config.quota_bytes else { return Ok(()) };
        let cost = cost(request);
        if cost == 0 || self.persist.backend_size() + (cost as u64) < quota {
            return Ok(());
        }
        self.raise_no_space();
        Err(Rejection::NoSpace.into())
    }

    /// Raises the NOSPACE alarm of this member, once.
    pub(super) fn raise_no_space(&mut self) {
        let member_id = self.member_id.0;
        let raised = self.state.alarms(AlarmType::Nospace).any(|alarm| alarm.member_id == member_id);
        if raised || std::mem::replace(&mut self.proposals.alarm_under_way, true) {
            return;
        }
        line!(Warn, "database space exceeded; raising alarm", "size" => self.persist.backend_size());
        let alarm = AlarmRequest {
            action: AlarmAction::Activate as i32,
            member_id,
            alarm: AlarmType::Nospace as i32,
        };
        self.propose_own(InternalRaftRequest { alarm: Some(alarm), ..InternalRaftRequest::default() });
    }

    /// Alarms have changed: the next shortage may raise one again.
    pub(super) fn alarms_changed(&mut self) {
        self.proposals.alarm_under_way = false;
    }

    /// Why a proposal that was made at `since` was not applied in time (contract/errors.tsv, ErrGRPCTimeout*).
    fn why_late(&self, since: Moment) -> Error {
        let leader = MemberId(self.raft.leader());
        let known = self.leader_known_since;
        if since < known && known < since + 2 * self.config.election_timeout() {
            Error::TimeoutLeaderFailure
        } else if leader == MemberId(0) || self.is_in_touch(leader, since) {
            Error::Timeout
        } else {
            Error::TimeoutConnectionLost
        }
    }

    /// Whether this member is in touch with the leader, or as leader with a quorum, all the time since `since`.
    fn is_in_touch(&self, leader: MemberId, since: Moment) -> bool {
        if leader != self.member_id {
            return self.is_connected_since(leader, since);
        }
        let cluster = self.state.cluster();
        let connected = self.connected_since(cluster.members().map(|member| member.id), since);
        connected > cluster.members().count() / 2
    }

    /// Tells those whose proposal or read takes too long.
    pub(super) fn expire_waits(&mut self) {
        while let Some((id, waiter)) = self.waiters.pop_late(self.now) {
            telemetry::metrics().server_proposals_failed_total.inc();
            let unproposed = self.proposals.gathered.iter().any(|proposal| proposal.id == id);
            let error = if unproposed { Error::Unproposed } else { self.why_late(waiter.since) };
            self.outbox.reply(waiter.reply_to, Err(error));
        }
        // Those that wait for a leader, and nobody waits for.
        let (waiters, proposals) = (&self.waiters, &mut self.proposals);
        proposals.gathered.retain(|proposal| !proposal.asked_for || waiters.contains(proposal.id));
        proposals.gathered_bytes = proposals.gathered.iter().map(|proposal| proposal.data.len() as u64).sum();
        self.expire_applied_waits();
        self.expire_reads();
        self.expire_renewals();
    }
}

/// What a request may add to the file, about; 0 for those that pass a full one.
fn cost(request: &InternalRaftRequest) -> usize {
    if let Some(put) = &request.put {
        PAIR_COST + put.key.len() + put.value.len()
    } else if let Some(txn) = &request.txn {
        txn_cost(txn)
    } else if request.lease_grant.is_some() {
        LEASE_COST
    } else {
        0
    }
}

/// The dearer branch counts; nested transactions with what they hold.
fn txn_cost(txn: &TxnRequest) -> usize {
    let branch = |ops: &[proto::etcdserverpb::RequestOp]| -> usize {
        ops.iter()
            .map(|op| match &op.request {
                Some(Op::RequestPut(put)) => PAIR_COST + put.key.len() + put.value.len(),
                Some(Op::RequestTxn(inner)) => txn_cost(inner),
                _ => 0,
            })
            .sum()
    };
    branch(&txn.success).max(branch(&txn.failure))
}
