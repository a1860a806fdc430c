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
    /// Nobody led while the proposal waited for a leader, so it was never made.
    #[error("context deadline exceeded")]
    Unproposed,
    /// No quorum answered in time.
    #[error("request timed out")]
    Timeout,
    /// As `Timeout`, and a leader was lost meanwhile.
    #[error("request timed out, possibly due to previous leader failure")]
    TimeoutLeaderFailure,
    /// As `Timeout`, and the way to the leader, or from it to a quorum, was cut meanwhile.
    #[error("request timed out, possibly due to connection lost")]
    TimeoutConnectionLost,
    /// What is committed was not applied in time.
    #[error("request timed out, waiting for the applied index took too long")]
    TimeoutWaitApplied,
    /// The member to whom leadership was to go does not lead in time.
    #[error("request timed out, leader transfer took too long")]
    TimeoutLeaderTransfer,
    /// The member is stopping.
    #[error("server stopped")]
    Stopped,
    /// The caller gave a token that this member does not know.
    #[error("invalid auth token")]
    InvalidToken,
    /// Peer URLs that are none.
    #[error("given member URLs are invalid")]
    BadPeerUrls,
    /// After the change, too few of the voters would have started.
    #[error("re-configuration failed due to not enough started members")]
    NotEnoughStarted,
    /// After the change, too few of the voters would be in touch with this member.
    #[error("unhealthy cluster")]
    Unhealthy,
    /// A learner that is too far behind to get a vote.
    #[error("can only promote a learner member which is in sync with leader")]
    LearnerNotReady,
    /// MoveLeader or MemberPromote was sent to a follower.
    #[error("not leader")]
    NotLeader,
    /// MoveLeader named a member that is no voter.
    #[error("bad leader transferee")]
    BadLeaderTransferee,
    /// A question about a lease to a member that does not lead: only the leader knows how long leases have left.
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
