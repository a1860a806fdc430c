//! When applied state goes to the backend file, and raft snapshots to the log's.
//!
//! The order that makes every crash bootable (docs/format and the format tests): a hard state with the commit
//! index is durable in the WAL before the backend commits a batch up to it; a `.snap` file and the WAL's
//! snapshot record are written only after the backend holds at least their index.

use std::collections::VecDeque;

use bolt::Snapshot;
use state::Sealed;
use telemetry::{line, metrics};
use types::{
    Moment,
    raft::{Entry, HardState, SnapshotMeta},
};

use super::{Core, maintenance::AfterFlush};
use crate::{
    backend_thread::{BackendDone, BackendJob},
    boot::space::{Gauge, Level},
    input::Input,
    log_thread::LogJob,
};

/// State of the way to the disk.
#[derive(Debug)]
pub(crate) struct Persist {
    /// Shows the last batch that is durable.
    pub(crate) committed: Snapshot,
    /// File size, and bytes of it in use.
    size: (u64, u64),
    /// Commit index of the last hard state that is durable in the WAL.
    durable_commit: u64,
    /// When each of the appends at the log thread was handed over, in order.
    log_jobs: VecDeque<Moment>,
    /// Bytes of their entries.
    log_bytes: u64,
    /// A sealed batch that waits for its commit index to be durable in the WAL.
    waiting: Option<Sealed>,
    /// The batch at the backend thread.
    running: Option<Held>,
    /// What `committed` stands for.
    held: Held,
    /// When the next batch is sealed at the latest; `None` while nothing has changed.
    due: Option<Moment>,
    /// Somebody waits for a commit.
    wanted: bool,
    /// Number of the last batch sealed.
    last_batch: u64,
    /// What waits for batches, in order of their numbers.
    after: VecDeque<(u64, AfterFlush)>,
    /// Index of the last raft snapshot, asked for or done.
    last_snapshot: u64,
    /// Index of the last raft snapshot that is durable.
    saved_snapshot: u64,
    /// Consistent indexes of the last two batches that are durable: what the two meta pages stand for. Zero until
    /// this process has written both.
    meta_indexes: (u64, u64),
    /// Bytes put that batches have taken, and of those, bytes that are durable.
    put_bytes: (u64, u64),
    /// A raft snapshot must be made with the first batch that holds this index, however near the last one is.
    force_snapshot: Option<u64>,
    /// The storage version may go down once a raft snapshot at this index is durable: entries before it may be of a
    /// cluster version that the older release does not know, and it reads the log from its snapshot on.
    lowered_at: Option<u64>,
    /// How much room there is on the disk.
    gauge: Gauge,
}

/// What a raft snapshot of a batch needs.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) meta: SnapshotMeta,
    /// Membership as the v2 store has it.
    pub(crate) membership: bytes::Bytes,
}

fn bytes_of(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.data.len() as u64).sum()
}

impl Persist {
    pub(crate) fn new(
        committed: Snapshot,
        held: Held,
        size: (u64, u64),
        last_snapshot: u64,
        hard_state: HardState,
    ) -> Persist {
        Persist {
            committed,
            held,
            size,
            durable_commit: hard_state.commit,
            log_jobs: VecDeque::new(),
            log_bytes: 0,
            waiting: None,
            running: None,
            due: None,
            wanted: false,
            last_batch: 0,
            after: VecDeque::new(),
            last_snapshot,
            saved_snapshot: last_snapshot,
            meta_indexes: (0, 0),
            put_bytes: (0, 0),
            force_snapshot: None,
            lowered_at: None,
            gauge: Gauge::default(),
        }
    }

    /// How much room there is on the disk.
    pub(crate) fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// Index of the last raft snapshot, asked for or done.
    pub(crate) fn last_snapshot(&self) -> u64 {
        self.last_snapshot
    }

    /// What `committed` stands for.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// The file is a leader's: nothing waits for it any more. Gives what did. `put` bytes were put so far.
    pub(crate) fn replaced(
        &mut self,
        committed: Snapshot,
        size: (u64, u64),
        snapshot: &types::raft::Snapshot,
        put: u64,
    ) -> Vec<AfterFlush> {
        let index = snapshot.meta.index;
        self.committed = committed;
        self.size = size;
        self.held = Held { meta: snapshot.meta.clone(), membership: snapshot.data.clone() };
        self.waiting = None;
        self.running = None;
        self.due = None;
        self.wanted = false;
        self.force_snapshot = None;
        self.lowered_at = None;
        self.last_snapshot = index;
        self.saved_snapshot = index;
        self.meta_indexes = (index, index);
        self.put_bytes = (put, put);
        self.gauge.flushed(put);
        self.after.drain(..).map(|(_, after)| after).collect()
    }

    /// Commit index of the last hard state that is durable in the WAL.
    pub(crate) fn durable_commit(&self) -> u64 {
        self.durable_commit
    }

    /// Bytes of the file.
    pub(crate) fn backend_size(&self) -> u64 {
        self.size.0
    }

    /// Bytes put that only memory and the log hold, given all that were put.
    pub(crate) fn unflushed_bytes(&self, put: u64) -> u64 {
        put - self.put_bytes.1
    }

    /// Bytes of the file without free pages.
    pub(crate) fn backend_in_use(&self) -> u64 {
        self.size.1
    }

    pub(crate) fn log_job_sent(&mut self, now: Moment, entries: &[Entry]) {
        self.log_jobs.push_back(now);
        self.log_bytes += bytes_of(entries);
    }

    /// The entries of an append are in the log.
    pub(crate) fn logged(&mut self, entries: &[Entry]) {
        self.log_bytes -= bytes_of(entries);
    }

    /// Since when the oldest append has been with the log thread.
    pub(crate) fn log_waits_since(&self) -> Option<Moment> {
        self.log_jobs.front().copied()
    }

    /// Bytes of entries that wait for the log.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    pub(crate) fn log_jobs_done(&mut self, count: usize, hard_state: HardState, synced: bool) {
        self.log_jobs.drain(..count);
        if synced {
            self.durable_commit = hard_state.commit;
        }
    }

    /// When [`Core::seal_if_due`] has something to do next.
    pub(crate) fn next_seal(&self) -> Option<Moment> {
        if self.waiting.is_some() || self.running.is_some() { None } else { self.due }
    }

    /// Somebody waits for a commit: do not wait for the interval.
    pub(crate) fn want_commit(&mut self) {
        self.wanted = true;
    }

    /// Number of the batch that will hold what is applied now.
    fn next_batch(&self) -> u64 {
        self.last_batch + 1
    }

    /// The batch that holds `index` is followed by a raft snapshot.
    pub(crate) fn force_snapshot(&mut self, index: u64) {
        self.force_snapshot = Some(index);
        self.wanted = true;
    }

    /// The cluster version went down with the entry at `index`.
    pub(crate) fn lowered(&mut self, index: u64) {
        self.lowered_at = Some(index);
        self.force_snapshot(index);
    }

    /// Whether the log still begins before the entry that took the cluster version down.
    pub(crate) fn log_is_newer(&self) -> bool {
        self.lowered_at.is_some_and(|at| self.saved_snapshot < at)
    }
}

impl Core {
    /// Goes by `gauge` from now on.
    pub(crate) fn with_gauge(mut self, gauge: Gauge) -> Core {
        self.persist.gauge = gauge;
        self
    }

    /// Runs `after` once everything applied so far is in the file.
    pub(super) fn after_flush(&mut self, after: AfterFlush) {
        match self.batch_of_now() {
            Some(batch) => self.persist.after.push_back((batch, after)),
            None => self.run_after_flush(after),
        }
    }

    /// Runs `after` once the running compaction may have got to the file: with the batch of what is there now, or
    /// with the next one, which comes because a compaction has its end to note.
    pub(super) fn after_compaction_batch(&mut self, after: AfterFlush) {
        let batch = self.batch_of_now().unwrap_or_else(|| self.persist.next_batch());
        self.persist.after.push_back((batch, after));
    }

    /// The batch that holds the last of what was applied so far, which is committed without delay from here on;
    /// `None` when everything is durable, and no batch would come by itself.
    pub(super) fn batch_of_now(&mut self) -> Option<u64> {
        if self.state.is_dirty() {
            self.persist.want_commit();
            Some(self.persist.next_batch())
        } else if self.persist.waiting.is_some() || self.persist.running.is_some() {
            Some(self.persist.last_batch)
        } else {
            None
        }
    }

    /// Seals a batch when it is time and the one before is done; sends it on when the WAL allows it.
    pub(super) fn seal_if_due(&mut self) {
        if self.installation.is_running() {
            return;
        }
        self.send_sealed();
        if self.persist.gauge.take_trim() {
            // With a raft snapshot at the end of the log, the segments before can go.
            self.persist.force_snapshot(self.state.applied());
        }
        if self.persist.waiting.is_some() || self.persist.running.is_some() {
            return;
        }
        if !self.state.is_dirty() {
            self.persist.due = None;
            self.persist.wanted &= self.persist.force_snapshot.is_some();
            if !self.persist.wanted {
                return;
            }
        }
        let due = *self.persist.due.get_or_insert(self.now + self.config.backend_batch_interval);
        let full = self.state.dirty_writes() >= self.config.backend_batch_limit;
        if due <= self.now || full || self.persist.wanted {
            self.seal();
            self.send_sealed();
        }
    }

    fn seal(&mut self) {
        self.persist.due = None;
        self.persist.wanted = false;
        let sealed = self.state.seal();
        self.persist.put_bytes.0 = self.state.counts().put_bytes;
        self.persist.last_batch = sealed.batch;
        self.persist.waiting = Some(sealed);
        if self.persist.durable_commit < self.state.applied() && self.persist.log_jobs.is_empty() {
            self.sync_hard_state();
        }
    }

    /// Hands the sealed batch to the backend, once its index is covered by a durable hard state.
    fn send_sealed(&mut self) {
        let durable = self.persist.durable_commit;
        let Some(sealed) = self.persist.waiting.take_if(|sealed| sealed.index <= durable) else {
            if self.persist.waiting.is_some() && self.persist.log_jobs.is_empty() {
                self.sync_hard_state();
            }
            return;
        };
        let Sealed { writes, batch, index, term, conf_state, membership } = sealed;
        let meta = SnapshotMeta { index, term, conf_state };
        self.persist.running = Some(Held { meta, membership: membership.into() });
        self.backend.send(BackendJob::Commit { ops: writes, batch });
    }

    pub(super) fn backend_done(&mut self, done: BackendDone) {
        match done {
            BackendDone::Committed { batch, snapshot, size, size_in_use, secs } => {
                metrics().disk_backend_commit_duration_seconds.observe(secs);
                self.took_snapshot(snapshot.clone(), size, size_in_use);
                self.state.committed(batch, snapshot);
                self.persist.gauge.flushed(self.persist.put_bytes.0);
                let running = self.persist.running.take().expect("one batch at a time");
                self.persist.put_bytes.1 = self.persist.put_bytes.0;
                self.persist.meta_indexes = (self.persist.meta_indexes.1, running.meta.index);
                self.persist.held = running;
                self.snapshot_if_due();
                while self.persist.after.front().is_some_and(|(wanted, _)| *wanted <= batch) {
                    let (_, after) = self.persist.after.pop_front().expect("looked at");
                    self.run_after_flush(after);
                }
                self.answer_compacted(batch);
            }
            BackendDone::Defragmented { done, snapshot, size, size_in_use } => {
                self.took_snapshot(snapshot.clone(), size, size_in_use);
                self.state.refreshed(snapshot);
                self.defragment_step_done(done);
            }
            BackendDone::Installed { state, snapshot, size, size_in_use } => {
                self.installed(*state, snapshot, (size, size_in_use));
            }
            BackendDone::Failed { error, damaged } => {
                if damaged {
                    self.mark_damaged();
                }
                self.fault(format!("the backend failed: {error}"));
            }
        }
    }

    fn took_snapshot(&mut self, snapshot: Snapshot, size: u64, size_in_use: u64) {
        self.persist.committed = snapshot;
        self.persist.size = (size, size_in_use);
        metrics().mvcc_db_total_size_in_bytes.set(size as i64);
        metrics().mvcc_db_total_size_in_use_in_bytes.set(size_in_use as i64);
    }

    /// Makes a raft snapshot at the index that the backend now holds, when enough was applied since the last.
    fn snapshot_if_due(&mut self) {
        if self.installation.is_running() {
            // The log begins beyond this index already.
            return;
        }
        let Held { meta, membership: data } = self.persist.held.clone();
        let index = meta.index;
        self.trim_raft_log(index, &meta.conf_state, &data);
        let applied_since = index.saturating_sub(self.persist.last_snapshot);
        let forced = self.persist.force_snapshot.take_if(|at| *at <= index).is_some() && applied_since > 0;
        if applied_since <= self.config.snapshot_count && !forced {
            return;
        }
        line!(Info, "triggering snapshot",
            "local-member-id" => self.member_id.to_string(),
            "local-member-applied-index" => index,
            "local-member-snapshot-index" => self.persist.last_snapshot,
            "local-member-snapshot-count" => self.config.snapshot_count,
            "snapshot-forced" => forced);
        self.persist.last_snapshot = index;
        self.log.send(LogJob::Snapshot(Box::new(types::raft::Snapshot { meta, data })));
    }

    /// The snapshot record is durable: the log on the disk can begin there.
    pub(super) fn snapshot_saved(&mut self, index: u64) {
        line!(Info, "saved snapshot to disk", "snapshot-index" => index);
        self.persist.saved_snapshot = index;
        self.migrate_storage();
        if self.persist.gauge.level() > Level::Ample {
            self.purge();
        }
    }

    pub(super) fn purge(&mut self) {
        let short = self.persist.gauge.level() > Level::Ample;
        self.log.send(LogJob::Purge {
            // On a full disk the segments that are kept beyond need are the first to go. 0 keeps all, always.
            keep_segments: if short { self.config.wals_max.min(1) } else { self.config.wals_max },
            keep_snaps: self.config.snaps_max,
            // A db that loses its newer meta page must still find every entry after the older one.
            below: self.persist.saved_snapshot.min(self.persist.meta_indexes.0),
        });
    }

    /// The last batch before the member stops; `false` when everything applied is in the file, or cannot get there.
    pub(super) fn seal_last(&mut self, inputs: &mut Vec<Input>) -> bool {
        for input in inputs.drain(..) {
            match input {
                Input::Log(done) => self.log_done(done),
                Input::Backend(done) => self.backend_done(done),
                _ => {}
            }
        }
        if let Some(super::Stop::Fault(reason)) = &self.stopping {
            line!(Error, "the last backend commit failed", "error" => reason.clone());
            return false;
        }
        if self.installation.is_running() {
            // What is not in the file is not in the leader's either, or is not needed.
            return true;
        }
        if self.persist.running.is_none() && self.persist.waiting.is_none() {
            if !self.state.is_dirty() {
                return false;
            }
            self.seal();
        }
        self.send_sealed();
        true
    }
}

/// How long one wait for the log or backend thread lasts before the loop looks again.
pub(super) const SEAL_POLL: std::time::Duration = std::time::Duration::from_millis(100);
