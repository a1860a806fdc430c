//! Why a lease call is refused.

use types::LeaseId;

/// Variants by what the caller does. `NotFound`, `Exists` and `TtlTooLarge` from applied entries are replies
/// and equal on every member; `NotPrimary` and `Expired` concern this member only; `Corrupt` stops it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Never granted, or revoked already; also a grant of id 0.
    #[error("lease {0} not found")]
    NotFound(LeaseId),
    /// A grant of an id in use.
    #[error("lease {0} already exists")]
    Exists(LeaseId),
    /// A grant of more than [`crate::TTL_SECS_MAX`] seconds.
    #[error("lease TTL of {ttl_secs} s is too large")]
    TtlTooLarge {
        /// What was asked for.
        ttl_secs: i64,
    },
    /// Deadlines live on the leader: ask there.
    #[error("not a primary lessor")]
    NotPrimary,
    /// Its time is over and its revoke is under way. The caller waits until the lease is gone (then the answer
    /// is `NotFound`) or this member is demoted (then ask the next leader).
    #[error("lease {0} has expired and is being revoked")]
    Expired(LeaseId),
    /// A row of the lease bucket that etcd does not write.
    #[error("lease bucket: row {key:02x?}: {reason}")]
    Corrupt {
        /// Key of the row.
        key: Vec<u8>,
        /// What is wrong with it.
        reason: String,
    },
}
