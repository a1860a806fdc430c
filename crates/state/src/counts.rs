//! How much was done, for metrics: plain numbers that the caller reads and takes differences of.

use proto::etcdserverpb::InternalRaftRequest;

/// Counted since the state was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Range operations, those inside transactions included.
    pub ranges: u64,
    /// Puts, those inside transactions included.
    pub puts: u64,
    /// Delete operations, whatever number of keys they deleted.
    pub deletes: u64,
    /// Transactions of more than one operation.
    pub txns: u64,
    /// Bytes of keys and values put.
    pub put_bytes: u64,
    /// Leases granted.
    pub leases_granted: u64,
    /// Leases revoked, expired ones included.
    pub leases_revoked: u64,
}

impl Counts {
    /// Adds the operations of one transaction.
    pub(crate) fn add(&mut self, txn: Counts) {
        self.ranges += txn.ranges;
        self.puts += txn.puts;
        self.deletes += txn.deletes;
        self.put_bytes += txn.put_bytes;
        if txn.ranges + txn.puts + txn.deletes > 1 {
            self.txns += 1;
        }
    }
}

/// The name of a request, as etcd's metrics label it.
pub fn operation(request: &InternalRaftRequest) -> &'static str {
    let r = request;
    let table = [
        (r.put.is_some(), "Put"),
        (r.txn.is_some(), "Txn"),
        (r.delete_range.is_some(), "DeleteRange"),
        (r.range.is_some(), "Range"),
        (r.compaction.is_some(), "Compaction"),
        (r.lease_grant.is_some(), "LeaseGrant"),
        (r.lease_revoke.is_some(), "LeaseRevoke"),
        (r.lease_checkpoint.is_some(), "LeaseCheckpoint"),
        (r.alarm.is_some(), "Alarm"),
        (r.authenticate.is_some(), "Authenticate"),
        (r.auth_enable.is_some(), "AuthEnable"),
        (r.auth_disable.is_some(), "AuthDisable"),
        (r.auth_status.is_some(), "AuthStatus"),
        (r.auth_user_add.is_some(), "AuthUserAdd"),
        (r.auth_user_delete.is_some(), "AuthUserDelete"),
        (r.auth_user_get.is_some(), "AuthUserGet"),
        (r.auth_user_change_password.is_some(), "AuthUserChangePassword"),
        (r.auth_user_grant_role.is_some(), "AuthUserGrantRole"),
        (r.auth_user_revoke_role.is_some(), "AuthUserRevokeRole"),
        (r.auth_user_list.is_some(), "AuthUserList"),
        (r.auth_role_list.is_some(), "AuthRoleList"),
        (r.auth_role_add.is_some(), "AuthRoleAdd"),
        (r.auth_role_delete.is_some(), "AuthRoleDelete"),
        (r.auth_role_get.is_some(), "AuthRoleGet"),
        (r.auth_role_grant_permission.is_some(), "AuthRoleGrantPermission"),
        (r.auth_role_revoke_permission.is_some(), "AuthRoleRevokePermission"),
        (r.cluster_version_set.is_some(), "ClusterVersionSet"),
        (r.cluster_member_attr_set.is_some(), "ClusterMemberAttrSet"),
        (r.downgrade_info_set.is_some(), "DowngradeInfoSet"),
        (r.downgrade_version_test.is_some(), "DowngradeVersionTest"),
    ];
    table.iter().find(|(present, _)| *present).map_or("Unknown", |(_, name)| name)
}
