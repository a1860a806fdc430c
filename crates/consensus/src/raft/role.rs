//! The roles of a node, and what a role asks of its owner.

use std::{collections::BTreeMap, fmt};

use super::leader::Leader;
use crate::message::NO_NODE;

/// The role of a node, with what it knows only in that role.
#[derive(Debug)]
pub(crate) enum Role {
    Follower(Follower),
    Candidate(Candidate),
    Leader(Box<Leader>),
}

#[derive(Debug)]
pub(crate) struct Follower {
    /// Whom it follows; 0 while it knows no leader of its term. Never this node itself.
    pub(super) leader: u64,
}

#[derive(Debug)]
pub(crate) struct Candidate {
    /// Whether it only asks if it could win, without a term of its own yet.
    pub(super) pre_vote: bool,
    /// The first answer of each member.
    pub(super) votes: BTreeMap<u64, bool>,
}

/// How a campaign begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Campaign {
    /// Ask whether it could be won.
    PreVote,
    /// Ask for votes.
    Election,
    /// Ask for votes, at the leader's word: members grant them although they hear that leader.
    Transfer,
}

/// What a node should become after an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// What it is.
    Stay,
    /// A follower without leader in the current term.
    Follow,
    /// A candidate, if it may campaign at all.
    Hup(Campaign),
    /// A candidate, by the decision of a pre-vote.
    Campaign,
    /// The leader.
    Lead,
}

/// A role's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoleKind {
    /// Follows a leader or waits for one.
    #[default]
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
    /// Asks whether a campaign could be won.
    PreCandidate,
}

impl Role {
    pub(super) fn kind(&self) -> RoleKind {
        match self {
            Role::Follower(_) => RoleKind::Follower,
            Role::Candidate(candidate) if candidate.pre_vote => RoleKind::PreCandidate,
            Role::Candidate(_) => RoleKind::Candidate,
            Role::Leader(_) => RoleKind::Leader,
        }
    }

    /// The leader that the node `own` knows in its term; 0 = none.
    pub(super) fn leader(&self, own: u64) -> u64 {
        match self {
            Role::Follower(follower) => follower.leader,
            Role::Candidate(_) => NO_NODE,
            Role::Leader(_) => own,
        }
    }
}

impl fmt::Display for RoleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RoleKind::Follower => "StateFollower",
            RoleKind::Candidate => "StateCandidate",
            RoleKind::Leader => "StateLeader",
            RoleKind::PreCandidate => "StatePreCandidate",
        })
    }
}
