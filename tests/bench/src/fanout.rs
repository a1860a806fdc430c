//! Watchers beside a load: each event is counted, none is kept.

use std::{cell::Cell, rc::Rc};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use proto::etcdserverpb::{
    WatchCreateRequest, WatchProgressRequest, WatchRequest, watch_request::RequestUnion,
};
use tokio::sync::Notify;

use crate::client::{Body, Client, Target};

/// What is watched.
pub(crate) struct Watched {
    pub(crate) key: String,
    /// Empty for the key alone.
    pub(crate) range_end: String,
}

/// Events that have arrived, of all watchers.
#[derive(Default)]
pub(crate) struct Arrived {
    events: Cell<u64>,
    changed: Notify,
}

impl Arrived {
    /// Waits for so many.
    pub(crate) async fn wait_for(&self, events: u64) {
        while self.events.get() < events {
            self.changed.notified().await;
        }
    }
}

/// Opens watchers, on one stream of each of so many connections, and reads what comes until it is dropped.
pub(crate) struct Crowd {
    pub(crate) arrived: Rc<Arrived>,
    readers: Vec<tokio::task::JoinHandle<Result<()>>>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.readers.iter().for_each(|reader| reader.abort());
    }
}

impl Crowd {
    pub(crate) async fn open(targets: &[Target], connections: usize, watched: &[Watched]) -> Result<Crowd> {
        let arrived = Rc::new(Arrived::default());
        let mut readers = Vec::new();
        for (number, target) in targets.iter().cycle().take(connections).enumerate() {
            let client = Client::to(target).await?;
            let mut own = watched.iter().skip(number).step_by(connections);
            let Some(first) = own.next() else { break };
            let mut body = client.begin("/etcdserverpb.Watch/Watch", &create(first), false).await?;
            let mut created = 1;
            for watched in own {
                body.send(&create(watched))?;
                created += 1;
            }
            let mut buffer = BytesMut::new();
            while created > 0 {
                let message = body.message(&mut buffer).await?.context("the stream has ended")?;
                created -= usize::from(Seen::of(message)?.created);
            }
            readers.push(tokio::task::spawn_local(read(client, body, buffer, Rc::clone(&arrived))));
        }
        Ok(Crowd { arrived, readers })
    }
}

/// How many messages between two requests for progress.
const PROGRESS_EVERY: u64 = 100;

async fn read(_client: Client, mut body: Body, mut buffer: BytesMut, arrived: Rc<Arrived>) -> Result<()> {
    let progress = RequestUnion::ProgressRequest(WatchProgressRequest {});
    let progress = WatchRequest { request_union: Some(progress) }.encode_to_vec();
    let mut messages = 0u64;
    while let Some(message) = body.message(&mut buffer).await? {
        arrived.events.set(arrived.events.get() + Seen::of(message)?.events);
        arrived.changed.notify_one();
        messages += 1;
        if messages.is_multiple_of(PROGRESS_EVERY) {
            body.send(&progress)?;
        }
    }
    bail!("a stream of watchers has ended")
}

fn create(watched: &Watched) -> Vec<u8> {
    let create = WatchCreateRequest {
        key: watched.key.clone().into(),
        range_end: watched.range_end.clone().into(),
        ..WatchCreateRequest::default()
    };
    WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }.encode_to_vec()
}

/// What a `WatchResponse` is about; its events are counted where they stand, which costs next to nothing.
#[derive(Debug, Default)]
struct Seen {
    created: bool,
    events: u64,
}

impl Seen {
    fn of(message: BytesMut) -> Result<Seen> {
        const CREATED: u32 = 3;
        const CANCELED: u32 = 4;
        const EVENTS: u32 = 11;
        let mut rest = message.freeze();
        let mut seen = Seen::default();
        while rest.has_remaining() {
            let (tag, wire) = decode_key(&mut rest)?;
            match (tag, wire) {
                (CREATED, WireType::Varint) => seen.created = decode_varint(&mut rest)? != 0,
                (CANCELED, WireType::Varint) => {
                    ensure!(decode_varint(&mut rest)? == 0, "a watcher was canceled");
                }
                _ => {
                    seen.events += u64::from(tag == EVENTS);
                    skip_field(wire, tag, &mut rest, DecodeContext::default())?;
                }
            }
        }
        Ok(seen)
    }
}
