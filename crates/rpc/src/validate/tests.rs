use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use proto::etcdserverpb::Compare;

use super::*;

fn put_op(key: &str) -> RequestOp {
    let put = PutRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..PutRequest::default() };
    RequestOp { request: Some(Request::RequestPut(put)) }
}

fn delete_op(key: &str, end: &str) -> RequestOp {
    let delete = DeleteRangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(end.as_bytes()),
        ..DeleteRangeRequest::default()
    };
    RequestOp { request: Some(Request::RequestDeleteRange(delete)) }
}

fn txn_op(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
    let txn = TxnRequest { compare: Vec::new(), success, failure };
    RequestOp { request: Some(Request::RequestTxn(txn)) }
}

fn check_txn(success: Vec<RequestOp>) -> Checked {
    txn(&TxnRequest { compare: Vec::new(), success, failure: Vec::new() }, 128)
}

#[test]
fn ranges() {
    let key = Bytes::from_static(b"a");
    let good = RangeRequest { key: key.clone(), ..RangeRequest::default() };
    assert_eq!(range(&good), Ok(()));
    assert_eq!(range(&RangeRequest::default()), Err(Reason::EmptyKey));
    assert_eq!(range(&RangeRequest { sort_order: 3, ..good.clone() }), Err(Reason::InvalidSortOption));
    assert_eq!(range(&RangeRequest { sort_target: -1, ..good.clone() }), Err(Reason::InvalidSortOption));
    assert_eq!(range_stream(&good), Ok(()));
    assert_eq!(range_stream(&RangeRequest { sort_order: 1, ..good.clone() }), Ok(()));
    assert_eq!(range_stream(&RangeRequest { sort_order: 2, ..good.clone() }), Err(Reason::RangeStreamSort));
    assert_eq!(range_stream(&RangeRequest { sort_target: 1, ..good.clone() }), Ok(()));
    let by_version = RangeRequest { sort_order: 1, sort_target: 1, ..good.clone() };
    assert_eq!(range_stream(&by_version), Err(Reason::RangeStreamSort));
    assert_eq!(
        range_stream(&RangeRequest { min_mod_revision: 1, ..good.clone() }),
        Err(Reason::RangeStreamFilter)
    );
}

#[test]
fn puts() {
    let good = PutRequest { key: Bytes::from_static(b"a"), ..PutRequest::default() };
    let value = Bytes::from_static(b"v");
    assert_eq!(put(&good), Ok(()));
    assert_eq!(put(&PutRequest::default()), Err(Reason::EmptyKey));
    assert_eq!(put(&PutRequest { ignore_value: true, value, ..good.clone() }), Err(Reason::ValueProvided));
    assert_eq!(put(&PutRequest { ignore_lease: true, lease: 1, ..good }), Err(Reason::LeaseProvided));
}

#[test]
fn txn_operations_are_counted_per_level() {
    let many: Vec<_> = (0..129).map(|i| put_op(&format!("k{i}"))).collect();
    assert_eq!(check_txn(many[..128].to_vec()), Ok(()));
    assert_eq!(check_txn(many.clone()), Err(Reason::TooManyOps));
    let nested = |inner: usize| vec![put_op("outer"), txn_op(many[..inner].to_vec(), vec![])];
    assert_eq!(check_txn(nested(126)), Ok(()));
    assert_eq!(check_txn(nested(127)), Err(Reason::TooManyOps));
    let compares = TxnRequest { compare: vec![Compare::default()], ..TxnRequest::default() };
    assert_eq!(txn(&compares, 128), Err(Reason::EmptyKey));
    assert_eq!(txn(&compares, 0), Err(Reason::TooManyOps));
    assert_eq!(check_txn(vec![RequestOp::default()]), Err(Reason::KeyNotFound));
}

/// Levels share the budget of operations; nothing else bounds them (contract/semantics.md 3.4).
#[test]
fn transactions_nest_as_deep_as_their_operations_allow() {
    let nested = |levels: usize| {
        (0..levels).fold(TxnRequest::default(), |inner, level| {
            let op = RequestOp { request: Some(Request::RequestTxn(inner)) };
            let (success, failure) = if level % 2 == 0 { (vec![op], vec![]) } else { (vec![], vec![op]) };
            TxnRequest { compare: vec![], success, failure }
        })
    };
    assert_eq!(txn(&nested(128), 128), Ok(()));
    assert_eq!(txn(&nested(129), 128), Err(Reason::TooManyOps));
    // As deep as one may come, on the stack of a thread that serves.
    let deepest = move || {
        let levels = (proto::DEPTH_MAX - 1) / 2;
        let request = nested(levels);
        assert_eq!(txn(&request, levels), Ok(()));
        assert_eq!(txn(&request, levels - 1), Err(Reason::TooManyOps));
    };
    std::thread::Builder::new().stack_size(proto::STACK_BYTES).spawn(deepest).unwrap().join().unwrap();
}

#[test]
fn duplicate_rule() {
    let refused = [
        ("same level", vec![put_op("a"), put_op("a")]),
        ("level and nested", vec![put_op("a"), txn_op(vec![put_op("a")], vec![])]),
        ("siblings", vec![txn_op(vec![put_op("a")], vec![]), txn_op(vec![], vec![put_op("a")])]),
        ("delete of the level", vec![put_op("b"), delete_op("a", "c")]),
        ("delete of a point", vec![put_op("a"), delete_op("a", "")]),
        ("enclosing delete", vec![txn_op(vec![put_op("b")], vec![]), delete_op("a", "c")]),
        (
            "earlier sibling delete",
            vec![txn_op(vec![delete_op("a", "c")], vec![]), txn_op(vec![put_op("b")], vec![])],
        ),
        ("nested delete", vec![put_op("b"), txn_op(vec![], vec![delete_op("a", "c")])]),
    ];
    for (name, ops) in refused {
        assert_eq!(check_txn(ops), Err(Reason::DuplicateKey), "{name}");
    }
    let accepted = [
        ("overlapping deletes", vec![delete_op("a", "c"), delete_op("b", "d")]),
        ("exclusive branches", vec![txn_op(vec![put_op("a")], vec![put_op("a")])]),
        ("put here, delete there", vec![txn_op(vec![put_op("a")], vec![delete_op("a", "")])]),
        (
            "later sibling delete",
            vec![txn_op(vec![put_op("b")], vec![]), txn_op(vec![delete_op("a", "c")], vec![])],
        ),
        ("delete from key", vec![put_op("b"), delete_op("a", "\0")]),
        ("inverted delete", vec![put_op("b"), delete_op("c", "a")]),
        ("end is excluded", vec![put_op("c"), delete_op("a", "c")]),
    ];
    for (name, ops) in accepted {
        assert_eq!(check_txn(ops), Ok(()), "{name}");
    }
    let both = TxnRequest { compare: vec![], success: vec![put_op("a")], failure: vec![put_op("a")] };
    assert_eq!(txn(&both, 128), Ok(()));
}

#[test]
fn many_nested_puts_are_checked_quickly() {
    // 8 × 8 × 8 × 8 nested puts under a chain of transactions with a delete each.
    fn tree(depth: usize, path: &mut String) -> Vec<RequestOp> {
        (0..8)
            .map(|i| {
                let len = path.len();
                path.push(char::from(b'a' + i));
                let op = if depth == 0 { put_op(path) } else { txn_op(tree(depth - 1, path), vec![]) };
                path.truncate(len);
                op
            })
            .collect()
    }
    let mut ops = tree(3, &mut String::from("k"));
    for _ in 0..20 {
        ops = vec![delete_op("z", "zz"), txn_op(ops, vec![])];
    }
    assert_eq!(check_txn(ops), Ok(()));
}

#[test]
fn urls() {
    let check = |urls: &[&str]| peer_urls(&urls.iter().map(|u| (*u).to_owned()).collect::<Vec<_>>());
    for good in ["http://10.0.0.1:2380", "https://[::1]:2380", " http://h:1 ", "unix://sock", "http://:2380"]
    {
        assert_eq!(check(&[good]), Ok(()), "{good}");
    }
    for bad in
        ["", "h:1", "http://h", "http://h:1/", "http://h:1/path", "tcp://h:1", "http://::1:1", "http://h:x"]
    {
        assert_eq!(check(&[bad]), Err(Reason::BadMemberUrls), "{bad}");
    }
    assert_eq!(check(&[]), Err(Reason::BadMemberUrls));
}

#[test]
fn alarm_actions() {
    for (action, expected) in [(0, Ok(())), (2, Ok(())), (3, Err(Reason::UnknownMethod))] {
        assert_eq!(alarm(&AlarmRequest { action, ..AlarmRequest::default() }), expected);
    }
}

/// The rule as etcd states it, quadratically.
mod model {
    use super::*;

    type Set = Vec<(Vec<u8>, Vec<u8>)>;

    fn covers(deletes: &Set, key: &[u8]) -> bool {
        deletes.iter().any(
            |(start, end)| {
                if end.is_empty() { key == start } else { key >= &start[..] && key < &end[..] }
            },
        )
    }

    pub(super) fn check(ops: &[RequestOp]) -> Result<(Vec<Vec<u8>>, Set), ()> {
        let mut deletes = Set::new();
        for op in ops {
            if let Some(Request::RequestDeleteRange(d)) = &op.request {
                deletes.push((d.key.to_vec(), d.range_end.to_vec()));
            }
        }
        let mut puts: Vec<Vec<u8>> = Vec::new();
        for op in ops {
            let Some(Request::RequestTxn(txn)) = &op.request else { continue };
            let (then_puts, then_deletes) = check(&txn.success)?;
            let (else_puts, else_deletes) = check(&txn.failure)?;
            let before = puts.clone();
            for key in then_puts.iter().chain(&else_puts) {
                if before.contains(key) || covers(&deletes, key) {
                    return Err(());
                }
                puts.push(key.clone());
            }
            deletes.extend(then_deletes);
            deletes.extend(else_deletes);
        }
        for op in ops {
            let Some(Request::RequestPut(put)) = &op.request else { continue };
            if puts.contains(&put.key.to_vec()) || covers(&deletes, &put.key) {
                return Err(());
            }
            puts.push(put.key.to_vec());
        }
        Ok((puts, deletes))
    }
}

fn any_op() -> impl Strategy<Value = RequestOp> {
    let leaf = prop_oneof![
        3 => "[a-e]{1,2}".prop_map(|key| put_op(&key)),
        2 => ("[a-e]{1,2}", "([a-e]{0,2}|\0)").prop_map(|(key, end)| delete_op(&key, &end)),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..4);
        (list(), list()).prop_map(|(success, failure)| txn_op(success, failure))
    })
}

proptest! {
    #[test]
    fn duplicates_agree_with_the_model(ops in prop::collection::vec(any_op(), 0..5)) {
        prop_assert_eq!(duplicates::check(&ops).is_ok(), model::check(&ops).is_ok());
    }

    #[test]
    fn decoded_noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        if let Ok(request) = TxnRequest::decode(bytes.clone()) {
            let _ = txn(&request, 128);
        }
        if let Ok(request) = RangeRequest::decode(bytes.clone()) {
            let _ = range_stream(&request);
        }
        if let Ok(request) = AlarmRequest::decode(bytes) {
            let _ = alarm(&request);
        }
    }
}
