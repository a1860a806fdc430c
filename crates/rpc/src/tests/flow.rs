//! Deadlines, cancellation, flow control and limits.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use prost::Message;
use proto::etcdserverpb as pb;

use super::{
    Harness,
    client::{Client, Inbox, PATIENCE, collect, framed, soon},
    config,
};

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const SNAPSHOT: &str = "/etcdserverpb.Maintenance/Snapshot";

fn range(key: &str) -> bytes::Bytes {
    framed(&pb::RangeRequest { key: key.as_bytes().to_vec().into(), ..Default::default() }.encode_to_vec())
}

/// Waits until a condition holds.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("condition holds in time");
}

#[tokio::test]
async fn deadlines_end_calls() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    for path in [PUT, RANGE] {
        let reply = client.call(path, &[("grpc-timeout", "30m")], range("hang")).await;
        assert_eq!(reply.outcome, (4, "context deadline exceeded".into()));
    }
    // Also while the request is still coming.
    let (_send, response) = client.open(PUT, &[("grpc-timeout", "30m")]).await;
    assert_eq!(collect(soon(response).await.unwrap()).await.outcome.0, 4);
    assert_eq!(harness.knobs.abandoned.load(SeqCst), 2);
}

#[tokio::test]
async fn canceled_calls_are_abandoned() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let (mut send, response) = client.open(RANGE, &[]).await;
    send.send_data(range("hang"), true).unwrap();
    until(|| harness.knobs.hanging.load(SeqCst) == 1).await;
    send.send_reset(h2::Reason::CANCEL);
    drop(response);
    until(|| harness.knobs.abandoned.load(SeqCst) == 1).await;
    // A connection that goes takes its calls along.
    let (mut send, response) = client.open(RANGE, &[]).await;
    send.send_data(range("hang"), true).unwrap();
    until(|| harness.knobs.hanging.load(SeqCst) == 2).await;
    drop((send, response, client));
    until(|| harness.knobs.abandoned.load(SeqCst) == 2).await;
}

#[tokio::test]
async fn large_ranges_fit_small_windows() {
    let harness = Harness::start(config());
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(10_000).initial_connection_window_size(70_000);
    let client = Client::tcp(harness.port(0), builder).await;
    for rows in [0, 1, 15, 16, 17, 63, 64, 65, 5000] {
        let reply = client.call(RANGE, &[], range(&format!("rows:{rows}"))).await;
        let response: pb::RangeResponse = reply.message();
        assert_eq!(response.kvs.len(), rows);
        assert!(response.kvs.iter().all(|kv| kv.value.len() == 1000));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_no_further_pieces() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let (mut send, response) = client.open(RANGE, &[("grpc-timeout", "200m")]).await;
    send.send_data(range("rows:5000"), true).unwrap();
    // 64 KiB of window, then nothing until the deadline, which can only reset.
    let mut body = soon(response).await.unwrap().into_body();
    let mut got = 0;
    let error = loop {
        match soon(body.data()).await {
            Some(Ok(chunk)) => got += chunk.len(),
            Some(Err(error)) => break error,
            None => panic!("the message is not complete"),
        }
    };
    assert_eq!(got, 65_535);
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
}

/// Without a deadline of its own, too: what it reads is held for it.
#[tokio::test]
async fn a_client_that_stops_reading_a_large_range_loses_the_call() {
    let mut config = config();
    config.limits.reader_patience = Duration::from_millis(200);
    let harness = Harness::start(config);
    let client = harness.client().await;
    for path in [RANGE, "/etcdserverpb.KV/RangeStream"] {
        let (mut send, response) = client.open(path, &[]).await;
        send.send_data(range("rows:5000"), true).unwrap();
        let mut body = soon(response).await.unwrap().into_body();
        // The window is not given back, which is all that the other side can see of a reader.
        let error = loop {
            match soon(body.data()).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("the message is not complete"),
            }
        };
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{path}");
    }
    // Slow is fine, as long as it goes on.
    let (mut send, response) = client.open(RANGE, &[]).await;
    send.send_data(range("rows:500"), true).unwrap();
    let mut body = soon(response).await.unwrap().into_body();
    let mut got = 0;
    while let Some(chunk) = soon(body.data()).await {
        let len = chunk.unwrap().len();
        got += len;
        body.flow_control().release_capacity(len).unwrap();
    }
    assert!(got > 500_000);
}

#[tokio::test]
async fn a_failure_in_the_middle_of_a_message_resets() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let (mut send, response) = client.open(RANGE, &[]).await;
    send.send_data(range("broken"), true).unwrap();
    let mut inbox = Inbox::open(response).await;
    let (code, text) = inbox.next::<pb::RangeResponse>().await.unwrap_err();
    assert_eq!(code, -1);
    assert!(text.contains("internal error"), "{text}");
}

#[tokio::test]
async fn the_memory_budget_refuses() {
    let mut config = config();
    config.limits.bytes_in_flight_max = 150_000;
    let harness = Harness::start(config);
    let client = harness.client().await;
    let big = pb::PutRequest { key: "a".into(), value: vec![1; 200_000].into(), ..Default::default() };
    let (mut send, response) = client.open(PUT, &[]).await;
    send.reserve_capacity(300_000);
    send.send_data(framed(&big.encode_to_vec()), true).unwrap();
    let refused = (8, "etcdserver: too many requests".to_owned());
    assert_eq!(collect(soon(response).await.unwrap()).await.outcome, refused);
    assert_eq!(client.call(RANGE, &[], range("rows:500")).await.outcome, refused);
    assert_eq!(client.call(RANGE, &[], range("rows:10")).await.outcome.0, 0);
    // Requests count while they arrive, and no more than has arrived.
    let mut halves = Vec::new();
    for _ in 0..8 {
        let (mut send, response) = client.open(PUT, &[]).await;
        send.send_data(framed(&big.encode_to_vec()).slice(..20_000), false).unwrap();
        halves.push((send, Box::pin(response)));
    }
    let responses = halves.iter_mut().map(|(_, response)| response);
    let (first, ..) = soon(futures_util::future::select_all(responses)).await;
    assert_eq!(collect(first.unwrap()).await.outcome, refused);
}

/// Also replies that are small, when there are many that nobody takes.
#[tokio::test]
async fn the_memory_budget_counts_small_replies() {
    let mut config = config();
    config.limits.bytes_in_flight_max = 150_000;
    let harness = Harness::start(config);
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let client = Client::tcp(harness.port(0), builder).await;
    let mut waiting = Vec::new();
    let refused = loop {
        assert!(waiting.len() < 1000, "every reply is made");
        let (mut send, response) = client.open(RANGE, &[]).await;
        send.send_data(range("rows:10"), true).unwrap();
        let response = soon(response).await.unwrap();
        if response.headers().contains_key("grpc-status") {
            break response;
        }
        waiting.push((send, response));
    };
    assert_eq!(refused.headers()["grpc-status"], "8");
    assert!((10..16).contains(&waiting.len()), "{} replies of 10 KB", waiting.len());
}

/// Whoever reads a snapshot holds what stands behind its pieces, not one piece.
#[tokio::test]
async fn the_memory_budget_counts_snapshots_to_their_end() {
    let mut config = config();
    config.limits.bytes_in_flight_max = 3 << 20;
    let harness = Harness::start(config);
    let client = harness.client().await;
    let (mut send, response) = client.open(SNAPSHOT, &[]).await;
    send.send_data(framed(&[]), true).unwrap();
    let mut body = soon(response).await.unwrap().into_body();
    let mut got = 0;
    while got < 65_535 {
        got += soon(body.data()).await.unwrap().unwrap().len();
    }
    let refused = client.call(SNAPSHOT, &[], framed(&[])).await;
    assert_eq!(refused.outcome, (8, "etcdserver: too many requests".to_owned()));
}

#[tokio::test]
async fn streams_per_connection_are_bounded_when_asked() {
    let mut config = config();
    config.limits.streams_max = 3;
    let harness = Harness::start(config);
    let client = harness.client().await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let (mut send, response) = client.open(RANGE, &[]).await;
        send.send_data(range("hang"), true).unwrap();
        open.push((send, response));
    }
    until(|| harness.knobs.hanging.load(SeqCst) == 3).await;
    let (mut send, response) = client.open(RANGE, &[]).await;
    send.send_data(range("rows:1"), true).unwrap();
    drop(open.pop());
    assert_eq!(collect(soon(response).await.unwrap()).await.outcome.0, 0);
}

#[tokio::test]
async fn connections_wait_for_a_place() {
    let mut config = config();
    config.limits.connections_max = 1;
    let harness = Harness::start(config);
    let first = harness.client().await;
    assert_eq!(first.call(RANGE, &[], range("rows:1")).await.outcome.0, 0);
    let second = harness.client().await;
    let (mut send, response) = second.open(RANGE, &[]).await;
    send.send_data(range("rows:1"), true).unwrap();
    let mut response = Box::pin(response);
    tokio::time::timeout(Duration::from_millis(50), &mut response).await.expect_err("no place yet");
    drop(first);
    assert_eq!(collect(soon(response).await.unwrap()).await.outcome.0, 0);
}
