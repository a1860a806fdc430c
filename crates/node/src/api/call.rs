//! The closed list of calls, once: request, reply, and the typed method on [`Port`].

use bytes::Bytes;
use mvcc::KvHash;
use proto::etcdserverpb as pb;
use state::{AuthReply, RangeRows};

use super::{
    Caller, Error, Port, SnapshotImage,
    range_reply::{RangeId, RangeParts},
};

/// Calls of the Auth service, which all travel the same way.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "one variant per method of the Auth service, named like it")]
pub enum AuthCall {
    Enable(pb::AuthEnableRequest),
    Disable(pb::AuthDisableRequest),
    Status(pb::AuthStatusRequest),
    UserAdd(pb::AuthUserAddRequest),
    UserGet(pb::AuthUserGetRequest),
    UserList(pb::AuthUserListRequest),
    UserDelete(pb::AuthUserDeleteRequest),
    UserChangePassword(pb::AuthUserChangePasswordRequest),
    UserGrantRole(pb::AuthUserGrantRoleRequest),
    UserRevokeRole(pb::AuthUserRevokeRoleRequest),
    RoleAdd(pb::AuthRoleAddRequest),
    RoleGet(pb::AuthRoleGetRequest),
    RoleList(pb::AuthRoleListRequest),
    RoleDelete(pb::AuthRoleDeleteRequest),
    RoleGrantPermission(pb::AuthRoleGrantPermissionRequest),
    RoleRevokePermission(pb::AuthRoleRevokePermissionRequest),
}

/// What a password is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The bcrypt hash as stored.
    pub hash: Bytes,
    /// The auth revision when it was read.
    pub auth_revision: u64,
}

/// A user whose password was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Its name.
    pub user: String,
    /// What a simple token begins with: random, and never used before. Empty when tokens are signed.
    pub token_prefix: String,
}

/// A login that every member has heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// Header of the answer.
    pub header: pb::ResponseHeader,
    /// The simple token; `None` when tokens are signed.
    pub token: Option<String>,
    /// The auth revision when the login was applied: if it is not the one at which the password was checked, the
    /// check starts over.
    pub auth_revision: u64,
}

macro_rules! calls {
    ($($(#[$doc:meta])* $visible:vis $method:ident: $variant:ident($request:ty) -> $reply:ty;)*) => {
        /// What a network thread asks of the core.
        #[derive(Debug)]
        pub(crate) enum Request {
            $($(#[$doc])* $variant($request),)*
        }

        /// What the core answers, variant by variant as in [`Request`].
        #[derive(Debug)]
        pub(crate) enum Reply {
            $($(#[$doc])* $variant($reply),)*
        }

        impl Port {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// See [`Error`].
                $visible async fn $method(&self, caller: Caller, request: $request) -> Result<$reply, Error> {
                    match self.call(caller, Request::$variant(request)).await? {
                        Reply::$variant(reply) => Ok(reply),
                        other => unreachable!("the core answered {} with {other:?}", stringify!($method)),
                    }
                }
            )*
        }
    };
}

calls! {
    /// Reads a range at one revision.
    pub(super) range_parts: Range(pb::RangeRequest) -> RangeParts;
    /// The next rows of a large range.
    pub(super) range_rows: RangeRows(RangeId) -> RangeRows;
    /// Writes one pair.
    pub put: Put(pb::PutRequest) -> pb::PutResponse;
    /// Deletes a range.
    pub delete_range: DeleteRange(pb::DeleteRangeRequest) -> pb::DeleteRangeResponse;
    /// Runs a transaction.
    pub txn: Txn(pb::TxnRequest) -> pb::TxnResponse;
    /// Forgets history.
    pub compact: Compact(pb::CompactionRequest) -> pb::CompactionResponse;
    /// Creates a lease.
    pub lease_grant: LeaseGrant(pb::LeaseGrantRequest) -> pb::LeaseGrantResponse;
    /// Revokes a lease and deletes its keys.
    pub lease_revoke: LeaseRevoke(pb::LeaseRevokeRequest) -> pb::LeaseRevokeResponse;
    /// Renews a lease once; TTL 0 when it is gone.
    pub lease_keep_alive: LeaseKeepAlive(pb::LeaseKeepAliveRequest) -> pb::LeaseKeepAliveResponse;
    /// The time a lease has left.
    pub lease_time_to_live: LeaseTimeToLive(pb::LeaseTimeToLiveRequest) -> pb::LeaseTimeToLiveResponse;
    /// All leases.
    pub lease_leases: LeaseLeases(pb::LeaseLeasesRequest) -> pb::LeaseLeasesResponse;
    /// All members.
    pub member_list: MemberList(pb::MemberListRequest) -> pb::MemberListResponse;
    /// Adds a member, a voter or a learner.
    pub member_add: MemberAdd(pb::MemberAddRequest) -> pb::MemberAddResponse;
    /// Removes a member, for good.
    pub member_remove: MemberRemove(pb::MemberRemoveRequest) -> pb::MemberRemoveResponse;
    /// Replaces a member's peer URLs.
    pub member_update: MemberUpdate(pb::MemberUpdateRequest) -> pb::MemberUpdateResponse;
    /// Gives a learner its vote.
    pub member_promote: MemberPromote(pb::MemberPromoteRequest) -> pb::MemberPromoteResponse;
    /// Lists, raises or clears alarms.
    pub alarm: Alarm(pb::AlarmRequest) -> pb::AlarmResponse;
    /// What this member says of itself.
    pub status: Status(pb::StatusRequest) -> pb::StatusResponse;
    /// Gives free space of the file back.
    pub defragment: Defragment(pb::DefragmentRequest) -> pb::DefragmentResponse;
    /// A checksum of the whole file.
    pub hash: Hash(pb::HashRequest) -> pb::HashResponse;
    /// A checksum of the key bucket at a revision, comparable between members.
    pub hash_kv: HashKv(pb::HashKvRequest) -> pb::HashKvResponse;
    /// The hashes that the last compactions stored, oldest first.
    pub compaction_hashes: CompactionHashes(()) -> Vec<KvHash>;
    /// A consistent image of the file.
    pub snapshot: Snapshot(pb::SnapshotRequest) -> SnapshotImage;
    /// Hands leadership to another voter.
    pub move_leader: MoveLeader(pb::MoveLeaderRequest) -> pb::MoveLeaderResponse;
    /// Validates, starts or cancels a downgrade.
    pub downgrade: Downgrade(pb::DowngradeRequest) -> pb::DowngradeResponse;
    /// What a user's password is compared with, not older than this moment.
    pub credentials: Credentials(String) -> Credentials;
    /// Makes a token out to a user.
    pub authenticate: Authenticate(Login) -> Authenticated;
    /// A call of the Auth service; passwords are hashed before.
    pub auth: Auth(AuthCall) -> AuthReply;
}
