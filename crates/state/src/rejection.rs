//! Why apply says no, and why it stops.

use lease::LeaseError;
use mvcc::MvccError;

/// A refusal that every member gives for the same entry. Texts for clients live in `rpc::status`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// `ignore_value` or `ignore_lease` on an absent key, or an operation that names none.
    #[error("key not found")]
    KeyNotFound,
    /// The revision is below the compacted one.
    #[error("required revision has been compacted")]
    Compacted,
    /// The revision is above the current one.
    #[error("required revision is a future revision")]
    FutureRevision,
    /// The quota is spent, or a NOSPACE alarm is active.
    #[error("database space exceeded")]
    NoSpace,
    /// A CORRUPT alarm is active.
    #[error("corrupt cluster")]
    Corrupt,
    /// A lease is unknown, taken or too long.
    #[error(transparent)]
    Lease(LeaseError),
    /// Not permitted, or a change of users and roles that is refused.
    #[error(transparent)]
    Auth(auth::Rejection),
    /// A change of membership or versions that is refused.
    #[error(transparent)]
    Cluster(cluster::Rejection),
}

/// Why an operation did not give a result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A reply to the client; the state is as before.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The member cannot go on: what it would answer could differ from the others.
    #[error("{0}")]
    Fatal(String),
}

impl From<MvccError> for Failure {
    fn from(error: MvccError) -> Self {
        match error {
            MvccError::Compacted { .. } => Rejection::Compacted.into(),
            MvccError::FutureRevision { .. } => Rejection::FutureRevision.into(),
            other => Failure::Fatal(other.to_string()),
        }
    }
}

impl From<LeaseError> for Failure {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Corrupt { .. } => Failure::Fatal(error.to_string()),
            refused => Rejection::Lease(refused).into(),
        }
    }
}
