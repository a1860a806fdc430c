//! Watchers: the streams that they open, and what comes on them.

use std::task::{Context, Poll};

use node::WatchFrame;
use prost::Message;
use proto::etcdserverpb::{
    WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};

use crate::{
    call::Who,
    check::{
        Violation, violation,
        watch::{Stream, Watched},
    },
    machine::OpenStream,
    options::{MILLIS, SECOND},
    world::{Event, World},
};

/// A watcher, over all the streams that it opens.
pub(crate) struct Watcher {
    pub(crate) watched: Watched,
    /// Where its stream is.
    pub(crate) at: Option<usize>,
    /// Looks only now and then.
    slow: bool,
    /// Whoever opened its stream, and what that member had applied then.
    who: Who,
    applied: u64,
}

impl World {
    pub(crate) fn plan_watchers(&mut self) {
        for watcher in 0..self.options.watchers {
            let (key, mut range_end) = self.load.range();
            if range_end == key {
                // An empty range is refused.
                range_end.clear();
            }
            let watched = Watched::new(key, range_end, self.load.random.one_in(2), 0);
            let slow = self.load.random.one_in(4);
            self.watchers.push(Watcher { watched, at: None, slow, who: Who::Internal, applied: 0 });
            let at = 2 * SECOND + self.load.random.below(5 * SECOND);
            self.heap.plan(at, Event::Watcher { watcher });
        }
    }

    /// A watcher opens a stream, or a slow one looks at its own.
    pub(crate) fn watcher(&mut self, watcher: usize) {
        if let Some(place) = self.watchers[watcher].at {
            if self.watchers[watcher].slow {
                self.poll_streams(place, true);
                self.poll(place);
            }
            self.ask_progress(watcher, place);
            self.touch(place);
            let pause = self.load.random.around(3 * SECOND);
            return self.heap.plan(self.now + pause, Event::Watcher { watcher });
        }
        let again = self.now + SECOND;
        self.heap.plan(again, Event::Watcher { watcher });
        let Some(place) = self.serving() else { return };
        let opened_by = match self.settling {
            true => Who::Internal,
            false => self.load.who(self.history.model.users.now()),
        };
        let Watcher { watched, at, who, applied, .. } = &mut self.watchers[watcher];
        *at = Some(place);
        *applied = self.raft.applied_by(self.machines[place].id.0);
        *who = opened_by;
        let caller = who.caller();
        watched.reopen();
        let create = WatchCreateRequest {
            key: watched.key.clone(),
            range_end: watched.range_end.clone(),
            start_revision: watched.next,
            prev_kv: watched.prev_kv,
            progress_notify: self.load.random.one_in(2),
            fragment: self.load.random.one_in(2),
            ..WatchCreateRequest::default()
        };
        let Some(life) = &mut self.machines[place].life else { return };
        let (input, output) = life.port.open_watch(caller);
        input.send(WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) });
        life.streams.push(OpenStream { watcher, input, output });
        life.wake();
        self.count("watch opened");
        self.poll(place);
        self.touch(place);
    }

    fn ask_progress(&mut self, watcher: usize, place: usize) {
        if !self.load.random.one_in(3) {
            return;
        }
        let Some(life) = &self.machines[place].life else { return };
        if let Some(stream) = life.streams.iter().find(|stream| stream.watcher == watcher) {
            let request = RequestUnion::ProgressRequest(WatchProgressRequest {});
            stream.input.send(WatchRequest { request_union: Some(request) });
            life.wake();
        }
        self.poll(place);
    }

    /// Takes what has come on the streams of a place, on the slow ones only when asked to.
    pub(crate) fn poll_streams(&mut self, place: usize, slow: bool) {
        let Some(life) = &mut self.machines[place].life else { return };
        let waker = life.waker();
        let mut context = Context::from_waker(&waker);
        let (mut frames, mut broken) = (Vec::new(), Vec::new());
        for stream in &mut life.streams {
            if self.watchers[stream.watcher].slow != slow && !self.settling {
                continue;
            }
            loop {
                let next = std::pin::pin!(stream.output.next());
                match std::future::Future::poll(next, &mut context) {
                    Poll::Ready(Some(Ok(frame))) => frames.push((stream.watcher, frame)),
                    Poll::Ready(Some(Err(_)) | None) => {
                        broken.push(stream.watcher);
                        break;
                    }
                    Poll::Pending => break,
                }
            }
        }
        for (watcher, frame) in frames {
            match self.frame(watcher, &frame) {
                Ok(Stream::Open) => {}
                Ok(Stream::Compacted(at)) => {
                    self.count("watch compacted");
                    self.watchers[watcher].watched.next = at;
                    broken.push(watcher);
                }
                Ok(Stream::Refused) => broken.push(watcher),
                Err(wrong) => self.judge(Err(wrong)),
            }
        }
        for watcher in broken {
            self.watchers[watcher].at = None;
            if let Some(life) = &mut self.machines[place].life {
                life.streams.retain(|stream| stream.watcher != watcher);
                life.wake();
            }
        }
    }

    fn frame(&mut self, watcher: usize, frame: &WatchFrame) -> Result<Stream, Violation> {
        let bytes = [frame.head(), frame.body()].concat();
        let Ok(response) = WatchResponse::decode(&bytes[..]) else {
            return violation("a watch response cannot be decoded");
        };
        let facts = [
            watcher as u64,
            response.events.len() as u64,
            response.header.as_ref().map_or(0, |h| h.revision) as u64,
        ];
        self.trace.note(self.now, "watch", &facts);
        *self.counters.entry("watch event").or_default() += response.events.len() as u64;
        let Watcher { watched, who, applied, .. } = &mut self.watchers[watcher];
        let refused = response.canceled && response.created && response.compact_revision == 0;
        if response.created {
            let reason = refused.then_some(response.cancel_reason.as_str());
            self.history.check_watch(who, *applied, watched, reason)?;
        }
        if refused {
            self.count("watch refused");
            return Ok(Stream::Refused);
        }
        watched.received(&self.history.model, &response)
    }

    /// Now and then a watcher gives up its stream and begins somewhere else: in the past, or in the future.
    pub(crate) fn move_watcher(&mut self) {
        if self.watchers.is_empty() {
            return;
        }
        let watcher = self.load.random.below(self.watchers.len() as u64) as usize;
        let Watcher { watched, at, .. } = &mut self.watchers[watcher];
        let Some(place) = at.take() else { return };
        let model = &self.history.model;
        let (low, high) = (model.compacted.max(1) as u64, model.revision as u64 + 5);
        let behind = (low + 1).min(high);
        watched.next = match self.load.random.below(6) {
            0 | 1 => low,
            2 => behind,
            _ => self.load.random.between(low, high.max(low)),
        } as i64;
        if let Some(life) = &mut self.machines[place].life {
            life.streams.retain(|stream| stream.watcher != watcher);
            life.wake();
        }
        self.poll(place);
        self.touch(place);
        self.heap.plan(self.now + MILLIS, Event::Watcher { watcher });
    }
}
