//! What calls name: entries, revisions, leases.

use node::AuthCall;
use proto::etcdserverpb::{self as pb, request_op::Request as OpRequest};

use crate::call::Ask;

/// Whether an entry is what a call asks for.
pub(super) fn is_entry_of(call: &AuthCall, entry: &pb::InternalRaftRequest) -> bool {
    match call {
        AuthCall::Enable(_) => entry.auth_enable.is_some(),
        AuthCall::Disable(_) => entry.auth_disable.is_some(),
        AuthCall::UserAdd(add) => entry.auth_user_add.as_ref().is_some_and(|done| done.name == add.name),
        AuthCall::UserDelete(delete) => entry.auth_user_delete.as_ref() == Some(delete),
        AuthCall::UserGrantRole(grant) => entry.auth_user_grant_role.as_ref() == Some(grant),
        AuthCall::UserRevokeRole(revoke) => entry.auth_user_revoke_role.as_ref() == Some(revoke),
        AuthCall::RoleAdd(add) => entry.auth_role_add.as_ref() == Some(add),
        AuthCall::RoleDelete(delete) => entry.auth_role_delete.as_ref() == Some(delete),
        AuthCall::RoleGrantPermission(grant) => entry.auth_role_grant_permission.as_ref() == Some(grant),
        AuthCall::RoleRevokePermission(revoke) => entry.auth_role_revoke_permission.as_ref() == Some(revoke),
        _ => false,
    }
}

/// All operations of a transaction and of those inside it.
fn ops_of(txn: &pb::TxnRequest) -> Vec<&OpRequest> {
    let mut ops: Vec<&OpRequest> = Vec::new();
    for op in txn.success.iter().chain(&txn.failure).filter_map(|op| op.request.as_ref()) {
        match op {
            OpRequest::RequestTxn(inner) => ops.extend(ops_of(inner)),
            other => ops.push(other),
        }
    }
    ops
}

/// The revisions that a request names.
pub(super) fn revisions_of(ask: &Ask) -> Vec<i64> {
    match ask {
        Ask::Range(request) => vec![request.revision],
        Ask::Compact(request) => vec![request.revision],
        Ask::HashKv(request) => vec![request.revision],
        Ask::Txn(txn) => {
            let revision = |op: &OpRequest| match op {
                OpRequest::RequestRange(range) => Some(range.revision),
                _ => None,
            };
            ops_of(txn).into_iter().filter_map(revision).collect()
        }
        _ => Vec::new(),
    }
}

/// The leases that a request names.
pub(super) fn leases_of(ask: &Ask) -> Vec<i64> {
    match ask {
        Ask::Put(put) => vec![put.lease],
        Ask::Revoke(request) => vec![request.id],
        Ask::KeepAlive(request) => vec![request.id],
        Ask::Txn(txn) => {
            let lease = |op: &OpRequest| match op {
                OpRequest::RequestPut(put) => Some(put.lease),
                _ => None,
            };
            ops_of(txn).into_iter().filter_map(lease).collect()
        }
        _ => Vec::new(),
    }
    .into_iter()
    .filter(|id| *id != 0)
    .collect()
}
