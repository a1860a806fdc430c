//! The services: one line per method, and what a method does beyond passing a request on.

use std::pin::pin;

use prost::{Message, Name};

use crate::{
    call::Call,
    exchange::End,
    member::{Caller, Member},
    method::Method,
    status::Reason,
    validate,
};

mod auth;
mod claim;
mod election;
mod follow;
mod health;
mod inner;
mod lease;
mod lock;
mod range;
mod snapshot;
mod watch;

#[cfg(test)]
pub(crate) use watch::ANSWERS_WAITING_MAX;

/// Runs the handler of a call's method.
///
/// # Errors
/// How the call ends, unless with success.
pub(crate) async fn dispatch<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    match call.method {
        Method::Put => unary(call, validate::put, M::put).await,
        Method::Range => range::range(call).await,
        Method::Txn => {
            let ops_max = call.thread.common.limits.txn_ops_max;
            let check = |request: &_| validate::txn(request, ops_max);
            unary(call, check, M::txn).await
        }
        // The state of a rare call should not make that of a frequent one larger.
        _ => Box::pin(dispatch_rare(call)).await,
    }
}

async fn dispatch_rare<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    macro_rules! pass {
        ($method:ident) => {
            pass!($method, |_| Ok(()))
        };
        ($method:ident, $check:expr) => {
            Box::pin(unary(call, $check, M::$method)).await
        };
    }
    match call.method {
        Method::Put | Method::Range | Method::Txn => unreachable!("dispatched before"),
        Method::RangeStream => range::range_stream(call).await,
        Method::DeleteRange => pass!(delete_range, validate::delete_range),
        Method::Compact => pass!(compact),
        Method::Watch => watch::watch(call).await,
        Method::LeaseGrant => pass!(lease_grant),
        Method::LeaseRevoke => pass!(lease_revoke),
        Method::LeaseKeepAlive => lease::keep_alive(call).await,
        Method::LeaseTimeToLive => pass!(lease_time_to_live),
        Method::LeaseLeases => pass!(lease_leases),
        Method::MemberAdd => {
            pass!(member_add, |r: &proto::etcdserverpb::MemberAddRequest| validate::peer_urls(&r.peer_ur_ls))
        }
        Method::MemberRemove => pass!(member_remove),
        Method::MemberUpdate => {
            pass!(member_update, |r: &proto::etcdserverpb::MemberUpdateRequest| validate::peer_urls(
                &r.peer_ur_ls
            ))
        }
        Method::MemberList => pass!(member_list),
        Method::MemberPromote => pass!(member_promote),
        Method::Alarm => pass!(alarm, validate::alarm),
        Method::Status => pass!(status),
        Method::Defragment => pass!(defragment),
        Method::Hash => pass!(hash),
        Method::HashKv => pass!(hash_kv),
        Method::Snapshot => snapshot::snapshot(call).await,
        Method::MoveLeader => pass!(move_leader),
        Method::Downgrade => pass!(downgrade),
        Method::AuthEnable
        | Method::AuthDisable
        | Method::AuthStatus
        | Method::Authenticate
        | Method::UserAdd
        | Method::UserGet
        | Method::UserList
        | Method::UserDelete
        | Method::UserChangePassword
        | Method::UserGrantRole
        | Method::UserRevokeRole
        | Method::RoleAdd
        | Method::RoleGet
        | Method::RoleList
        | Method::RoleDelete
        | Method::RoleGrantPermission
        | Method::RoleRevokePermission => auth::dispatch(call).await,
        Method::Lock => Box::pin(lock::lock(call)).await,
        Method::Unlock => Box::pin(lock::unlock(call)).await,
        Method::Campaign => Box::pin(election::campaign(call)).await,
        Method::Proclaim => Box::pin(election::proclaim(call)).await,
        Method::Leader => Box::pin(election::leader(call)).await,
        Method::Observe => Box::pin(election::observe(call)).await,
        Method::Resign => Box::pin(election::resign(call)).await,
        Method::HealthCheck => health::check(call).await,
        Method::HealthWatch => health::watch(call).await,
        Method::HealthList => health::list(call).await,
    }
}

/// A method with one request and one reply: read, check, run, answer.
///
/// # Errors
/// How the call ends, unless with success.
async fn unary<M: Member, Q: Message + Name + Default, P: Message>(
    call: &mut Call<M>,
    check: impl FnOnce(&Q) -> Result<(), Reason>,
    run: impl AsyncFnOnce(&M, Caller, Q) -> Result<P, Reason>,
) -> Result<(), End> {
    let request = call.unary_request().await?;
    call.admit(call.method == Method::Status)?;
    check(&request)?;
    let caller = std::mem::take(&mut call.caller);
    let reply = call.exchange.wait(pin!(run(&call.thread.member, caller, request))).await??;
    call.send(&reply).await
}
