//! The lock and election services: who calls in them, what stays when a caller goes, and what a stop does to waits.

use std::sync::atomic::Ordering::SeqCst;

use h2::{SendStream, client::ResponseFuture};
use prost::Message;
use proto::{
    etcdserverpb as pb,
    v3electionpb::{CampaignRequest, CampaignResponse, LeaderRequest, LeaderResponse},
    v3lockpb::{LockRequest, LockResponse},
};

use super::{
    Harness,
    client::{Client, Inbox, Outcome, collect, framed, soon},
    config,
    flow::until,
    member::Running,
};
use crate::{
    method::Method,
    metrics::Shard,
    status::{Code, Reason},
};

const LOCK: &str = "/v3lockpb.Lock/Lock";
const CAMPAIGN: &str = "/v3electionpb.Election/Campaign";

/// A call under way with one request.
async fn start(
    client: &Client,
    path: &str,
    headers: &[(&str, &str)],
    request: &impl Message,
) -> (SendStream<bytes::Bytes>, ResponseFuture) {
    let (mut send, response) = client.open(path, headers).await;
    send.send_data(framed(&request.encode_to_vec()), true).unwrap();
    (send, response)
}

async fn outcome(response: ResponseFuture) -> Outcome {
    collect(soon(response).await.unwrap()).await.outcome
}

fn lock(name: &'static str, lease: i64) -> LockRequest {
    LockRequest { name: name.into(), lease }
}

#[tokio::test]
async fn every_inner_call_is_the_callers() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    harness.knobs.pairs.lock().unwrap().insert("a/".into(), "somebody in front".into());
    let (send, response) = start(&client, LOCK, &[("token", "alice.1")], &lock("a", 0x1f)).await;
    until(|| harness.knobs.watch_requests.load(SeqCst) == 1).await;
    drop((send, response));
    // The key is removed if it is still the one that was put, and the watch ends.
    until(|| harness.knobs.txns.lock().unwrap().len() == 2).await;
    until(|| harness.knobs.watches_closed.load(SeqCst) == 1).await;
    let txns = harness.knobs.txns.lock().unwrap().clone();
    let compares = txns.iter().map(|txn| (&txn.compare[0].key[..], txn.compare[0].target_union.clone()));
    let created = |revision| Some(pb::compare::TargetUnion::CreateRevision(revision));
    assert!(compares.eq([(&b"a/1f"[..], created(0)), (&b"a/1f"[..], created(5))]));
    let deletes =
        |op: &pb::RequestOp| matches!(op.request, Some(pb::request_op::Request::RequestDeleteRange(_)));
    assert!(txns[1].success.iter().all(deletes) && txns[1].success.len() == 1);
    let callers = harness.knobs.callers.lock().unwrap().clone();
    assert_eq!(callers.len(), 4, "the key, who is in front, his watch, and the key again");
    assert!(callers.iter().all(|caller| caller.token.as_deref() == Some("alice.1") && !caller.internal));
}

#[tokio::test]
async fn a_key_that_is_put_after_its_caller_went_is_removed() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let call = start(&client, LOCK, &[("token", "alice.1")], &lock("late", 7)).await;
    until(|| harness.knobs.txns.lock().unwrap().len() == 1).await;
    drop(call);
    let canceled = |shard: &Shard| shard.method(Method::Lock).handled[Code::Canceled as usize].value();
    until(|| harness.server.metrics().sum(canceled) == 1).await;
    assert_eq!(harness.knobs.txns.lock().unwrap().len(), 1);
    // Only now it is known what there is to remove.
    harness.knobs.late.notify_one();
    until(|| harness.knobs.txns.lock().unwrap().len() == 2).await;
    let removal = harness.knobs.txns.lock().unwrap()[1].clone();
    assert_eq!(removal.compare[0].key, "late/7");
    assert_eq!(removal.compare[0].target_union, Some(pb::compare::TargetUnion::CreateRevision(3)));
    assert_eq!(harness.knobs.last_caller.lock().unwrap().token.as_deref(), Some("alice.1"));
    harness.knobs.late.notify_one();
}

#[tokio::test]
async fn a_lost_key_is_noticed_when_it_is_its_turn() {
    let harness = Harness::start(config());
    let reply = harness.client().await.unary(LOCK, &lock("a", 7)).await;
    assert_eq!(reply.outcome, (2, "mutex: session is expired".into()));
}

/// As a client of etcd's own client sees them: the text stays, the code does not.
#[tokio::test]
async fn errors_of_inner_calls_are_unknown() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    *harness.knobs.range_error.lock().unwrap() = Some(Reason::PermissionDenied);
    let denied = (2, "etcdserver: permission denied".into());
    assert_eq!(
        client.unary("/v3electionpb.Election/Leader", &LeaderRequest::default()).await.outcome,
        denied
    );
    // What was put is removed before the caller learns that he cannot wait.
    assert_eq!(client.unary(LOCK, &lock("a", 7)).await.outcome, denied);
    assert_eq!(harness.knobs.txns.lock().unwrap().len(), 2);
    let nothing = client.unary("/v3electionpb.Election/Observe", &LeaderRequest::default()).await;
    assert_eq!((nothing.messages.len(), nothing.outcome), (0, (0, String::new())));
    *harness.knobs.range_error.lock().unwrap() = Some(Reason::TimeoutWaitApplied);
    let timeout = Reason::TimeoutWaitApplied.to_string();
    assert_eq!(
        client.unary("/v3electionpb.Election/Leader", &LeaderRequest::default()).await.outcome,
        (14, timeout),
        "etcd's client does not know this one"
    );
}

#[tokio::test]
async fn a_learner_serves_neither() {
    let harness = Harness::start(config());
    harness.knobs.learner.store(true, SeqCst);
    let client = harness.client().await;
    let refused = (9, "etcdserver: rpc not supported for learner".into());
    assert_eq!(client.unary(LOCK, &lock("a", 7)).await.outcome, refused);
    assert_eq!(
        client.unary("/v3electionpb.Election/Observe", &LeaderRequest::default()).await.outcome,
        refused
    );
}

async fn grant(client: &Client, id: i64) {
    let request = pb::LeaseGrantRequest { ttl: 600, id };
    let _: pb::LeaseGrantResponse = client.unary("/etcdserverpb.Lease/LeaseGrant", &request).await.message();
}

/// All keys, as text.
async fn keys(client: &Client) -> Vec<String> {
    let all = pb::RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
    let reply: pb::RangeResponse = client.unary("/etcdserverpb.KV/Range", &all).await.message();
    reply.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

/// Waits until these are all keys.
async fn until_keys(client: &Client, expected: &[&str]) {
    soon(async {
        while keys(client).await != expected {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn waiting_calls_take_turns_and_leave_nothing() {
    let mut running = Running::start();
    let client = running.client().await;
    for lease in 1..=4 {
        grant(&client, lease).await;
    }
    let first: LockResponse = client.unary(LOCK, &lock("l", 1)).await.message();
    assert_eq!(first.key, "l/1");
    let second = start(&client, LOCK, &[], &lock("l", 2)).await;
    until_keys(&client, &["l/1", "l/2"]).await;
    // One on a connection of its own, which then breaks; one with a deadline.
    let other = running.client().await;
    let third = start(&other, LOCK, &[], &lock("l", 3)).await;
    until_keys(&client, &["l/1", "l/2", "l/3"]).await;
    let fourth = start(&client, LOCK, &[("grpc-timeout", "100m")], &lock("l", 4)).await;
    assert_eq!(outcome(fourth.1).await, (4, "context deadline exceeded".into()));
    until_keys(&client, &["l/1", "l/2", "l/3"]).await;
    drop((third, other));
    until_keys(&client, &["l/1", "l/2"]).await;

    let unlock = proto::v3lockpb::UnlockRequest { key: first.key };
    assert_eq!(client.unary("/v3lockpb.Lock/Unlock", &unlock).await.outcome.0, 0);
    let turn: LockResponse = collect(soon(second.1).await.unwrap()).await.message();
    assert_eq!(turn.key, "l/2");
    assert_eq!(keys(&client).await, ["l/2"]);

    // A stop does not wait for those who wait, and removes their keys.
    let third = start(&client, LOCK, &[], &lock("l", 3)).await;
    until_keys(&client, &["l/2", "l/3"]).await;
    drop(client);
    running.serve_again().await;
    assert_eq!(outcome(third.1).await, (14, "etcdserver: server stopped".into()));
    assert_eq!(keys(&running.client().await).await, ["l/2"]);
    running.stop().await;
}

#[tokio::test]
async fn an_observer_sees_every_leader_and_value_in_order() {
    let running = Running::start();
    let client = running.client().await;
    grant(&client, 1).await;
    grant(&client, 2).await;
    let (_send, observed) =
        start(&client, "/v3electionpb.Election/Observe", &[], &LeaderRequest { name: "e".into() }).await;
    let campaign =
        |lease, value: &'static str| CampaignRequest { name: "e".into(), lease, value: value.into() };
    let won: CampaignResponse = client.unary(CAMPAIGN, &campaign(1, "one")).await.message();
    let mut observed = Inbox::open(observed).await;
    let mut seen = Vec::new();
    let mut see = async || {
        let leader: LeaderResponse = observed.next().await.unwrap();
        let kv = leader.kv.unwrap();
        assert!(leader.header.unwrap().revision >= kv.mod_revision);
        seen.push(format!("{}={}", String::from_utf8_lossy(&kv.key), String::from_utf8_lossy(&kv.value)));
    };
    see().await;
    // The next one stands in line before the leader says something new: he is older than what was seen last.
    let next = start(&client, CAMPAIGN, &[], &campaign(2, "two")).await;
    until_keys(&client, &["e/1", "e/2"]).await;
    let again: CampaignResponse = client.unary(CAMPAIGN, &campaign(1, "more")).await.message();
    assert_eq!(again.leader, won.leader);
    see().await;
    let resign = proto::v3electionpb::ResignRequest { leader: won.leader };
    assert_eq!(client.unary("/v3electionpb.Election/Resign", &resign).await.outcome.0, 0);
    assert_eq!(outcome(next.1).await.0, 0);
    see().await;
    assert_eq!(seen, ["e/1=one", "e/1=more", "e/2=two"]);
    drop((client, observed));
    running.stop().await;
}
