//! Lease.

use e2e::server::{Server, poll};
use proto::etcdserverpb::{
    self as pb, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseRevokeRequest, LeaseTimeToLiveRequest,
};

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    grant_picks_ids_and_raises_short_ttls => "grpc" ["etcdserverpb.Lease/LeaseGrant"];
    revoke_deletes_keys_at_one_revision => "grpc" ["etcdserverpb.Lease/LeaseRevoke"];
    keep_alive_renews => "grpc" ["etcdserverpb.Lease/LeaseKeepAlive"];
    time_to_live_tells_keys => "grpc" ["etcdserverpb.Lease/LeaseTimeToLive"];
    leases_are_listed => "grpc" ["etcdserverpb.Lease/LeaseLeases"];
    expiry_deletes_keys => "grpc" ["etcdserverpb.Lease/LeaseGrant"];
    leases_survive_a_restart => "grpc" ["etcdserverpb.Lease/LeaseGrant", "etcdserverpb.Lease/LeaseTimeToLive"];
}

/// 6.1, 1.3.
fn grant_picks_ids_and_raises_short_ttls() {
    let server = Server::start(&[]);
    let client = server.client();
    let picked = client.ok(LeaseGrantRequest { ttl: 60, id: 0 });
    assert!(picked.id > 0, "{picked:?}");
    assert_eq!((picked.ttl, revision(&picked.header), picked.error.as_str()), (60, 1, ""));
    let given = client.ok(LeaseGrantRequest { ttl: 9_000_000_000, id: 77 });
    assert_eq!((given.id, given.ttl), (77, 9_000_000_000));
    let negative = client.ok(LeaseGrantRequest { ttl: 100, id: -3 });
    assert_eq!(negative.id, -3);
    for ttl in [1, 0, -10] {
        assert_eq!(client.ok(LeaseGrantRequest { ttl, id: 0 }).ttl, 2, "raised to the minimum");
    }
}

/// 6.3.
fn revoke_deletes_keys_at_one_revision() {
    let server = Server::start(&[]);
    let client = server.client();
    let lease = grant(&client, 100);
    for key in ["b", "a", "c"] {
        client.ok(pb::PutRequest { lease, ..put(key, "v") });
    }
    put_ok(&client, "c", "detached");
    let mut stream = watch(&client);
    create_ok(&mut stream, pb::WatchCreateRequest { range_end: text("\0"), prev_kv: true, ..create("a") });
    let reply = client.ok(LeaseRevokeRequest { id: lease });
    assert_eq!(revision(&reply.header), 6);
    let deleted = stream.message();
    assert_eq!(events(&deleted), ["DELETE a@6", "DELETE b@6"]);
    assert!(deleted.events.iter().all(|event| event.prev_kv.as_ref().is_some_and(|kv| kv.lease == lease)));
    assert_eq!(get(&client, "c").as_deref(), Some("detached"));
    // Without keys the revision stays.
    let bare = grant(&client, 100);
    assert_eq!(revision(&client.ok(LeaseRevokeRequest { id: bare }).header), 6);
}

/// 6.5.
fn keep_alive_renews() {
    let server = Server::shared();
    let client = server.client();
    let lease = grant(&client, 50);
    let method = "etcdserverpb.Lease/LeaseKeepAlive";
    let mut stream = client.open::<LeaseKeepAliveRequest, LeaseKeepAliveResponse>(method);
    for _ in 0..3 {
        stream.send(&LeaseKeepAliveRequest { id: lease });
        let reply = stream.message();
        assert_eq!((reply.id, reply.ttl), (lease, 50));
        assert!(revision(&reply.header) >= 1);
    }
    stream.send(&LeaseKeepAliveRequest { id: 424_242 });
    let absent = stream.message();
    assert_eq!((absent.id, absent.ttl), (424_242, 0), "and the stream stays");
    client.ok(LeaseRevokeRequest { id: lease });
    stream.send(&LeaseKeepAliveRequest { id: lease });
    assert_eq!(stream.message().ttl, 0);
    stream.finish();
    assert_eq!(stream.next(), Ok(None), "a half-close ends it with OK");
}

/// 6.6.
fn time_to_live_tells_keys() {
    let server = Server::shared();
    let client = server.client();
    let lease = grant(&client, 1000);
    for key in ["ttl/b", "ttl/a"] {
        client.ok(pb::PutRequest { lease, ..put(key, "v") });
    }
    let left = client.ok(LeaseTimeToLiveRequest { id: lease, keys: true });
    assert_eq!((left.id, left.granted_ttl), (lease, 1000));
    assert!((900..=1000).contains(&left.ttl), "{left:?}");
    let mut keys = left.keys;
    keys.sort();
    assert_eq!(keys, ["ttl/a", "ttl/b"]);
    assert!(client.ok(LeaseTimeToLiveRequest { id: lease, keys: false }).keys.is_empty());
    let absent = client.ok(LeaseTimeToLiveRequest { id: 987_654, keys: true });
    assert_eq!((absent.id, absent.ttl, absent.granted_ttl, absent.keys.len()), (987_654, -1, 0, 0));
}

/// 6.7.
fn leases_are_listed() {
    let server = Server::start(&[]);
    let client = server.client();
    assert!(client.ok(LeaseLeasesRequest {}).leases.is_empty());
    for (id, ttl) in [(1, 300), (2, 100), (3, 200)] {
        client.ok(LeaseGrantRequest { ttl, id });
    }
    let reply = client.ok(LeaseLeasesRequest {});
    assert_eq!(revision(&reply.header), 1);
    let ids: Vec<i64> = reply.leases.iter().map(|lease| lease.id).collect();
    assert_eq!(ids, [2, 3, 1], "by the time they have left");
}

/// 6.3, 6.4.
fn expiry_deletes_keys() {
    let server = Server::start(&["--heartbeat-interval=10", "--election-timeout=50"]);
    let client = server.client();
    let granted = client.ok(LeaseGrantRequest { ttl: 1, id: 5 });
    assert_eq!(granted.ttl, 1, "the minimum follows the election timeout");
    let mut stream = watch(&client);
    create_ok(&mut stream, create("k"));
    client.ok(pb::PutRequest { lease: 5, ..put("k", "v") });
    assert_eq!(events(&stream.message()), ["PUT k=v@2"]);
    assert_eq!(events(&stream.message()), ["DELETE k@3"]);
    let gone = poll(|| (client.ok(LeaseTimeToLiveRequest { id: 5, keys: false }).ttl == -1).then_some(()));
    assert!(gone.is_some());
    assert_eq!(server.metrics().value("etcd_debugging_server_lease_expired_total", &[]), 1.0);
}

/// 6.10.
fn leases_survive_a_restart() {
    let dir = tempfile::TempDir::new().unwrap();
    let server = Server::start_on(dir.path(), &[]).unwrap();
    let client = server.client();
    client.ok(LeaseGrantRequest { ttl: 500, id: 9 });
    client.ok(pb::PutRequest { lease: 9, ..put("k", "v") });
    server.stop();
    let server = Server::start_on(dir.path(), &[]).unwrap();
    let client = server.client();
    let left = client.ok(LeaseTimeToLiveRequest { id: 9, keys: true });
    assert_eq!((left.granted_ttl, left.keys), (500, vec![text("k")]));
    client.ok(LeaseRevokeRequest { id: 9 });
    assert_eq!(get(&client, "k"), None);
}
