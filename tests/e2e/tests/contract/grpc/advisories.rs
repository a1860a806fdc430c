//! Published advisories about etcd's authorization, each as a test: a way past the check that was there once.

use e2e::client::{Client, Status};
use proto::{authpb::permission::Type, etcdserverpb as pb};

use super::{
    auth::server,
    login::{login, people, permit, refused_watch},
};
use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    nested_transactions => "grpc" [];
    methods_without_a_check => "grpc" [];
    previous_values_and_leases_in_transactions => "grpc" [];
    watches_from_a_key_on => "grpc" [];
    key_names_of_leases => "grpc" [];
    names_of_the_gateway => "grpc" [];
}

fn denied() -> Status {
    promised("ErrGRPCPermissionDenied")
}

fn fails_alike(client: &Client, requests: Vec<pb::TxnRequest>) {
    for request in requests {
        assert_eq!(client.fails(request.clone()), denied(), "{request:?}");
    }
}

/// CVE-2026-33343: operations and compares of nested transactions, in either branch, at any depth.
fn nested_transactions() {
    let server = server();
    let client = server.client();
    let root = people(&client);
    put_ok(&root, "secret", "v");
    let mallory = login(&client, "eve");
    let compare = pb::Compare {
        result: pb::compare::CompareResult::Equal.into(),
        target: pb::compare::CompareTarget::Value.into(),
        key: text("secret"),
        target_union: Some(pb::compare::TargetUnion::Value(text("v"))),
        ..Default::default()
    };
    for op in [range_op("secret"), put_op("secret", "w"), delete_op("secret")] {
        let inner = txn(vec![op.clone()]);
        let other_branch = pb::TxnRequest { failure: vec![op], ..Default::default() };
        fails_alike(
            &mallory,
            vec![
                inner.clone(),
                txn(vec![txn_op(inner.clone())]),
                txn(vec![txn_op(other_branch.clone())]),
                pb::TxnRequest { failure: vec![txn_op(inner.clone())], ..Default::default() },
                txn(vec![txn_op(txn(vec![txn_op(txn(vec![txn_op(inner)]))]))]),
                other_branch,
            ],
        );
    }
    let comparing = pb::TxnRequest { compare: vec![compare], ..Default::default() };
    fails_alike(&mallory, vec![comparing.clone(), txn(vec![txn_op(comparing)])]);
    assert_eq!(get(&root, "secret").as_deref(), Some("v"));
}

/// CVE-2026-33413: members, alarms, leases and compaction.
fn methods_without_a_check() {
    let server = server();
    let client = server.client();
    let root = people(&client);
    put_ok(&root, "k", "v");
    let lease = grant(&root, 600);
    root.ok(pb::PutRequest { lease, ..put("secret", "v") });
    let nobody = promised("ErrGRPCUserEmpty");
    let alarm = |action: i32| pb::AlarmRequest { action, member_id: 1, alarm: 1 };
    assert_eq!(client.fails(pb::MemberListRequest { linearizable: false }), nobody);
    assert_eq!(client.fails(pb::MemberListRequest { linearizable: true }), nobody);
    for action in 0..3 {
        assert_eq!(client.fails(alarm(action)), nobody, "{action}");
    }
    assert_eq!(client.fails(pb::LeaseGrantRequest { ttl: 10, id: 0 }), nobody);
    assert_eq!(client.fails(pb::LeaseRevokeRequest { id: lease }), nobody);
    assert_eq!(client.fails(pb::LeaseTimeToLiveRequest { id: lease, keys: false }), nobody);
    assert_eq!(client.fails(pb::LeaseLeasesRequest {}), nobody);
    assert_eq!(renew(&client, lease).unwrap_err(), nobody);
    assert_eq!(client.fails(compact(1)), nobody);
    let eve = login(&client, "eve");
    eve.ok(pb::MemberListRequest { linearizable: true });
    eve.ok(alarm(0));
    for action in 1..3 {
        assert_eq!(eve.fails(alarm(action)), denied(), "{action}");
    }
    assert_eq!(eve.fails(compact(1)), denied());
    assert_eq!(eve.fails(pb::LeaseRevokeRequest { id: lease }), denied());
    assert_eq!(eve.fails(pb::LeaseLeasesRequest {}), denied());
    assert_eq!(renew(&eve, lease).unwrap_err(), denied());
    assert_eq!(eve.fails(pb::DefragmentRequest {}), denied());
    assert_eq!(eve.fails(pb::HashRequest {}), denied());
    assert_eq!(eve.fails(pb::HashKvRequest { revision: 0 }), denied());
    assert_eq!(eve.fails(pb::MoveLeaderRequest { target_id: 1 }), denied());
    assert_eq!(eve.fails(pb::MemberRemoveRequest { id: 1 }), denied());
    let mut snapshot =
        eve.open::<pb::SnapshotRequest, pb::SnapshotResponse>("etcdserverpb.Maintenance/Snapshot");
    snapshot.send(&pb::SnapshotRequest {});
    assert_eq!(snapshot.next().unwrap_err(), denied());
    assert_eq!(get(&root, "secret").as_deref(), Some("v"));
}

fn renew(client: &Client, id: i64) -> Result<i64, Status> {
    let mut stream = client
        .open::<pb::LeaseKeepAliveRequest, pb::LeaseKeepAliveResponse>("etcdserverpb.Lease/LeaseKeepAlive");
    stream.send(&pb::LeaseKeepAliveRequest { id });
    stream.next().map(|reply| reply.map_or(-1, |reply| reply.ttl))
}

/// CVE-2026-44283: a put in a transaction is checked like one of its own.
fn previous_values_and_leases_in_transactions() {
    let server = server();
    let client = server.client();
    let root = people(&client);
    put_ok(&root, "k", "hidden");
    let bob = login(&client, "bob");
    let put_with = |put: pb::PutRequest| {
        let op = pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) };
        vec![
            txn(vec![op.clone()]),
            txn(vec![txn_op(txn(vec![op.clone()]))]),
            pb::TxnRequest { failure: vec![op], ..Default::default() },
        ]
    };
    fails_alike(&bob, put_with(pb::PutRequest { prev_kv: true, ..put("k", "w") }));
    let lease = grant(&root, 600);
    root.ok(pb::PutRequest { lease, ..put("secret", "v") });
    assert_eq!(bob.fails(pb::PutRequest { lease, ..put("k", "w") }), denied());
    fails_alike(&bob, put_with(pb::PutRequest { lease, ..put("k", "w") }));
    let op = |delete| pb::RequestOp { request: Some(pb::request_op::Request::RequestDeleteRange(delete)) };
    fails_alike(&bob, vec![txn(vec![op(pb::DeleteRangeRequest { prev_kv: true, ..delete("k") })])]);
    assert_eq!(get(&root, "k").as_deref(), Some("hidden"));
}

/// GHSA-xg4h-6gfc-h4m8: the right to one key is none to all keys from it on.
fn watches_from_a_key_on() {
    let server = server();
    let client = server.client();
    let root = people(&client);
    permit(&root, "eve", Type::Read, "one", "");
    let eve = login(&client, "eve");
    create_ok(&mut watch(&eve), create("one"));
    for (key, end) in [("one", "\0"), ("", "\0"), ("\0", "\0"), ("", ""), ("one", "onf"), ("one", "one\0\0")]
    {
        let create = pb::WatchCreateRequest { range_end: text(end), ..create(key) };
        refused_watch(&eve, create, "watch perm");
        let request = pb::RangeRequest { range_end: text(end), ..range(key) };
        if !key.is_empty() {
            assert_eq!(eve.fails(request), denied(), "{key:?} {end:?}");
        }
    }
}

/// CVE-2023-32082: which keys hang on a lease is for those who may read them.
fn key_names_of_leases() {
    let server = server();
    let client = server.client();
    let root = people(&client);
    let lease = grant(&root, 600);
    root.ok(pb::PutRequest { lease, ..put("k", "v") });
    let ask = |keys| pb::LeaseTimeToLiveRequest { id: lease, keys };
    let (ann, eve) = (login(&client, "ann"), login(&client, "eve"));
    assert_eq!(ann.ok(ask(true)).keys, ["k"]);
    assert_eq!(eve.fails(ask(true)), denied());
    assert_eq!(eve.ok(ask(false)).granted_ttl, 600);
    root.ok(pb::PutRequest { lease, ..put("secret", "v") });
    assert_eq!(ann.fails(ask(true)), denied(), "all of them or none");
    assert_eq!(root.ok(ask(true)).keys.len(), 2);
}

/// CVE-2018-16886: who says to be the gateway is nobody by that.
fn names_of_the_gateway() {
    let server = server();
    let client = server.client();
    people(&client);
    let gateway = client.with("grpcgateway-accept", b"application/json");
    assert_eq!(gateway.fails(range("k")), promised("ErrGRPCUserEmpty"));
    assert_eq!(gateway.fails(pb::AuthUserListRequest {}), promised("ErrGRPCUserEmpty"));
}
