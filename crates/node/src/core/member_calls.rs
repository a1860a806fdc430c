//! Changes of membership as clients ask for them: judged here before they are proposed, and once more by all members
//! when they are applied (contract/semantics.md 8.2 to 8.5).

use std::time::Duration;

use cluster::{Change, Member};
use proto::etcdserverpb as pb;
use state::Rejection;
use telemetry::{line, metrics};
use types::{MemberId, Moment};

use super::{Core, applied_wait::AfterApply, outbox::ReplyTo, waiters::Waiter};
use crate::{
    api::{Error, call::Reply},
    boot::space::Level,
};

/// Only who is in touch for this long counts when a change is judged (upstream: `HealthInterval`).
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
/// The share of the leader's log that a learner must have, in percent.
const READY_PERCENT: u128 = 90;

/// What a client asked for, as far as its answer needs it.
#[derive(Debug)]
pub(crate) enum AskedChange {
    Add(Member),
    Remove(MemberId),
    Update(MemberId),
    Promote(MemberId),
}

impl AskedChange {
    /// Type of the conf change, as upstream's logs name it, and whom it is about.
    fn facts(&self) -> (&'static str, MemberId) {
        match self {
            AskedChange::Add(member) if member.is_learner => ("ConfChangeAddLearnerNode", member.id),
            AskedChange::Add(member) => ("ConfChangeAddNode", member.id),
            AskedChange::Remove(id) => ("ConfChangeRemoveNode", *id),
            AskedChange::Update(id) => ("ConfChangeUpdateNode", *id),
            AskedChange::Promote(id) => ("ConfChangeAddNode", *id),
        }
    }
}

impl Core {
    pub(super) fn add_member(&mut self, reply_to: ReplyTo, request: &pb::MemberAddRequest) {
        let Ok(urls) = cluster::parse_urls(&request.peer_ur_ls) else {
            return self.outbox.reply(reply_to, Err(Error::BadPeerUrls));
        };
        let unix_secs = i64::try_from(self.clock.unix_ms() / 1000).unwrap_or(i64::MAX);
        let member = Member { is_learner: request.is_learner, ..Member::new("", &urls, "", Some(unix_secs)) };
        if let Err(error) = self.may_add(&member) {
            line!(Warn, match error {
                Error::Unhealthy => "rejecting member add request; local member has not been connected to majority peers, reconfigure breaks active quorum",
                _ => "rejecting member add request; not enough healthy members",
            },
                "local-member-id" => self.member_id.to_string(),
                "requested-member-add" => member.id.to_string(), "error" => error.to_string());
            return self.outbox.reply(reply_to, Err(error));
        }
        let change = Change::Add(member.clone());
        self.propose_change(reply_to, &change, AskedChange::Add(member));
    }

    /// As `--strict-reconfig-check` wants it: with the new member, which counts as down, the quorum stands.
    fn may_add(&self, member: &Member) -> Result<(), Error> {
        if !self.config.strict_reconfig_check {
            return Ok(());
        }
        let cluster = self.state.cluster();
        if !member.is_learner && !cluster.may_add_voter() {
            return Err(Error::NotEnoughStarted);
        }
        let voters = cluster.voters().count();
        if voters != 1 && self.connected_voters() < quorum(voters + 1) {
            return Err(Error::Unhealthy);
        }
        Ok(())
    }

    pub(super) fn remove_member(&mut self, reply_to: ReplyTo, id: MemberId) {
        if let Err(error) = self.may_remove(id) {
            line!(Warn, match error {
                Error::Unhealthy => "rejecting member remove request; local member has not been connected to all peers, reconfigure breaks active quorum",
                _ => "rejecting member remove request; not enough healthy members",
            },
                "local-member-id" => self.member_id.to_string(),
                "requested-member-remove-id" => id.to_string(), "error" => error.to_string());
            return self.outbox.reply(reply_to, Err(error));
        }
        self.propose_change(reply_to, &Change::Remove(id), AskedChange::Remove(id));
    }

    fn may_remove(&self, id: MemberId) -> Result<(), Error> {
        let cluster = self.state.cluster();
        if cluster.voters().map(|member| member.id).eq([id]) {
            // Nobody could apply that: it would end every member that tries, now and at each start.
            return Err(Error::NotEnoughStarted);
        }
        if !self.config.strict_reconfig_check || cluster.member(id).is_some_and(|member| member.is_learner) {
            return Ok(());
        }
        if !cluster.may_remove_voter(id) {
            return Err(Error::NotEnoughStarted);
        }
        if id != self.member_id && self.peers.active_since(id).is_none() {
            // It is down: the others are the quorum already.
            return Ok(());
        }
        let voters = cluster.voters().count();
        // The others that are in touch must be a quorum of what is left.
        if self.connected_voters().saturating_sub(1) < quorum(voters.saturating_sub(1)) {
            return Err(Error::Unhealthy);
        }
        Ok(())
    }

    /// The URLs stay as given. What is none is refused, although upstream takes it: its members would end when they
    /// apply that.
    pub(super) fn update_member(&mut self, reply_to: ReplyTo, request: pb::MemberUpdateRequest) {
        if !crate::are_peer_urls(&request.peer_ur_ls) {
            return self.outbox.reply(reply_to, Err(Error::BadPeerUrls));
        }
        let id = MemberId(request.id);
        let change = Change::Update { id, peer_urls: request.peer_ur_ls };
        self.propose_change(reply_to, &change, AskedChange::Update(id));
    }

    /// Gives a learner its vote. Only the leader knows whether it is ready.
    pub(super) fn promote_member(&mut self, reply_to: ReplyTo, id: MemberId) {
        if self.lags() {
            return self.after_apply(reply_to, AfterApply::Promote(id));
        }
        self.promote_now(reply_to, id);
    }

    pub(super) fn promote_now(&mut self, reply_to: ReplyTo, id: MemberId) {
        match self.may_promote(id) {
            Ok(()) => self.propose_change(reply_to, &Change::Promote(id), AskedChange::Promote(id)),
            // Not a failure of the promotion: the leader is to be asked.
            Err(Error::NotLeader) => self.outbox.reply(reply_to, Err(Error::NotLeader)),
            Err(error) => {
                // What is wrong with the cluster has upstream's texts, which begin with the name of the server.
                let text = match &error {
                    Error::Rejected(rejection) => rejection.to_string(),
                    own => format!("etcdserver: {own}"),
                };
                metrics().server_learner_promote_failures.with(&[&text]).inc();
                self.outbox.reply(reply_to, Err(error));
            }
        }
    }

    fn may_promote(&self, id: MemberId) -> Result<(), Error> {
        let progress = self.raft.status().progress;
        let Some(own) = progress.get(&self.member_id.0) else { return Err(Error::NotLeader) };
        let Some(learner) = progress.get(&id.0) else {
            return Err(Rejection::Cluster(cluster::Rejection::IdNotFound).into());
        };
        if u128::from(learner.matched) * 100 < u128::from(own.matched) * READY_PERCENT {
            line!(Error, "rejecting promote learner: learner is not ready",
                "learner-match" => learner.matched, "leader-match" => own.matched);
            return Err(Error::LearnerNotReady);
        }
        if self.config.strict_reconfig_check && !self.state.cluster().may_promote() {
            line!(Warn, "rejecting member promote request; not enough healthy members",
                "local-member-id" => self.member_id.to_string(), "requested-member-promote-id" => id.to_string());
            return Err(Error::NotEnoughStarted);
        }
        Ok(())
    }

    fn propose_change(&mut self, reply_to: ReplyTo, change: &Change, asked: AskedChange) {
        if self.persist.gauge().level() >= Level::Starved {
            self.persist.gauge().look_soon();
            return self.outbox.reply(reply_to, Err(Rejection::NoSpace.into()));
        }
        let id = self.ids.next();
        let wire = change.to_wire(id);
        let wire = consensus::ConfChange::decode(&prost::Message::encode_to_vec(&wire).into());
        let Ok(conf_change) = wire else { unreachable!("what was just encoded can be decoded") };
        let waiter = Waiter { reply_to, since: self.now, change: Some(Box::new(asked)) };
        self.waiters.insert_waiter(id, waiter, self.config.request_timeout());
        self.queue_own_change(conf_change, id);
    }

    /// The change that a client asked for was applied, or refused then.
    pub(super) fn answer_change(
        &mut self,
        reply_to: ReplyTo,
        asked: AskedChange,
        outcome: Result<state::Reply, Rejection>,
    ) {
        let (kind, id) = asked.facts();
        line!(Info, "applied a configuration change through raft",
            "local-member-id" => self.member_id.to_string(),
            "raft-conf-change" => kind, "raft-conf-change-node-id" => id.to_string());
        if matches!(asked, AskedChange::Promote(_)) {
            match &outcome {
                Ok(_) => metrics().server_learner_promote_successes.inc(),
                Err(error) => {
                    metrics().server_learner_promote_failures.with(&[&error.to_string()]).inc();
                }
            }
        }
        let answer = outcome.map(|_| self.change_reply(asked)).map_err(Error::from);
        self.outbox.reply(reply_to, answer);
    }

    fn change_reply(&self, asked: AskedChange) -> Reply {
        let (header, members) = (Some(self.member_header()), self.member_list());
        match asked {
            AskedChange::Add(member) => {
                let member = Some(wire_member(&member));
                Reply::MemberAdd(pb::MemberAddResponse { header, member, members })
            }
            AskedChange::Remove(_) => Reply::MemberRemove(pb::MemberRemoveResponse { header, members }),
            AskedChange::Update(_) => Reply::MemberUpdate(pb::MemberUpdateResponse { header, members }),
            AskedChange::Promote(_) => Reply::MemberPromote(pb::MemberPromoteResponse { header, members }),
        }
    }

    pub(super) fn member_list_reply(&self) -> Reply {
        let (header, members) = (Some(self.member_header()), self.member_list());
        Reply::MemberList(pb::MemberListResponse { header, members })
    }

    /// Membership has no revision (contract/semantics.md 8.8).
    fn member_header(&self) -> pb::ResponseHeader {
        pb::ResponseHeader { revision: 0, ..self.header() }
    }

    fn member_list(&self) -> Vec<pb::Member> {
        self.state.cluster().members().map(wire_member).collect()
    }

    /// How many voters, this member among them, are in touch for long enough.
    fn connected_voters(&self) -> usize {
        let since = Moment(self.now.0.saturating_sub(HEALTH_INTERVAL.as_nanos() as u64));
        self.connected_since(self.state.cluster().voters().map(|member| member.id), since)
    }

    /// How many of `members` are in touch since before `since`. This member always is.
    pub(super) fn connected_since(&self, members: impl Iterator<Item = MemberId>, since: Moment) -> usize {
        members.filter(|&id| id == self.member_id || self.is_connected_since(id, since)).count()
    }

    pub(super) fn is_connected_since(&self, id: MemberId, since: Moment) -> bool {
        self.peers.active_since(id).is_some_and(|active| active < self.clock.instant(since))
    }
}

fn wire_member(member: &Member) -> pb::Member {
    pb::Member {
        id: member.id.0,
        name: member.name.clone(),
        peer_ur_ls: member.peer_urls.clone(),
        client_ur_ls: member.client_urls.clone(),
        is_learner: member.is_learner,
    }
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}
