//! What operators ask of a member, while clients ask on.

use anyhow::{Context, Result};
use bytes::BytesMut;
use prost::Message;
use proto::etcdserverpb::{
    CompactionRequest, DefragmentRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, RangeRequest, RangeResponse, SnapshotRequest,
};

use crate::{
    client::{Client, Target},
    requests::{key, message},
};

/// Forgets all history, and waits until it is gone.
pub(crate) async fn compact(target: &Target) -> Result<()> {
    let client = Client::to(target).await?;
    let range = RangeRequest { key: key(0).into(), ..RangeRequest::default() };
    let reply = client.call("/etcdserverpb.KV/Range", &range.encode_to_vec()).await?;
    let revision = RangeResponse::decode(message(reply)?)?.header.context("no header")?.revision;
    let compact = CompactionRequest { revision, physical: true };
    client.call("/etcdserverpb.KV/Compact", &compact.encode_to_vec()).await?;
    Ok(())
}

pub(crate) async fn defragment(target: &Target) -> Result<()> {
    let client = Client::to(target).await?;
    let path = "/etcdserverpb.Maintenance/Defragment";
    client.call(path, &DefragmentRequest {}.encode_to_vec()).await?;
    Ok(())
}

/// Reads a whole snapshot: its bytes.
pub(crate) async fn snapshot(target: &Target) -> Result<u64> {
    let client = Client::to(target).await?;
    let path = "/etcdserverpb.Maintenance/Snapshot";
    let mut body = client.begin(path, &SnapshotRequest {}.encode_to_vec(), true).await?;
    let mut bytes = 0;
    while let Some(chunk) = body.chunk().await? {
        bytes += chunk.len() as u64;
    }
    Ok(bytes)
}

/// Renews every lease once, `in_flight` at a time on one stream: how many there are.
pub(crate) async fn renew_all(target: &Target, in_flight: usize) -> Result<u64> {
    let client = Client::to(target).await?;
    let path = "/etcdserverpb.Lease/LeaseLeases";
    let reply = client.call(path, &LeaseLeasesRequest {}.encode_to_vec()).await?;
    let leases = LeaseLeasesResponse::decode(message(reply)?)?.leases;
    let renewal = |id| LeaseKeepAliveRequest { id }.encode_to_vec();
    let mut ids = leases.iter().map(|lease| lease.id);
    let first = ids.next().context("there are no leases")?;
    let mut body = client.begin("/etcdserverpb.Lease/LeaseKeepAlive", &renewal(first), false).await?;
    for id in ids.by_ref().take(in_flight) {
        body.send(&renewal(id))?;
    }
    let mut buffer = BytesMut::new();
    for _ in &leases {
        let reply = body.message(&mut buffer).await?.context("the stream has ended")?;
        let renewed = LeaseKeepAliveResponse::decode(reply)?;
        anyhow::ensure!(renewed.ttl > 0, "lease {:x} is gone", renewed.id);
        if let Some(id) = ids.next() {
            body.send(&renewal(id))?;
        }
    }
    Ok(leases.len() as u64)
}
