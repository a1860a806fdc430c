//! Lock.

use e2e::{
    binary::is_etcd,
    client::{Client, Status, Stream},
    server::{Server, poll},
};
use proto::{
    etcdserverpb::{LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest},
    v3lockpb::{LockRequest, LockResponse, UnlockRequest},
};

use crate::{common::*, gaps::KNOWN_GAPS, grpc::auth};

e2e::cases! { KNOWN_GAPS;
    locks_are_taken_in_turn => "grpc" ["v3lockpb.Lock/Lock", "v3lockpb.Lock/Unlock"];
    a_lock_without_a_lease_gets_one => "grpc" ["v3lockpb.Lock/Lock"];
    who_goes_leaves_nothing => "grpc" ["v3lockpb.Lock/Lock"];
    a_lost_lease_hands_the_lock_over => "grpc" ["v3lockpb.Lock/Lock"];
    a_lost_key_is_told => "errors" ["concurrency.ErrSessionExpired"];
    errors_keep_their_texts => "grpc" ["v3lockpb.Lock/Lock", "v3lockpb.Lock/Unlock"];
    strangers_are_refused => "grpc" ["v3lockpb.Lock/Lock", "v3lockpb.Lock/Unlock"];
}

pub(crate) type Waiting = Stream<LockRequest, LockResponse>;

/// The errors of what a service does within reach the client without their code (12.4).
pub(crate) fn unknown(symbol: &str) -> Status {
    Status { code: code::UNKNOWN, ..promised(symbol) }
}

pub(crate) fn lock(name: &str, lease: i64) -> LockRequest {
    LockRequest { name: text(name), lease }
}

pub(crate) fn unlock(key: &str) -> UnlockRequest {
    UnlockRequest { key: text(key) }
}

/// A call ended at its deadline; etcd resets it (9.13).
pub(crate) fn is_out_of_time(status: &Status) -> bool {
    *status == promised("context.DeadlineExceeded")
        || (is_etcd() && status.message.starts_with("transport: "))
}

/// Keys that begin with `start`, in order, once there are `count`.
pub(crate) fn keys_once(client: &Client, start: &str, count: usize) -> Vec<String> {
    poll(|| {
        let reply = client.ok(prefix(start));
        let keys = reply.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned());
        (reply.kvs.len() == count).then(|| keys.collect())
    })
    .unwrap_or_else(|| panic!("{count} keys below {start}"))
}

/// Starts to wait for a lock; the key stands in line when this returns.
fn wait(client: &Client, name: &str, lease: i64, in_line: usize) -> Waiting {
    let mut stream = client.open("v3lockpb.Lock/Lock");
    stream.send(&lock(name, lease));
    stream.finish();
    keys_once(client, &format!("{name}/"), in_line);
    stream
}

/// 12.1, 12.2.
fn locks_are_taken_in_turn() {
    let server = Server::start(&[]);
    let client = server.client();
    for id in [26, 7, -5] {
        client.ok(proto::etcdserverpb::LeaseGrantRequest { ttl: 100, id });
    }
    let first = client.ok(lock("l", 26));
    assert_eq!((&first.key[..], revision(&first.header)), (&b"l/1a"[..], 2));
    assert_eq!(client.ok(lock("l", 26)), first, "who has it gets it again");
    let held = client.ok(range("l/1a")).kvs.remove(0);
    assert_eq!((held.lease, &held.value[..]), (26, &b""[..]));
    // By revision, not by key: `-5` sorts before `7` and comes after it.
    let mut second = wait(&client, "l", 7, 2);
    let mut third = wait(&client, "l", -5, 3);
    assert_eq!(revision(&client.ok(unlock("l/1a")).header), 5);
    let reply = second.message();
    assert_eq!((&reply.key[..], revision(&reply.header)), (&b"l/7"[..], 5));
    assert_eq!(keys_once(&client, "l/", 2), ["l/-5", "l/7"]);
    client.ok(unlock("l/7"));
    assert_eq!(&third.message().key[..], b"l/-5");
    assert_eq!(revision(&client.ok(unlock("l/absent")).header), 6, "a missing key is fine");
    // Any key in front counts, whoever put it; one that came later does not.
    put_ok(&client, "m/by hand", "");
    let mut behind = wait(&client, "m", 7, 2);
    put_ok(&client, "m/a", "");
    client.ok(delete("m/by hand"));
    assert_eq!(&behind.message().key[..], b"m/7");
    let odd = client.ok(LockRequest { name: b"\xff\0".to_vec().into(), lease: 7 });
    assert_eq!(&odd.key[..], b"\xff\0/7");
}

/// 12.1: it is not renewed.
fn a_lock_without_a_lease_gets_one() {
    let server = Server::shared();
    let client = server.client();
    for name in ["lock/free", ""] {
        let reply = client.ok(lock(name, 0));
        let key = String::from_utf8(reply.key.to_vec()).unwrap();
        let lease = i64::from_str_radix(key.strip_prefix(&format!("{name}/")).unwrap(), 16).unwrap();
        let left = client.ok(LeaseTimeToLiveRequest { id: lease, keys: true });
        assert_eq!((left.granted_ttl, &left.keys[0]), (60, &reply.key));
        client.ok(unlock(&key));
    }
}

/// 12.2.
fn who_goes_leaves_nothing() {
    let server = Server::start(&[]);
    let client = server.client();
    let [a, b, c] = [grant(&client, 100), grant(&client, 100), grant(&client, 100)];
    client.ok(lock("l", a));
    let hurried = client.with("grpc-timeout", b"50m");
    assert!(is_out_of_time(&hurried.fails(lock("l", b))));
    keys_once(&client, "l/", 1);
    drop(wait(&client, "l", b, 2));
    keys_once(&client, "l/", 1);
    // Who waits behind one that goes still waits for the first.
    let second = wait(&client, "l", b, 2);
    let mut third = wait(&client, "l", c, 3);
    drop(second);
    let left = keys_once(&client, "l/", 2);
    client.ok(unlock(&format!("l/{a:x}")));
    assert_eq!(third.message().key, format!("l/{c:x}"));
    assert!(left.contains(&format!("l/{c:x}")));
}

fn a_lost_lease_hands_the_lock_over() {
    let server = Server::start(&["--heartbeat-interval=10", "--election-timeout=50"]);
    let client = server.client();
    let [short, revoked, last] = [grant(&client, 1), grant(&client, 100), grant(&client, 100)];
    client.ok(lock("l", short));
    let mut second = wait(&client, "l", revoked, 2);
    let mut third = wait(&client, "l", last, 3);
    assert_eq!(second.message().key, format!("l/{revoked:x}"), "after expiry");
    client.ok(LeaseRevokeRequest { id: revoked });
    assert_eq!(third.message().key, format!("l/{last:x}"));
}

/// 12.1: the key is looked for when its turn comes, not before.
fn a_lost_key_is_told() {
    let server = Server::start(&[]);
    let client = server.client();
    let [a, b, c] = [grant(&client, 100), grant(&client, 100), grant(&client, 100)];
    client.ok(lock("l", a));
    let mut waits = wait(&client, "l", b, 2);
    client.ok(LeaseRevokeRequest { id: b });
    client.ok(unlock(&format!("l/{a:x}")));
    assert_eq!(waits.next(), Err(promised("concurrency.ErrSessionExpired")));
    // One that was put in its place does not count; for etcd it does (contract/deviations.tsv).
    if is_etcd() {
        return;
    }
    client.ok(lock("l", a));
    let mut waits = wait(&client, "l", c, 2);
    client.ok(unlock(&format!("l/{c:x}")));
    client.ok(PutRequest { lease: c, ..put(&format!("l/{c:x}"), "") });
    client.ok(unlock(&format!("l/{a:x}")));
    assert_eq!(waits.next(), Err(promised("concurrency.ErrSessionExpired")));
}

/// 12.4.
fn errors_keep_their_texts() {
    let server = Server::start(&["--max-txn-ops=2"]);
    let client = server.client();
    for lease in [999, -1] {
        assert_eq!(client.fails(lock("l", lease)), unknown("ErrGRPCLeaseNotFound"));
    }
    let long = "x".repeat(1_600_000);
    let lease = grant(&client, 100);
    assert_eq!(client.fails(lock(&long, lease)), unknown("ErrGRPCRequestTooLarge"));
    assert_eq!(client.fails(unlock("")), unknown("ErrGRPCEmptyKey"));
    let small = Server::start(&["--max-txn-ops=1"]);
    assert_eq!(small.client().fails(lock("l", 0)), unknown("ErrGRPCTooManyOps"));
}

/// With auth on, what a service does within is done by the caller.
fn strangers_are_refused() {
    let server = auth::server();
    let client = server.client();
    let lease = grant(&client, 100);
    auth::enable(&client);
    let nobody = unknown("ErrGRPCUserEmpty");
    for lease in [lease, 0] {
        assert_eq!(client.fails(lock("l", lease)), nobody);
    }
    assert_eq!(client.fails(unlock("l/1")), nobody);
    let stranger = client.with("token", b"abc.1");
    assert_eq!(stranger.fails(lock("l", lease)), unknown("ErrGRPCInvalidAuthToken"));
    assert_eq!(stranger.fails(unlock("l/1")), unknown("ErrGRPCInvalidAuthToken"));
}
