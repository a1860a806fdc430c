//! A real member behind the port: one call of each kind, over the wire.

use std::{sync::Arc, time::Duration};

use prost::Message;
use proto::etcdserverpb::{self as pb, watch_request::RequestUnion};

use super::{
    client::{Client, Inbox, framed},
    config,
};
use crate::{Bound, Door, Server, open, serve};

pub(super) struct Running {
    server: Server,
    member: node::Member,
    _dir: tempfile::TempDir,
}

fn front(member: &node::Member) -> Server {
    let handle = member.handle();
    let super::Setup { listen, config } = config();
    serve(config, open(&listen).unwrap(), move || Door::new(&handle)).unwrap()
}

impl Running {
    pub(super) fn start() -> Running {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = node::Config::new("m1", dir.path());
        settings.tick = Duration::from_millis(5);
        let member = node::start(settings, Arc::new(vfs::RealDisk)).unwrap();
        assert!(member.wait_published(Duration::from_secs(10)));
        let server = front(&member);
        Running { server, member, _dir: dir }
    }

    /// Stops the server, and starts one on the same member.
    pub(super) async fn serve_again(&mut self) {
        let old = std::mem::replace(&mut self.server, front(&self.member));
        tokio::task::spawn_blocking(move || old.shutdown(Duration::from_secs(5))).await.unwrap();
    }

    pub(super) async fn client(&self) -> Client {
        let Bound::Tcp(address) = self.server.addresses()[0] else { panic!("a TCP listener") };
        Client::tcp(address.port(), h2::client::Builder::new()).await
    }

    pub(super) async fn stop(self) {
        let Running { server, member, .. } = self;
        tokio::task::spawn_blocking(move || server.shutdown(Duration::from_secs(5))).await.unwrap();
        member.stop().unwrap();
    }
}

#[tokio::test]
async fn calls_reach_a_real_member() {
    let running = Running::start();
    let client = running.client().await;

    let create = pb::WatchCreateRequest { key: "k".into(), ..Default::default() };
    let create = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let (mut watch, response) = client.open("/etcdserverpb.Watch/Watch", &[]).await;
    watch.send_data(framed(&create.encode_to_vec()), false).unwrap();
    let mut events = Inbox::open(response).await;
    assert!(events.next::<pb::WatchResponse>().await.unwrap().created);

    let grant = pb::LeaseGrantRequest { ttl: 60, id: 77 };
    let granted: pb::LeaseGrantResponse =
        client.unary("/etcdserverpb.Lease/LeaseGrant", &grant).await.message();
    assert_eq!((granted.id, granted.ttl), (77, 60));
    let put = pb::PutRequest { key: "k".into(), value: "v".into(), lease: 77, ..Default::default() };
    let put: pb::PutResponse = client.unary("/etcdserverpb.KV/Put", &put).await.message();
    assert_eq!(put.header.unwrap().revision, 2);
    let event: pb::WatchResponse = events.next().await.unwrap();
    let pair = event.events[0].kv.clone().unwrap();
    assert_eq!((&pair.value[..], pair.mod_revision, pair.lease), (&b"v"[..], 2, 77));

    for serializable in [false, true] {
        let range = pb::RangeRequest { key: "k".into(), serializable, ..Default::default() };
        let range: pb::RangeResponse = client.unary("/etcdserverpb.KV/Range", &range).await.message();
        assert_eq!((range.kvs, range.count), (vec![pair.clone()], 1));
    }
    let everything = pb::RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
    let stream = client.unary("/etcdserverpb.KV/RangeStream", &everything).await;
    let chunk = pb::RangeStreamResponse::decode(stream.messages[0].clone()).unwrap();
    assert_eq!(chunk.range_response.unwrap().kvs, vec![pair.clone()]);

    let alive = client.call("/etcdserverpb.Lease/LeaseKeepAlive", &[], {
        framed(&pb::LeaseKeepAliveRequest { id: 77 }.encode_to_vec())
    });
    assert_eq!(alive.await.message::<pb::LeaseKeepAliveResponse>().ttl, 60);
    let revoke = pb::LeaseRevokeRequest { id: 77 };
    let _: pb::LeaseRevokeResponse = client.unary("/etcdserverpb.Lease/LeaseRevoke", &revoke).await.message();
    let deletion: pb::WatchResponse = events.next().await.unwrap();
    assert_eq!(deletion.events[0].r#type, 1);

    let future = pb::RangeRequest { key: "k".into(), revision: 99, ..Default::default() };
    let refused = client.unary("/etcdserverpb.KV/Range", &future).await.outcome;
    assert_eq!(refused, (11, "etcdserver: mvcc: required revision is a future revision".into()));
    let refused = client.unary("/etcdserverpb.Lease/LeaseRevoke", &revoke).await.outcome;
    assert_eq!(refused, (5, "etcdserver: requested lease not found".into()));

    let status: pb::StatusResponse =
        client.unary("/etcdserverpb.Maintenance/Status", &pb::StatusRequest {}).await.message();
    assert_eq!((status.version.as_str(), status.leader), ("3.7.1", status.header.unwrap().member_id));
    let snapshot = client.unary("/etcdserverpb.Maintenance/Snapshot", &pb::SnapshotRequest {}).await;
    let parts: Vec<_> =
        snapshot.messages.into_iter().map(|m| pb::SnapshotResponse::decode(m).unwrap()).collect();
    let len: usize = parts.iter().map(|part| part.blob.len()).sum();
    assert_eq!((snapshot.outcome.0, len % 512), (0, 32));

    drop((watch, events, client));
    running.stop().await;
}
