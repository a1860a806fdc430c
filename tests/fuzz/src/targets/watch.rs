//! Requests on watch streams, with writes in between.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::{InternalRaftRequest, PutRequest, WatchRequest, WatchResponse};
use rpc::Method;
use types::Moment;
use watch::{Effect, Hub, Limits, Request, StreamId};

use super::grpc::{SAMPLES, encoded};
use crate::{
    Target,
    input::{Input, long},
    meter,
    worlds::Machine,
};

pub(crate) const REQUESTS: Target = Target {
    name: "watch",
    what: "requests on watch streams, with writes, ticks, slow clients and reads of history in between",
    run,
    seeds,
    memory,
    len_max: 4 << 10,
};

/// Watchers of some hundred bytes for requests of a few, and their replies, which are taken at once.
fn memory(input: &[u8]) -> usize {
    512 * input.len() + (1 << 20)
}

struct World {
    machine: Machine,
    hub: Hub,
    /// The next revision that each watcher may be told of.
    effects: Vec<Effect>,
    now: Moment,
}

fn run(input: &[u8]) {
    let mut world = meter::aside(|| {
        let mut machine = Machine::new();
        let put = InternalRaftRequest { put: Some(put(b"a")), ..Default::default() };
        for _ in 0..4 {
            machine.apply(&put.encode_to_vec()).unwrap();
        }
        let limits = Limits { recent_revisions_max: 2, stream_bytes_max: 2000, ..Limits::default() };
        let mut hub = Hub::new(limits, machine.state.store().revision(), 0);
        for stream in 0..2 {
            hub.open_stream(StreamId(stream), Duration::from_secs(600), Moment(0));
        }
        World { machine, hub, effects: Vec::new(), now: Moment(0) }
    });
    let mut input = Input(input);
    while !input.is_empty() {
        world.act(&mut input);
        world.take_effects();
    }
    meter::aside(|| drop(world));
}

fn put(key: &[u8]) -> PutRequest {
    PutRequest { key: Bytes::copy_from_slice(key), value: "value".into(), ..Default::default() }
}

impl World {
    fn act(&mut self, input: &mut Input<'_>) {
        let stream = StreamId(input.choice(2) as u64);
        match input.choice(8) {
            0..=2 => {
                let message = proto::decode::<WatchRequest>(Bytes::copy_from_slice(input.long()));
                if let Some(request) = message.ok().and_then(Request::from_wire) {
                    let permitted = if input.byte() == 255 { Err("denied") } else { Ok(()) };
                    self.hub.request(stream, request, permitted);
                }
            }
            3 => {
                let put = put(&[b"abcd"[input.choice(4)]]);
                let entry = InternalRaftRequest { put: Some(put), ..Default::default() };
                let applied = self.machine.apply(&entry.encode_to_vec()).unwrap();
                self.hub.notify(&applied.changes, self.machine.state.store()).unwrap();
            }
            4 => {
                self.now = self.now + Duration::from_secs(u64::from(input.byte()) * 10);
                self.hub.tick(self.now);
            }
            5 => drop(self.hub.catch_up(self.machine.state.store())),
            6 => {
                self.hub.close_stream(stream);
                self.hub.open_stream(stream, Duration::from_secs(600), self.now);
            }
            _ => self.hub.end_watcher(stream, input.signed(), "ended"),
        }
    }

    /// Sends what is to be sent, reads what is to be read.
    fn take_effects(&mut self) {
        for _ in 0..16 {
            self.hub.take_effects(&mut self.effects);
            if self.effects.is_empty() {
                return;
            }
            for effect in std::mem::take(&mut self.effects) {
                match effect {
                    Effect::Send { stream, frame } => {
                        let bytes = [frame.head(), frame.body()].concat();
                        let reply = WatchResponse::decode(&bytes[..]).expect("a reply can be read");
                        assert_eq!(reply.events.len(), frame.events());
                        self.hub.sent(stream, 1);
                    }
                    Effect::ReadHistory(query) => {
                        let store = self.machine.state.store();
                        match store
                            .history(query.from, query.to)
                            .map_err(drop)
                            .and_then(|history| query.read(history).map_err(drop))
                        {
                            Ok(chunk) => self.hub.history_read(query.job, chunk, store),
                            Err(()) => self.hub.read_refused(query.job),
                        }
                    }
                    Effect::ReadRows { job, rows } => {
                        let store = self.machine.state.store();
                        let rows = store.detach(&rows);
                        let values: Result<Vec<_>, _> = (0..rows.len()).map(|i| rows.fetch(i)).collect();
                        match values {
                            Ok(values) => self.hub.rows_read(job, values, store),
                            Err(_) => self.hub.read_refused(job),
                        }
                    }
                }
            }
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut all = Vec::new();
    for (_, json) in SAMPLES.iter().filter(|(method, _)| *method == Method::Watch) {
        let request = [&[0, 0][..], &long(&encoded(Method::Watch, json)), &[0]].concat();
        let written = [&[0, 3, 0][..], &[0, 5], &[1, 3, 1], &[0, 4, 100], &[0, 5]].concat();
        all.extend([&request[..], &written].concat());
        seeds.push([&request[..], &written].concat());
    }
    let plain = encoded(
        Method::Watch,
        r#"{"create_request":{"key":"AA==","range_end":"AA==","start_revision":"1","prev_kv":true}}"#,
    );
    let request = [&[1, 0][..], &long(&plain), &[0], &[0, 5, 0, 5, 0, 3, 2, 0, 5]].concat();
    all.extend_from_slice(&request);
    seeds.push(request);
    seeds.push(all);
    seeds
}
