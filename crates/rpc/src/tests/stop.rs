//! Shutting down.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use prost::Message;
use proto::etcdserverpb as pb;
use tokio::net::TcpStream;

use super::{
    Harness,
    client::{Inbox, collect, framed, soon},
    config,
    flow::until,
};

#[tokio::test]
async fn calls_finish_and_streams_end() {
    let harness = Harness::start(config());
    let port = harness.port(0);
    let client = harness.client().await;
    let (mut send, response) = client.open("/etcdserverpb.KV/Range", &[("grpc-timeout", "200m")]).await;
    let hang = pb::RangeRequest { key: "hang".into(), ..Default::default() };
    send.send_data(framed(&hang.encode_to_vec()), true).unwrap();
    let (_watch_send, watch) = client.open("/etcdserverpb.Watch/Watch", &[]).await;
    until(|| harness.knobs.hanging.load(SeqCst) == 1).await;
    let Harness { server, knobs } = harness;
    let stopping = tokio::task::spawn_blocking(move || server.shutdown(Duration::from_secs(10)));
    let stopped = collect(soon(watch).await.unwrap()).await;
    assert_eq!(stopped.outcome, (14, "etcdserver: server stopped".into()));
    // The call under way gets its answer before the connection closes.
    assert_eq!(collect(soon(response).await.unwrap()).await.outcome.0, 4);
    assert_eq!(knobs.abandoned.load(SeqCst), 1);
    soon(stopping).await.unwrap();
    TcpStream::connect(("127.0.0.1", port)).await.expect_err("nobody listens");
}

#[tokio::test]
async fn grace_is_bounded() {
    let mut config = config();
    config.network_threads = 2;
    let harness = Harness::start(config);
    let clients = [harness.client().await, harness.client().await];
    let hang = pb::RangeRequest { key: "hang".into(), ..Default::default() };
    let mut calls = Vec::new();
    for client in &clients {
        let (mut send, response) = client.open("/etcdserverpb.KV/Range", &[]).await;
        send.send_data(framed(&hang.encode_to_vec()), true).unwrap();
        calls.push((send, response));
    }
    until(|| harness.knobs.hanging.load(SeqCst) == 2).await;
    let connections: Vec<_> =
        harness.server.metrics().shards().iter().map(|shard| shard.connections.load(SeqCst)).collect();
    assert_eq!(connections, [1, 1], "each thread has one");
    let stopping = tokio::task::spawn_blocking(move || harness.server.shutdown(Duration::from_millis(50)));
    soon(stopping).await.unwrap();
    for (_, response) in calls {
        assert!(soon(response).await.is_err());
    }
}

#[tokio::test]
async fn watch_inbox_sees_the_end() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let (mut send, response) = client.open("/etcdserverpb.Watch/Watch", &[]).await;
    let create = pb::WatchCreateRequest { key: "5".into(), ..Default::default() };
    let union = pb::watch_request::RequestUnion::CreateRequest(create);
    send.send_data(framed(&pb::WatchRequest { request_union: Some(union) }.encode_to_vec()), false).unwrap();
    let mut inbox = Inbox::open(response).await;
    assert!(inbox.next::<pb::WatchResponse>().await.unwrap().created);
    let stopping = tokio::task::spawn_blocking(move || harness.server.shutdown(Duration::from_secs(10)));
    let end = loop {
        if let Err(end) = inbox.next::<pb::WatchResponse>().await {
            break end;
        }
    };
    assert_eq!(end, (14, "etcdserver: server stopped".into()));
    drop((send, inbox, client));
    soon(stopping).await.unwrap();
}
