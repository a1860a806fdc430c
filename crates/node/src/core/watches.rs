//! Watch streams: requests in, effects out.

use std::{sync::Arc, time::Duration};

use mvcc::Change;
use proto::etcdserverpb::WatchRequest;
use telemetry::metrics;
use watch::{Effect, HeaderFacts, Request};

use super::{Core, OpenStream, calls::watch_refusal};
use crate::{
    api::{Caller, watch::StreamId},
    input::ReplyBox,
    reader_thread::{ReadDone, ReadJob},
};

/// Progress ticks of streams are spread over this share of the interval, so that they do not all come at once.
const PROGRESS_JITTER_PERCENT: u64 = 10;

impl Core {
    pub(super) fn watch_opened(&mut self, mailbox: ReplyBox, stream: StreamId, caller: &Caller) {
        let interval = self.config.progress_notify_interval;
        // Drawn from the stream's number: nothing but the spreading depends on it.
        let share = stream.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let jitter = interval.as_millis() as u64 * PROGRESS_JITTER_PERCENT / 100;
        let jitter = Duration::from_millis(if jitter == 0 { 0 } else { share % jitter });
        self.hub.open_stream(stream, interval + jitter, self.now);
        self.streams.insert(stream, OpenStream { mailbox, caller: caller.clone() });
        metrics().debugging_mvcc_watch_stream_total.add(1);
    }

    pub(super) fn watch_requested(&mut self, stream: StreamId, request: WatchRequest) {
        let Some(open) = self.streams.get(&stream) else { return };
        let Some(request) = Request::from_wire(request) else { return };
        let refusal = match &request {
            Request::Create(create) => {
                let range = create.range_wanted();
                watch_refusal(&self.state, &open.caller, &range)
            }
            Request::Cancel { .. } | Request::Progress => None,
        };
        self.hub.request(stream, request, refusal.as_deref().map_or(Ok(()), Err));
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
                self.fault(format!("history cannot be read: {error}"));
            }
            ReadDone::CompactionHash { of, result } => self.compaction_hashed(of, result),
            ReadDone::HashKv { reply_to, result } => self.hash_kv_done(reply_to, result),
            ReadDone::Hash { reply_to, result } => self.hash_done(reply_to, result),
        }
    }
}
