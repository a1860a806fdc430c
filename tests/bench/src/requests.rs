//! The requests of a load, one after the other, as one client asks them.

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use prost::Message;
use proto::etcdserverpb::{
    Compare, LeaseGrantRequest, PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request,
    response_op::Response,
};

use crate::{
    client::{Client, PREFIX},
    load::{Kind, LOGIN, Load, Progress, login},
};

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const STREAM: &str = "/etcdserverpb.KV/RangeStream";
const TXN: &str = "/etcdserverpb.KV/Txn";
const GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
const PAGE: i64 = 500;
const HOUR: i64 = 3600;

/// What all keys of loads begin with, and what is behind them.
pub(crate) const PREFIX_KEY: &str = "/registry/bench/";
pub(crate) const PREFIX_END: &str = "/registry/bench0";

pub(crate) fn key(number: u64) -> String {
    format!("{PREFIX_KEY}namespace/object-{number:010}")
}

/// Who asks one thing after the other.
pub(crate) struct Worker {
    client: Client,
    load: Load,
    /// Its own among the workers: the key that it updates.
    number: u64,
    /// The revision at which that key was changed, as far as it knows.
    revision: i64,
}

impl Worker {
    pub(crate) fn new(client: Client, load: Load, number: u64) -> Worker {
        Worker { client, load, number, revision: 0 }
    }

    /// One request, and all of its answer.
    pub(crate) async fn ask(&mut self, number: u64, progress: &Progress) -> Result<()> {
        let drawn = if self.load.keys == 0 { number } else { progress.random() % self.load.keys };
        match self.load.kind {
            Kind::Put => {
                let put = PutRequest { key: key(drawn).into(), value: self.value(), ..PutRequest::default() };
                self.client.call(PUT, &put.encode_to_vec()).await?;
            }
            Kind::Get => self.get(drawn, false).await?,
            Kind::SerializableGet => self.get(drawn, true).await?,
            Kind::Update => self.update().await?,
            Kind::List => {
                let reply = self.client.call(RANGE, &all().encode_to_vec()).await?;
                ensure!(reply.len() > 1_000_000, "a list of {} bytes", reply.len());
            }
            Kind::StreamedList => {
                let reply = self.client.call(STREAM, &all().encode_to_vec()).await?;
                ensure!(reply.len() > 1_000_000, "a list of {} bytes", reply.len());
            }
            Kind::PagedList => self.pages().await?,
            Kind::Grant => self.grant().await?,
            Kind::Kubernetes => match progress.random() % 1000 {
                0..560 => self.get(drawn, false).await?,
                560..960 => self.update().await?,
                960..985 => self.grant().await?,
                _ => drop(self.page_after(Bytes::from_static(PREFIX_KEY.as_bytes()), 0).await?),
            },
            Kind::Login => drop(self.client.call(LOGIN, &login()).await?),
        }
        Ok(())
    }

    fn value(&self) -> Bytes {
        vec![b'v'; self.load.value_bytes].into()
    }

    async fn get(&self, drawn: u64, serializable: bool) -> Result<()> {
        let range = RangeRequest { key: key(drawn).into(), serializable, ..RangeRequest::default() };
        self.client.call(RANGE, &range.encode_to_vec()).await?;
        Ok(())
    }

    async fn grant(&self) -> Result<()> {
        let grant = LeaseGrantRequest { ttl: HOUR, ..LeaseGrantRequest::default() };
        self.client.call(GRANT, &grant.encode_to_vec()).await?;
        Ok(())
    }

    async fn update(&mut self) -> Result<()> {
        let key = Bytes::from(key(self.number));
        let compare = Compare {
            result: CompareResult::Equal as i32,
            target: CompareTarget::Mod as i32,
            key: key.clone(),
            target_union: Some(TargetUnion::ModRevision(self.revision)),
            ..Compare::default()
        };
        let put = PutRequest { key: key.clone(), value: self.value(), ..PutRequest::default() };
        let range = RangeRequest { key, ..RangeRequest::default() };
        let txn = TxnRequest {
            compare: vec![compare],
            success: vec![RequestOp { request: Some(Request::RequestPut(put)) }],
            failure: vec![RequestOp { request: Some(Request::RequestRange(range)) }],
        };
        let reply = self.client.call(TXN, &txn.encode_to_vec()).await?;
        let reply = TxnResponse::decode(message(reply)?)?;
        self.revision = if reply.succeeded {
            reply.header.context("a reply without a header")?.revision
        } else {
            let read = reply.responses.into_iter().next().and_then(|response| response.response);
            let Some(Response::ResponseRange(range)) = read else { anyhow::bail!("nothing was read") };
            range.kvs.first().map_or(0, |pair| pair.mod_revision)
        };
        Ok(())
    }

    /// All pages of a list, at one revision.
    async fn pages(&self) -> Result<()> {
        let (mut from, mut revision, mut read) = (Bytes::from_static(PREFIX_KEY.as_bytes()), 0, 0);
        loop {
            let page = self.page_after(from, revision).await?;
            read += page.kvs.len();
            revision = page.header.context("a reply without a header")?.revision;
            let Some(last) = page.kvs.last().filter(|_| page.more) else { break };
            from = [&last.key[..], &[0]].concat().into();
        }
        ensure!(read >= 1_000, "a list of {read} keys");
        Ok(())
    }

    async fn page_after(&self, from: Bytes, revision: i64) -> Result<RangeResponse> {
        let range = RangeRequest { key: from, limit: PAGE, revision, ..all() };
        let reply = self.client.call(RANGE, &range.encode_to_vec()).await?;
        Ok(RangeResponse::decode(message(reply)?)?)
    }
}

fn all() -> RangeRequest {
    RangeRequest { key: PREFIX_KEY.into(), range_end: PREFIX_END.into(), ..RangeRequest::default() }
}

/// The message of a unary reply.
pub(crate) fn message(reply: BytesMut) -> Result<Bytes> {
    ensure!(reply.len() >= PREFIX, "a reply of {} bytes", reply.len());
    Ok(reply.freeze().slice(PREFIX..))
}
