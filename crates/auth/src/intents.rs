//! What requests need: the only place that looks inside them for permissions.

use proto::{
    etcdserverpb::{self as pb, InternalRaftRequest, alarm_request::AlarmAction, request_op::Request as Op},
    v3electionpb, v3lockpb,
};
use types::{KeyRange, LeaseId};

use crate::{Access, Right, WhichLeases};

/// A request whose needs are known.
///
/// For the requests of clients these are the needs checked before execution or proposal (`METHODS` says which
/// methods have any); for [`InternalRaftRequest`] those checked when the entry is applied. The two differ on
/// purpose where the server itself proposes without credentials (contract/semantics.md 7.9): compaction,
/// alarms, versions.
pub trait Guarded {
    /// Everything that must be granted; empty: anybody may.
    fn accesses(&self) -> Vec<Access>;
}

impl<T: Guarded> Guarded for &T {
    fn accesses(&self) -> Vec<Access> {
        (*self).accesses()
    }
}

impl Guarded for InternalRaftRequest {
    /// Every member of the message is named: a new one does not compile until it is judged here.
    fn accesses(&self) -> Vec<Access> {
        let InternalRaftRequest {
            header: _,
            id: _,
            range,
            put,
            delete_range,
            txn,
            compaction: _,
            lease_grant: _,
            lease_revoke,
            alarm: _,
            lease_checkpoint: _,
            auth_enable,
            auth_disable,
            auth_status: _,
            authenticate: _,
            auth_user_add,
            auth_user_delete,
            auth_user_get,
            auth_user_change_password,
            auth_user_grant_role,
            auth_user_revoke_role,
            auth_user_list,
            auth_role_list,
            auth_role_add,
            auth_role_delete,
            auth_role_get,
            auth_role_grant_permission,
            auth_role_revoke_permission,
            cluster_version_set: _,
            cluster_member_attr_set: _,
            downgrade_info_set: _,
            downgrade_version_test: _,
        } = self;
        let admin = auth_enable.is_some()
            || auth_disable.is_some()
            || auth_user_add.is_some()
            || auth_user_delete.is_some()
            || auth_user_change_password.is_some()
            || auth_user_grant_role.is_some()
            || auth_user_revoke_role.is_some()
            || auth_user_list.is_some()
            || auth_role_list.is_some()
            || auth_role_add.is_some()
            || auth_role_delete.is_some()
            || auth_role_grant_permission.is_some()
            || auth_role_revoke_permission.is_some();
        let mut needs = Needs::default();
        needs.push_if(admin, || Access::Admin);
        range.iter().for_each(|request| needs.range(request));
        put.iter().for_each(|request| needs.put(request));
        delete_range.iter().for_each(|request| needs.delete_range(request));
        txn.iter().for_each(|request| needs.txn(request));
        lease_revoke.iter().for_each(|request| needs.lease(Right::Write, request.id));
        needs.0.extend(auth_user_get.iter().map(|request| Access::AdminOrSelf(request.name.clone())));
        needs.0.extend(auth_role_get.iter().map(|request| Access::AdminOrHolder(request.role.clone())));
        needs.0
    }
}

/// The needs of one request, in the order in which they are checked.
#[derive(Default)]
struct Needs(Vec<Access>);

impl Needs {
    fn push_if(&mut self, condition: bool, access: impl FnOnce() -> Access) {
        if condition {
            self.0.push(access());
        }
    }

    fn keys(&mut self, right: Right, key: &bytes::Bytes, range_end: &bytes::Bytes) {
        self.0.push(Access::Keys(right, KeyRange::new(key.clone(), range_end.clone())));
    }

    fn lease(&mut self, right: Right, id: i64) {
        self.0.push(Access::LeaseKeys(right, WhichLeases::One(LeaseId(id))));
    }

    fn range(&mut self, request: &pb::RangeRequest) {
        self.keys(Right::Read, &request.key, &request.range_end);
    }

    /// Whoever attaches a key to a lease can make the keys already there vanish with it, so those count too.
    fn put(&mut self, request: &pb::PutRequest) {
        let single = bytes::Bytes::new();
        self.keys(Right::Write, &request.key, &single);
        if request.lease != 0 {
            self.lease(Right::Write, request.lease);
        }
        if request.prev_kv {
            self.keys(Right::Read, &request.key, &single);
        }
    }

    fn delete_range(&mut self, request: &pb::DeleteRangeRequest) {
        self.keys(Right::Write, &request.key, &request.range_end);
        if request.prev_kv {
            self.keys(Right::Read, &request.key, &request.range_end);
        }
    }

    /// Compares and both branches at every depth, whether they will be executed or not. Depth is bounded by
    /// `proto::decode`.
    fn txn(&mut self, request: &pb::TxnRequest) {
        for compare in &request.compare {
            self.keys(Right::Read, &compare.key, &compare.range_end);
        }
        for op in request.success.iter().chain(&request.failure) {
            match &op.request {
                Some(Op::RequestRange(range)) => self.range(range),
                Some(Op::RequestPut(put)) => self.put(put),
                Some(Op::RequestDeleteRange(delete)) => self.delete_range(delete),
                Some(Op::RequestTxn(txn)) => self.txn(txn),
                None => {}
            }
        }
    }
}

// Key-value requests: checked when executed.

impl Guarded for pb::RangeRequest {
    fn accesses(&self) -> Vec<Access> {
        let mut needs = Needs::default();
        needs.range(self);
        needs.0
    }
}

impl Guarded for pb::PutRequest {
    fn accesses(&self) -> Vec<Access> {
        let mut needs = Needs::default();
        needs.put(self);
        needs.0
    }
}

impl Guarded for pb::DeleteRangeRequest {
    fn accesses(&self) -> Vec<Access> {
        let mut needs = Needs::default();
        needs.delete_range(self);
        needs.0
    }
}

impl Guarded for pb::TxnRequest {
    fn accesses(&self) -> Vec<Access> {
        let mut needs = Needs::default();
        needs.txn(self);
        needs.0
    }
}

impl Guarded for pb::WatchCreateRequest {
    /// The range as sent, before an empty key is taken for the lowest (contract/semantics.md 5.15): the check
    /// must never be about a smaller range than the watch.
    fn accesses(&self) -> Vec<Access> {
        let mut needs = Needs::default();
        needs.keys(Right::Read, &self.key, &self.range_end);
        needs.0
    }
}

// Leases.

impl Guarded for pb::LeaseKeepAliveRequest {
    fn accesses(&self) -> Vec<Access> {
        let mut needs = Needs(vec![Access::Authenticated]);
        needs.lease(Right::Write, self.id);
        needs.0
    }
}

impl Guarded for pb::LeaseTimeToLiveRequest {
    fn accesses(&self) -> Vec<Access> {
        let mut needs = Needs(vec![Access::Authenticated]);
        if self.keys {
            needs.lease(Right::Read, self.id);
        }
        needs.0
    }
}

impl Guarded for pb::LeaseLeasesRequest {
    fn accesses(&self) -> Vec<Access> {
        vec![Access::Authenticated, Access::LeaseKeys(Right::Read, WhichLeases::All)]
    }
}

impl Guarded for pb::AlarmRequest {
    fn accesses(&self) -> Vec<Access> {
        let reads = self.action == i32::from(AlarmAction::Get);
        vec![if reads { Access::Authenticated } else { Access::Admin }]
    }
}

/// Requests whose needs do not depend on what is in them.
macro_rules! always {
    ($($access:expr => $($request:ty),+;)+) => {
        $($(impl Guarded for $request {
            fn accesses(&self) -> Vec<Access> {
                $access
            }
        })+)+
    };
}

always! {
    vec![Access::Authenticated] => pb::LeaseGrantRequest, pb::LeaseRevokeRequest, pb::MemberListRequest,
        pb::StatusRequest;
    vec![Access::Admin] => pb::CompactionRequest, pb::MemberAddRequest, pb::MemberRemoveRequest,
        pb::MemberUpdateRequest, pb::MemberPromoteRequest, pb::DefragmentRequest, pb::HashRequest,
        pb::HashKvRequest, pb::SnapshotRequest, pb::MoveLeaderRequest, pb::DowngradeRequest;
    // Their own calls of Put, Txn and Range are checked.
    Vec::new() => v3lockpb::LockRequest, v3lockpb::UnlockRequest, v3electionpb::CampaignRequest,
        v3electionpb::ProclaimRequest, v3electionpb::LeaderRequest, v3electionpb::ResignRequest;
}

#[cfg(test)]
mod tests;
