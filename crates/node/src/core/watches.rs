//! Watch streams: requests in, effects out.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use mvcc::Change;
use proto::etcdserverpb::{WatchCreateRequest, WatchRequest};
use telemetry::metrics;
use watch::{Effect, HeaderFacts, Request};

use super::{Core, OpenStream, calls::watch_refusal, identity::Identity};
use crate::{
    api::{Caller, Error, watch::StreamId},
    input::ReplyBox,
    reader_thread::{ReadDone, ReadJob},
};

/// Requests that a stream may hold for its token; with more it waits no longer.
const HELD_MAX: usize = 256;

/// Whether a watcher may be created.
enum MayWatch {
    Yes,
    /// That is known when this index is applied.
    Later(u64),
}

/// Progress ticks of streams are spread over this share of the interval, so that they do not all come at once.
const PROGRESS_JITTER_PERCENT: u64 = 10;

impl Core {
    pub(super) fn watch_opened(&mut self, mailbox: ReplyBox, stream: StreamId, caller: Caller) {
        let interval = self.config.progress_notify_interval;
        // Drawn from the stream's number: nothing but the spreading depends on it.
        let share = stream.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let jitter = interval.as_millis() as u64 * PROGRESS_JITTER_PERCENT / 100;
        let jitter = Duration::from_millis(if jitter == 0 { 0 } else { share % jitter });
        self.hub.open_stream(stream, interval + jitter, self.now);
        self.streams.insert(stream, OpenStream { mailbox, caller, user: None, held: VecDeque::new() });
        metrics().debugging_mvcc_watch_stream_total.add(1);
    }

    pub(super) fn watch_requested(&mut self, stream: StreamId, request: WatchRequest) {
        let Some(open) = self.streams.get_mut(&stream) else { return };
        let Some(request) = Request::from_wire(request) else { return };
        if !open.held.is_empty() {
            // Order is kept.
            open.held.push_back(request);
            if open.held.len() > HELD_MAX {
                self.resume_watch(stream, true);
            }
            return;
        }
        self.run_watch_request(stream, request);
    }

    /// Gives a request to the hub, or holds it until the caller's token must be known.
    fn run_watch_request(&mut self, stream: StreamId, request: Request) {
        let judged = match &request {
            Request::Create(create) => self.may_watch(stream, create),
            Request::Cancel { .. } | Request::Progress => Ok(MayWatch::Yes),
        };
        match judged {
            Ok(MayWatch::Yes) => self.hub.request(stream, request, Ok(())),
            Ok(MayWatch::Later(index)) => {
                if self.watch_waits_for_token(index, stream)
                    && let Some(open) = self.streams.get_mut(&stream)
                {
                    open.held.push_front(request);
                } else {
                    self.hub.request(stream, request, Err(watch_refusal(&Error::InvalidToken)));
                }
            }
            Err(error) => self.hub.request(stream, request, Err(watch_refusal(&error))),
        }
    }

    fn may_watch(&mut self, stream: StreamId, create: &watch::Create) -> Result<MayWatch, Error> {
        if !self.state.auth().is_enabled() {
            return Ok(MayWatch::Yes);
        }
        let Some(open) = self.streams.get_mut(&stream) else { return Ok(MayWatch::Yes) };
        let caller = std::mem::take(&mut open.caller);
        let identity = self.identify(&caller);
        if let Some(open) = self.streams.get_mut(&stream) {
            open.caller = caller;
        }
        match identity? {
            Identity::Later(index) => Ok(MayWatch::Later(index)),
            Identity::Known(subject) => {
                let range = create.range_wanted();
                let wanted = WatchCreateRequest {
                    key: range.key,
                    range_end: range.end,
                    ..WatchCreateRequest::default()
                };
                self.judge(&subject, &wanted)?;
                if let Some(open) = self.streams.get_mut(&stream) {
                    open.user = Some(subject.user);
                }
                Ok(MayWatch::Yes)
            }
        }
    }

    /// The token of a stream must be known by now, or counts as invalid: its requests go on.
    pub(super) fn resume_watch(&mut self, stream: StreamId, refuse: bool) {
        let Some(open) = self.streams.get_mut(&stream) else { return };
        for request in std::mem::take(&mut open.held) {
            match self.streams.get_mut(&stream) {
                // One before has to wait again.
                Some(open) if !open.held.is_empty() => open.held.push_back(request),
                Some(_) if refuse => {
                    self.hub.request(stream, request, Err(watch_refusal(&Error::InvalidToken)));
                }
                Some(_) => self.run_watch_request(stream, request),
                None => return,
            }
        }
    }

    pub(super) fn watch_closed(&mut self, stream: StreamId) {
        if self.streams.remove(&stream).is_some() {
            self.hub.close_stream(stream);
            metrics().debugging_mvcc_watch_stream_total.add(-1);
        }
    }

    /// Tells the hub what an entry changed.
    pub(super) fn notify_watchers(&mut self, changes: &[Change]) {
        let told = self.hub.notify(changes, self.state.store());
        self.check_watch(told);
    }

    /// What the hub could not read must not be served from.
    fn check_watch<E: std::fmt::Display>(&mut self, result: Result<(), E>) {
        if let Err(error) = result {
            self.fault(format!("watchers cannot be served: {error}"));
        }
    }

    /// Replies carry the term of the last entry applied.
    pub(super) fn refresh_watch_header(&mut self) {
        self.hub.set_header_facts(HeaderFacts {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            raft_term: self.state.term(),
        });
    }

    /// Lets the hub catch up, and carries out what it wants.
    pub(super) fn send_watch_effects(&mut self) {
        let caught_up = self.hub.catch_up(self.state.store());
        self.check_watch(caught_up);
        let mut effects = std::mem::take(&mut self.watch_effects);
        self.hub.take_effects(&mut effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { stream, frame } => {
                    if let Some(open) = self.streams.get(&stream) {
                        let mailbox = Arc::clone(&open.mailbox);
                        self.outbox.watch(&mailbox, stream, frame);
                    }
                }
                Effect::ReadHistory(query) => match self.state.store().history(query.from, query.to) {
                    Ok(view) => self.reader.send(ReadJob::History { query, view }),
                    Err(_) => self.hub.read_refused(query.job),
                },
                Effect::ReadRows { job, rows } => {
                    self.reader.send(ReadJob::Rows { job, rows: self.state.store().detach(&rows) });
                }
            }
        }
        // Given back for its memory.
        self.watch_effects = effects;
    }

    pub(super) fn read_done(&mut self, done: ReadDone) {
        match done {
            ReadDone::History { job, result: Ok(chunk) } => {
                self.hub.history_read(job, chunk, self.state.store());
            }
            ReadDone::Rows { job, result: Ok(values) } => self.hub.rows_read(job, values, self.state.store()),
            // The views were detached: later compactions do not touch them, so this is the disk.
            ReadDone::History { result: Err(error), .. } | ReadDone::Rows { result: Err(error), .. } => {
                self.mark_damaged();
                self.fault(format!("history cannot be read: {error}"));
            }
            ReadDone::CompactionHash { of, result } => self.compaction_hashed(of, result),
            ReadDone::HashKv { reply_to, result } => self.hash_kv_done(reply_to, result),
            ReadDone::Hash { reply_to, result } => self.hash_done(reply_to, result),
        }
    }
}
