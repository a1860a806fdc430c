//! The backend thread: owns the bbolt file. Applies sealed batches of ops and commits them, one batch a transaction.

use std::{sync::Arc, time::Instant};

use bolt::{BoltError, Db, Snapshot};
use state::State;
use telemetry::metrics;
use types::Write;

use crate::{boot::repair::is_damage, inbox::Inbox, input::Input, worker::Labour};

/// Pages moved down with a commit while at least half of a large file is free.
const SHRINK_PAGES_PER_COMMIT: u64 = 32;
/// A smaller file is left alone: it would only grow again.
const SHRINK_FROM_BYTES: u64 = 64 << 20;
/// Pages moved per step of a requested defragmentation.
const DEFRAG_PAGES_PER_STEP: u64 = 256;

/// Work for the backend thread, done in the order given.
#[derive(Debug)]
pub(crate) enum BackendJob {
    /// Apply `ops` and commit them as one transaction.
    Commit { ops: Vec<Write>, batch: u64 },
    /// Move a few pages down, and cut the file where that is possible. The core asks again until it is done, so
    /// that commits come in between and the core's own snapshot does not hold the old pages.
    Defragment,
    /// Put the database that a leader sent for `index` in the place of the file. The core sends no batch before it has
    /// the answer.
    Install { index: u64 },
    /// Stop after everything before this.
    Stop,
}

/// What the backend thread reports.
#[derive(Debug)]
pub(crate) enum BackendDone {
    /// Batch number `batch` is durable.
    Committed { batch: u64, snapshot: Snapshot, size: u64, size_in_use: u64, secs: f64 },
    /// A step of a defragmentation; `done`: there is nothing left to do.
    Defragmented { done: bool, snapshot: Snapshot, size: u64, size_in_use: u64 },
    /// The file is another one, and `state` is what it holds.
    Installed { state: Box<State>, snapshot: Snapshot, size: u64, size_in_use: u64 },
    /// The file cannot be trusted any more; the member stops.
    /// `damaged`: what is in it is not what was written there.
    Failed { error: String, damaged: bool },
}

/// Puts the database that was received for an index in the file's place, and opens it.
pub(crate) type Install = Box<dyn Fn(u64) -> Result<(Db, State), String> + Send>;

/// The owner of the backend file.
pub(crate) struct BackendThread {
    db: Db,
    install: Install,
    core: Arc<Inbox<Input>>,
}

impl Labour for BackendThread {
    type Job = BackendJob;

    fn turn(&mut self, batch: &mut Vec<BackendJob>) -> bool {
        for job in batch.drain(..) {
            let done = match job {
                BackendJob::Commit { ops, batch } => self.commit(&ops, batch),
                BackendJob::Defragment => self.defragment(),
                BackendJob::Install { index } => self.install(index),
                BackendJob::Stop => return false,
            };
            match done {
                Ok(done) => self.report(done),
                Err(Failure { error, damaged }) => {
                    self.report(BackendDone::Failed { error, damaged });
                    return false;
                }
            }
        }
        true
    }
}

/// Why the backend cannot go on.
struct Failure {
    error: String,
    damaged: bool,
}

impl From<BoltError> for Failure {
    fn from(error: BoltError) -> Failure {
        Failure { damaged: is_damage(&error), error: error.to_string() }
    }
}

impl From<String> for Failure {
    fn from(error: String) -> Failure {
        Failure { error, damaged: false }
    }
}

impl BackendThread {
    pub(crate) fn new(db: Db, install: Install, core: Arc<Inbox<Input>>) -> BackendThread {
        BackendThread { db, install, core }
    }

    fn commit(&mut self, ops: &[Write], batch: u64) -> Result<BackendDone, Failure> {
        let begun = Instant::now();
        for op in ops {
            self.db.apply(op)?;
        }
        let applied = Instant::now();
        if self.db.size() >= SHRINK_FROM_BYTES && self.db.size_in_use() < self.db.size() / 2 {
            self.db.shrink_step(SHRINK_PAGES_PER_COMMIT)?;
        }
        let moved = Instant::now();
        self.db.commit()?;
        let m = metrics();
        // bbolt's names: here pages split as rows come in, and move when there is room below.
        m.debugging_disk_backend_commit_spill_duration_seconds.observe((applied - begun).as_secs_f64());
        m.debugging_disk_backend_commit_rebalance_duration_seconds.observe((moved - applied).as_secs_f64());
        m.debugging_disk_backend_commit_write_duration_seconds.observe(moved.elapsed().as_secs_f64());
        Ok(BackendDone::Committed {
            batch,
            snapshot: self.db.snapshot(),
            size: self.db.size(),
            size_in_use: self.db.size_in_use(),
            secs: begun.elapsed().as_secs_f64(),
        })
    }

    fn defragment(&mut self) -> Result<BackendDone, Failure> {
        let step = self.db.shrink_step(DEFRAG_PAGES_PER_STEP)?;
        if !step.done {
            self.db.commit()?;
        }
        Ok(BackendDone::Defragmented {
            done: step.done,
            snapshot: self.db.snapshot(),
            size: self.db.size(),
            size_in_use: self.db.size_in_use(),
        })
    }

    fn install(&mut self, index: u64) -> Result<BackendDone, Failure> {
        let (db, state) = (self.install)(index)?;
        self.db = db;
        Ok(BackendDone::Installed {
            state: Box::new(state),
            snapshot: self.db.snapshot(),
            size: self.db.size(),
            size_in_use: self.db.size_in_use(),
        })
    }

    fn report(&self, done: BackendDone) {
        // The core is gone only when the process ends.
        let _ = self.core.send(Input::Backend(done));
    }
}
