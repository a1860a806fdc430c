//! Every error text and gRPC code that a client can see, once (contract/errors.tsv).
//!
//! [`Reason`] is why a call failed, as the rest of the code says it; [`Status`] is what goes over the wire.

use std::borrow::Cow;

#[cfg(test)]
mod tests;

/// gRPC's status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in gRPC's specification")]
pub enum Code {
    Ok = 0,
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    /// All codes in numeric order.
    pub const ALL: [Code; 17] = [
        Code::Ok,
        Code::Canceled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];

    /// The value of the `grpc_code` metric label.
    pub fn name(self) -> &'static str {
        match self {
            Code::Ok => "OK",
            Code::Canceled => "Canceled",
            Code::Unknown => "Unknown",
            Code::InvalidArgument => "InvalidArgument",
            Code::DeadlineExceeded => "DeadlineExceeded",
            Code::NotFound => "NotFound",
            Code::AlreadyExists => "AlreadyExists",
            Code::PermissionDenied => "PermissionDenied",
            Code::ResourceExhausted => "ResourceExhausted",
            Code::FailedPrecondition => "FailedPrecondition",
            Code::Aborted => "Aborted",
            Code::OutOfRange => "OutOfRange",
            Code::Unimplemented => "Unimplemented",
            Code::Internal => "Internal",
            Code::Unavailable => "Unavailable",
            Code::DataLoss => "DataLoss",
            Code::Unauthenticated => "Unauthenticated",
        }
    }

    /// The value of the `grpc-status` header.
    pub fn digits(self) -> &'static str {
        const DIGITS: [&str; 17] =
            ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];
        DIGITS[self as usize]
    }
}

/// How a call ended, as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// gRPC code.
    pub code: Code,
    /// Text, not percent-encoded.
    pub message: Cow<'static, str>,
}

impl Status {
    /// Success.
    pub const OK: Status = Status { code: Code::Ok, message: Cow::Borrowed("") };

    /// A status with that code and text.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Status {
        Status { code, message: message.into() }
    }

    /// The request message is longer than the limit; both in bytes.
    pub fn message_too_large(len: usize, limit: usize) -> Status {
        let text = format!("grpc: received message larger than max ({len} vs. {limit})");
        Status::new(Code::ResourceExhausted, text)
    }

    /// No such service here.
    pub fn unknown_service(service: &str) -> Status {
        Status::new(Code::Unimplemented, format!("unknown service {service}"))
    }

    /// The service has no such method.
    pub fn unknown_method(method: &str, service: &str) -> Status {
        Status::new(Code::Unimplemented, format!("unknown method {method} for service {service}"))
    }

    /// A path that is not `/SERVICE/METHOD`.
    pub fn malformed_method(path: &str) -> Status {
        Status::new(Code::Unimplemented, format!("malformed method name: {path:?}"))
    }

    /// The request of a unary call is no such protobuf message (upstream: grpc-go server.go).
    pub fn unary_not_protobuf(why: proto::Malformed) -> Status {
        Status::new(Code::Internal, format!("grpc: error unmarshalling request: {why}"))
    }

    /// A message of a stream is no such protobuf message (upstream: grpc-go rpc_util.go).
    pub fn stream_not_protobuf(why: proto::Malformed) -> Status {
        Status::new(Code::Internal, format!("grpc: failed to unmarshal the received message: {why}"))
    }

    /// The memory budget is spent. etcd knows no such answer; clients know the text.
    pub fn over_budget() -> Status {
        Status::new(Code::ResourceExhausted, "etcdserver: too many requests")
    }
}

macro_rules! reasons {
    ($($variant:ident $symbol:literal $code:ident $text:literal;)*) => {
        /// Why a call failed: one variant per row of contract/errors.tsv that a call can end with.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum Reason {
            $(
                #[doc = $symbol]
                #[error($text)]
                $variant,
            )*
            /// Something that etcd does and we do not yet.
            #[error("mainstay: {0} is not supported yet")]
            Unsupported(&'static str),
            /// Anything that clients have no name for; code Unknown with this text.
            #[error("{0}")]
            Other(String),
        }

        impl Reason {
            /// Code and text on the wire.
            pub fn status(&self) -> Status {
                match self {
                    $(Reason::$variant => Status { code: Code::$code, message: Cow::Borrowed($text) },)*
                    Reason::Unsupported(_) => Status::new(Code::Unimplemented, self.to_string()),
                    Reason::Other(text) => Status::new(Code::Unknown, text.clone()),
                }
            }

            #[cfg(test)]
            const TABLE: &[(&str, Reason)] = &[$(($symbol, Reason::$variant),)*];
        }
    };
}

// The code is the one on the wire, which for two rows differs from the one that etcd declares.
reasons! {
    EmptyKey "ErrGRPCEmptyKey" InvalidArgument "etcdserver: key is not provided";
    KeyNotFound "ErrGRPCKeyNotFound" InvalidArgument "etcdserver: key not found";
    ValueProvided "ErrGRPCValueProvided" InvalidArgument "etcdserver: value is provided";
    LeaseProvided "ErrGRPCLeaseProvided" InvalidArgument "etcdserver: lease is provided";
    TooManyOps "ErrGRPCTooManyOps" InvalidArgument "etcdserver: too many operations in txn request";
    DuplicateKey "ErrGRPCDuplicateKey" InvalidArgument "etcdserver: duplicate key given in txn request";
    InvalidClientApiVersion "ErrGRPCInvalidClientAPIVersion" InvalidArgument "etcdserver: invalid client api version";
    InvalidSortOption "ErrGRPCInvalidSortOption" InvalidArgument "etcdserver: invalid sort option";
    Compacted "ErrGRPCCompacted" OutOfRange "etcdserver: mvcc: required revision has been compacted";
    FutureRevision "ErrGRPCFutureRev" OutOfRange "etcdserver: mvcc: required revision is a future revision";
    NoSpace "ErrGRPCNoSpace" ResourceExhausted "etcdserver: mvcc: database space exceeded";
    LeaseNotFound "ErrGRPCLeaseNotFound" NotFound "etcdserver: requested lease not found";
    LeaseExists "ErrGRPCLeaseExist" FailedPrecondition "etcdserver: lease already exists";
    LeaseTtlTooLarge "ErrGRPCLeaseTTLTooLarge" OutOfRange "etcdserver: too large lease TTL";
    WatchCanceled "ErrGRPCWatchCanceled" Canceled "etcdserver: watch canceled";
    MemberExists "ErrGRPCMemberExist" FailedPrecondition "etcdserver: member ID already exist";
    PeerUrlExists "ErrGRPCPeerURLExist" FailedPrecondition "etcdserver: Peer URLs already exists";
    NotEnoughStarted "ErrGRPCMemberNotEnoughStarted" Unknown "etcdserver: re-configuration failed due to not enough started members";
    BadMemberUrls "ErrGRPCMemberBadURLs" InvalidArgument "etcdserver: given member URLs are invalid";
    MemberNotFound "ErrGRPCMemberNotFound" NotFound "etcdserver: member not found";
    MemberNotLearner "ErrGRPCMemberNotLearner" FailedPrecondition "etcdserver: can only promote a learner member";
    LearnerNotReady "ErrGRPCLearnerNotReady" FailedPrecondition "etcdserver: can only promote a learner member which is in sync with leader";
    TooManyLearners "ErrGRPCTooManyLearners" FailedPrecondition "etcdserver: too many learner members in cluster";
    ClusterIdMismatch "ErrGRPCClusterIDMismatch" FailedPrecondition "etcdserver: cluster ID mismatch";
    RequestTooLarge "ErrGRPCRequestTooLarge" InvalidArgument "etcdserver: request is too large";
    TooManyRequests "ErrGRPCRequestTooManyRequests" Unknown "etcdserver: too many requests";
    RootUserMissing "ErrGRPCRootUserNotExist" FailedPrecondition "etcdserver: root user does not exist";
    RootRoleMissing "ErrGRPCRootRoleNotExist" FailedPrecondition "etcdserver: root user does not have root role";
    UserExists "ErrGRPCUserAlreadyExist" FailedPrecondition "etcdserver: user name already exists";
    UserEmpty "ErrGRPCUserEmpty" InvalidArgument "etcdserver: user name is empty";
    UserNotFound "ErrGRPCUserNotFound" FailedPrecondition "etcdserver: user name not found";
    RoleExists "ErrGRPCRoleAlreadyExist" FailedPrecondition "etcdserver: role name already exists";
    RoleNotFound "ErrGRPCRoleNotFound" FailedPrecondition "etcdserver: role name not found";
    RoleEmpty "ErrGRPCRoleEmpty" InvalidArgument "etcdserver: role name is empty";
    AuthFailed "ErrGRPCAuthFailed" InvalidArgument "etcdserver: authentication failed, invalid user ID or password";
    PermissionNotGiven "ErrGRPCPermissionNotGiven" InvalidArgument "etcdserver: permission not given";
    PermissionDenied "ErrGRPCPermissionDenied" PermissionDenied "etcdserver: permission denied";
    RoleNotGranted "ErrGRPCRoleNotGranted" FailedPrecondition "etcdserver: role is not granted to the user";
    PermissionNotGranted "ErrGRPCPermissionNotGranted" FailedPrecondition "etcdserver: permission is not granted to the role";
    AuthNotEnabled "ErrGRPCAuthNotEnabled" FailedPrecondition "etcdserver: authentication is not enabled";
    InvalidAuthToken "ErrGRPCInvalidAuthToken" Unauthenticated "etcdserver: invalid auth token";
    InvalidAuthManagement "ErrGRPCInvalidAuthMgmt" InvalidArgument "etcdserver: invalid auth management";
    AuthOldRevision "ErrGRPCAuthOldRevision" InvalidArgument "etcdserver: revision of auth store is old";
    NoLeader "ErrGRPCNoLeader" Unavailable "etcdserver: no leader";
    NotLeader "ErrGRPCNotLeader" FailedPrecondition "etcdserver: not leader";
    LeaderChanged "ErrGRPCLeaderChanged" Unavailable "etcdserver: leader changed";
    NotCapable "ErrGRPCNotCapable" FailedPrecondition "etcdserver: not capable";
    Stopped "ErrGRPCStopped" Unavailable "etcdserver: server stopped";
    Timeout "ErrGRPCTimeout" Unavailable "etcdserver: request timed out";
    TimeoutLeaderFailure "ErrGRPCTimeoutDueToLeaderFail" Unavailable "etcdserver: request timed out, possibly due to previous leader failure";
    TimeoutConnectionLost "ErrGRPCTimeoutDueToConnectionLost" Unavailable "etcdserver: request timed out, possibly due to connection lost";
    TimeoutWaitApplied "ErrGRPCTimeoutWaitAppliedIndex" Unavailable "etcdserver: request timed out, waiting for the applied index took too long";
    Unhealthy "ErrGRPCUnhealthy" Unavailable "etcdserver: unhealthy cluster";
    Corrupt "ErrGRPCCorrupt" DataLoss "etcdserver: corrupt cluster";
    NotSupportedForLearner "ErrGRPCNotSupportedForLearner" FailedPrecondition "etcdserver: rpc not supported for learner";
    BadLeaderTransferee "ErrGRPCBadLeaderTransferee" FailedPrecondition "etcdserver: bad leader transferee";
    WrongDowngradeVersion "ErrGRPCWrongDowngradeVersionFormat" InvalidArgument "etcdserver: wrong downgrade target version format";
    InvalidDowngradeTarget "ErrGRPCInvalidDowngradeTargetVersion" InvalidArgument "etcdserver: invalid downgrade target version";
    ClusterVersionUnavailable "ErrGRPCClusterVersionUnavailable" FailedPrecondition "etcdserver: cluster version not found during downgrade";
    DowngradeInProcess "ErrGRPCDowngradeInProcess" FailedPrecondition "etcdserver: cluster has a downgrade job in progress";
    NoInflightDowngrade "ErrGRPCNoInflightDowngrade" FailedPrecondition "etcdserver: no inflight downgrade job";
    RequestCanceled "ErrGRPCCanceled" Canceled "etcdserver: request canceled";
    RequestDeadline "ErrGRPCDeadlineExceeded" DeadlineExceeded "etcdserver: context deadline exceeded";
    NoPasswordUser "auth.ErrNoPasswordUser" Unknown "auth: authentication failed, password was given for no password user";
    VerifyOnlyKey "auth.ErrVerifyOnly" Unknown "auth: token signing attempted with verify-only key";
    NotPrimary "lease.ErrNotPrimary" Unknown "not a primary lessor";
    TimeoutLeaderTransfer "errors.ErrTimeoutLeaderTransfer" Unknown "etcdserver: request timed out, leader transfer took too long";
    UnknownMethod "errors.ErrUnknownMethod" Unknown "etcdserver: unknown method";
    ProposalDropped "raft.ErrProposalDropped" Unknown "raft proposal dropped";
    RaftStopped "raft.ErrStopped" Unknown "raft: stopped";
    MissingLeaderKey "v3election.ErrMissingLeaderKey" Unknown "\"leader\" field must be provided";
    ElectionNotLeader "concurrency.ErrElectionNotLeader" Unknown "election: not leader";
    ElectionNoLeader "concurrency.ErrElectionNoLeader" Unknown "election: no leader";
    SessionExpired "concurrency.ErrSessionExpired" Unknown "mutex: session is expired";
    RangeStreamSort "RangeStream sort" Unimplemented "RangeStream does not support custom sort orders";
    RangeStreamFilter "RangeStream filter" Unimplemented "RangeStream does not support revision filters";
    ContextCanceled "context.Canceled" Canceled "context canceled";
    ContextDeadline "context.DeadlineExceeded" DeadlineExceeded "context deadline exceeded";
    RangeCanceled "range canceled" Canceled "rangeKeys: context cancelled: context canceled";
    UnknownHealthService "health unknown" NotFound "unknown service";
}

impl Reason {
    /// The same, as it reaches the client of a service that is itself a client of the member: etcd's client library
    /// turns the errors that it knows into its own, which keep the text and lose the code (upstream:
    /// api/v3rpc/rpctypes, client/v3/client.go).
    pub(crate) fn through_client(self) -> Reason {
        match self {
            Reason::ContextCanceled
            | Reason::ContextDeadline
            | Reason::RequestCanceled
            | Reason::RequestDeadline
            | Reason::WatchCanceled
            | Reason::InvalidClientApiVersion
            | Reason::PermissionNotGiven
            | Reason::TimeoutWaitApplied
            | Reason::Unsupported(_)
            | Reason::Other(_) => self,
            known => Reason::Other(known.to_string()),
        }
    }
}

impl From<Reason> for Status {
    fn from(reason: Reason) -> Status {
        reason.status()
    }
}
