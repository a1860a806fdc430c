//! Calls with streams of messages.

use std::sync::atomic::Ordering::SeqCst;

use prost::Message;
use proto::{
    etcdserverpb::{self as pb, watch_request::RequestUnion},
    health::{HealthCheckRequest, HealthCheckResponse},
};
use sha2::{Digest, Sha256};

use super::{
    Harness,
    client::{Client, Inbox, framed},
    config, fake,
    flow::until,
};
use crate::service::ANSWERS_WAITING_MAX;

const WATCH: &str = "/etcdserverpb.Watch/Watch";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

fn create(key: &str) -> bytes::Bytes {
    let create = pb::WatchCreateRequest { key: key.as_bytes().to_vec().into(), ..Default::default() };
    framed(&pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }.encode_to_vec())
}

#[tokio::test]
async fn watch_goes_on_after_half_close() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let (mut send, response) = client.open(WATCH, &[]).await;
    send.send_data(create("10"), true).unwrap();
    let mut inbox = Inbox::open(response).await;
    let created: pb::WatchResponse = inbox.next().await.unwrap();
    assert!(created.created);
    for _ in 0..100 {
        let events: pb::WatchResponse = inbox.next().await.unwrap();
        assert_eq!((events.watch_id, events.events.len()), (7, 1));
        assert_eq!(events.events[0].kv.as_ref().unwrap().value.len(), 10);
    }
    drop((send, inbox));
    until(|| harness.knobs.watches_closed.load(SeqCst) == 1).await;
}

#[tokio::test]
async fn watch_takes_events_only_as_fast_as_the_client() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let (mut send, response) = client.open(WATCH, &[]).await;
    send.send_data(create("10000"), false).unwrap();
    let mut inbox = Inbox::open(response).await;
    assert!(inbox.next::<pb::WatchResponse>().await.unwrap().created);
    // The client's window is 64 KiB and nobody reads.
    until(|| harness.knobs.frames_taken.load(SeqCst) >= 6).await;
    // Answers without a body need no window; after some, the server has had its turns.
    for _ in 0..10 {
        assert_eq!(client.call("/none/none", &[], framed(&[])).await.outcome.0, 12);
    }
    assert!(harness.knobs.frames_taken.load(SeqCst) <= 8);
    // A request is heard although nothing can be sent.
    let cancel = RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: 7 });
    let cancel = pb::WatchRequest { request_union: Some(cancel) };
    send.send_data(framed(&cancel.encode_to_vec()), true).unwrap();
    let end = loop {
        match inbox.next::<pb::WatchResponse>().await {
            Ok(events) => assert_eq!(events.events[0].kv.as_ref().unwrap().value.len(), 10_000),
            Err(end) => break end,
        }
    };
    assert_eq!(end, (1, "etcdserver: watch canceled".into()));
}

#[tokio::test]
async fn requests_wait_while_their_answers_do() {
    const REQUESTS: usize = 3000;
    let harness = Harness::start(config());
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1000);
    let client = Client::tcp(harness.port(0), builder).await;
    let (mut send, response) = client.open(WATCH, &[]).await;
    for _ in 0..REQUESTS {
        send.send_data(create("no events"), false).unwrap();
    }
    let mut inbox = Inbox::open(response).await;
    let most = u64::from(ANSWERS_WAITING_MAX);
    until(|| harness.knobs.watch_requests.load(SeqCst) >= most).await;
    for _ in 0..10 {
        assert_eq!(client.call("/none/none", &[], framed(&[])).await.outcome.0, 12);
    }
    // Some answers were sent or are on their way: a window, and a batch.
    let answer = pb::WatchResponse { header: fake::header(), created: true, ..Default::default() };
    let sent = (1000 + (16 << 10)) / (5 + answer.encoded_len()) + 2;
    assert!(harness.knobs.watch_requests.load(SeqCst) <= most + sent as u64);
    for _ in 0..REQUESTS {
        assert!(inbox.next::<pb::WatchResponse>().await.unwrap().created);
    }
    assert_eq!(harness.knobs.watch_requests.load(SeqCst), REQUESTS as u64);
}

#[tokio::test]
async fn requests_without_answers_do_not_wait() {
    const REQUESTS: u64 = 3000;
    let harness = Harness::start(config());
    let client = harness.client().await;
    let (mut send, _response) = client.open(WATCH, &[]).await;
    let progress = RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
    let progress = framed(&pb::WatchRequest { request_union: Some(progress) }.encode_to_vec());
    for _ in 0..REQUESTS {
        send.send_data(progress.clone(), false).unwrap();
    }
    until(|| harness.knobs.watch_requests.load(SeqCst) == REQUESTS).await;
}

#[tokio::test]
async fn malformed_stream_messages_end_the_stream() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let text = "grpc: failed to unmarshal the received message: proto: cannot parse invalid wire-format data";
    for path in [WATCH, KEEP_ALIVE, "/etcdserverpb.KV/RangeStream", "/etcdserverpb.Maintenance/Snapshot"] {
        let reply = client.call(path, &[], framed(&[0xff; 5])).await;
        assert_eq!(reply.outcome, (13, text.into()), "{path}");
    }
    let metrics = harness.server.metrics();
    assert_eq!(metrics.sum(|shard| shard.watch_receive_failures.value()), 1);
    assert_eq!(metrics.sum(|shard| shard.keep_alive_receive_failures.value()), 1);
}

#[tokio::test]
async fn keep_alive_answers_in_order() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let (mut send, response) = client.open(KEEP_ALIVE, &[]).await;
    for id in [5, 1, 6] {
        send.send_data(framed(&pb::LeaseKeepAliveRequest { id }.encode_to_vec()), false).unwrap();
    }
    let mut inbox = Inbox::open(response).await;
    for (id, ttl) in [(5, 60), (1, 0), (6, 60)] {
        let reply: pb::LeaseKeepAliveResponse = inbox.next().await.unwrap();
        assert_eq!((reply.id, reply.ttl, reply.header), (id, ttl, fake::header()));
    }
    send.send_data(bytes::Bytes::new(), true).unwrap();
    assert_eq!(inbox.next::<pb::LeaseKeepAliveResponse>().await.unwrap_err(), (0, String::new()));
    let refused = client.call(KEEP_ALIVE, &[], framed(&[])).await;
    assert_eq!(refused.outcome, (2, "not a primary lessor".into()));
}

#[tokio::test]
async fn range_stream_wraps_its_chunks() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let request = pb::RangeRequest { key: "four".into(), ..Default::default() };
    let reply = client.unary("/etcdserverpb.KV/RangeStream", &request).await;
    assert_eq!((reply.outcome.0, reply.messages.len()), (0, 4));
    for message in reply.messages {
        let chunk = pb::RangeStreamResponse::decode(message).unwrap().range_response.unwrap();
        assert_eq!(chunk.kvs.len(), 30);
    }
    let request = pb::RangeRequest { key: "k".into(), sort_order: 2, ..Default::default() };
    let reply = client.unary("/etcdserverpb.KV/RangeStream", &request).await;
    assert_eq!(reply.outcome, (12, "RangeStream does not support custom sort orders".into()));
}

#[tokio::test]
async fn snapshot_ends_with_its_digest() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let reply = client.unary("/etcdserverpb.Maintenance/Snapshot", &pb::SnapshotRequest {}).await;
    assert_eq!(reply.outcome.0, 0);
    let mut parts: Vec<_> =
        reply.messages.into_iter().map(|m| pb::SnapshotResponse::decode(m).unwrap()).collect();
    assert!(parts.iter().all(|part| part.version == "3.7.0" && part.header.is_none()));
    let digest = parts.pop().unwrap();
    let (mut left, mut hash) = (3u64 << 20, Sha256::new());
    for part in &parts {
        assert_eq!(part.blob.len(), 32 << 10);
        left -= part.blob.len() as u64;
        assert_eq!(part.remaining_bytes, left);
        hash.update(&part.blob);
    }
    assert_eq!((left, digest.remaining_bytes), (0, 0));
    assert_eq!(digest.blob, hash.finalize().to_vec());
    assert_eq!(parts[5].blob[17], fake::image_byte(5 * (32 << 10) + 17));
}

#[tokio::test]
async fn streams_that_need_a_leader_end_without_one() {
    let harness = Harness::start(config());
    let client: Client = harness.client().await;
    let (mut send, response) = client.open(WATCH, &[("hasleader", "true")]).await;
    send.send_data(create("idle"), false).unwrap();
    let (mut other_send, other) = client.open(WATCH, &[]).await;
    other_send.send_data(create("idle"), false).unwrap();
    let (mut inbox, mut other) = (Inbox::open(response).await, Inbox::open(other).await);
    assert!(inbox.next::<pb::WatchResponse>().await.unwrap().created);
    assert!(other.next::<pb::WatchResponse>().await.unwrap().created);
    harness.knobs.leaderless.store(true, SeqCst);
    assert_eq!(inbox.next::<pb::WatchResponse>().await.unwrap_err(), (14, "etcdserver: no leader".into()));
    other_send.send_data(create("3"), false).unwrap();
    assert!(other.next::<pb::WatchResponse>().await.unwrap().created);
    let refused = client.call(WATCH, &[("hasleader", "true")], create("a")).await;
    assert_eq!(refused.outcome.0, 14);
}

#[tokio::test]
async fn learners_stream_only_snapshots() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    harness.knobs.learner.store(true, SeqCst);
    let refused = (9, "etcdserver: rpc not supported for learner".to_owned());
    assert_eq!(client.call(WATCH, &[], create("a")).await.outcome, refused);
    let reply = client.unary("/etcdserverpb.Maintenance/Snapshot", &pb::SnapshotRequest {}).await;
    assert_eq!(reply.outcome.0, 0);
}

#[tokio::test]
async fn health_watch_says_one_thing() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    for (service, expected) in [("", 1), ("other", 3)] {
        let (mut send, response) = client.open("/grpc.health.v1.Health/Watch", &[]).await;
        let request = HealthCheckRequest { service: service.into() };
        send.send_data(framed(&request.encode_to_vec()), true).unwrap();
        let mut inbox = Inbox::open(response).await;
        assert_eq!(inbox.next::<HealthCheckResponse>().await.unwrap().status, expected);
    }
}
