//! What applying entries answers and changes, and that a state opened from any batch goes on alike.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use auth::Guarded;
use bytes::Bytes;
use lease::LeaseError;
use proptest::prelude::*;
use prost::Message;
use proto::etcdserverpb as pb;
use state::{Effect, Rejection, Reply};
use support::{
    Machine, alarm, compact, compare_value, compare_version, delete, grant, put, range, revoke, single, txn,
};

#[test]
fn a_write_has_one_revision_whatever_it_changes() {
    let mut machine = Machine::new();
    assert_eq!(machine.revision(), 1, "a fresh store");
    let applied = machine.apply(txn(vec![], vec![put("b", "1"), put("a", "2")], vec![]));
    let at: Vec<_> =
        applied.changes.iter().map(|c| (c.key.clone(), c.revision.main, c.revision.sub)).collect();
    assert_eq!(at, [(Bytes::from("b"), 2, 0), (Bytes::from("a"), 2, 1)]);
    assert!(machine.apply(single(delete("nothing", ""))).changes.is_empty());
    assert_eq!(machine.revision(), 2, "nothing was deleted");
}

/// etcd keeps mistyped fields of a request and writes them to its log.
#[test]
fn a_mistyped_field_in_an_entry_is_left_out() {
    let mut machine = Machine::new();
    // Field 4, a put, with a text where the lease should be.
    let applied = machine.try_apply_bytes(b"\x22\x09\x0a\x01k\x12\x01v\x1a\x01x").unwrap();
    assert!(applied.outcome.is_ok());
    assert_eq!(machine.rows(), [("k".to_string(), "v".to_string(), 1)]);
    assert!(machine.try_apply_bytes(b"\x22\x09\x0a").is_err(), "cut short");
}

/// An entry with so many transactions within each other, and a put at the bottom.
fn nested(levels: usize) -> proto::etcdserverpb::InternalRaftRequest {
    let mut entry = txn(vec![], vec![put("bottom", "v")], vec![]);
    for _ in 1..levels {
        let request = pb::request_op::Request::RequestTxn(entry.txn.unwrap());
        entry = txn(vec![compare_version("k", 0)], vec![pb::RequestOp { request: Some(request) }], vec![]);
    }
    entry
}

/// The levels of an answer.
fn levels(reply: &pb::TxnResponse) -> usize {
    let (mut reply, mut count) = (reply, 1);
    while let Some(pb::response_op::Response::ResponseTxn(inner)) = &reply.responses[0].response {
        (reply, count) = (inner, count + 1);
    }
    count
}

/// What etcd wrote must be applied, also when it is deeper than our own flags allow: entries are bounded by the decoder
/// only. On the stack of the thread that applies them.
#[test]
fn transactions_of_a_log_are_applied_at_any_depth_that_etcd_knows() {
    let apply = || {
        // Two messages for each transaction, an operation and its request for the put, less the one operation that the
        // outermost is not in; but that one is in the entry.
        let deepest = (proto::DEPTH_MAX - 2) / 2;
        for depth in [100, 129, deepest] {
            let (mut machine, entry) = (Machine::new(), nested(depth));
            assert_eq!(entry.accesses().len(), depth, "each compare, and the put");
            let reply = machine.txn(entry);
            assert_eq!(levels(&reply), depth);
            let bytes = reply.encode_to_vec();
            assert_eq!(bytes.len(), reply.encoded_len());
            assert_eq!(machine.rows(), [("bottom".to_string(), "v".to_string(), 1)]);
            let before = machine.facts();
            machine.reopen();
            assert_eq!(machine.facts(), before, "once more from the log");
        }
        let error = Machine::new().try_apply(nested(deepest + 1)).unwrap_err();
        assert!(error.contains("recursion depth"), "{error}");
    };
    std::thread::Builder::new().stack_size(proto::STACK_BYTES).spawn(apply).unwrap().join().unwrap();
}

/// contract/semantics.md 3.1
#[test]
fn compares_see_the_state_before_and_ranges_the_state_within() {
    let mut machine = Machine::new();
    let nested = txn(vec![compare_version("k", 0)], vec![put("nested", "yes")], vec![]).txn.unwrap();
    let nested = pb::RequestOp { request: Some(pb::request_op::Request::RequestTxn(nested)) };
    let reply = machine.txn(txn(vec![], vec![put("k", "v"), nested, range("k")], vec![]));
    let pb::response_op::Response::ResponseTxn(inner) = reply.responses[1].response.clone().unwrap() else {
        panic!("{reply:?}");
    };
    assert!(inner.succeeded, "the nested compare does not see the put before it");
    let pb::response_op::Response::ResponseRange(seen) = reply.responses[2].response.clone().unwrap() else {
        panic!("{reply:?}");
    };
    assert_eq!(seen.kvs[0].value, "v");
}

/// contract/semantics.md 3.2
#[test]
fn a_value_compare_holds_for_no_absent_key_and_an_undefined_result_for_any() {
    let mut machine = Machine::new();
    assert!(!machine.txn(txn(vec![compare_value("absent", "")], vec![], vec![])).succeeded);
    assert!(machine.txn(txn(vec![compare_version("absent", 0)], vec![], vec![])).succeeded);
    let undefined = pb::Compare { result: 17, ..compare_version("absent", 5) };
    assert!(machine.txn(txn(vec![undefined], vec![], vec![])).succeeded);
}

#[test]
fn a_refused_transaction_changes_nothing() {
    let mut machine = Machine::new();
    machine.apply(single(put("k", "v")));
    let before = machine.rows();
    let orphan = support::put_with("x", "", |put| put.lease = 99);
    let keep = support::put_with("absent", "", |put| put.ignore_value = true);
    for (refused, why) in [
        (orphan, Rejection::Lease(LeaseError::NotFound(types::LeaseId(99)))),
        (keep, Rejection::KeyNotFound),
        (support::range_at("k", 99), Rejection::FutureRevision),
    ] {
        let applied = machine.apply(txn(vec![], vec![put("k", "other"), delete("k", ""), refused], vec![]));
        assert_eq!(applied.outcome.unwrap_err(), why);
        assert_eq!((applied.changes.len(), machine.revision()), (0, 2));
    }
    assert_eq!(machine.rows(), before);
}

/// The gap of contract/semantics.md 3.6: a delete to the end of all keys is not seen by the duplicate rule.
#[test]
fn a_put_keeps_nothing_of_a_key_that_its_own_transaction_deleted() {
    let mut machine = Machine::new();
    machine.apply(single(put("k", "old")));
    let keep = support::put_with("k", "", |put| put.ignore_value = true);
    let applied = machine.apply(txn(vec![], vec![delete("a", "\0"), keep], vec![]));
    assert!(applied.outcome.is_ok());
    assert_eq!(machine.rows(), [("k".to_string(), String::new(), 1)], "created anew, with no value");
}

#[test]
fn a_revoke_deletes_the_keys_of_the_lease_at_one_revision() {
    let mut machine = Machine::new();
    machine.apply(grant(7));
    for key in ["c", "a", "b"] {
        machine.apply(single(support::put_with(key, "v", |put| put.lease = 7)));
    }
    machine.apply(single(put("a", "free again")));
    let applied = machine.apply(revoke(7));
    let deleted: Vec<_> = applied.changes.iter().map(|c| (c.key.clone(), c.revision.main)).collect();
    assert_eq!(deleted, [(Bytes::from("b"), 6), (Bytes::from("c"), 6)]);
    assert_eq!(
        machine.apply(revoke(7)).outcome.unwrap_err(),
        Rejection::Lease(LeaseError::NotFound(types::LeaseId(7)))
    );
}

/// contract/semantics.md 9.2-9.4
#[test]
fn alarms_refuse_what_would_grow_or_trust_the_file() {
    let mut machine = Machine::new();
    machine.apply(single(put("k", "v")));
    let puts_in_failure = || txn(vec![], vec![], vec![put("k", "v")]);
    assert_eq!(machine.apply(alarm(pb::AlarmType::Nospace, true)).effect, Some(Effect::Alarms));
    for refused in [single(put("k", "v")), puts_in_failure(), grant(1)] {
        assert_eq!(machine.apply(refused).outcome.unwrap_err(), Rejection::NoSpace);
    }
    for allowed in [single(delete("k", "")), txn(vec![], vec![delete("k", "")], vec![]), compact(2)] {
        assert!(machine.apply(allowed).outcome.is_ok());
    }
    machine.apply(alarm(pb::AlarmType::Nospace, false));
    machine.apply(alarm(pb::AlarmType::Corrupt, true));
    for refused in
        [single(put("k", "v")), single(delete("k", "")), puts_in_failure(), compact(3), grant(1), revoke(1)]
    {
        assert_eq!(machine.apply(refused).outcome.unwrap_err(), Rejection::Corrupt);
    }
    machine.apply(alarm(pb::AlarmType::Corrupt, false));
    assert!(machine.apply(single(put("k", "v"))).outcome.is_ok());
}

#[test]
fn a_compaction_answers_at_once_and_says_what_is_to_do() {
    let mut machine = Machine::new();
    machine.apply(single(put("k", "1")));
    machine.apply(single(put("k", "2")));
    let physical = pb::CompactionRequest { revision: 2, physical: true };
    let request = || pb::InternalRaftRequest { compaction: Some(physical), ..Default::default() };
    let applied = machine.apply(request());
    assert_eq!(applied.effect, Some(Effect::Compacted { revision: 2, physical: true }));
    let applied = machine.apply(request());
    assert_eq!(
        (applied.outcome.unwrap_err(), applied.effect),
        (Rejection::Compacted, Some(Effect::WaitForCompaction))
    );
    assert_eq!(machine.apply(compact(9)).outcome.unwrap_err(), Rejection::FutureRevision);
}

#[test]
fn an_entry_that_holds_no_known_request_stops_the_member() {
    let mut machine = Machine::new();
    assert!(machine.try_apply_bytes(&[0xff; 9]).is_err());
    let mut machine = Machine::new();
    let nothing = pb::InternalRaftRequest { id: 5, ..Default::default() };
    assert!(machine.try_apply(nothing).is_err());
}

/// One of the writes that the property draws.
fn request() -> impl Strategy<Value = pb::InternalRaftRequest> {
    let key = || prop::sample::select(vec!["a", "b", "c", "d", "e"]);
    prop_oneof![
        6 => (key(), "[a-z]{0,8}", 0i64..3).prop_map(|(key, value, lease)| {
            single(support::put_with(key, &value, |put| put.lease = lease))
        }),
        2 => key().prop_map(|key| single(delete(key, ""))),
        1 => key().prop_map(|key| single(delete(key, "d"))),
        3 => (key(), 0i64..3, key(), key()).prop_map(|(guard, version, one, other)| {
            txn(vec![compare_version(guard, version)], vec![put(one, "txn"), range(other)], vec![delete(other, "")])
        }),
        1 => (1i64..3).prop_map(grant),
        1 => (1i64..3).prop_map(revoke),
        1 => (1i64..40).prop_map(compact),
        1 => (any::<bool>()).prop_map(|on| alarm(pb::AlarmType::Nospace, on)),
        1 => "[uv]".prop_map(|name| pb::InternalRaftRequest {
            auth_user_add: Some(pb::AuthUserAddRequest { name, hashed_password: "aGFzaA==".into(), ..Default::default() }),
            ..Default::default()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// A state that is opened from the file in the middle, and given the rest of the log, answers and ends like
    /// one that never stopped: nothing that decides lives in memory alone.
    #[test]
    fn a_restart_anywhere_changes_no_answer(
        log in prop::collection::vec(request(), 1..60), commits in prop::collection::vec(0usize..60, 0..6),
        restart in 0usize..60,
    ) {
        let (mut steady, mut restarted) = (Machine::new(), Machine::new());
        for (n, request) in log.into_iter().enumerate() {
            if commits.contains(&n) {
                restarted.commit();
            }
            if n == restart {
                restarted.reopen();
            }
            let (one, other) = (steady.apply(request.clone()), restarted.apply(request));
            prop_assert_eq!(answer(&one.outcome), answer(&other.outcome));
            prop_assert_eq!(one.changes.len(), other.changes.len());
        }
        restarted.reopen();
        prop_assert_eq!(steady.facts(), restarted.facts());
    }
}

fn answer(outcome: &Result<Reply, Rejection>) -> String {
    format!("{outcome:?}")
}
