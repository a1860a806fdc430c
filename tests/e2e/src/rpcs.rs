//! Which reply belongs to which unary request, and under which path.

use proto::{etcdserverpb as pb, health, v3electionpb, v3lockpb};

/// A unary request.
pub trait Rpc: prost::Message + std::fmt::Debug {
    /// `SERVICE/METHOD`.
    const METHOD: &'static str;
    /// What is answered.
    type Reply: prost::Message + Default + std::fmt::Debug;
}

macro_rules! rpcs {
    ($($package:ident $request:ident => $method:literal -> $reply:ident;)*) => {
        $(impl Rpc for $package::$request {
            const METHOD: &'static str = $method;
            type Reply = $package::$reply;
        })*
    };
}

rpcs! {
    pb RangeRequest => "etcdserverpb.KV/Range" -> RangeResponse;
    pb PutRequest => "etcdserverpb.KV/Put" -> PutResponse;
    pb DeleteRangeRequest => "etcdserverpb.KV/DeleteRange" -> DeleteRangeResponse;
    pb TxnRequest => "etcdserverpb.KV/Txn" -> TxnResponse;
    pb CompactionRequest => "etcdserverpb.KV/Compact" -> CompactionResponse;
    pb LeaseGrantRequest => "etcdserverpb.Lease/LeaseGrant" -> LeaseGrantResponse;
    pb LeaseRevokeRequest => "etcdserverpb.Lease/LeaseRevoke" -> LeaseRevokeResponse;
    pb LeaseTimeToLiveRequest => "etcdserverpb.Lease/LeaseTimeToLive" -> LeaseTimeToLiveResponse;
    pb LeaseLeasesRequest => "etcdserverpb.Lease/LeaseLeases" -> LeaseLeasesResponse;
    pb MemberAddRequest => "etcdserverpb.Cluster/MemberAdd" -> MemberAddResponse;
    pb MemberRemoveRequest => "etcdserverpb.Cluster/MemberRemove" -> MemberRemoveResponse;
    pb MemberUpdateRequest => "etcdserverpb.Cluster/MemberUpdate" -> MemberUpdateResponse;
    pb MemberListRequest => "etcdserverpb.Cluster/MemberList" -> MemberListResponse;
    pb MemberPromoteRequest => "etcdserverpb.Cluster/MemberPromote" -> MemberPromoteResponse;
    pb AlarmRequest => "etcdserverpb.Maintenance/Alarm" -> AlarmResponse;
    pb StatusRequest => "etcdserverpb.Maintenance/Status" -> StatusResponse;
    pb DefragmentRequest => "etcdserverpb.Maintenance/Defragment" -> DefragmentResponse;
    pb HashRequest => "etcdserverpb.Maintenance/Hash" -> HashResponse;
    pb HashKvRequest => "etcdserverpb.Maintenance/HashKV" -> HashKvResponse;
    pb MoveLeaderRequest => "etcdserverpb.Maintenance/MoveLeader" -> MoveLeaderResponse;
    pb DowngradeRequest => "etcdserverpb.Maintenance/Downgrade" -> DowngradeResponse;
    pb AuthEnableRequest => "etcdserverpb.Auth/AuthEnable" -> AuthEnableResponse;
    pb AuthDisableRequest => "etcdserverpb.Auth/AuthDisable" -> AuthDisableResponse;
    pb AuthStatusRequest => "etcdserverpb.Auth/AuthStatus" -> AuthStatusResponse;
    pb AuthenticateRequest => "etcdserverpb.Auth/Authenticate" -> AuthenticateResponse;
    pb AuthUserAddRequest => "etcdserverpb.Auth/UserAdd" -> AuthUserAddResponse;
    pb AuthUserGetRequest => "etcdserverpb.Auth/UserGet" -> AuthUserGetResponse;
    pb AuthUserListRequest => "etcdserverpb.Auth/UserList" -> AuthUserListResponse;
    pb AuthUserDeleteRequest => "etcdserverpb.Auth/UserDelete" -> AuthUserDeleteResponse;
    pb AuthUserChangePasswordRequest => "etcdserverpb.Auth/UserChangePassword" -> AuthUserChangePasswordResponse;
    pb AuthUserGrantRoleRequest => "etcdserverpb.Auth/UserGrantRole" -> AuthUserGrantRoleResponse;
    pb AuthUserRevokeRoleRequest => "etcdserverpb.Auth/UserRevokeRole" -> AuthUserRevokeRoleResponse;
    pb AuthRoleAddRequest => "etcdserverpb.Auth/RoleAdd" -> AuthRoleAddResponse;
    pb AuthRoleGetRequest => "etcdserverpb.Auth/RoleGet" -> AuthRoleGetResponse;
    pb AuthRoleListRequest => "etcdserverpb.Auth/RoleList" -> AuthRoleListResponse;
    pb AuthRoleDeleteRequest => "etcdserverpb.Auth/RoleDelete" -> AuthRoleDeleteResponse;
    pb AuthRoleGrantPermissionRequest => "etcdserverpb.Auth/RoleGrantPermission" -> AuthRoleGrantPermissionResponse;
    pb AuthRoleRevokePermissionRequest => "etcdserverpb.Auth/RoleRevokePermission" -> AuthRoleRevokePermissionResponse;
    v3lockpb LockRequest => "v3lockpb.Lock/Lock" -> LockResponse;
    v3lockpb UnlockRequest => "v3lockpb.Lock/Unlock" -> UnlockResponse;
    v3electionpb CampaignRequest => "v3electionpb.Election/Campaign" -> CampaignResponse;
    v3electionpb ProclaimRequest => "v3electionpb.Election/Proclaim" -> ProclaimResponse;
    v3electionpb LeaderRequest => "v3electionpb.Election/Leader" -> LeaderResponse;
    v3electionpb ResignRequest => "v3electionpb.Election/Resign" -> ResignResponse;
    health HealthCheckRequest => "grpc.health.v1.Health/Check" -> HealthCheckResponse;
    health HealthListRequest => "grpc.health.v1.Health/List" -> HealthListResponse;
}
