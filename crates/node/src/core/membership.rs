//! What a changed membership means for this member: whom it talks to, whether it votes, whether it is still one.

use std::time::Duration;

use cluster::{Change, Member};
use telemetry::{line, metrics};
use types::{MemberId, Moment};

use super::{Core, Stop};
use crate::peers::PeerAddress;

/// A member that was removed still serves for so long: whoever asked for it, and the others, learn of it from it.
const LEAVE_AFTER: Duration = Duration::from_secs(1);

/// Membership beside the replicated state.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    /// The members as they were told last to metrics and logs.
    known: Vec<Member>,
    /// The running cluster that this member joins: whom to talk to while its own log does not name it yet.
    joined: Vec<PeerAddress>,
    /// When it stops, once it was removed.
    leave_at: Option<Moment>,
}

impl Membership {
    pub(crate) fn joining(joined: Vec<PeerAddress>) -> Membership {
        Membership { joined, ..Membership::default() }
    }

    /// When [`Core::leave_if_due`] has something to do.
    pub(super) fn next(&self) -> Option<Moment> {
        self.leave_at
    }
}

impl Core {
    /// A change of membership was applied.
    pub(super) fn member_changed(&mut self, change: &Change) {
        self.tell_change(change);
        self.use_membership();
        if matches!(change, Change::Remove(id) if *id == self.member_id) {
            self.membership.leave_at.get_or_insert(self.now + LEAVE_AFTER);
        }
    }

    /// Goes by the membership as it is now.
    pub(super) fn use_membership(&mut self) {
        let members: Vec<Member> = self.state.cluster().members().cloned().collect();
        let own = members.iter().find(|member| member.id == self.member_id);
        let learner = own.is_some_and(|member| member.is_learner);
        self.summary.set_learner(learner);
        metrics().server_is_learner.set(i64::from(learner));
        let known_peers = &metrics().network_known_peers;
        let local = self.member_id.to_string();
        for gone in self.membership.known.iter().filter(|old| !members.iter().any(|now| now.id == old.id)) {
            known_peers.with(&[&local, &gone.id.to_string()]).set(0);
        }
        for member in &members {
            known_peers.with(&[&local, &member.id.to_string()]).set(1);
        }
        let mut others: Vec<PeerAddress> = members.iter().map(address).collect();
        if own.is_some() {
            self.membership.joined.clear();
        }
        for joined in &self.membership.joined {
            if !others.iter().any(|other| other.id == joined.id) {
                others.push(joined.clone());
            }
        }
        others.retain(|other| other.id != self.member_id);
        self.peers.set_peers(others);
        self.peers.set_removed(self.state.cluster().removed().collect());
        self.membership.known = members;
    }

    fn tell_change(&self, change: &Change) {
        let (cluster, local) = (self.cluster_id.to_string(), self.member_id.to_string());
        let before = |id: MemberId| self.membership.known.iter().find(|member| member.id == id);
        match change {
            Change::Add(member) => line!(Info, "added member",
                "cluster-id" => cluster, "local-member-id" => local,
                "added-peer-id" => member.id.to_string(),
                "added-peer-peer-urls" => member.peer_urls.clone(),
                "added-peer-is-learner" => member.is_learner),
            Change::Remove(id) => line!(Info, "removed member",
                "cluster-id" => cluster, "local-member-id" => local,
                "removed-remote-peer-id" => id.to_string(),
                "removed-remote-peer-urls" => before(*id).map(|m| m.peer_urls.clone()).unwrap_or_default(),
                "removed-remote-peer-is-learner" => before(*id).is_some_and(|m| m.is_learner)),
            Change::Promote(id) => line!(Info, "promote member",
                "cluster-id" => cluster, "local-member-id" => local,
                "promoted-member-id" => id.to_string()),
            Change::Update { id, peer_urls } => line!(Info, "updated member",
                "cluster-id" => cluster, "local-member-id" => local,
                "updated-remote-peer-id" => id.to_string(),
                "updated-remote-peer-urls" => peer_urls.clone(),
                "updated-remote-peer-is-learner" => before(*id).is_some_and(|m| m.is_learner)),
        }
    }

    /// Another member, which knows more, says that this one was removed.
    pub(super) fn leave(&mut self) {
        self.membership.leave_at.get_or_insert(self.now);
        self.leave_if_due();
    }

    /// Stops a member that was removed, some time after that.
    pub(super) fn leave_if_due(&mut self) {
        if self.stopping.is_none() && self.membership.leave_at.is_some_and(|at| at <= self.now) {
            line!(Warn, "server error",
                "error" => "the member has been permanently removed from the cluster");
            line!(Warn, "data-dir used by this member must be removed");
            self.stopping = Some(Stop::Removed);
        }
    }
}

fn address(member: &Member) -> PeerAddress {
    PeerAddress { id: member.id, urls: member.peer_urls.clone() }
}
