//! Why a change of the cluster is refused, and what stops a member.

use types::MemberId;

use crate::Version;

/// A conf change that is refused when applied: equal on every member, raft applies a change without effect
/// instead, and the proposer gets this (contract/semantics.md 8.2, 15.10). Texts as upstream prints them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The id was removed once and can never come back.
    #[error("membership: ID removed")]
    IdRemoved,
    /// Adding an id that is there.
    #[error("membership: ID exists")]
    IdExists,
    /// No member has that id.
    #[error("membership: ID not found")]
    IdNotFound,
    /// Another member has one of the peer URLs.
    #[error("membership: peerURL exists")]
    PeerUrlExists,
    /// Promoting a voter.
    #[error("membership: can only promote a learner member")]
    NotLearner,
    /// One learner more than `--max-learners`.
    #[error("membership: too many learner members in cluster")]
    TooManyLearners,
}

/// What can go wrong with an entry or a row. All but `Rejected` are the same on every member that has this
/// binary and stop it: etcd panics there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// A reply, not a failure.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// An entry that no etcd proposes.
    #[error("membership entry: {0}")]
    Malformed(String),
    /// Attributes for an id that is neither a member nor a removed one.
    #[error("failed to update; member unknown: {0}")]
    UnknownMember(MemberId),
    /// This binary is older than the cluster.
    #[error(
        "invalid downgrade; server version is lower than determined cluster version: this is {server}, the cluster \
         runs {cluster}; start a server of that version"
    )]
    ServerTooOld {
        /// Version of this binary.
        server: Version,
        /// Version of the cluster.
        cluster: Version,
    },
    /// The storage version cannot be brought to this binary's. Texts as upstream prints them.
    #[error("{0}")]
    StorageVersion(String),
    /// A row that etcd does not write.
    #[error("bucket {bucket}: row {key}: {reason}")]
    Corrupt {
        /// Which bucket.
        bucket: &'static str,
        /// Key of the row, as text.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}
