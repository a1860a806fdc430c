//! The log thread: owns the WAL. Whatever has queued up during one sync goes out with the next one.
//!
//! A hard state that only moves the commit index is not written by itself: nobody relies on it until somebody
//! asks for a sync, every batch ends with the newest one anyway, and a write of its own would cost the next
//! batch a second sync.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use consensus::AppendWork;
use telemetry::{line, log, metrics};
use types::{
    mutant::{self, Mutant},
    raft::{Entry, HardState, Snapshot},
};
use vfs::Disk;
use wal::{
    SegmentPreparer, SnapshotRecord, Wal,
    snap::{self, SnapName},
};

use crate::{
    inbox::Inbox,
    input::Input,
    worker::{Labour, Worker},
};

/// A sync that takes longer is warned about (upstream: server/storage/wal/wal.go, `warnSyncDuration`).
const SYNC_EXPECTED: Duration = Duration::from_secs(1);

/// Work for the log thread, done in the order given.
#[derive(Debug)]
pub(crate) enum LogJob {
    /// Append what raft wants written; it comes back once it is durable. `hard_state` is raft's current one,
    /// whether it changed or not: every batch ends with it.
    Append { work: Box<AppendWork>, hard_state: HardState, must_sync: bool },
    /// Write a `.snap` file and then the WAL's snapshot record. The db is durable beyond its index already.
    Snapshot(Box<Snapshot>),
    /// Remove segments and `.snap` files that nobody needs; nothing at or above `below` goes.
    Purge { keep_segments: usize, keep_snaps: usize, below: u64 },
    /// Make the side file durable.
    SyncSide,
    /// Stop after everything before this.
    Stop,
}

/// What the log thread reports.
#[derive(Debug)]
pub(crate) enum LogDone {
    /// Everything up to this hard state is written, and durable when `synced`: tell raft of `works`.
    Appended { works: Vec<AppendWork>, hard_state: HardState, synced: bool, timing: LogTiming },
    /// The snapshot record at this index is durable.
    SnapshotSaved { index: u64 },
    /// The WAL cannot be trusted any more; the member stops.
    Failed(String),
}

/// How long one batch took and what it held.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogTiming {
    pub(crate) write_secs: f64,
    pub(crate) sync_secs: f64,
    /// Of records.
    pub(crate) bytes: u64,
}

/// The owner of the WAL.
pub(crate) struct LogThread {
    wal: Wal,
    preparer: SegmentPreparer,
    prepare: Worker<PrepareJob>,
    /// A hard state with a newer commit index than the last one written.
    held: Option<HardState>,
    disk: Arc<dyn Disk>,
    wal_dir: PathBuf,
    snap_dir: PathBuf,
    core: Arc<Inbox<Input>>,
}

impl Labour for LogThread {
    type Job = LogJob;

    fn turn(&mut self, batch: &mut Vec<LogJob>) -> bool {
        match self.handle(batch) {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => self.report(LogDone::Failed(error)),
        }
        self.prepare.send(PrepareJob::Stop);
        self.prepare.join();
        false
    }
}

impl LogThread {
    /// The owner of `wal`; `dirs` are its folder and that of `.snap` files.
    pub(crate) fn new(
        wal: Wal,
        disk: Arc<dyn Disk>,
        (wal_dir, snap_dir): (PathBuf, PathBuf),
        core: Arc<Inbox<Input>>,
    ) -> LogThread {
        let preparer = wal.preparer();
        LogThread { wal, preparer, prepare: Worker::default(), held: None, disk, wal_dir, snap_dir, core }
    }

    /// Gives the worker that makes segments ahead of use a thread.
    pub(crate) fn start_preparer(&mut self) {
        self.prepare.start("log-prepare", Preparer(self.preparer.clone()));
    }

    /// That worker and its jobs, for whoever does them without a thread.
    pub(crate) fn preparer(&self) -> (Preparer, Arc<Inbox<PrepareJob>>) {
        (Preparer(self.preparer.clone()), self.prepare.jobs())
    }

    /// `false` when told to stop.
    fn handle(&mut self, batch: &mut Vec<LogJob>) -> Result<bool, String> {
        let mut pending = Pending::default();
        for job in batch.drain(..) {
            match job {
                LogJob::Append { work, hard_state, .. } if work.snapshot.is_some() => {
                    self.flush(&mut pending)?;
                    self.take_snapshot(*work, hard_state)?;
                }
                LogJob::Append { work, hard_state, must_sync } => {
                    if !pending.follows(&work) {
                        self.flush(&mut pending)?;
                    }
                    pending.add(*work, hard_state, must_sync);
                }
                other => {
                    self.flush(&mut pending)?;
                    if !self.run_rare(other)? {
                        return Ok(false);
                    }
                }
            }
        }
        self.flush(&mut pending)?;
        Ok(true)
    }

    /// One write and one sync for everything in `pending`, or none when nothing in it needs to be durable.
    fn flush(&mut self, pending: &mut Pending) -> Result<(), String> {
        let Pending { works, entries, hard_state, must_sync } = std::mem::take(pending);
        if works.is_empty() {
            return Ok(());
        }
        let mut timing = LogTiming::default();
        let must_sync = must_sync && !(mutant::is_on(Mutant::VoteNotSynced) && entries.is_empty());
        if must_sync {
            let (begun, before) = (Instant::now(), self.wal.size());
            self.wal.append(&entries, hard_state).map_err(|e| e.to_string())?;
            let written = Instant::now();
            if !mutant::is_on(Mutant::AckBeforeSync) {
                self.wal.sync().map_err(|e| e.to_string())?;
            }
            timing.write_secs = (written - begun).as_secs_f64();
            let took = written.elapsed();
            timing.sync_secs = took.as_secs_f64();
            if took > SYNC_EXPECTED {
                line!(Warn, "slow fdatasync",
                    "took" => log::duration(took), "expected-duration" => log::duration(SYNC_EXPECTED));
            }
            // A tail that was replaced makes the log shorter.
            timing.bytes = self.wal.size().saturating_sub(before);
            self.held = None;
            if self.preparer.needed() {
                self.prepare.send(PrepareJob::Prepare);
            }
        } else {
            self.held = Some(hard_state);
        }
        self.report(LogDone::Appended { works, hard_state, synced: must_sync, timing });
        Ok(())
    }

    /// Writes the hard state that was held back, and syncs.
    fn sync_all(&mut self) -> Result<(), String> {
        if let Some(hard_state) = self.held.take() {
            self.wal.append(&[], hard_state).map_err(|e| e.to_string())?;
        }
        self.wal.sync().map_err(|e| e.to_string())
    }

    fn run_rare(&mut self, job: LogJob) -> Result<bool, String> {
        match job {
            LogJob::Append { .. } => unreachable!("appends are gathered by the caller"),
            LogJob::Snapshot(snapshot) => self.save_snapshot(&snapshot)?,
            LogJob::Purge { keep_segments, keep_snaps, below } => {
                let segments = self.wal.purge(keep_segments, below).map_err(|e| e.to_string())?;
                let snaps =
                    snap::purge(&*self.disk, &self.snap_dir, keep_snaps).map_err(|e| e.to_string())?;
                for name in segments {
                    line!(Info, "purged", "path" => self.wal_dir.join(name.file_name()).display().to_string());
                }
                for name in snaps {
                    line!(Info, "purged", "path" => self.snap_dir.join(name.file_name()).display().to_string());
                }
            }
            LogJob::SyncSide => self.wal.sync_side(),
            LogJob::Stop => {
                self.sync_all()?;
                self.wal.sync_side();
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), String> {
        self.write_snapshot(snapshot)?;
        self.report(LogDone::SnapshotSaved { index: snapshot.meta.index });
        Ok(())
    }

    /// The log goes on from a leader's snapshot, whose database is durable already. Entries that come after it are in
    /// later works.
    fn take_snapshot(&mut self, work: AppendWork, hard_state: HardState) -> Result<(), String> {
        if let Some(snapshot) = &work.snapshot {
            self.write_snapshot(snapshot)?;
        }
        self.wal.append(&[], hard_state).map_err(|e| e.to_string())?;
        self.wal.sync().map_err(|e| e.to_string())?;
        let timing = LogTiming::default();
        self.report(LogDone::Appended { works: vec![work], hard_state, synced: true, timing });
        Ok(())
    }

    fn write_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), String> {
        let meta = &snapshot.meta;
        let begun = Instant::now();
        let encoded = snap::encode(snapshot);
        let marshalled = Instant::now();
        let name = SnapName { term: meta.term, index: meta.index };
        snap::write_encoded(&*self.disk, &self.snap_dir, name, &encoded).map_err(|e| e.to_string())?;
        let m = metrics();
        m.debugging_snap_save_marshalling_duration_seconds.observe((marshalled - begun).as_secs_f64());
        m.snap_fsync_duration_seconds.observe(marshalled.elapsed().as_secs_f64());
        m.debugging_snap_save_total_duration_seconds.observe(begun.elapsed().as_secs_f64());
        let record =
            SnapshotRecord { index: meta.index, term: meta.term, conf_state: meta.conf_state.clone() };
        self.sync_all()?;
        self.wal.save_snapshot(record).map_err(|e| e.to_string())
    }

    fn report(&self, done: LogDone) {
        // The core is gone only when the process ends.
        let _ = self.core.send(Input::Log(done));
    }
}

/// Appends that one write and one sync make durable.
#[derive(Default)]
struct Pending {
    works: Vec<AppendWork>,
    /// Those of `works`, without a gap.
    entries: Vec<Entry>,
    hard_state: HardState,
    must_sync: bool,
}

impl Pending {
    /// Whether the entries of `work` come right after those here. If not, it replaces some of them, and goes
    /// into a batch of its own.
    fn follows(&self, work: &AppendWork) -> bool {
        match (self.entries.last(), work.entries.first()) {
            (Some(last), Some(first)) => first.index == last.index + 1,
            _ => true,
        }
    }

    fn add(&mut self, work: AppendWork, hard_state: HardState, must_sync: bool) {
        self.entries.extend_from_slice(&work.entries);
        self.works.push(work);
        self.hard_state = hard_state;
        self.must_sync |= must_sync;
    }
}

/// Work for the worker that makes segments ahead of use, which takes as long as writing one does.
#[derive(Debug)]
pub(crate) enum PrepareJob {
    Prepare,
    Stop,
}

/// Makes segments ahead of use.
pub(crate) struct Preparer(SegmentPreparer);

impl Labour for Preparer {
    type Job = PrepareJob;

    fn turn(&mut self, batch: &mut Vec<PrepareJob>) -> bool {
        if batch.drain(..).any(|job| matches!(job, PrepareJob::Stop)) {
            return false;
        }
        // Without a prepared segment the log makes its own when it needs one.
        if let Err(error) = self.0.prepare() {
            line!(Warn, "cannot prepare the next WAL segment", "error" => error.to_string());
        }
        true
    }
}
