//! Why a call failed. `rpc::status` alone turns these into codes and texts.

use state::Rejection;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The state machine refused; every member would have answered the same.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The proposal is larger than `--max-request-bytes`.
    #[error("request is too large")]
    RequestTooLarge,
    /// More than 5,000 committed entries wait to be applied, or the memory budget is spent.
    #[error("too many requests")]
    TooManyRequests,
    /// Raft refused the proposal: leadership is being handed over.
    #[error("raft proposal dropped")]
    ProposalDropped,
    /// Nobody leads.
    #[error("no leader")]
    NoLeader,
    /// The leader changed while a read was being confirmed.
    #[error("leader changed")]
    LeaderChanged,
    /// No quorum answered in time.
    #[error("request timed out")]
    Timeout,
    /// The member is stopping.
    #[error("server stopped")]
    Stopped,
    /// The caller gave a token that this member does not know.
    #[error("invalid auth token")]
    InvalidToken,
    /// MoveLeader was sent to a follower.
    #[error("not leader")]
    NotLeader,
    /// MoveLeader named a member that is no voter.
    #[error("bad leader transferee")]
    BadLeaderTransferee,
    /// A keepalive on a member that could not confirm that it leads.
    #[error("not a primary lessor")]
    NotPrimary,
    /// A downgrade that cannot be.
    #[error(transparent)]
    Downgrade(cluster::DowngradeRejection),
    /// An undefined Downgrade action.
    #[error("unknown method")]
    UnknownMethod,
    /// The disk gave bytes that fail their checksum, or could not be read; details are in the log.
    #[error("storage: {0}")]
    Storage(String),
}
