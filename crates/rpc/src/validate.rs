//! What is refused before a request reaches the member, so that nothing malformed is ever proposed.
//!
//! Everything here is a pure function of the request (contract/semantics.md 2.12, 2.13, 3.4, 3.5). The rule
//! about one key written twice in a transaction has its own file, [`duplicates`].

use proto::etcdserverpb::{
    AlarmRequest, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, alarm_request,
    range_request::{SortOrder, SortTarget},
    request_op::Request,
};

use crate::status::Reason;

mod duplicates;
#[cfg(test)]
mod tests;

type Checked = Result<(), Reason>;

/// A Range, alone or in a transaction.
///
/// # Errors
/// `EmptyKey`, `InvalidSortOption`.
pub fn range(request: &RangeRequest) -> Checked {
    non_empty(&request.key)?;
    if SortOrder::try_from(request.sort_order).is_err() || SortTarget::try_from(request.sort_target).is_err()
    {
        return Err(Reason::InvalidSortOption);
    }
    Ok(())
}

/// A RangeStream: as a Range, and in key order without revision filters (no order at all is key order,
/// whatever the target).
///
/// # Errors
/// As [`range`], `RangeStreamSort`, `RangeStreamFilter`.
pub fn range_stream(request: &RangeRequest) -> Checked {
    range(request)?;
    let in_key_order = match request.sort_order() {
        SortOrder::None => true,
        SortOrder::Ascend => request.sort_target() == SortTarget::Key,
        SortOrder::Descend => false,
    };
    if !in_key_order {
        return Err(Reason::RangeStreamSort);
    }
    let filters = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    if filters.iter().any(|&revision| revision != 0) {
        return Err(Reason::RangeStreamFilter);
    }
    Ok(())
}

/// A Put, alone or in a transaction.
///
/// # Errors
/// `EmptyKey`, `ValueProvided`, `LeaseProvided`.
pub fn put(request: &PutRequest) -> Checked {
    non_empty(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(Reason::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Reason::LeaseProvided);
    }
    Ok(())
}

/// A DeleteRange, alone or in a transaction.
///
/// # Errors
/// `EmptyKey`.
pub fn delete_range(request: &DeleteRangeRequest) -> Checked {
    non_empty(&request.key)
}

/// A transaction with all that is nested in it. `ops_max` is `--max-txn-ops`.
///
/// # Errors
/// `TooManyOps`, `KeyNotFound` for an operation without content, `DuplicateKey`, and those of its operations.
pub fn txn(request: &TxnRequest, ops_max: usize) -> Checked {
    operations(request, ops_max)?;
    duplicates::check(&request.success)?;
    duplicates::check(&request.failure)
}

/// The longest list counts against `budget`; nested transactions share what it leaves.
fn operations(request: &TxnRequest, budget: usize) -> Checked {
    let longest = request.compare.len().max(request.success.len()).max(request.failure.len());
    let Some(left) = budget.checked_sub(longest) else {
        return Err(Reason::TooManyOps);
    };
    request.compare.iter().try_for_each(|compare| non_empty(&compare.key))?;
    request.success.iter().chain(&request.failure).try_for_each(|op| operation(op, left))
}

fn operation(op: &RequestOp, budget: usize) -> Checked {
    match &op.request {
        Some(Request::RequestRange(request)) => range(request),
        Some(Request::RequestPut(request)) => put(request),
        Some(Request::RequestDeleteRange(request)) => delete_range(request),
        Some(Request::RequestTxn(request)) => operations(request, budget),
        None => Err(Reason::KeyNotFound),
    }
}

/// An Alarm call names a defined action; etcd answers an undefined one with an empty reply.
///
/// # Errors
/// `UnknownMethod`.
pub fn alarm(request: &AlarmRequest) -> Checked {
    match alarm_request::AlarmAction::try_from(request.action) {
        Ok(_) => Ok(()),
        Err(_) => Err(Reason::UnknownMethod),
    }
}

/// The peer URLs of a member: at least one, `http(s)://host:port` without a path, or a unix socket.
///
/// # Errors
/// `BadMemberUrls`.
pub fn peer_urls(urls: &[String]) -> Checked {
    if node::are_peer_urls(urls) { Ok(()) } else { Err(Reason::BadMemberUrls) }
}

fn non_empty(key: &[u8]) -> Checked {
    if key.is_empty() { Err(Reason::EmptyKey) } else { Ok(()) }
}
