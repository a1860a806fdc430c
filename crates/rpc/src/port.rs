//! [`Member`] over `node`, and why `node` says no in the words of [`Reason`].

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use node::{
    AuthRejection, ClusterRejection, DowngradeRejection, Error, LeaseError, NodeHandle, Port, RangeReply,
    RangeStream, Rejection, SnapshotImage, Summary, WatchFrame, WatchInput, WatchOutput,
};
use proto::etcdserverpb as pb;

use crate::{
    forward::{AskLeader, Forward, Repeat},
    member::{self, AuthCall, AuthReply, Authenticated, Caller, Credentials, Login, Member},
    status::Reason,
};

/// A running member, seen from one network thread.
#[derive(Clone)]
pub struct Door {
    port: Port,
    summary: Arc<Summary>,
    /// `None` for whoever must be answered by this member itself.
    forward: Option<Forward>,
}

impl Door {
    /// The door of the calling thread. What only the leader can answer is refused when this member is none.
    pub fn new(handle: &NodeHandle) -> Door {
        Door { port: handle.port(), summary: handle.summary(), forward: None }
    }

    /// As [`Door::new`]; what only the leader can answer is passed on to it, for so long.
    pub fn forwarding(handle: &NodeHandle, ask: Arc<dyn AskLeader>, patience: Duration) -> Door {
        Door { forward: Some(Forward { ask, patience }), ..Door::new(handle) }
    }

    /// A header of this member, for an answer that is made elsewhere.
    async fn header(&self) -> Result<pb::ResponseHeader, Error> {
        let status = self.port.status(Caller::internal(), pb::StatusRequest {}).await?;
        Ok(status.header.unwrap_or_default())
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

    fn disk_stalled(&self) -> Option<Duration> {
        self.summary.disk_stalled()
    }

    fn is_learner(&self) -> bool {
        self.summary.is_learner()
    }

    fn auth_enabled(&self) -> bool {
        self.summary.auth_enabled()
    }

    fn user_of_token(&self, token: &str) -> Option<String> {
        self.summary.user_of_token(token)
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

    async fn credentials(&self, user: String) -> Result<Credentials, Reason> {
        Ok(self.port.credentials(Caller::internal(), user).await?)
    }

    async fn authenticate(&self, login: Login) -> Result<Authenticated, Reason> {
        Ok(self.port.authenticate(Caller::internal(), login).await?)
    }

    fn open_watch(&self, caller: Caller) -> (WatchInput, WatchOutput) {
        self.port.open_watch(caller)
    }

    async fn lease_keep_alive(
        &self,
        caller: Caller,
        request: pb::LeaseKeepAliveRequest,
    ) -> Result<pb::LeaseKeepAliveResponse, Reason> {
        let id = request.id;
        let own = async || self.port.lease_keep_alive(caller.clone(), pb::LeaseKeepAliveRequest { id }).await;
        let forward = match (own().await, &self.forward) {
            (Err(Error::NotPrimary), Some(forward)) => forward,
            (answer, _) => return Ok(answer?),
        };
        // From before the renewal: no later revision may stand in a reply about a lease that is gone by then.
        let header = Some(self.header().await?);
        let own = async || Ok(own().await?.ttl);
        let ttl =
            forward.run(&self.summary, Repeat::Harmless, own, |ask, leader| ask.renew(leader, id)).await?;
        Ok(pb::LeaseKeepAliveResponse { header, id, ttl })
    }

    async fn lease_time_to_live(
        &self,
        caller: Caller,
        request: pb::LeaseTimeToLiveRequest,
    ) -> Result<pb::LeaseTimeToLiveResponse, Reason> {
        let pb::LeaseTimeToLiveRequest { id, keys } = request;
        let asked = || pb::LeaseTimeToLiveRequest { id, keys };
        let own = async || self.port.lease_time_to_live(caller.clone(), asked()).await;
        let forward = match (own().await, &self.forward) {
            (Err(Error::NotPrimary), Some(forward)) => forward,
            (answer, _) => return Ok(answer?),
        };
        let ask = |ask: &dyn AskLeader, leader| ask.time_to_live(leader, asked());
        let reply = forward.run(&self.summary, Repeat::Harmless, own, ask).await?;
        Ok(pb::LeaseTimeToLiveResponse { header: Some(self.header().await?), ..reply })
    }

    async fn member_promote(
        &self,
        caller: Caller,
        request: pb::MemberPromoteRequest,
    ) -> Result<pb::MemberPromoteResponse, Reason> {
        let id = request.id;
        let own = async || self.port.member_promote(caller.clone(), pb::MemberPromoteRequest { id }).await;
        let forward = match (own().await, &self.forward) {
            (Err(Error::NotLeader), Some(forward)) => forward,
            (answer, _) => return Ok(answer?),
        };
        let own = async || Ok(own().await?.members);
        let ask = |ask: &dyn AskLeader, leader| ask.promote(leader, id, caller.token.clone());
        let members = forward.run(&self.summary, Repeat::Harmful, own, ask).await?;
        // Membership has no revision (contract/semantics.md 8.8).
        let header = Some(pb::ResponseHeader { revision: 0, ..self.header().await? });
        Ok(pb::MemberPromoteResponse { header, members })
    }

    pass! {
        range: RangeRequest -> RangeReply;
        put: PutRequest -> pb::PutResponse;
        delete_range: DeleteRangeRequest -> pb::DeleteRangeResponse;
        txn: TxnRequest -> pb::TxnResponse;
        compact: CompactionRequest -> pb::CompactionResponse;
        lease_grant: LeaseGrantRequest -> pb::LeaseGrantResponse;
        lease_revoke: LeaseRevokeRequest -> pb::LeaseRevokeResponse;
        lease_leases: LeaseLeasesRequest -> pb::LeaseLeasesResponse;
        member_add: MemberAddRequest -> pb::MemberAddResponse;
        member_remove: MemberRemoveRequest -> pb::MemberRemoveResponse;
        member_update: MemberUpdateRequest -> pb::MemberUpdateResponse;
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
            Error::Unproposed => Reason::ContextDeadline,
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
