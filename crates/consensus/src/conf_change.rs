//! Changes of the configuration, as they are proposed, stored in entries and applied.

mod codec;

use std::fmt;

use bytes::Bytes;
use types::raft::{Entry, EntryKind};

pub use codec::CodecError;

/// What happens to a member. Numbers are `raftpb.ConfChangeType`'s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangeKind {
    /// It becomes a voter; also promotes a learner.
    #[default]
    AddVoter = 0,
    /// It leaves.
    Remove = 1,
    /// Something about it that raft does not know (its addresses) changes.
    Update = 2,
    /// It becomes a learner; also demotes a voter.
    AddLearner = 3,
}

/// One step of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What happens.
    pub kind: ChangeKind,
    /// To which member; 0 makes the step void.
    pub id: u64,
}

/// How a change takes place. Numbers are `raftpb.ConfChangeTransition`'s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transition {
    /// One step: at once. Several: by a joint configuration that the leader ends by itself.
    #[default]
    Auto = 0,
    /// By a joint configuration that the leader ends by itself.
    JointImplicit = 1,
    /// By a joint configuration that lasts until an empty change is proposed.
    JointExplicit = 2,
}

/// `raftpb.ConfChange`: one step. The only form etcd writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfChange {
    /// Wakes the proposer; 0 when nobody waits.
    pub id: u64,
    /// What happens to which member.
    pub change: Change,
    /// Opaque to raft (etcd: JSON of the member).
    pub context: Bytes,
}

/// `raftpb.ConfChangeV2`: any number of steps; none ends a joint configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfChangeV2 {
    /// How it takes place.
    pub transition: Transition,
    /// The steps, in order.
    pub changes: Vec<Change>,
    /// Opaque to raft.
    pub context: Bytes,
}

/// Why a change cannot take place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfChangeError {
    /// The entry's payload is no conf change.
    #[error("undecodable conf change: {0}")]
    Undecodable(#[from] CodecError),
    /// A simple change was applied in a joint configuration.
    #[error("can't apply simple config change in joint config")]
    SimpleInJoint,
    /// A simple change would alter more than one voter.
    #[error("more than one voter changed without entering joint config")]
    ManyVoters,
    /// A joint configuration cannot begin in another.
    #[error("config is already joint")]
    AlreadyJoint,
    /// A joint configuration needs voters to begin with.
    #[error("can't make a zero-voter config joint")]
    JointFromNothing,
    /// There is no joint configuration to leave.
    #[error("can't leave a non-joint config")]
    NotJoint,
    /// No voter would be left.
    #[error("removed all voters")]
    NoVoters,
    /// A stored conf state contradicts itself: no changes lead to it.
    #[error("the conf state contradicts itself")]
    NotReproducible,
}

/// What a change amounts to.
pub(crate) enum Plan {
    Simple,
    EnterJoint { auto_leave: bool },
    LeaveJoint,
}

impl ConfChangeV2 {
    pub(crate) fn plan(&self) -> Plan {
        match (self.transition, self.changes.len()) {
            (Transition::Auto, 0) => Plan::LeaveJoint,
            (Transition::Auto, 1) => Plan::Simple,
            (Transition::Auto | Transition::JointImplicit, _) => Plan::EnterJoint { auto_leave: true },
            (Transition::JointExplicit, _) => Plan::EnterJoint { auto_leave: false },
        }
    }

    /// Reads the change in an entry's payload; `None` when the entry is a normal one.
    ///
    /// # Errors
    /// When the payload is no such message.
    pub fn from_entry(entry: &Entry) -> Result<Option<ConfChangeV2>, ConfChangeError> {
        Ok(match entry.kind {
            EntryKind::Normal => None,
            EntryKind::ConfChange => Some(ConfChange::decode(&entry.data)?.into()),
            EntryKind::ConfChangeV2 => Some(ConfChangeV2::decode(&entry.data)?),
        })
    }
}

impl From<ConfChange> for ConfChangeV2 {
    fn from(v1: ConfChange) -> ConfChangeV2 {
        ConfChangeV2 { transition: Transition::Auto, changes: vec![v1.change], context: v1.context }
    }
}

/// A change in either form, ready to be proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyConfChange {
    /// One step.
    V1(ConfChange),
    /// Any number of steps.
    V2(ConfChangeV2),
}

impl AnyConfChange {
    pub(crate) fn to_entry(&self) -> Entry {
        let (kind, data) = match self {
            AnyConfChange::V1(change) => (EntryKind::ConfChange, change.encode()),
            AnyConfChange::V2(change) => (EntryKind::ConfChangeV2, change.encode()),
        };
        Entry { kind, data, ..Entry::default() }
    }
}

impl From<ConfChange> for AnyConfChange {
    fn from(change: ConfChange) -> AnyConfChange {
        AnyConfChange::V1(change)
    }
}

impl From<ConfChangeV2> for AnyConfChange {
    fn from(change: ConfChangeV2) -> AnyConfChange {
        AnyConfChange::V2(change)
    }
}

/// The name in `raftpb`.
impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChangeKind::AddVoter => "ConfChangeAddNode",
            ChangeKind::Remove => "ConfChangeRemoveNode",
            ChangeKind::Update => "ConfChangeUpdateNode",
            ChangeKind::AddLearner => "ConfChangeAddLearnerNode",
        })
    }
}

/// A letter and the member: `v1` voter, `l2` learner, `r3` removed, `u4` updated.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            ChangeKind::AddVoter => 'v',
            ChangeKind::Remove => 'r',
            ChangeKind::Update => 'u',
            ChangeKind::AddLearner => 'l',
        };
        write!(f, "{letter}{}", self.id)
    }
}

/// The name in `raftpb`.
impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transition::Auto => "ConfChangeTransitionAuto",
            Transition::JointImplicit => "ConfChangeTransitionJointImplicit",
            Transition::JointExplicit => "ConfChangeTransitionJointExplicit",
        })
    }
}

impl fmt::Display for ConfChangeV2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transition:{}", self.transition)?;
        for change in &self.changes {
            write!(f, " changes:{{type:{} node_id:{}}}", change.kind, change.id)?;
        }
        if !self.context.is_empty() {
            write!(f, " context:{}", crate::describe::quoted(&self.context))?;
        }
        Ok(())
    }
}
