//! Carrying out compactions in steps, and the answers that wait for them.

use std::time::Duration;

use mvcc::CompactStep;
use state::State;
use telemetry::{line, log, metrics};
use types::Moment;

use super::{Core, outbox::ReplyTo};
use crate::{
    api::{Error, call::Reply},
    reader_thread::ReadJob,
};

/// Keys or rows that one step looks at; a step takes about a microsecond for each.
const STEP_ROWS_MAX: usize = 250;

/// The running compaction, from the core's side.
#[derive(Debug, Default)]
pub(crate) struct Compaction {
    /// When the next step is due; `None` when there is nothing to do, or it waits for something else.
    next: Option<Moment>,
    /// Answers to `physical` requests: due when compaction to that revision is finished and committed.
    waiting: Vec<Waiting>,
    /// Begun at.
    since: Option<Moment>,
    /// Rows that compaction had deleted before.
    rows_before: u64,
    /// What the last one computed.
    hash: Option<mvcc::KvHash>,
}

#[derive(Debug)]
struct Waiting {
    reply_to: ReplyTo,
    answer: Result<Reply, Error>,
    /// Compaction must have finished up to here.
    revision: i64,
    /// Then this batch must be durable; `None` until it has finished.
    batch: Option<u64>,
}

impl Compaction {
    /// Takes up what a restart interrupted.
    pub(crate) fn resume_if_needed(&mut self, state: &State) {
        if state.store().compaction_finished() < state.store().compacted() {
            self.next = Some(Moment(0));
        }
    }

    /// Everybody who waits for it, and what he is told in the end.
    pub(super) fn into_answers(self) -> impl Iterator<Item = (ReplyTo, Result<Reply, Error>)> {
        self.waiting.into_iter().map(|waiting| (waiting.reply_to, waiting.answer))
    }

    /// When [`Core::step_compaction`] should be called next.
    pub(crate) fn next_step(&self) -> Option<Moment> {
        self.next
    }
}

impl Core {
    /// There is something to compact.
    pub(super) fn begin_compaction(&mut self) {
        self.compaction.next.get_or_insert(self.now);
        let store = self.state.store();
        if self.compaction.since.is_none() {
            self.compaction.since = Some(self.now);
            self.compaction.rows_before = store.rows_compacted();
        }
        self.hub.compacted(store.compacted());
        metrics().debugging_mvcc_compact_revision.set(store.compacted());
    }

    /// Answers once everything that is compacted now is gone from the disk.
    pub(super) fn answer_after_compaction(&mut self, reply_to: ReplyTo, answer: Result<Reply, Error>) {
        let revision = self.state.store().compacted();
        self.compaction.waiting.push(Waiting { reply_to, answer, revision, batch: None });
        self.compaction.next.get_or_insert(self.now);
    }

    /// Whether a compaction is not finished yet.
    pub(super) fn is_compacting(&self) -> bool {
        self.state.store().compaction_finished() < self.state.store().compacted()
    }

    /// Does one step if one is due, then pauses, so that compaction never takes the core for long.
    pub(super) fn step_compaction(&mut self) {
        if self.compaction.next.is_none_or(|at| at > self.now) {
            return;
        }
        let begun = self.clock.now();
        // The batch that the operator allows per pause, in parts that keep the core for a fraction of a millisecond.
        let batch = self.config.compaction_batch_limit.max(1);
        let rows = batch.min(STEP_ROWS_MAX);
        let step = self.state.store_mut().compact_step(rows);
        let share = self.config.compaction_sleep.mul_f64(rows as f64 / batch as f64);
        let pause = Some(self.clock.now() + share);
        let millis = self.clock.now().since(begun).as_secs_f64() * 1e3;
        let m = metrics();
        // A step takes from the index, the file, or both.
        m.debugging_mvcc_db_compaction_pause_duration_milliseconds.observe(millis);
        m.debugging_mvcc_index_compaction_pause_duration_milliseconds.observe(millis);
        m.debugging_mvcc_db_compaction_keys_total.raise_to(self.state.store().rows_compacted());
        self.compaction.next = match step {
            Ok(CompactStep::Working | CompactStep::Pinned { .. }) => pause,
            Ok(CompactStep::Hash(job)) => {
                let of = self.installation.count();
                self.reader.send(ReadJob::CompactionHash { job, of });
                pause
            }
            Ok(CompactStep::AwaitingCommit { .. }) => {
                self.persist.want_commit();
                pause
            }
            Ok(CompactStep::AwaitingHash) => None,
            Ok(CompactStep::Idle) => {
                self.compaction_idle();
                None
            }
            Err(error) => {
                self.fault(format!("compaction failed: {error}"));
                None
            }
        };
    }

    pub(super) fn compaction_hashed(&mut self, of: u64, result: Result<mvcc::KvHash, String>) {
        if of != self.installation.count() {
            return;
        }
        if let Err(error) = &result {
            line!(Warn, "the hash of a compaction could not be computed", "error" => error.clone());
        }
        if let Ok(hash) = &result {
            line!(Info, "storing new hash",
                "hash" => hash.hash, "revision" => hash.revision, "compact-revision" => hash.compacted);
        }
        let hash = result.ok();
        self.compaction.hash = hash;
        self.state.store_mut().compaction_hashed(hash);
        self.compaction.next = Some(self.now);
    }

    fn compaction_idle(&mut self) {
        if let Some(since) = self.compaction.since.take() {
            let took = self.now.since(since);
            let millis = took.as_secs_f64() * 1e3;
            metrics().debugging_mvcc_db_compaction_total_duration_milliseconds.observe(millis);
            self.tell_compacted(took);
            metrics().debugging_mvcc_db_compaction_last.set((self.clock.unix_ms() / 1000) as i64);
        }
        if self.compaction.waiting.is_empty() {
            return;
        }
        let finished = self.state.store().compaction_finished();
        let batch = self.batch_of_now();
        for waiting in &mut self.compaction.waiting {
            if waiting.batch.is_none() && waiting.revision <= finished {
                // Batches count from 1: 0 is durable.
                waiting.batch = Some(batch.unwrap_or(0));
            }
        }
        if batch.is_none() {
            self.answer_compacted(0);
        }
    }

    fn tell_compacted(&mut self, took: Duration) {
        let store = self.state.store();
        let (size, in_use) = (self.persist.backend_size(), self.persist.backend_in_use());
        line!(Info, "finished scheduled compaction",
            "compact-revision" => store.compaction_finished(),
            "took" => log::duration(took),
            "number-of-keys-compacted" => store.rows_compacted() - self.compaction.rows_before,
            "hash" => self.compaction.hash.take().map_or(0, |hash| hash.hash),
            "current-db-size-bytes" => size,
            "current-db-size" => log::size(size),
            "current-db-size-in-use-bytes" => in_use,
            "current-db-size-in-use" => log::size(in_use));
    }

    /// A batch is durable: answers that waited for it.
    pub(super) fn answer_compacted(&mut self, batch: u64) {
        let (ready, still): (Vec<_>, Vec<_>) = std::mem::take(&mut self.compaction.waiting)
            .into_iter()
            .partition(|waiting| waiting.batch.is_some_and(|wanted| wanted <= batch));
        self.compaction.waiting = still;
        for waiting in ready {
            self.outbox.reply(waiting.reply_to, waiting.answer);
        }
    }
}
