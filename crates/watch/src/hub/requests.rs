//! What clients ask for: creating and cancelling watchers.

use types::KeyRange;

use super::Hub;
use crate::{
    frame::Frame,
    lagging::Wait,
    request::{Create, Request, StreamId},
    slab::Slot,
    watcher::{Options, State, Watcher},
};

/// Reasons of refusal, as clients see them (contract/errors.tsv).
mod reason {
    pub(super) const NEGATIVE_START: &str = "etcdserver: mvcc: required revision has been compacted";
    pub(super) const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
    pub(super) const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
}

/// Number in replies that are about no watcher in particular.
pub(super) const NO_WATCHER: i64 = -1;

impl Hub {
    /// Handles one message of a client. `permitted` says whether the client may read
    /// [`Create::range_wanted`], and if not, the reason as it will be shown (contract/semantics.md 5.15); it
    /// matters for creates only. Unknown streams are ignored: they were closed meanwhile.
    pub fn request(&mut self, stream: StreamId, request: Request, permitted: Result<(), &str>) {
        let Some(&stream) = self.by_id.get(&stream) else { return };
        match request {
            Request::Create(create) => self.create(stream, &create, permitted),
            Request::Cancel { watch_id } => self.cancel(stream, watch_id, None),
            Request::Progress => self.progress_of_stream(stream),
        }
    }

    /// Ends a watcher from the server's side, with a reason. Unknown ones are ignored.
    pub fn end_watcher(&mut self, stream: StreamId, watch_id: i64, reason: &str) {
        if let Some(&stream) = self.by_id.get(&stream) {
            self.cancel(stream, watch_id, Some(reason));
        }
    }

    /// All watchers that are not cut off by compaction: stream, number, and the range they watch.
    pub fn watchers(&self) -> impl Iterator<Item = (StreamId, i64, &KeyRange)> {
        self.registry.watchers.iter().filter(|(_, watcher)| watcher.state != State::Compacted).map(
            |(_, watcher)| {
                let range = &self.registry.index.group(watcher.group).range;
                (self.outbox.streams[watcher.stream].id, watcher.id, range)
            },
        )
    }

    fn create(&mut self, stream: Slot, create: &Create, permitted: Result<(), &str>) {
        let range = create.range_owned();
        let watch_id = match self.admit(stream, create, &range, permitted) {
            Ok(watch_id) => watch_id,
            Err(reason) => {
                let head = self.outbox.header(self.head).watch_id(NO_WATCHER).created().canceled();
                return self.outbox.send(stream, Frame::with_reason(head, reason));
            }
        };
        let slot = self.add_watcher(stream, watch_id, create, range);
        let head = self.outbox.header(self.head).watch_id(watch_id).created();
        self.outbox.send(stream, Frame::control(head));
        let start = create.start_revision;
        if start == 0 || start > self.head {
            return;
        }
        let wait = self.wait_on(stream);
        self.registry.fall_behind(slot, start, wait);
        if start < self.compacted {
            self.cancel_compacted(slot);
        }
    }

    /// The number that the watcher gets, or why there will be none. The order of the checks is etcd's.
    fn admit<'a>(
        &mut self,
        stream: Slot,
        create: &Create,
        range: &KeyRange,
        permitted: Result<(), &'a str>,
    ) -> Result<i64, &'a str> {
        if create.start_revision < 0 {
            return Err(reason::NEGATIVE_START);
        }
        permitted?;
        if range.is_empty() {
            return Err(reason::EMPTY_RANGE);
        }
        let stream = &mut self.outbox.streams[stream];
        if create.watch_id != 0 {
            let taken = stream.watchers.contains_key(&create.watch_id);
            return if taken { Err(reason::DUPLICATE_ID) } else { Ok(create.watch_id) };
        }
        while stream.watchers.contains_key(&stream.next_auto_id) {
            stream.next_auto_id += 1;
        }
        stream.next_auto_id += 1;
        Ok(stream.next_auto_id - 1)
    }

    fn add_watcher(&mut self, stream: Slot, id: i64, create: &Create, range: KeyRange) -> Slot {
        let start_rev = create.start_revision;
        let slot = self.registry.add(
            range,
            Watcher {
                stream,
                id,
                start_rev,
                next_rev: if start_rev == 0 { self.head + 1 } else { start_rev },
                options: Options::new(create.prev_kv, create.no_put, create.no_delete),
                fragment: create.fragment,
                progress_notify: create.progress_notify,
                quiet: true,
                state: State::Synced,
                group: Slot::MAX,
                position: 0,
            },
        );
        self.outbox.streams[stream].watchers.insert(id, slot);
        slot
    }

    /// What a watcher of the stream that falls behind now waits for.
    pub(super) fn wait_on(&mut self, stream: Slot) -> Wait {
        if self.outbox.takes_events(stream) { Wait::ThisTurn } else { Wait::Stream }
    }

    fn cancel(&mut self, stream: Slot, watch_id: i64, reason: Option<&str>) {
        let Some(slot) = self.outbox.streams[stream].watchers.remove(&watch_id) else { return };
        self.registry.remove(slot);
        let head = self.outbox.header(self.head).watch_id(watch_id).canceled();
        let frame = match reason {
            Some(reason) => Frame::with_reason(head, reason),
            None => Frame::control(head),
        };
        self.outbox.send(stream, frame);
    }
}
