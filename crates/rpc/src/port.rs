//! [`Member`] over `node`, and why `node` says no in the words of [`Reason`].

use std::sync::Arc;

use bytes::Bytes;
use node::{
    AuthRejection, ClusterRejection, DowngradeRejection, Error, LeaseError, NodeHandle, Port, RangeReply,
    RangeStream, Rejection, SnapshotImage, Summary, WatchFrame, WatchInput, WatchOutput,
};
use proto::etcdserverpb as pb;

use crate::{
    member::{self, AuthCall, AuthReply, Caller, Credentials, Member},
    status::Reason,
};

/// A running member, seen from one network thread.
#[derive(Clone)]
pub struct Door {
    port: Port,
    summary: Arc<Summary>,
}

impl Door {
    /// The door of the calling thread.
    pub fn new(handle: &NodeHandle) -> Door {
        Door { port: handle.port(), summary: handle.summary() }
    }
}

impl member::Body for RangeReply {
    fn encoded_len(&self) -> usize {
        RangeReply::encoded_len(self)
    }

    async fn next_piece(&mut self, max_bytes: usize) -> Result<Option<Bytes>, Reason> {
        Ok(RangeReply::next_piece(self, max_bytes).await?)
    }
}

impl member::Chunks for RangeStream {
    type Chunk = RangeReply;

    async fn next(&mut self) -> Result<Option<RangeReply>, Reason> {
        Ok(RangeStream::next(self).await?)
    }
}

impl member::Image for SnapshotImage {
    fn file_len(&self) -> u64 {
        self.len()
    }

    fn version(&self) -> &str {
        SnapshotImage::version(self)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Reason> {
        Ok(SnapshotImage::read_at(self, offset, buf)?)
    }
}

impl member::WatchInput for WatchInput {
    fn send(&self, request: pb::WatchRequest) {
        WatchInput::send(self, request);
    }
}

impl member::WatchFrame for WatchFrame {
    fn head(&self) -> &[u8] {
        WatchFrame::head(self)
    }

    fn body(&self) -> &Bytes {
        WatchFrame::body(self)
    }

    fn events(&self) -> usize {
        WatchFrame::events(self)
    }
}

impl member::WatchOutput for WatchOutput {
    type Frame = WatchFrame;

    async fn next(&mut self) -> Option<Result<WatchFrame, Reason>> {
        Some(WatchOutput::next(self).await?.map_err(Reason::from))
    }
}

macro_rules! pass {
    ($($method:ident: $request:ident -> $reply:ty;)*) => {
        $(
            async fn $method(&self, caller: Caller, request: pb::$request) -> Result<$reply, Reason> {
                Ok(self.port.$method(caller, request).await?)
            }
        )*
    };
}

impl Member for Door {
    type Range = RangeReply;
    type Chunks = RangeStream;
    type Image = SnapshotImage;
    type WatchInput = WatchInput;
    type WatchOutput = WatchOutput;

    async fn drive(&self) {
        self.port.drive().await;
    }

    fn has_leader(&self) -> bool {
        self.summary.leader().is_some()
    }

    fn is_learner(&self) -> bool {
        self.summary.is_learner()
    }

    async fn alarms(&self) -> Result<Vec<pb::AlarmMember>, Reason> {
        Ok(self.summary.alarms())
    }

    fn range_stream(&self, caller: Caller, request: pb::RangeRequest, chunk_bytes: usize) -> RangeStream {
        self.port.range_stream(caller, request, chunk_bytes)
    }

    async fn auth(&self, caller: Caller, call: AuthCall) -> Result<AuthReply, Reason> {
        Ok(self.port.auth(caller, call).await?)
    }

    async fn credentials(&self, _user: String) -> Result<Credentials, Reason> {
        let status = node::AuthCall::Status(pb::AuthStatusRequest {});
        match self.port.auth(node::Caller::internal(), status).await? {
            node::AuthReply::Status(status) if !status.enabled => Err(Reason::AuthNotEnabled),
            _ => Err(Reason::Unsupported("Authenticate")),
        }
    }

    async fn issue_token(&self, _: String, _: u64) -> Result<pb::AuthenticateResponse, Reason> {
        Err(Reason::Unsupported("Authenticate"))
    }

    fn open_watch(&self, caller: Caller) -> (WatchInput, WatchOutput) {
        self.port.open_watch(caller)
    }

    pass! {
        range: RangeRequest -> RangeReply;
        put: PutRequest -> pb::PutResponse;
        delete_range: DeleteRangeRequest -> pb::DeleteRangeResponse;
        txn: TxnRequest -> pb::TxnResponse;
        compact: CompactionRequest -> pb::CompactionResponse;
        lease_grant: LeaseGrantRequest -> pb::LeaseGrantResponse;
        lease_revoke: LeaseRevokeRequest -> pb::LeaseRevokeResponse;
        lease_keep_alive: LeaseKeepAliveRequest -> pb::LeaseKeepAliveResponse;
        lease_time_to_live: LeaseTimeToLiveRequest -> pb::LeaseTimeToLiveResponse;
        lease_leases: LeaseLeasesRequest -> pb::LeaseLeasesResponse;
        member_add: MemberAddRequest -> pb::MemberAddResponse;
        member_remove: MemberRemoveRequest -> pb::MemberRemoveResponse;
        member_update: MemberUpdateRequest -> pb::MemberUpdateResponse;
        member_promote: MemberPromoteRequest -> pb::MemberPromoteResponse;
        member_list: MemberListRequest -> pb::MemberListResponse;
        alarm: AlarmRequest -> pb::AlarmResponse;
        status: StatusRequest -> pb::StatusResponse;
        defragment: DefragmentRequest -> pb::DefragmentResponse;
        hash: HashRequest -> pb::HashResponse;
        hash_kv: HashKvRequest -> pb::HashKvResponse;
        snapshot: SnapshotRequest -> SnapshotImage;
        move_leader: MoveLeaderRequest -> pb::MoveLeaderResponse;
        downgrade: DowngradeRequest -> pb::DowngradeResponse;
    }
}

impl From<Error> for Reason {
    fn from(error: Error) -> Reason {
        match error {
            Error::Rejected(rejection) => rejection.into(),
            Error::RequestTooLarge => Reason::RequestTooLarge,
            Error::TooManyRequests => Reason::TooManyRequests,
            Error::ProposalDropped => Reason::ProposalDropped,
            Error::NoLeader => Reason::NoLeader,
            Error::LeaderChanged => Reason::LeaderChanged,
            Error::Timeout => Reason::Timeout,
            Error::TimeoutLeaderFailure => Reason::TimeoutLeaderFailure,
            Error::TimeoutConnectionLost => Reason::TimeoutConnectionLost,
            Error::TimeoutWaitApplied => Reason::TimeoutWaitApplied,
            Error::TimeoutLeaderTransfer => Reason::TimeoutLeaderTransfer,
            Error::BadPeerUrls => Reason::BadMemberUrls,
            Error::NotEnoughStarted => Reason::NotEnoughStarted,
            Error::Unhealthy => Reason::Unhealthy,
            Error::LearnerNotReady => Reason::LearnerNotReady,
            Error::Stopped => Reason::Stopped,
            Error::InvalidToken => Reason::InvalidAuthToken,
            Error::NotLeader => Reason::NotLeader,
            Error::BadLeaderTransferee => Reason::BadLeaderTransferee,
            Error::NotPrimary => Reason::NotPrimary,
            Error::Downgrade(rejection) => rejection.into(),
            Error::UnknownMethod => Reason::UnknownMethod,
            Error::Storage(_) => Reason::Other(error.to_string()),
        }
    }
}

impl From<Rejection> for Reason {
    fn from(rejection: Rejection) -> Reason {
        match rejection {
            Rejection::KeyNotFound => Reason::KeyNotFound,
            Rejection::Compacted => Reason::Compacted,
            Rejection::FutureRevision => Reason::FutureRevision,
            Rejection::NoSpace => Reason::NoSpace,
            Rejection::Corrupt => Reason::Corrupt,
            Rejection::Lease(error) => error.into(),
            Rejection::Auth(rejection) => rejection.into(),
            Rejection::Cluster(rejection) => rejection.into(),
        }
    }
}

impl From<LeaseError> for Reason {
    fn from(error: LeaseError) -> Reason {
        match error {
            // An expired lease is gone as far as clients can tell.
            LeaseError::NotFound(_) | LeaseError::Expired(_) => Reason::LeaseNotFound,
            LeaseError::Exists(_) => Reason::LeaseExists,
            LeaseError::TtlTooLarge { .. } => Reason::LeaseTtlTooLarge,
            LeaseError::NotPrimary => Reason::NotPrimary,
            LeaseError::Corrupt { .. } => Reason::Other(error.to_string()),
        }
    }
}

impl From<AuthRejection> for Reason {
    fn from(rejection: AuthRejection) -> Reason {
        match rejection {
            AuthRejection::RootUserNotExist => Reason::RootUserMissing,
            AuthRejection::RootRoleNotExist => Reason::RootRoleMissing,
            AuthRejection::UserAlreadyExist => Reason::UserExists,
            AuthRejection::UserEmpty => Reason::UserEmpty,
            AuthRejection::UserNotFound => Reason::UserNotFound,
            AuthRejection::RoleAlreadyExist => Reason::RoleExists,
            AuthRejection::RoleNotFound => Reason::RoleNotFound,
            AuthRejection::RoleEmpty => Reason::RoleEmpty,
            AuthRejection::PermissionNotGiven => Reason::PermissionNotGiven,
            AuthRejection::AuthFailed => Reason::AuthFailed,
            AuthRejection::NoPasswordUser => Reason::NoPasswordUser,
            AuthRejection::PermissionDenied => Reason::PermissionDenied,
            AuthRejection::RoleNotGranted => Reason::RoleNotGranted,
            AuthRejection::PermissionNotGranted => Reason::PermissionNotGranted,
            AuthRejection::AuthNotEnabled => Reason::AuthNotEnabled,
            AuthRejection::OldRevision => Reason::AuthOldRevision,
            AuthRejection::InvalidAuthMgmt => Reason::InvalidAuthManagement,
            AuthRejection::ClearTextPassword => Reason::Other(rejection.to_string()),
        }
    }
}

impl From<ClusterRejection> for Reason {
    fn from(rejection: ClusterRejection) -> Reason {
        match rejection {
            ClusterRejection::IdRemoved | ClusterRejection::IdNotFound => Reason::MemberNotFound,
            ClusterRejection::IdExists => Reason::MemberExists,
            ClusterRejection::PeerUrlExists => Reason::PeerUrlExists,
            ClusterRejection::NotLearner => Reason::MemberNotLearner,
            ClusterRejection::TooManyLearners => Reason::TooManyLearners,
        }
    }
}

impl From<DowngradeRejection> for Reason {
    fn from(rejection: DowngradeRejection) -> Reason {
        match rejection {
            DowngradeRejection::WrongFormat => Reason::WrongDowngradeVersion,
            DowngradeRejection::ClusterVersionUnavailable => Reason::ClusterVersionUnavailable,
            DowngradeRejection::InvalidTarget => Reason::InvalidDowngradeTarget,
            DowngradeRejection::InProcess => Reason::DowngradeInProcess,
            DowngradeRejection::NoInflight => Reason::NoInflightDowngrade,
        }
    }
}
