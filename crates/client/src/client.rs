//! A client and its calls.

use std::sync::{Arc, Mutex, atomic::AtomicUsize};

use proto::etcdserverpb as pb;
use tonic::metadata::AsciiMetadataValue;

use crate::{
    Error, KeepAlive, Replies, Settings, Watch,
    call::Class::{Repeatable, Write},
    connect::Door,
};

/// A client of one cluster. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) doors: Vec<Door>,
    /// The door where somebody answered last.
    pub(crate) preferred: AtomicUsize,
    pub(crate) token: Mutex<Option<AsciiMetadataValue>>,
}

/// A unary method: path, request, reply, class.
macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident, $path:literal, $request:ident, $reply:ident, $class:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// `Refused` and `TimeUp`.
        pub async fn $name(&self, request: pb::$request) -> Result<pb::$reply, Error> {
            self.call(concat!("/etcdserverpb.", $path), request, $class).await
        }
    )*};
}

impl Client {
    /// Prepares connections, and logs in if there is a user. Without one nothing is connected yet.
    ///
    /// # Errors
    /// `Endpoint`, `Tls`; when logging in, as for a call.
    pub async fn open(settings: &Settings) -> Result<Client, Error> {
        let doors = settings.endpoints.iter().map(|text| Door::new(text, settings));
        let inner = Inner {
            doors: doors.collect::<Result<_, _>>()?,
            settings: settings.clone(),
            preferred: AtomicUsize::new(0),
            token: Mutex::new(None),
        };
        let client = Client { inner: Arc::new(inner) };
        match &settings.token {
            Some(token) => client.remember(token)?,
            None => client.log_in().await?,
        }
        Ok(client)
    }

    /// How it was opened.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    unary! {
        /// Keys and values.
        range, "KV/Range", RangeRequest, RangeResponse, Repeatable;
        /// One key is written.
        put, "KV/Put", PutRequest, PutResponse, Write;
        /// Keys are deleted.
        delete, "KV/DeleteRange", DeleteRangeRequest, DeleteRangeResponse, Write;
        /// Operations that depend on compares.
        txn, "KV/Txn", TxnRequest, TxnResponse, Write;
        /// A transaction that may as well happen twice: its compares see to that.
        txn_repeatable, "KV/Txn", TxnRequest, TxnResponse, Repeatable;
        /// History is forgotten.
        compact, "KV/Compact", CompactionRequest, CompactionResponse, Write;
        /// A new lease.
        lease_grant, "Lease/LeaseGrant", LeaseGrantRequest, LeaseGrantResponse, Repeatable;
        /// A lease ends, and its keys with it.
        lease_revoke, "Lease/LeaseRevoke", LeaseRevokeRequest, LeaseRevokeResponse, Repeatable;
        /// How long a lease has to live.
        lease_time_to_live, "Lease/LeaseTimeToLive", LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, Repeatable;
        /// All leases.
        lease_leases, "Lease/LeaseLeases", LeaseLeasesRequest, LeaseLeasesResponse, Repeatable;
        /// A new member.
        member_add, "Cluster/MemberAdd", MemberAddRequest, MemberAddResponse, Write;
        /// A member leaves.
        member_remove, "Cluster/MemberRemove", MemberRemoveRequest, MemberRemoveResponse, Write;
        /// Where a member is reached by others.
        member_update, "Cluster/MemberUpdate", MemberUpdateRequest, MemberUpdateResponse, Write;
        /// A learner becomes a voter.
        member_promote, "Cluster/MemberPromote", MemberPromoteRequest, MemberPromoteResponse, Write;
        /// All members.
        member_list, "Cluster/MemberList", MemberListRequest, MemberListResponse, Repeatable;
        /// Alarms are listed or changed.
        alarm, "Maintenance/Alarm", AlarmRequest, AlarmResponse, Repeatable;
        /// How a member is.
        status, "Maintenance/Status", StatusRequest, StatusResponse, Repeatable;
        /// A member's file is defragmented.
        defragment, "Maintenance/Defragment", DefragmentRequest, DefragmentResponse, Write;
        /// A hash over a member's keys.
        hash_kv, "Maintenance/HashKV", HashKvRequest, HashKvResponse, Repeatable;
        /// Another member leads.
        move_leader, "Maintenance/MoveLeader", MoveLeaderRequest, MoveLeaderResponse, Repeatable;
        /// The cluster goes back to an older version.
        downgrade, "Maintenance/Downgrade", DowngradeRequest, DowngradeResponse, Write;
        /// Users have to log in from now on.
        auth_enable, "Auth/AuthEnable", AuthEnableRequest, AuthEnableResponse, Write;
        /// Users need not log in any more.
        auth_disable, "Auth/AuthDisable", AuthDisableRequest, AuthDisableResponse, Write;
        /// Whether users have to log in.
        auth_status, "Auth/AuthStatus", AuthStatusRequest, AuthStatusResponse, Repeatable;
        /// A new user.
        user_add, "Auth/UserAdd", AuthUserAddRequest, AuthUserAddResponse, Write;
        /// A user's roles.
        user_get, "Auth/UserGet", AuthUserGetRequest, AuthUserGetResponse, Repeatable;
        /// All users.
        user_list, "Auth/UserList", AuthUserListRequest, AuthUserListResponse, Repeatable;
        /// A user is no more.
        user_delete, "Auth/UserDelete", AuthUserDeleteRequest, AuthUserDeleteResponse, Write;
        /// A user's password changes.
        user_change_password, "Auth/UserChangePassword", AuthUserChangePasswordRequest, AuthUserChangePasswordResponse, Write;
        /// A user gets a role.
        user_grant_role, "Auth/UserGrantRole", AuthUserGrantRoleRequest, AuthUserGrantRoleResponse, Write;
        /// A user loses a role.
        user_revoke_role, "Auth/UserRevokeRole", AuthUserRevokeRoleRequest, AuthUserRevokeRoleResponse, Write;
        /// A new role.
        role_add, "Auth/RoleAdd", AuthRoleAddRequest, AuthRoleAddResponse, Write;
        /// A role's permissions.
        role_get, "Auth/RoleGet", AuthRoleGetRequest, AuthRoleGetResponse, Repeatable;
        /// All roles.
        role_list, "Auth/RoleList", AuthRoleListRequest, AuthRoleListResponse, Repeatable;
        /// A role is no more.
        role_delete, "Auth/RoleDelete", AuthRoleDeleteRequest, AuthRoleDeleteResponse, Write;
        /// A role gets a permission.
        role_grant_permission, "Auth/RoleGrantPermission", AuthRoleGrantPermissionRequest, AuthRoleGrantPermissionResponse, Write;
        /// A role loses a permission.
        role_revoke_permission, "Auth/RoleRevokePermission", AuthRoleRevokePermissionRequest, AuthRoleRevokePermissionResponse, Write;
    }

    /// A member's file, in pieces.
    ///
    /// # Errors
    /// `Refused` and `TimeUp` when no endpoint takes it.
    pub async fn snapshot(&self) -> Result<Replies<pb::SnapshotResponse>, Error> {
        self.replies("/etcdserverpb.Maintenance/Snapshot", pb::SnapshotRequest {}).await
    }

    /// Keys and values, in pieces.
    ///
    /// # Errors
    /// As for [`Client::snapshot`].
    pub async fn range_stream(
        &self,
        request: pb::RangeRequest,
    ) -> Result<Replies<pb::RangeStreamResponse>, Error> {
        self.replies("/etcdserverpb.KV/RangeStream", request).await
    }

    /// Opens a watch. Its end is told by [`Watch::next`]; [`crate::Watches`] go on instead.
    ///
    /// # Errors
    /// `Refused` and `TimeUp` when no endpoint takes it.
    pub async fn watch(&self, create: pb::WatchCreateRequest) -> Result<Watch, Error> {
        Watch::open(self, create).await
    }

    /// Renews a lease once.
    ///
    /// # Errors
    /// `Refused`, also for a lease that is not known, and `TimeUp`.
    pub async fn keep_alive_once(&self, id: i64) -> Result<pb::LeaseKeepAliveResponse, Error> {
        KeepAlive::once(self, id).await
    }

    /// Keeps a lease alive as long as somebody asks for the next reply.
    pub fn keep_alive(&self, id: i64) -> KeepAlive {
        KeepAlive::new(self.clone(), id)
    }
}
