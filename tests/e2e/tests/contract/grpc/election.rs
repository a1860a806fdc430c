//! Election.

use e2e::{
    client::{Client, Stream},
    server::Server,
};
use proto::{
    etcdserverpb::LeaseTimeToLiveRequest,
    v3electionpb::{
        CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
        ResignRequest,
    },
};

use super::lock::{is_out_of_time, keys_once, unknown};
use crate::{common::*, gaps::KNOWN_GAPS, grpc::auth};

e2e::cases! { KNOWN_GAPS;
    leaders_follow_each_other => "grpc" [
        "v3electionpb.Election/Campaign", "v3electionpb.Election/Leader", "v3electionpb.Election/Resign",
    ];
    a_campaign_again_proclaims => "grpc" ["v3electionpb.Election/Campaign"];
    who_goes_leaves_nothing => "grpc" ["v3electionpb.Election/Campaign"];
    a_leader_proclaims => "grpc" ["v3electionpb.Election/Proclaim"];
    observers_see_each_value_once => "grpc" ["v3electionpb.Election/Observe"];
    without_a_leader_key => "errors" ["v3election.ErrMissingLeaderKey"];
    who_does_not_lead => "errors" ["concurrency.ErrElectionNotLeader"];
    nobody_leads => "errors" ["concurrency.ErrElectionNoLeader"];
    errors_keep_their_texts => "grpc" ["v3electionpb.Election/Campaign", "v3electionpb.Election/Proclaim"];
    strangers_are_refused => "grpc" [
        "v3electionpb.Election/Campaign", "v3electionpb.Election/Proclaim", "v3electionpb.Election/Leader",
        "v3electionpb.Election/Observe", "v3electionpb.Election/Resign",
    ];
}

fn campaign(name: &str, lease: i64, value: &str) -> CampaignRequest {
    CampaignRequest { name: text(name), lease, value: text(value) }
}

fn leader(name: &str) -> LeaderRequest {
    LeaderRequest { name: text(name) }
}

fn proclaim(key: &LeaderKey, value: &str) -> ProclaimRequest {
    ProclaimRequest { leader: Some(key.clone()), value: text(value) }
}

fn resign(key: &LeaderKey) -> ResignRequest {
    ResignRequest { leader: Some(key.clone()) }
}

fn win(client: &Client, name: &str, lease: i64, value: &str) -> LeaderKey {
    client.ok(campaign(name, lease, value)).leader.unwrap()
}

/// Starts a campaign that waits; the candidate stands in line when this returns.
fn run(
    client: &Client,
    name: &str,
    lease: i64,
    value: &str,
    in_line: usize,
) -> Stream<CampaignRequest, CampaignResponse> {
    let mut stream = client.open("v3electionpb.Election/Campaign");
    stream.send(&campaign(name, lease, value));
    stream.finish();
    keys_once(client, &format!("{name}/"), in_line);
    stream
}

fn observe(client: &Client, name: &str) -> Stream<LeaderRequest, LeaderResponse> {
    let mut stream = client.open("v3electionpb.Election/Observe");
    stream.send(&leader(name));
    stream.finish();
    stream
}

/// `key=value@mod_revision` of what an observer or asker was told.
fn told(reply: &LeaderResponse) -> String {
    let kv = reply.kv.as_ref().expect("a pair");
    let show = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}={}@{}", show(&kv.key), show(&kv.value), kv.mod_revision)
}

/// 12.3.
fn leaders_follow_each_other() {
    let server = Server::start(&[]);
    let client = server.client();
    for id in [10, 11] {
        client.ok(proto::etcdserverpb::LeaseGrantRequest { ttl: 100, id });
    }
    let reply = client.ok(campaign("e", 10, "one"));
    let first = LeaderKey { name: text("e"), key: text("e/a"), rev: 2, lease: 10 };
    assert_eq!((reply.leader.as_ref(), revision(&reply.header)), (Some(&first), 2));
    let mut second = run(&client, "e", 11, "two", 2);
    assert_eq!(told(&client.ok(leader("e"))), "e/a=one@2");
    assert_eq!(revision(&client.ok(resign(&first)).header), 4);
    let reply = second.message();
    assert_eq!(revision(&reply.header), 3, "of the moment it stood in line");
    assert_eq!(reply.leader.unwrap(), LeaderKey { name: text("e"), key: text("e/b"), rev: 3, lease: 11 });
    assert_eq!(told(&client.ok(leader("e"))), "e/b=two@3");
    // Who resigns twice changes nothing, and neither does one whose key is older.
    assert_eq!(revision(&client.ok(resign(&first)).header), 4);
    let old = LeaderKey { key: text("e/b"), ..first };
    assert_eq!(revision(&client.ok(resign(&old)).header), 4);
}

/// 12.3.
fn a_campaign_again_proclaims() {
    let server = Server::start(&[]);
    let client = server.client();
    let lease = grant(&client, 100);
    let first = win(&client, "e", lease, "one");
    assert_eq!(win(&client, "e", lease, "one"), first);
    assert_eq!(client.ok(range("k")).header.unwrap().revision, 2, "nothing was written");
    assert_eq!(win(&client, "e", lease, "two"), first);
    assert_eq!(told(&client.ok(leader("e"))), format!("e/{lease:x}=two@3"));
    // A lease of its own, of 60 s, when none is brought.
    let free = win(&client, "free", 0, "");
    assert_eq!(free.key, format!("free/{:x}", free.lease));
    assert_eq!(client.ok(LeaseTimeToLiveRequest { id: free.lease, keys: false }).granted_ttl, 60);
}

fn who_goes_leaves_nothing() {
    let server = Server::start(&[]);
    let client = server.client();
    let [a, b] = [grant(&client, 100), grant(&client, 100)];
    let first = win(&client, "e", a, "one");
    let hurried = client.with("grpc-timeout", b"50m");
    assert!(is_out_of_time(&hurried.fails(campaign("e", b, "two"))));
    keys_once(&client, "e/", 1);
    drop(run(&client, "e", b, "two", 2));
    keys_once(&client, "e/", 1);
    // A candidate who lost his key is told that he leads all the same, as by etcd: his `rev` is what tells.
    let mut lost = run(&client, "e", b, "two", 2);
    client.ok(delete(&format!("e/{b:x}")));
    client.ok(resign(&first));
    let key = lost.message().leader.unwrap();
    assert_eq!(client.fails(proclaim(&key, "hello")), promised("concurrency.ErrElectionNotLeader"));
}

fn a_leader_proclaims() {
    let server = Server::start(&[]);
    let client = server.client();
    let lease = grant(&client, 100);
    let key = win(&client, "e", lease, "one");
    assert_eq!(revision(&client.ok(proclaim(&key, "two")).header), 3);
    let pair = client.ok(leader("e")).kv.unwrap();
    assert_eq!((&pair.value[..], pair.create_revision, pair.lease), (&b"two"[..], 2, lease));
    // The key goes to the lease that is given, or to a new one.
    client.ok(proclaim(&LeaderKey { lease: 0, ..key }, "three"));
    let pair = client.ok(leader("e")).kv.unwrap();
    assert!(pair.lease != lease && pair.lease != 0, "{pair:?}");
    assert_eq!(client.ok(LeaseTimeToLiveRequest { id: pair.lease, keys: false }).granted_ttl, 60);
}

/// 12.3.
fn observers_see_each_value_once() {
    let server = Server::start(&[]);
    let client = server.client();
    let [a, b] = [grant(&client, 100), grant(&client, 100)];
    let mut early = observe(&client, "e");
    let first = win(&client, "e", a, "one");
    assert_eq!(told(&early.message()), format!("e/{a:x}=one@2"));
    let mut late = observe(&client, "e");
    assert_eq!(told(&late.message()), format!("e/{a:x}=one@2"));
    let mut waits = run(&client, "e", b, "two", 2);
    put_ok(&client, "elsewhere", "");
    client.ok(proclaim(&first, "more"));
    client.ok(resign(&first));
    for observer in [&mut early, &mut late] {
        assert_eq!(told(&observer.message()), format!("e/{a:x}=more@5"));
        let next = observer.message();
        assert_eq!(told(&next), format!("e/{b:x}=two@3"), "in line before the last value");
        assert!(revision(&next.header) >= 6);
    }
    // Nobody leads, then somebody who put a key by hand.
    waits.message();
    client.ok(delete(&format!("e/{b:x}")));
    put_ok(&client, "e/by hand", "three");
    let next = early.message();
    assert_eq!((told(&next), revision(&next.header)), ("e/by hand=three@8".into(), 8));
    let mut short = observe(&client.with("grpc-timeout", b"50m"), "nobody");
    assert!(is_out_of_time(&short.next().expect_err("nobody comes")));
}

fn without_a_leader_key() {
    let server = Server::shared();
    let client = server.client();
    let missing = promised("v3election.ErrMissingLeaderKey");
    assert_eq!(client.fails(ProclaimRequest { leader: None, value: text("v") }), missing);
    assert_eq!(client.fails(ResignRequest { leader: None }), missing);
}

fn who_does_not_lead() {
    let server = Server::shared();
    let client = server.client();
    let lease = grant(&client, 100);
    let key = win(&client, "election/lost", lease, "one");
    let not_leader = promised("concurrency.ErrElectionNotLeader");
    let older = LeaderKey { rev: key.rev - 1, ..key.clone() };
    assert_eq!(client.fails(proclaim(&older, "two")), not_leader);
    client.ok(resign(&key));
    assert_eq!(client.fails(proclaim(&key, "two")), not_leader);
}

fn nobody_leads() {
    let server = Server::shared();
    let client = server.client();
    let nobody = promised("concurrency.ErrElectionNoLeader");
    assert_eq!(client.fails(leader("election/nobody")), nobody);
    put_ok(&client, "election/nobodys", "");
    assert_eq!(client.fails(leader("election/nobody")), nobody, "only what is below the name counts");
}

/// 12.4.
fn errors_keep_their_texts() {
    let server = Server::shared();
    let client = server.client();
    let not_found = unknown("ErrGRPCLeaseNotFound");
    for lease in [999, -1] {
        assert_eq!(client.fails(campaign("election/errors", lease, "")), not_found);
    }
    let empty = unknown("ErrGRPCEmptyKey");
    let lease = grant(&client, 100);
    let key = LeaderKey { lease, ..Default::default() };
    assert_eq!(client.fails(proclaim(&key, "v")), empty);
    assert_eq!(client.fails(resign(&key)), empty);
    let key = win(&client, "election/errors", lease, "");
    assert_eq!(client.fails(proclaim(&LeaderKey { lease: 999, ..key.clone() }, "v")), not_found);
    let large = "x".repeat(1_600_000);
    assert_eq!(client.fails(proclaim(&key, &large)), unknown("ErrGRPCRequestTooLarge"));
    assert_eq!(client.fails(campaign("election/large", lease, &large)), unknown("ErrGRPCRequestTooLarge"));
}

/// With auth on, what a service does within is done by the caller.
fn strangers_are_refused() {
    let server = auth::server();
    let client = server.client();
    let lease = grant(&client, 100);
    let key = win(&client, "e", lease, "one");
    auth::enable(&client);
    for (client, refused) in [
        (client.clone(), unknown("ErrGRPCUserEmpty")),
        (client.with("token", b"abc.1"), unknown("ErrGRPCInvalidAuthToken")),
    ] {
        assert_eq!(client.fails(campaign("e", lease, "one")), refused);
        assert_eq!(client.fails(campaign("e", 0, "one")), refused);
        assert_eq!(client.fails(proclaim(&key, "two")), refused);
        assert_eq!(client.fails(leader("e")), refused);
        assert_eq!(client.fails(resign(&key)), refused);
        assert_eq!(observe(&client, "e").rest(), Ok(vec![]), "an end without a word");
    }
}
