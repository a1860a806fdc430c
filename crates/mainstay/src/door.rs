//! What clients of `rpc` reach of a member: `rpc`'s trait on `node`'s port, error by error and call by call.

use std::sync::Arc;

use bytes::Bytes;
use node::{Port, Rejection, Summary};
use proto::etcdserverpb as pb;
use rpc::{
    member::{self, Body, Chunks, Credentials, Image, Member},
    status::Reason,
};

/// One network thread's way to the member.
#[derive(Clone)]
pub(crate) struct Door {
    port: Port,
    summary: Arc<Summary>,
}

impl Door {
    pub(crate) fn new(handle: &node::NodeHandle) -> Door {
        Door { port: handle.port(), summary: handle.summary() }
    }
}

fn caller(caller: member::Caller) -> node::Caller {
    node::Caller { token: caller.token, common_name: caller.common_name, internal: caller.internal }
}

/// What clients are told about a failure.
fn reason(error: node::Error) -> Reason {
    use node::Error;
    match error {
        Error::Rejected(rejection) => rejected(rejection),
        Error::RequestTooLarge => Reason::RequestTooLarge,
        Error::TooManyRequests => Reason::TooManyRequests,
        Error::ProposalDropped => Reason::ProposalDropped,
        Error::NoLeader => Reason::NoLeader,
        Error::LeaderChanged => Reason::LeaderChanged,
        Error::Timeout => Reason::Timeout,
        Error::Stopped => Reason::Stopped,
        Error::InvalidToken => Reason::InvalidAuthToken,
        Error::NotLeader => Reason::NotLeader,
        Error::BadLeaderTransferee => Reason::BadLeaderTransferee,
        Error::NotPrimary => Reason::NotPrimary,
        Error::Downgrade(rejection) => downgrade(rejection),
        Error::UnknownMethod => Reason::UnknownMethod,
        Error::Storage(text) => Reason::Other(text),
    }
}

fn rejected(rejection: Rejection) -> Reason {
    match rejection {
        Rejection::KeyNotFound => Reason::KeyNotFound,
        Rejection::Compacted => Reason::Compacted,
        Rejection::FutureRevision => Reason::FutureRevision,
        Rejection::NoSpace => Reason::NoSpace,
        Rejection::Corrupt => Reason::Corrupt,
        Rejection::Lease(error) => lease(error),
        Rejection::Auth(rejection) => auth(rejection),
        Rejection::Cluster(rejection) => cluster(rejection),
    }
}

fn lease(error: node::LeaseError) -> Reason {
    use node::LeaseError;
    match error {
        LeaseError::NotFound(_) | LeaseError::Expired(_) => Reason::LeaseNotFound,
        LeaseError::Exists(_) => Reason::LeaseExists,
        LeaseError::TtlTooLarge { .. } => Reason::LeaseTtlTooLarge,
        LeaseError::NotPrimary => Reason::NotPrimary,
        LeaseError::Corrupt { .. } => Reason::Other(error.to_string()),
    }
}

fn auth(rejection: node::AuthRejection) -> Reason {
    use node::AuthRejection;
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

fn cluster(rejection: node::ClusterRejection) -> Reason {
    use node::ClusterRejection;
    match rejection {
        ClusterRejection::IdRemoved | ClusterRejection::IdNotFound => Reason::MemberNotFound,
        ClusterRejection::IdExists => Reason::MemberExists,
        ClusterRejection::PeerUrlExists => Reason::PeerUrlExists,
        ClusterRejection::NotLearner => Reason::MemberNotLearner,
        ClusterRejection::TooManyLearners => Reason::TooManyLearners,
    }
}

fn downgrade(rejection: node::DowngradeRejection) -> Reason {
    use node::DowngradeRejection;
    match rejection {
        DowngradeRejection::WrongFormat => Reason::WrongDowngradeVersion,
        DowngradeRejection::InvalidTarget => Reason::InvalidDowngradeTarget,
        DowngradeRejection::ClusterVersionUnavailable => Reason::ClusterVersionUnavailable,
        DowngradeRejection::InProcess => Reason::DowngradeInProcess,
        DowngradeRejection::NoInflight => Reason::NoInflightDowngrade,
    }
}

/// An answer that encodes itself.
pub(crate) struct Range(node::RangeReply);

impl Body for Range {
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    fn next_piece(&mut self, max_bytes: usize) -> Result<Option<Bytes>, Reason> {
        self.0.next_piece(max_bytes).map_err(reason)
    }
}

pub(crate) struct RangeChunks(node::RangeStream);

impl Chunks for RangeChunks {
    type Chunk = Range;

    async fn next(&mut self) -> Result<Option<Range>, Reason> {
        Ok(self.0.next().await.map_err(reason)?.map(Range))
    }
}

pub(crate) struct Backup(node::SnapshotImage);

impl Image for Backup {
    fn file_len(&self) -> u64 {
        self.0.len()
    }

    fn version(&self) -> &str {
        self.0.version()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Reason> {
        self.0.read_at(offset, buf).map_err(reason)
    }
}

pub(crate) struct WatchIn(node::WatchInput);

impl member::WatchInput for WatchIn {
    fn send(&self, request: pb::WatchRequest) {
        self.0.send(request);
    }
}

pub(crate) struct WatchOut(node::WatchOutput);

impl member::WatchOutput for WatchOut {
    async fn next(&mut self) -> Option<Result<member::WatchFrame, Reason>> {
        let frame = match self.0.next().await? {
            Ok(frame) => frame,
            Err(error) => return Some(Err(reason(error))),
        };
        Some(Ok(member::WatchFrame { head: Bytes::copy_from_slice(frame.head()), events: frame.body().clone() }))
    }
}

/// Changes of membership come with clusters of more than one.
const NO_MEMBERSHIP: &str = "mainstay: changes of membership are not supported by this version";
/// Tokens come with the Auth service.
const NO_TOKENS: &str = "mainstay: authentication is not supported by this version";

macro_rules! calls {
    ($($method:ident($request:ident) -> $reply:ident;)*) => {
        $(async fn $method(&self, who: member::Caller, request: pb::$request) -> Result<pb::$reply, Reason> {
            self.port.$method(caller(who), request).await.map_err(reason)
        })*
    };
}

macro_rules! membership {
    ($($method:ident($request:ident) -> $reply:ident;)*) => {
        $(async fn $method(&self, _: member::Caller, _: pb::$request) -> Result<pb::$reply, Reason> {
            Err(Reason::Other(NO_MEMBERSHIP.into()))
        })*
    };
}

impl Member for Door {
    type Range = Range;
    type Chunks = RangeChunks;
    type Image = Backup;
    type WatchInput = WatchIn;
    type WatchOutput = WatchOut;

    calls! {
        put(PutRequest) -> PutResponse;
        delete_range(DeleteRangeRequest) -> DeleteRangeResponse;
        txn(TxnRequest) -> TxnResponse;
        compact(CompactionRequest) -> CompactionResponse;
        lease_grant(LeaseGrantRequest) -> LeaseGrantResponse;
        lease_revoke(LeaseRevokeRequest) -> LeaseRevokeResponse;
        lease_keep_alive(LeaseKeepAliveRequest) -> LeaseKeepAliveResponse;
        lease_time_to_live(LeaseTimeToLiveRequest) -> LeaseTimeToLiveResponse;
        lease_leases(LeaseLeasesRequest) -> LeaseLeasesResponse;
        member_list(MemberListRequest) -> MemberListResponse;
        alarm(AlarmRequest) -> AlarmResponse;
        status(StatusRequest) -> StatusResponse;
        defragment(DefragmentRequest) -> DefragmentResponse;
        hash(HashRequest) -> HashResponse;
        hash_kv(HashKvRequest) -> HashKvResponse;
        move_leader(MoveLeaderRequest) -> MoveLeaderResponse;
        downgrade(DowngradeRequest) -> DowngradeResponse;
    }

    membership! {
        member_add(MemberAddRequest) -> MemberAddResponse;
        member_remove(MemberRemoveRequest) -> MemberRemoveResponse;
        member_update(MemberUpdateRequest) -> MemberUpdateResponse;
        member_promote(MemberPromoteRequest) -> MemberPromoteResponse;
    }

    async fn drive(&self) {
        self.port.drive().await;
    }

    fn has_leader(&self) -> bool {
        self.summary.leader().is_some()
    }

    fn is_learner(&self) -> bool {
        self.summary.is_learner()
    }

    async fn range(&self, who: member::Caller, request: pb::RangeRequest) -> Result<Range, Reason> {
        self.port.range(caller(who), request).await.map(Range).map_err(reason)
    }

    fn range_stream(&self, who: member::Caller, request: pb::RangeRequest, chunk_bytes: usize) -> RangeChunks {
        RangeChunks(self.port.range_stream(caller(who), request, chunk_bytes))
    }

    async fn snapshot(&self, who: member::Caller, request: pb::SnapshotRequest) -> Result<Backup, Reason> {
        self.port.snapshot(caller(who), request).await.map(Backup).map_err(reason)
    }

    async fn alarms(&self) -> Result<Vec<pb::AlarmMember>, Reason> {
        Ok(self.summary.alarms())
    }

    async fn auth(&self, who: member::Caller, call: member::AuthCall) -> Result<member::AuthReply, Reason> {
        self.port.auth(caller(who), auth_call(call)).await.map(auth_reply).map_err(reason)
    }

    async fn credentials(&self, _: String) -> Result<Credentials, Reason> {
        let request = node::AuthCall::Status(pb::AuthStatusRequest {});
        match self.port.auth(node::Caller::internal(), request).await.map_err(reason)? {
            node::AuthReply::Status(status) if !status.enabled => Err(Reason::AuthNotEnabled),
            _ => Err(Reason::Other(NO_TOKENS.into())),
        }
    }

    async fn issue_token(&self, _: String, _: u64) -> Result<pb::AuthenticateResponse, Reason> {
        Err(Reason::Other(NO_TOKENS.into()))
    }

    fn open_watch(&self, who: member::Caller) -> (WatchIn, WatchOut) {
        let (input, output) = self.port.open_watch(caller(who));
        (WatchIn(input), WatchOut(output))
    }
}

macro_rules! auth_variants {
    ($($variant:ident)*) => {
        fn auth_call(call: member::AuthCall) -> node::AuthCall {
            match call {
                $(member::AuthCall::$variant(request) => node::AuthCall::$variant(request),)*
            }
        }

        fn auth_reply(reply: node::AuthReply) -> member::AuthReply {
            match reply {
                $(node::AuthReply::$variant(reply) => member::AuthReply::$variant(reply),)*
            }
        }
    };
}

auth_variants! {
    Enable Disable Status UserAdd UserGet UserList UserDelete UserChangePassword UserGrantRole UserRevokeRole
    RoleAdd RoleGet RoleList RoleDelete RoleGrantPermission RoleRevokePermission
}
