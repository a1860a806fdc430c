//! What this crate needs of a member: one call per RPC, each resolving when the core has answered.
//!
//! `port` implements it over `node`; tests implement it in memory.

use std::time::Duration;

use bytes::Bytes;
pub use node::{AuthCall, AuthReply, Authenticated, Caller, Credentials, Login};
use proto::etcdserverpb as pb;

use crate::status::Reason;

/// A reply whose length is known before its bytes are.
pub trait Body {
    /// Bytes of the encoded message.
    fn encoded_len(&self) -> usize;

    /// The next piece of about `max_bytes` (one row may be larger); `None` at the end. The pieces add up to
    /// [`Body::encoded_len`].
    ///
    /// # Errors
    /// When the bytes cannot be read; the length was announced by then, so the caller can only break off.
    async fn next_piece(&mut self, max_bytes: usize) -> Result<Option<Bytes>, Reason>;
}

/// The chunks of a RangeStream.
pub trait Chunks {
    /// One chunk, encoding as a `RangeResponse`.
    type Chunk: Body;

    /// The next chunk; `None` after the last.
    async fn next(&mut self) -> Result<Option<Self::Chunk>, Reason>;
}

/// A consistent image of the backend file. Read where blocking is fine.
pub trait Image: Send + 'static {
    /// Length in bytes.
    fn file_len(&self) -> u64;

    /// Storage version `X.Y.0`, or empty.
    fn version(&self) -> &str;

    /// Fills `buf` from `offset`; short only at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Reason>;
}

/// The client's half of a watch stream. Dropping it is a half-close: events go on.
pub trait WatchInput {
    /// Hands a request over; order is kept.
    fn send(&self, request: pb::WatchRequest);
}

/// One `WatchResponse`: its encoding is head and body, one after the other.
pub trait WatchFrame {
    /// The fields that are this watcher's own.
    fn head(&self) -> &[u8];

    /// The encoded events, shared by all watchers that get them; or what else follows the head.
    fn body(&self) -> &Bytes;

    /// How many events there are; 0 in an answer to a request and in a progress notification.
    fn events(&self) -> usize;
}

/// The server's half of a watch stream. Dropping it ends all its watchers.
pub trait WatchOutput {
    /// One response.
    type Frame: WatchFrame;

    /// The next response. Called only when the transport can take more: that is the back-pressure.
    async fn next(&mut self) -> Option<Result<Self::Frame, Reason>>;
}

/// A member of a cluster, seen from one network thread. Futures may be dropped at any time: that abandons the
/// answer, not what was proposed.
pub trait Member: Clone + 'static {
    /// Answer of [`Member::range`], encoding as a `RangeResponse`.
    type Range: Body;
    /// Answer of [`Member::range_stream`].
    type Chunks: Chunks;
    /// Answer of [`Member::snapshot`].
    type Image: Image;
    /// See [`WatchInput`].
    type WatchInput: WatchInput;
    /// See [`WatchOutput`].
    type WatchOutput: WatchOutput;

    /// Carries calls and answers; each network thread runs exactly one. Returns when the member has stopped.
    async fn drive(&self);
    /// Whether this member knows a leader. Cheap.
    fn has_leader(&self) -> bool;
    /// For how long the disk has stalled, once that is longer than an election timeout. Cheap.
    fn disk_stalled(&self) -> Option<Duration>;
    /// Whether this member is a learner. Cheap.
    fn is_learner(&self) -> bool;
    /// Whether users have to show who they are. Cheap.
    fn auth_enabled(&self) -> bool;
    /// Whom a simple token was made out to, as far as this member knows; for the audit log alone. Cheap.
    fn user_of_token(&self, token: &str) -> Option<String>;
    /// The active alarms as this member knows them; needs no quorum.
    async fn alarms(&self) -> Result<Vec<pb::AlarmMember>, Reason>;

    /// Reads a range at one revision.
    async fn range(&self, caller: Caller, request: pb::RangeRequest) -> Result<Self::Range, Reason>;
    /// Reads a range in chunks of about `chunk_bytes`, all at one revision.
    fn range_stream(&self, caller: Caller, request: pb::RangeRequest, chunk_bytes: usize) -> Self::Chunks;
    /// Writes one pair.
    async fn put(&self, caller: Caller, request: pb::PutRequest) -> Result<pb::PutResponse, Reason>;
    /// Deletes a range.
    async fn delete_range(
        &self,
        caller: Caller,
        request: pb::DeleteRangeRequest,
    ) -> Result<pb::DeleteRangeResponse, Reason>;
    /// Runs a transaction.
    async fn txn(&self, caller: Caller, request: pb::TxnRequest) -> Result<pb::TxnResponse, Reason>;
    /// Forgets history.
    async fn compact(
        &self,
        caller: Caller,
        request: pb::CompactionRequest,
    ) -> Result<pb::CompactionResponse, Reason>;

    /// Creates a lease.
    async fn lease_grant(
        &self,
        caller: Caller,
        request: pb::LeaseGrantRequest,
    ) -> Result<pb::LeaseGrantResponse, Reason>;
    /// Revokes a lease and deletes its keys.
    async fn lease_revoke(
        &self,
        caller: Caller,
        request: pb::LeaseRevokeRequest,
    ) -> Result<pb::LeaseRevokeResponse, Reason>;
    /// Renews a lease once; TTL 0 when it is gone.
    async fn lease_keep_alive(
        &self,
        caller: Caller,
        request: pb::LeaseKeepAliveRequest,
    ) -> Result<pb::LeaseKeepAliveResponse, Reason>;
    /// The time a lease has left.
    async fn lease_time_to_live(
        &self,
        caller: Caller,
        request: pb::LeaseTimeToLiveRequest,
    ) -> Result<pb::LeaseTimeToLiveResponse, Reason>;
    /// All leases.
    async fn lease_leases(
        &self,
        caller: Caller,
        request: pb::LeaseLeasesRequest,
    ) -> Result<pb::LeaseLeasesResponse, Reason>;

    /// All members.
    async fn member_list(
        &self,
        caller: Caller,
        request: pb::MemberListRequest,
    ) -> Result<pb::MemberListResponse, Reason>;
    /// Adds a member.
    async fn member_add(
        &self,
        caller: Caller,
        request: pb::MemberAddRequest,
    ) -> Result<pb::MemberAddResponse, Reason>;
    /// Removes a member.
    async fn member_remove(
        &self,
        caller: Caller,
        request: pb::MemberRemoveRequest,
    ) -> Result<pb::MemberRemoveResponse, Reason>;
    /// Replaces a member's peer URLs.
    async fn member_update(
        &self,
        caller: Caller,
        request: pb::MemberUpdateRequest,
    ) -> Result<pb::MemberUpdateResponse, Reason>;
    /// Makes a learner a voter.
    async fn member_promote(
        &self,
        caller: Caller,
        request: pb::MemberPromoteRequest,
    ) -> Result<pb::MemberPromoteResponse, Reason>;

    /// Lists, raises or clears alarms.
    async fn alarm(&self, caller: Caller, request: pb::AlarmRequest) -> Result<pb::AlarmResponse, Reason>;
    /// What this member says of itself.
    async fn status(&self, caller: Caller, request: pb::StatusRequest) -> Result<pb::StatusResponse, Reason>;
    /// Gives free space of the file back.
    async fn defragment(
        &self,
        caller: Caller,
        request: pb::DefragmentRequest,
    ) -> Result<pb::DefragmentResponse, Reason>;
    /// A checksum of the whole file.
    async fn hash(&self, caller: Caller, request: pb::HashRequest) -> Result<pb::HashResponse, Reason>;
    /// A checksum of the key bucket at a revision, comparable between members.
    async fn hash_kv(&self, caller: Caller, request: pb::HashKvRequest)
    -> Result<pb::HashKvResponse, Reason>;
    /// A consistent image of the file.
    async fn snapshot(&self, caller: Caller, request: pb::SnapshotRequest) -> Result<Self::Image, Reason>;
    /// Hands leadership to another voter.
    async fn move_leader(
        &self,
        caller: Caller,
        request: pb::MoveLeaderRequest,
    ) -> Result<pb::MoveLeaderResponse, Reason>;
    /// Validates, starts or cancels a downgrade.
    async fn downgrade(
        &self,
        caller: Caller,
        request: pb::DowngradeRequest,
    ) -> Result<pb::DowngradeResponse, Reason>;

    /// A call of the Auth service. Passwords are hashed: `password` is empty, `hashed_password` set.
    async fn auth(&self, caller: Caller, call: AuthCall) -> Result<AuthReply, Reason>;
    /// What to check a user's password against, read linearizably.
    ///
    /// # Errors
    /// `AuthNotEnabled`; `AuthFailed` for an unknown user; `NoPasswordUser`.
    async fn credentials(&self, user: String) -> Result<Credentials, Reason>;
    /// Makes a token out to a user whose password was right.
    async fn authenticate(&self, login: Login) -> Result<Authenticated, Reason>;

    /// Opens a stream that can carry many watchers.
    fn open_watch(&self, caller: Caller) -> (Self::WatchInput, Self::WatchOutput);
}
