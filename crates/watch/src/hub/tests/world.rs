//! A hub with a store behind it and clients in front.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use mvcc::RowRef;
use prost::Message;
use proto::etcdserverpb::WatchResponse;
use types::{ClusterId, KeyRange, MemberId, Moment};

use super::store::{Op, Store};
use crate::{
    Create, Effect, Frame, HeaderFacts, HistoryQuery, Hub, JobId, Limits, PrevRows, Request, StreamId,
};

pub(super) const FACTS: HeaderFacts =
    HeaderFacts { cluster_id: ClusterId(0xc1), member_id: MemberId(0x3e), raft_term: 7 };
pub(super) const INTERVAL: Duration = Duration::from_secs(600);

/// A read that the hub asked for.
pub(super) enum Read {
    History(HistoryQuery, Option<mvcc::History>),
    Rows(JobId, Vec<RowRef>, Option<mvcc::Rows>),
}

pub(super) struct World {
    pub(super) hub: Hub,
    pub(super) store: Store,
    /// Frames that the network has not taken.
    pub(super) wires: BTreeMap<StreamId, VecDeque<Frame>>,
    pub(super) read: Option<Read>,
    pub(super) now: Moment,
    pub(super) limits: Limits,
}

pub(super) fn put(key: &'static str, value: &str) -> Op {
    Op::Put(key, value.to_owned())
}

pub(super) fn delete(key: &'static str) -> Op {
    Op::Delete(key)
}

/// A plain watch on one key.
pub(super) fn on(key: &str) -> Create {
    Create { range: KeyRange::single(key.to_owned()), ..Create::default() }
}

/// A plain watch on a range.
pub(super) fn over(key: &str, end: &str) -> Create {
    Create { range: KeyRange::new(key.to_owned(), end.to_owned()), ..Create::default() }
}

pub(super) fn decode(frame: &Frame) -> WatchResponse {
    let bytes = [frame.head(), frame.body()].concat();
    let response = WatchResponse::decode(&bytes[..]).unwrap();
    assert_eq!(response.events.len(), frame.events());
    assert_eq!((bytes.len(), &bytes), (frame.encoded_len(), &response.encode_to_vec()), "canonical encoding");
    response
}

/// Keys of the events with their revisions, deletes with a minus.
pub(super) fn events(response: &WatchResponse) -> String {
    let event = |event: &proto::mvccpb::Event| {
        let kv = event.kv.as_ref().unwrap();
        let minus = if event.r#type == 1 { "-" } else { "" };
        format!("{minus}{}@{}", String::from_utf8_lossy(&kv.key), kv.mod_revision)
    };
    response.events.iter().map(event).collect::<Vec<_>>().join(" ")
}

impl World {
    pub(super) fn new(limits: Limits) -> World {
        let store = Store::new();
        let mut hub = Hub::new(limits, store.head, store.compacted);
        hub.set_header_facts(FACTS);
        World { hub, store, wires: BTreeMap::new(), read: None, now: Moment(0), limits }
    }

    pub(super) fn open(&mut self, stream: u64) -> StreamId {
        let id = StreamId(stream);
        self.hub.open_stream(id, INTERVAL, self.now);
        self.wires.insert(id, VecDeque::new());
        id
    }

    pub(super) fn close(&mut self, stream: StreamId) {
        self.hub.close_stream(stream);
        self.collect();
        self.wires.remove(&stream);
    }

    pub(super) fn ask(&mut self, stream: StreamId, request: Request) {
        self.hub.request(stream, request, Ok(()));
        self.collect();
    }

    pub(super) fn create(&mut self, stream: StreamId, create: Create) {
        self.ask(stream, Request::Create(create));
    }

    pub(super) fn cancel(&mut self, stream: StreamId, watch_id: i64) {
        self.ask(stream, Request::Cancel { watch_id });
    }

    pub(super) fn write(&mut self, ops: &[Op]) {
        let changes = self.store.write(ops);
        self.hub.notify(&changes, &self.store).unwrap();
        self.collect();
    }

    pub(super) fn compact(&mut self, revision: i64) {
        self.store.compact(revision);
        self.hub.compacted(revision);
        self.collect();
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
        self.hub.tick(self.now);
        self.collect();
    }

    pub(super) fn catch_up(&mut self) {
        self.hub.catch_up(&self.store).unwrap();
        self.collect();
    }

    /// Answers the read that is on its way.
    pub(super) fn finish_read(&mut self) {
        match self.read.take() {
            Some(Read::History(query, history)) => {
                let chunk = match history {
                    Some(history) => query.read(history).unwrap(),
                    None => self.store.read(&query).unwrap(),
                };
                self.hub.history_read(query.job, chunk, &self.store);
            }
            Some(Read::Rows(job, rows, detached)) => {
                let values = match detached {
                    Some(detached) => (0..detached.len()).map(|row| detached.fetch(row).unwrap()).collect(),
                    None => rows.iter().map(|row| self.store.fetch(row).unwrap()).collect(),
                };
                self.hub.rows_read(job, values, &self.store);
            }
            None => {}
        }
        self.collect();
    }

    /// Lets catching up go on until nothing more happens.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            self.catch_up();
            if self.read.is_none() {
                return;
            }
            self.finish_read();
        }
        panic!("catching up does not end");
    }

    /// The network takes up to `max` frames.
    pub(super) fn take(&mut self, stream: StreamId, max: usize) -> Vec<WatchResponse> {
        let wire = self.wires.get_mut(&stream).unwrap();
        let frames: Vec<Frame> = wire.drain(..max.min(wire.len())).collect();
        self.hub.sent(stream, frames.len());
        frames.iter().map(decode).collect()
    }

    /// Settles and takes everything, again and again until nothing is left.
    pub(super) fn drain(&mut self, stream: StreamId) -> Vec<WatchResponse> {
        let mut all = Vec::new();
        loop {
            self.settle();
            let some = self.take(stream, usize::MAX);
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }

    pub(super) fn collect(&mut self) {
        let mut effects = Vec::new();
        self.hub.take_effects(&mut effects);
        for effect in effects {
            match effect {
                Effect::Send { stream, frame } => {
                    if let Some(wire) = self.wires.get_mut(&stream) {
                        wire.push_back(frame);
                    }
                }
                Effect::ReadHistory(query) => {
                    let real = self.store.real.as_ref();
                    let history = real.map(|real| real.store.history(query.from, query.to).unwrap());
                    self.start(Read::History(query, history));
                }
                Effect::ReadRows { job, rows } => {
                    let detached = self.store.real.as_ref().map(|real| real.store.detach(&rows));
                    self.start(Read::Rows(job, rows, detached));
                }
            }
        }
        self.hub.check_invariants();
    }

    fn start(&mut self, read: Read) {
        // After a reset the hub has forgotten the read that was on its way.
        self.read = Some(read);
    }
}
