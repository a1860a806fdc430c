//! KV.

use e2e::server::Server;
use proto::etcdserverpb::{
    self as pb, Compare, RangeRequest, RangeResponse, RangeStreamResponse, TxnRequest,
    compare::{CompareResult, CompareTarget, TargetUnion},
    range_request::{SortOrder, SortTarget},
    response_op::Response,
};

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    put_makes_one_revision => "grpc" ["etcdserverpb.KV/Put"];
    put_keeps_and_moves_leases => "grpc" ["etcdserverpb.KV/Put", "etcdserverpb.KV/Range"];
    range_by_key_prefix_and_end => "grpc" ["etcdserverpb.KV/Range"];
    range_sorts_filters_and_limits => "grpc" ["etcdserverpb.KV/Range"];
    range_at_older_revisions => "grpc" ["etcdserverpb.KV/Range"];
    range_stream_is_a_range_in_chunks => "grpc" ["etcdserverpb.KV/RangeStream"];
    delete_range_counts_and_returns_pairs => "grpc" ["etcdserverpb.KV/DeleteRange"];
    txn_takes_a_branch_at_one_revision => "grpc" ["etcdserverpb.KV/Txn"];
    txn_compares => "grpc" ["etcdserverpb.KV/Txn"];
    txn_nested => "grpc" ["etcdserverpb.KV/Txn"];
    compact_forgets_history => "grpc" ["etcdserverpb.KV/Compact"];
    revisions_survive_a_restart => "grpc" ["etcdserverpb.KV/Put", "etcdserverpb.KV/Compact"];
}

/// 1.1, 1.2, 1.5: a fresh store is at revision 1; each write adds one.
fn put_makes_one_revision() {
    let server = Server::start(&[]);
    let client = server.client();
    let empty = client.ok(range("a"));
    assert_eq!((revision(&empty.header), empty.count, empty.kvs.len(), empty.more), (1, 0, 0, false));
    assert_eq!(revision(&put_ok(&client, "a", "1").header), 2);
    let second = client.ok(pb::PutRequest { prev_kv: true, ..put("a", "2") });
    let header = second.header.unwrap();
    assert_eq!(header.revision, 3);
    assert!(header.cluster_id != 0 && header.member_id != 0 && header.raft_term == 2, "{header:?}");
    let before = second.prev_kv.unwrap();
    assert_eq!(
        (before.create_revision, before.mod_revision, before.version, &before.value[..]),
        (2, 2, 1, &b"1"[..])
    );
    // An equal value is a change, too.
    put_ok(&client, "a", "2");
    let now = client.ok(range("a")).kvs.remove(0);
    assert_eq!((now.create_revision, now.mod_revision, now.version, now.lease), (2, 4, 3, 0));
    // Without prev_kv none is sent; of an absent key there is none.
    assert_eq!(put_ok(&client, "a", "3").prev_kv, None);
    assert_eq!(client.ok(pb::PutRequest { prev_kv: true, ..put("new", "") }).prev_kv, None);
}

/// 1.8, 1.9: a lease stays only when the same one is given, or `ignore_lease`.
fn put_keeps_and_moves_leases() {
    let server = Server::shared();
    let client = server.client();
    let (first, second) = (grant(&client, 100), grant(&client, 100));
    let lease_of = |key| client.ok(range(key)).kvs[0].lease;
    client.ok(pb::PutRequest { lease: first, ..put("lease/k", "v") });
    assert_eq!(lease_of("lease/k"), first);
    client.ok(pb::PutRequest { ignore_lease: true, ..put("lease/k", "w") });
    assert_eq!(lease_of("lease/k"), first);
    client.ok(pb::PutRequest { lease: second, ignore_value: true, ..put("lease/k", "") });
    assert_eq!((lease_of("lease/k"), get(&client, "lease/k").as_deref()), (second, Some("w")));
    put_ok(&client, "lease/k", "x");
    assert_eq!(lease_of("lease/k"), 0);
    for id in [first, second] {
        let left = client.ok(pb::LeaseTimeToLiveRequest { id, keys: true });
        assert!(left.keys.is_empty(), "{left:?}");
    }
}

/// 2.1, 2.5, 2.7, 2.8.
fn range_by_key_prefix_and_end() {
    let server = Server::start(&[]);
    let client = server.client();
    for key in ["b", "a", "aa", "ab", "c", "\u{ff}"] {
        put_ok(&client, key, "v");
    }
    let keys = |request: RangeRequest| -> Vec<String> {
        let reply = client.ok(request);
        reply.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
    };
    assert_eq!(keys(range("aa")), ["aa"]);
    assert_eq!(keys(prefix("a")), ["a", "aa", "ab"]);
    let from = |key: &str, end: &str| RangeRequest { range_end: text(end), ..range(key) };
    assert_eq!(keys(from("ab", "c")), ["ab", "b"]);
    assert_eq!(keys(from("ab", "\0")), ["ab", "b", "c", "\u{ff}"]);
    assert_eq!(keys(from("\0", "\0")).len(), 6);
    assert_eq!(keys(from("c", "a")), [""; 0], "an end before the key is an empty range");
    assert_eq!(keys(from("c", "c")), [""; 0]);

    let limited = client.ok(RangeRequest { limit: 2, ..prefix("a") });
    assert_eq!((limited.kvs.len(), limited.more, limited.count), (2, true, 3));
    let unlimited = client.ok(RangeRequest { limit: -1, ..prefix("a") });
    assert_eq!((unlimited.kvs.len(), unlimited.more), (3, false), "a negative limit is none");
    let counted = client.ok(RangeRequest { count_only: true, limit: 1, ..prefix("a") });
    assert_eq!((counted.kvs.len(), counted.more, counted.count), (0, false, 3));
    let bare = client.ok(RangeRequest { keys_only: true, ..range("a") });
    assert_eq!(
        (&bare.kvs[0].key[..], &bare.kvs[0].value[..], bare.kvs[0].mod_revision),
        (&b"a"[..], &b""[..], 3)
    );
    let local = client.ok(RangeRequest { serializable: true, ..range("a") });
    assert_eq!((pairs(&local), revision(&local.header)), (vec!["a=v".to_owned()], 7));
}

/// 2.5, 2.6, 2.7.
fn range_sorts_filters_and_limits() {
    let server = Server::start(&[]);
    let client = server.client();
    // Modified at 2, 3, 5, 6; y is at version 2.
    for (key, value) in [("x", "3"), ("y", "9"), ("y", "1"), ("z", "2"), ("w", "2")] {
        put_ok(&client, key, value);
    }
    let sorted = |target: SortTarget, order: SortOrder, limit: i64| {
        let request = RangeRequest {
            sort_target: target as i32,
            sort_order: order as i32,
            limit,
            range_end: text("\0"),
            ..range("w")
        };
        let reply = client.ok(request);
        let keys: String = reply.kvs.iter().map(|kv| kv.key[0] as char).collect();
        (keys, reply.more, reply.count)
    };
    let (ascend, descend, none) = (SortOrder::Ascend, SortOrder::Descend, SortOrder::None);
    assert_eq!(sorted(SortTarget::Key, descend, 0), ("zyxw".into(), false, 4));
    assert_eq!(sorted(SortTarget::Key, descend, 1), ("z".into(), true, 4));
    assert_eq!(sorted(SortTarget::Mod, ascend, 0).0, "xyzw");
    assert_eq!(sorted(SortTarget::Mod, descend, 2), ("wz".into(), true, 4));
    assert_eq!(sorted(SortTarget::Create, descend, 0).0, "wzyx");
    assert_eq!(sorted(SortTarget::Version, descend, 1).0, "y");
    assert_eq!(sorted(SortTarget::Value, ascend, 1).0, "y");
    // No order is ascending, but only after the first limit + 1 keys were picked.
    assert_eq!(sorted(SortTarget::Value, none, 2), ("yw".into(), true, 4));

    let filtered = |request: RangeRequest| {
        let reply = client.ok(request);
        let keys: String = reply.kvs.iter().map(|kv| kv.key[0] as char).collect();
        (keys, reply.more, reply.count)
    };
    let all = || RangeRequest { range_end: text("\0"), ..range("w") };
    assert_eq!(filtered(RangeRequest { min_mod_revision: 4, ..all() }), ("wyz".into(), false, 4));
    assert_eq!(filtered(RangeRequest { max_mod_revision: 4, ..all() }), ("xy".into(), false, 4));
    assert_eq!(filtered(RangeRequest { min_create_revision: 3, limit: 1, ..all() }), ("w".into(), true, 4));
    assert_eq!(filtered(RangeRequest { max_create_revision: 3, ..all() }), ("xy".into(), false, 4));
}

/// 2.3, 2.9, 1.6.
fn range_at_older_revisions() {
    let server = Server::start(&[]);
    let client = server.client();
    put_ok(&client, "k", "1"); // 2
    put_ok(&client, "k", "2"); // 3
    client.ok(delete("k")); // 4
    put_ok(&client, "k", "3"); // 5
    let at = |revision| {
        let reply = client.ok(RangeRequest { revision, ..range("k") });
        assert_eq!(reply.header.as_ref().unwrap().revision, 5, "the header has the current revision");
        pairs(&reply)
    };
    assert_eq!(at(1), [""; 0]);
    assert_eq!(at(2), ["k=1"]);
    assert_eq!(at(3), ["k=2"]);
    assert_eq!(at(4), [""; 0]);
    assert_eq!(at(5), ["k=3"]);
    assert_eq!(at(0), ["k=3"]);
    assert_eq!(at(-7), ["k=3"], "negative is the current one");
    let second_life = client.ok(range("k")).kvs.remove(0);
    assert_eq!((second_life.create_revision, second_life.version), (5, 1));
}

/// 2.13.
fn range_stream_is_a_range_in_chunks() {
    let server = Server::shared();
    let client = server.client();
    for n in 0..25 {
        put_ok(&client, &format!("stream/{n:02}"), "v");
    }
    let ask = |request: RangeRequest| -> Vec<RangeResponse> {
        let mut stream = client.open::<RangeRequest, RangeStreamResponse>("etcdserverpb.KV/RangeStream");
        stream.send(&request);
        stream.finish();
        let chunks = stream.rest().unwrap_or_else(|status| panic!("{status}"));
        chunks.into_iter().map(|chunk| chunk.range_response.expect("a chunk has a response")).collect()
    };
    let chunks = ask(prefix("stream/"));
    let (last, before) = chunks.split_last().unwrap();
    assert!(!before.is_empty(), "25 keys are more than the first chunk of 10");
    assert_eq!(chunks[0].kvs.len(), 10);
    for chunk in before {
        assert_eq!((chunk.header.is_none(), chunk.count, chunk.more), (true, 0, false), "{chunk:?}");
    }
    assert_eq!((last.count, last.more), (25, false));
    assert!(revision(&last.header) > 1);
    let streamed: Vec<_> = chunks.iter().flat_map(|chunk| chunk.kvs.clone()).collect();
    assert_eq!(streamed, client.ok(prefix("stream/")).kvs);

    let limited = ask(RangeRequest { limit: 12, ..prefix("stream/") });
    assert_eq!(limited.iter().map(|chunk| chunk.kvs.len()).sum::<usize>(), 12);
    let last = limited.last().unwrap();
    assert_eq!((last.count, last.more), (25, true));
    let counted = ask(RangeRequest { count_only: true, ..prefix("stream/") });
    assert_eq!((counted.len(), counted[0].count, counted[0].kvs.len()), (1, 25, 0));
}

/// 1.3, 1.6.
fn delete_range_counts_and_returns_pairs() {
    let server = Server::start(&[]);
    let client = server.client();
    for key in ["a1", "a2", "a3", "b"] {
        put_ok(&client, key, key);
    }
    let request = pb::DeleteRangeRequest { prev_kv: true, range_end: text("a3"), ..delete("a") };
    let reply = client.ok(request);
    assert_eq!((revision(&reply.header), reply.deleted), (6, 2));
    let gone: Vec<_> =
        reply.prev_kvs.iter().map(|kv| (&kv.key[..], &kv.value[..], kv.mod_revision)).collect();
    assert_eq!(gone, [(&b"a1"[..], &b"a1"[..], 2), (&b"a2"[..], &b"a2"[..], 3)]);
    let nothing = client.ok(delete("a1"));
    assert_eq!((revision(&nothing.header), nothing.deleted, nothing.prev_kvs.len()), (6, 0, 0));
    let rest = client.ok(pb::DeleteRangeRequest { range_end: text("\0"), ..delete("\0") });
    assert_eq!((revision(&rest.header), rest.deleted, rest.prev_kvs.len()), (7, 2, 0));
}

fn compare(key: &str, result: CompareResult, target: CompareTarget, union: TargetUnion) -> Compare {
    Compare {
        key: text(key),
        result: result as i32,
        target: target as i32,
        target_union: Some(union),
        ..Compare::default()
    }
}

/// 1.2, 1.4, 3.7.
fn txn_takes_a_branch_at_one_revision() {
    let server = Server::start(&[]);
    let client = server.client();
    let absent = compare("a", CompareResult::Equal, CompareTarget::Version, TargetUnion::Version(0));
    let request = || TxnRequest {
        compare: vec![absent.clone()],
        success: vec![range_op("a"), put_op("a", "1"), put_op("b", "2"), range_op("b")],
        failure: vec![delete_op("a")],
    };
    let first = client.ok(request());
    assert_eq!((first.succeeded, revision(&first.header), first.responses.len()), (true, 2, 4));
    let inner: Vec<i64> = first
        .responses
        .iter()
        .map(|response| match response.response.as_ref().unwrap() {
            Response::ResponseRange(range) => revision(&range.header),
            Response::ResponsePut(put) => revision(&put.header),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(inner, [1, 2, 2, 2], "the old revision until something has changed");
    let Some(Response::ResponseRange(seen)) = &first.responses[3].response else { panic!("{first:?}") };
    assert_eq!(pairs(seen), ["b=2"], "a range sees what the transaction wrote");

    let second = client.ok(request());
    assert_eq!((second.succeeded, revision(&second.header)), (false, 3));
    let Some(Response::ResponseDeleteRange(deleted)) = &second.responses[0].response else {
        panic!("{second:?}")
    };
    assert_eq!((deleted.deleted, second.responses.len()), (1, 1));
    // Nothing changes: no revision.
    let third = client.ok(txn(vec![delete_op("a"), range_op("b")]));
    assert_eq!((third.succeeded, revision(&third.header)), (true, 3));
    let empty = client.ok(TxnRequest::default());
    assert_eq!((empty.succeeded, revision(&empty.header), empty.responses.len()), (true, 3, 0));
}

/// 3.2, 3.3.
fn txn_compares() {
    let server = Server::start(&[]);
    let client = server.client();
    put_ok(&client, "k", "m"); // 2
    put_ok(&client, "k", "m"); // 3
    let lease = grant(&client, 100);
    client.ok(pb::PutRequest { lease, ..put("l", "") }); // 4
    use {CompareResult as R, CompareTarget as T, TargetUnion as U};
    let holds =
        |compare: Compare| client.ok(TxnRequest { compare: vec![compare], ..Default::default() }).succeeded;
    for (expected, key, result, target, union) in [
        (true, "k", R::Equal, T::Version, U::Version(2)),
        (true, "k", R::Less, T::Version, U::Version(3)),
        (false, "k", R::Greater, T::Version, U::Version(2)),
        (true, "k", R::Equal, T::Create, U::CreateRevision(2)),
        (true, "k", R::Equal, T::Mod, U::ModRevision(3)),
        (true, "k", R::NotEqual, T::Mod, U::ModRevision(2)),
        (true, "k", R::Equal, T::Value, U::Value(text("m"))),
        (true, "k", R::Greater, T::Value, U::Value(text("a"))),
        (false, "k", R::NotEqual, T::Value, U::Value(text("m"))),
        (true, "l", R::Equal, T::Lease, U::Lease(lease)),
        (true, "absent", R::Equal, T::Lease, U::Lease(0)),
        (true, "absent", R::Less, T::Mod, U::ModRevision(1)),
        (false, "absent", R::NotEqual, T::Value, U::Value(text("m"))),
        (false, "absent", R::Equal, T::Value, U::Value(text(""))),
    ] {
        let asked = compare(key, result, target, union);
        assert_eq!(holds(asked.clone()), expected, "{asked:?}");
    }
    let every = |target, union, end: &str| Compare {
        range_end: text(end),
        ..compare("k", R::Greater, target, union)
    };
    assert!(holds(every(T::Mod, U::ModRevision(2), "m")), "k and l were changed after 2");
    assert!(!holds(every(T::Mod, U::ModRevision(3), "m")), "k was not changed after 3");
    assert!(
        holds(Compare { result: R::Equal as i32, ..every(T::Create, U::CreateRevision(0), "k") }),
        "an empty range"
    );
    let no_operand = Compare { target_union: None, ..compare("absent", R::Equal, T::Mod, U::ModRevision(1)) };
    assert!(holds(no_operand), "without an operand it is 0");
    let undefined = Compare { result: 77, ..compare("k", R::Equal, T::Mod, U::ModRevision(1)) };
    assert!(holds(undefined), "an undefined result holds");
}

/// 3.1, 3.6, 3.7, 1.7.
fn txn_nested() {
    let server = Server::start(&[]);
    let client = server.client();
    let inner = TxnRequest {
        compare: vec![compare("a", CompareResult::Equal, CompareTarget::Version, TargetUnion::Version(0))],
        success: vec![put_op("b", "inner")],
        failure: vec![],
    };
    let reply = client.ok(txn(vec![put_op("a", "outer"), txn_op(inner)]));
    let Some(Response::ResponseTxn(nested)) = &reply.responses[1].response else { panic!("{reply:?}") };
    assert!(nested.succeeded, "compares see the state before the outer transaction");
    assert_eq!(nested.header, Some(pb::ResponseHeader::default()), "an empty header");
    assert_eq!((revision(&reply.header), get(&client, "b").as_deref()), (2, Some("inner")));
    // A put, and in a later sibling its delete: both happen, at one revision.
    let reply = client.ok(txn(vec![txn_op(txn(vec![put_op("c", "1")])), txn_op(txn(vec![delete_op("c")]))]));
    assert_eq!((revision(&reply.header), get(&client, "c")), (3, None));
    let mut stream = watch(&client);
    create_ok(&mut stream, pb::WatchCreateRequest { start_revision: 3, ..create("c") });
    assert_eq!(events(&stream.message()), ["PUT c=1@3", "DELETE c@3"]);
}

/// 4.1, 4.2, 2.3, 1.3.
fn compact_forgets_history() {
    let server = Server::start(&[]);
    let client = server.client();
    for value in ["1", "2", "3"] {
        put_ok(&client, "k", value); // 2, 3, 4
    }
    let reply = client.ok(compact(3));
    assert_eq!(revision(&reply.header), 4);
    let at = |revision| client.call(RangeRequest { revision, ..range("k") });
    assert_eq!(at(2), Err(promised("ErrGRPCCompacted")));
    assert_eq!(pairs(&at(3).unwrap()), ["k=2"], "the compacted revision itself can be read");
    assert_eq!(pairs(&at(4).unwrap()), ["k=3"]);
    for revision in [3, 2, 0, -1] {
        assert_eq!(client.fails(compact(revision)), promised("ErrGRPCCompacted"), "{revision}");
    }
    assert_eq!(client.fails(compact(5)), promised("ErrGRPCFutureRev"));
    let physical = client.ok(pb::CompactionRequest { revision: 4, physical: true });
    assert_eq!(revision(&physical.header), 4);
    assert_eq!(pairs(&at(0).unwrap()), ["k=3"]);
    let again = client.fails(pb::CompactionRequest { revision: 4, physical: true });
    assert_eq!(again, promised("ErrGRPCCompacted"));
}

/// 1.11, and that a server that was killed has lost nothing it has answered.
fn revisions_survive_a_restart() {
    let dir = tempfile::TempDir::new().unwrap();
    let server = Server::start_on(dir.path(), &[]).unwrap();
    let client = server.client();
    for value in ["1", "2", "3"] {
        put_ok(&client, "k", value);
    }
    client.ok(compact(3));
    let before = client.ok(range("k"));
    server.signal("KILL");
    drop(server);
    let server = Server::start_on(dir.path(), &[]).unwrap();
    let client = server.client();
    let after = client.ok(range("k"));
    assert_eq!((&after.kvs, revision(&after.header)), (&before.kvs, 4));
    let (old, new) = (before.header.unwrap(), after.header.unwrap());
    assert_eq!((old.cluster_id, old.member_id), (new.cluster_id, new.member_id));
    assert!(new.raft_term > old.raft_term);
    assert_eq!(client.fails(RangeRequest { revision: 2, ..range("k") }), promised("ErrGRPCCompacted"));
    assert_eq!(revision(&put_ok(&client, "k", "4").header), 5);
    // SIGTERM ends it by that signal once everything is written (11.8).
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(server.stop().signal(), Some(15));
}
