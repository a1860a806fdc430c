//! What is counted as started, received, sent and handled: as the library that etcd counts with does it.

use h2::client::Builder;
use prost::Message;
use proto::etcdserverpb::{self as pb, watch_request::RequestUnion};

use super::{
    Harness,
    client::{Client, Inbox, framed},
    config,
    flow::until,
};
use crate::{method::Method, metrics::Metrics, status::Code};

/// Started, received and sent.
fn counts(metrics: &Metrics, method: Method) -> [u64; 3] {
    [
        metrics.sum(|shard| shard.method(method).started.value()),
        metrics.sum(|shard| shard.method(method).received.value()),
        metrics.sum(|shard| shard.method(method).sent.value()),
    ]
}

#[tokio::test]
async fn unary_calls_count_one_message_each_way() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let put = pb::PutRequest { key: "k".into(), ..Default::default() };
    let path = "/etcdserverpb.KV/Put";
    assert_eq!(client.call(path, &[], framed(&put.encode_to_vec())).await.outcome.0, 0);
    let metrics = harness.server.metrics();
    assert_eq!(counts(metrics, Method::Put), [1, 1, 1]);
    assert_eq!(client.call(path, &[], framed(&[])).await.outcome.0, 3);
    assert_eq!(counts(metrics, Method::Put), [2, 2, 2]);
    // No handler begins with what is no message.
    assert_eq!(client.call(path, &[], framed(&[0xff])).await.outcome.0, 13);
    assert_eq!(counts(metrics, Method::Put), [2, 2, 2]);
}

#[tokio::test]
async fn the_end_of_requests_is_received() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let renew = framed(&pb::LeaseKeepAliveRequest { id: 5 }.encode_to_vec());
    let reply = client.call("/etcdserverpb.Lease/LeaseKeepAlive", &[], renew).await;
    assert_eq!((reply.outcome.0, reply.messages.len()), (0, 1));
    let metrics = harness.server.metrics();
    assert_eq!(counts(metrics, Method::LeaseKeepAlive), [1, 2, 1]);
    // A single request is not looked behind.
    client.call("/etcdserverpb.Maintenance/Snapshot", &[], framed(&[])).await;
    assert_eq!(counts(metrics, Method::Snapshot)[..2], [1, 1]);
    client.call("/etcdserverpb.Maintenance/Snapshot", &[], framed(&[0xff])).await;
    assert_eq!(counts(metrics, Method::Snapshot)[..2], [2, 2]);
}

#[tokio::test]
async fn a_lost_connection_ends_its_calls() {
    let harness = Harness::start(config());
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", harness.port(0))).await.unwrap();
    let (io, cut) = tokio::io::duplex(64 << 10);
    let copying = tokio::spawn(async move {
        let (mut cut, mut stream) = (cut, stream);
        tokio::io::copy_bidirectional(&mut cut, &mut stream).await
    });
    let client = Client::over(io, Builder::new()).await;
    let (mut send, response) = client.open("/etcdserverpb.Watch/Watch", &[]).await;
    let create = pb::WatchCreateRequest { key: "no events".into(), ..Default::default() };
    let create = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    send.send_data(framed(&create.encode_to_vec()), false).unwrap();
    let mut inbox = Inbox::open(response).await;
    assert!(inbox.next::<pb::WatchResponse>().await.unwrap().created);
    let metrics = harness.server.metrics();
    assert_eq!(counts(metrics, Method::Watch), [1, 1, 1]);
    copying.abort();
    until(|| metrics.handled(Method::Watch, Code::Canceled) == 1).await;
    assert_eq!(counts(metrics, Method::Watch), [1, 2, 1]);
}
