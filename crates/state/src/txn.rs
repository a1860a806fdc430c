//! Transactions: compares on the state before, checks, then operations in order (contract/semantics.md section 3).

use bytes::Bytes;
use mvcc::{Change, Keys, Store};
use proto::{
    etcdserverpb::{
        Compare, PutRequest, RangeRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest,
        TxnResponse,
        compare::{CompareTarget, TargetUnion},
        request_op::Request,
        response_op::Response,
    },
    mvccpb::KeyValue,
};
use types::{
    KeyRange,
    mutant::{self, Mutant},
};

use crate::{
    counts::Counts,
    kv::{self, KvTxn},
    read,
    rejection::Failure,
};

/// Whether every operation of both branches is a range: then nothing needs to be proposed. A nested
/// transaction makes it a write, whatever it holds.
pub fn is_read_only(txn: &TxnRequest) -> bool {
    both_branches(txn).all(|op| matches!(op.request, Some(Request::RequestRange(_))))
}

/// Whether a read-only transaction may be answered from local state: every range says so. True without any
/// operation.
pub fn is_serializable(txn: &TxnRequest) -> bool {
    both_branches(txn)
        .all(|op| matches!(&op.request, Some(Request::RequestRange(range)) if range.serializable))
}

fn both_branches(txn: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    txn.success.iter().chain(&txn.failure)
}

/// Which branch each transaction takes: this one, then the nested ones of the taken branch, in order.
#[derive(Debug)]
struct Path {
    succeeded: bool,
    nested: Vec<Path>,
}

impl Path {
    /// All compares, of nested transactions too, see the state before the transaction.
    fn of(store: &Store, txn: &TxnRequest) -> Result<Path, Failure> {
        let mut succeeded = true;
        for compare in &txn.compare {
            if !holds(store, compare)? {
                succeeded = false;
                break;
            }
        }
        let mut path = Path { succeeded, nested: Vec::new() };
        for op in path.ops(txn) {
            if let Some(Request::RequestTxn(inner)) = &op.request {
                let nested = Path::of(store, inner)?;
                path.nested.push(nested);
            }
        }
        Ok(path)
    }

    fn ops<'a>(&self, txn: &'a TxnRequest) -> &'a [RequestOp] {
        if self.succeeded { &txn.success } else { &txn.failure }
    }
}

fn holds(store: &Store, compare: &Compare) -> Result<bool, Failure> {
    let range = KeyRange::new(compare.key.clone(), compare.range_end.clone());
    let rows = store.range(&range, 0, 0, Keys::Skip)?.rows;
    let by_value = compare.target == CompareTarget::Value as i32;
    if rows.is_empty() {
        // There is no way to tell an absent value from an empty one, so no compare of it holds.
        return Ok(!by_value && holds_for(compare, &KeyValue::default()));
    }
    let from_index = !by_value && compare.target != CompareTarget::Lease as i32;
    for row in &rows {
        let kv = if from_index {
            KeyValue {
                create_revision: row.create_revision,
                mod_revision: row.rev.main,
                version: row.version,
                ..KeyValue::default()
            }
        } else {
            read::key_value(store, row)?
        };
        if !holds_for(compare, &kv) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A compare of an undefined target compares nothing and so as equal; one of an undefined result holds.
fn holds_for(compare: &Compare, kv: &KeyValue) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};

    use proto::etcdserverpb::compare::CompareResult;

    let operand = compare.target_union.as_ref();
    let ordering = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Value) => kv.value.cmp(match operand {
            Some(TargetUnion::Value(value)) => value,
            _ => &EMPTY,
        }),
        Ok(CompareTarget::Version) => kv.version.cmp(match operand {
            Some(TargetUnion::Version(version)) => version,
            _ => &0,
        }),
        Ok(CompareTarget::Create) => kv.create_revision.cmp(match operand {
            Some(TargetUnion::CreateRevision(revision)) => revision,
            _ => &0,
        }),
        Ok(CompareTarget::Mod) => kv.mod_revision.cmp(match operand {
            Some(TargetUnion::ModRevision(revision)) => revision,
            _ => &0,
        }),
        Ok(CompareTarget::Lease) => kv.lease.cmp(match operand {
            Some(TargetUnion::Lease(lease)) => lease,
            _ => &0,
        }),
        Err(_) => Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering == Equal,
        Ok(CompareResult::NotEqual) => ordering != Equal,
        Ok(CompareResult::Greater) => ordering == Greater,
        Ok(CompareResult::Less) => ordering == Less,
        Err(_) => true,
    }
}

static EMPTY: Bytes = Bytes::new();

/// Runs a read-only transaction on the store.
///
/// # Errors
/// `Compacted`, `FutureRevision`.
pub(crate) fn run_read_only(store: &Store, txn: &TxnRequest) -> Result<TxnResponse, Failure> {
    let path = Path::of(store, txn)?;
    check(store, txn, &path, &|_| Ok(()))?;
    let mut responses = Vec::new();
    for op in path.ops(txn) {
        let Some(Request::RequestRange(range)) = &op.request else {
            unreachable!("the caller has checked that every operation is a range");
        };
        responses.push(respond(Response::ResponseRange(run_range(store, range)?)));
    }
    Ok(TxnResponse { header: header(store.revision()), succeeded: path.succeeded, responses })
}

/// Runs a transaction that may write. Nothing is changed when it is refused.
///
/// # Errors
/// `Compacted`, `FutureRevision`, `KeyNotFound`, lease not found.
pub(crate) fn run(
    store: &mut Store,
    leases: &mut lease::Leases,
    txn: &TxnRequest,
) -> Result<(TxnResponse, Vec<Change>, Counts), Failure> {
    let path = Path::of(store, txn)?;
    if !mutant::is_on(Mutant::HalfTxn) {
        check(store, txn, &path, &|put| kv::check_put(store, leases, put))?;
    }
    let mut kv_txn = KvTxn::begin(store, leases);
    let mut response = execute(&mut kv_txn, txn, &path)?;
    response.header = header(kv_txn.revision());
    let (changes, counts) = kv_txn.finish();
    Ok((response, changes, counts))
}

type PutCheck<'a> = dyn Fn(&PutRequest) -> Result<(), Failure> + 'a;

/// Refuses the whole transaction for the first operation of the taken branches that cannot run.
fn check(store: &Store, txn: &TxnRequest, path: &Path, put_check: &PutCheck<'_>) -> Result<(), Failure> {
    let mut nested = path.nested.iter();
    for op in path.ops(txn) {
        match &op.request {
            Some(Request::RequestRange(range)) => store.check_txn_read(range.revision)?,
            Some(Request::RequestPut(put)) => put_check(put)?,
            Some(Request::RequestTxn(inner)) => {
                check(store, inner, nested.next().expect("one path per nested transaction"), put_check)?;
            }
            Some(Request::RequestDeleteRange(_)) | None => {}
        }
    }
    Ok(())
}

fn execute(kv_txn: &mut KvTxn<'_>, txn: &TxnRequest, path: &Path) -> Result<TxnResponse, Failure> {
    let mut nested = path.nested.iter();
    let mut responses = Vec::with_capacity(path.ops(txn).len());
    for op in path.ops(txn) {
        let response = match &op.request {
            Some(Request::RequestRange(range)) => {
                kv_txn.count_range();
                Response::ResponseRange(run_range(kv_txn.store(), range)?)
            }
            Some(Request::RequestPut(put)) => Response::ResponsePut(kv_txn.put(put)?),
            Some(Request::RequestDeleteRange(delete)) => {
                Response::ResponseDeleteRange(kv_txn.delete_range(delete)?)
            }
            Some(Request::RequestTxn(inner)) => {
                let inner_path = nested.next().expect("one path per nested transaction");
                Response::ResponseTxn(execute(kv_txn, inner, inner_path)?)
            }
            None => {
                responses.push(ResponseOp { response: None });
                continue;
            }
        };
        responses.push(respond(response));
    }
    Ok(TxnResponse { header: Some(ResponseHeader::default()), succeeded: path.succeeded, responses })
}

/// Runs a range whose answer is built whole.
pub(crate) fn run_range(store: &Store, request: &RangeRequest) -> Result<RangeResponse, Failure> {
    let chosen = read::choose(store, request)?;
    let kvs = chosen.key_values(store)?;
    Ok(RangeResponse { header: header(chosen.revision), kvs, more: chosen.more, count: chosen.count })
}

fn respond(response: Response) -> ResponseOp {
    ResponseOp { response: Some(response) }
}

/// A header that carries only a revision; the rest is the business of whoever answers the client.
pub(crate) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}
