//! Changes of membership, as they travel in the log (contract/semantics.md 15.10).

use bytes::Bytes;
use proto::raftpb::{self, ConfChangeType};
use types::MemberId;

use crate::{ClusterError, Member, member::MemberJson};

/// A change of membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new member, voter or learner as it says itself.
    Add(Member),
    /// A learner gets its vote.
    Promote(MemberId),
    /// A member goes, for good.
    Remove(MemberId),
    /// A member's peer URLs are replaced, nothing else.
    Update {
        /// Which member.
        id: MemberId,
        /// Its new peer URLs.
        peer_urls: Vec<String>,
    },
}

impl Change {
    /// The conf change to propose; `request_id` wakes the proposer when it is applied.
    pub fn to_wire(&self, request_id: u64) -> raftpb::ConfChange {
        raftpb::ConfChange { id: Some(request_id), ..self.to_entry() }
    }

    /// The conf change as bootstrap writes it, without a request id.
    pub(crate) fn to_entry(&self) -> raftpb::ConfChange {
        let (kind, node_id, context) = match self {
            Change::Add(member) if member.is_learner => {
                (ConfChangeType::ConfChangeAddLearnerNode, member.id, Some(member.to_json()))
            }
            Change::Add(member) => (ConfChangeType::ConfChangeAddNode, member.id, Some(member.to_json())),
            Change::Promote(id) => {
                let bare = Member { id: *id, ..Member::default() };
                let json = bare.json_fields().bool("isPromote", true).finish();
                (ConfChangeType::ConfChangeAddNode, *id, Some(json))
            }
            Change::Remove(id) => (ConfChangeType::ConfChangeRemoveNode, *id, None),
            Change::Update { id, peer_urls } => {
                let member = Member { id: *id, peer_urls: peer_urls.clone(), ..Member::default() };
                (ConfChangeType::ConfChangeUpdateNode, *id, Some(member.to_json()))
            }
        };
        raftpb::ConfChange {
            id: None,
            r#type: Some(kind.into()),
            node_id: Some(node_id.0),
            context: context.map(Bytes::from),
        }
    }
}

/// A conf change entry, decoded as far as needed to judge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfChange {
    /// The member that raft is told about.
    pub node_id: MemberId,
    /// Whether raft is told to add a learner; a limit applies to those.
    pub(crate) adds_learner: bool,
    /// What membership is told; its id may still be another one, see [`ConfChange::into_change`].
    pub(crate) change: Change,
}

impl ConfChange {
    /// Reads an entry's conf change.
    ///
    /// # Errors
    /// `Malformed` for an unknown type, or a context that is no JSON of a member where one is needed.
    pub fn from_wire(wire: &raftpb::ConfChange) -> Result<ConfChange, ClusterError> {
        let number = wire.r#type.unwrap_or(0);
        let kind = ConfChangeType::try_from(number)
            .map_err(|_| ClusterError::Malformed(format!("unknown conf change type {number}")))?;
        let node_id = MemberId(wire.node_id.unwrap_or(0));
        let change = match kind {
            ConfChangeType::ConfChangeRemoveNode => Change::Remove(node_id),
            ConfChangeType::ConfChangeUpdateNode => {
                let (member, _) = context(wire)?;
                Change::Update { id: member.id, peer_urls: member.peer_urls }
            }
            ConfChangeType::ConfChangeAddNode | ConfChangeType::ConfChangeAddLearnerNode => {
                match context(wire)? {
                    (member, true) => Change::Promote(member.id),
                    (member, false) => Change::Add(member),
                }
            }
        };
        Ok(ConfChange { node_id, adds_learner: kind == ConfChangeType::ConfChangeAddLearnerNode, change })
    }

    /// Where the member listens that it adds or moves.
    pub fn peer_urls(&self) -> &[String] {
        match &self.change {
            Change::Add(member) => &member.peer_urls,
            Change::Update { peer_urls, .. } => peer_urls,
            Change::Promote(_) | Change::Remove(_) => &[],
        }
    }

    /// The change to make. Last check, after validation: etcd too looks at the ids only when a change is valid.
    ///
    /// # Errors
    /// `Malformed` when raft and membership would be told about different members.
    pub(crate) fn into_change(self) -> Result<Change, ClusterError> {
        let id = match &self.change {
            Change::Add(member) => member.id,
            Change::Promote(id) | Change::Remove(id) | Change::Update { id, .. } => *id,
        };
        if id == self.node_id {
            return Ok(self.change);
        }
        let text = format!("conf change about member {} has a context about {id}", self.node_id);
        Err(ClusterError::Malformed(text))
    }
}

/// The member in the context, and whether it is to be promoted. An absent id reads as 0, as upstream reads it.
fn context(wire: &raftpb::ConfChange) -> Result<(Member, bool), ClusterError> {
    let json = MemberJson::parse(wire.context.as_deref().unwrap_or_default())
        .map_err(|reason| ClusterError::Malformed(format!("conf change context: {reason}")))?;
    let is_promote = json.is_promote.unwrap_or(false);
    Ok((json.member(MemberId(0)), is_promote))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls() -> Vec<String> {
        vec!["http://x:1".to_owned()]
    }

    #[test]
    fn contexts_are_upstreams() {
        let member = Member { id: MemberId(7), peer_urls: urls(), ..Member::default() };
        let learner = Member { is_learner: true, ..member.clone() };
        for (change, kind, context) in [
            (Change::Add(member), 0, Some(r#"{"id":7,"peerURLs":["http://x:1"]}"#)),
            (Change::Add(learner), 3, Some(r#"{"id":7,"peerURLs":["http://x:1"],"isLearner":true}"#)),
            (Change::Promote(MemberId(7)), 0, Some(r#"{"id":7,"peerURLs":null,"isPromote":true}"#)),
            (Change::Remove(MemberId(7)), 1, None),
            (
                Change::Update { id: MemberId(7), peer_urls: urls() },
                2,
                Some(r#"{"id":7,"peerURLs":["http://x:1"]}"#),
            ),
        ] {
            let wire = change.to_wire(99);
            assert_eq!((wire.r#type, wire.node_id, wire.id), (Some(kind), Some(7), Some(99)));
            assert_eq!(wire.context.as_deref(), context.map(str::as_bytes));
            let read = ConfChange::from_wire(&wire).unwrap();
            assert_eq!((read.node_id, read.adds_learner), (MemberId(7), kind == 3));
            assert_eq!(read.into_change(), Ok(change));
        }
    }

    #[test]
    fn refuses_what_upstream_panics_at() {
        let wire = |kind, node_id, context: &'static [u8]| raftpb::ConfChange {
            id: None,
            r#type: Some(kind),
            node_id: Some(node_id),
            context: Some(Bytes::from_static(context)),
        };
        for bad in [
            wire(0, 7, b""),
            wire(0, 7, b"{}"),
            wire(0, 7, br#"{"id":8,"peerURLs":[]}"#),
            wire(2, 7, br#"{"id":8,"peerURLs":[]}"#),
            wire(2, 7, b"nonsense"),
            wire(4, 7, br#"{"id":7}"#),
        ] {
            let read = ConfChange::from_wire(&bad).and_then(ConfChange::into_change);
            assert!(matches!(read, Err(ClusterError::Malformed(_))), "{bad:?}");
        }
    }
}
