//! Compaction: effective at once for readers, carried out in bounded steps.
//!
//! 1. *Sweep*: the index gives up what lies below the new revision, a bounded number of changes at a time; walks skip
//!    the parts of the index that hold nothing superseded. The rows it gives up are queued by revision.
//! 2. *Survivor*: find out whether anything at all survives, which the hash depends on.
//! 3. *Hash*: hand out the job that hashes the rows as they are before any of them goes.
//! 4. *Delete*: emit the deletes in revision order, so that the backend touches each page once.
//!
//! Nothing but the target is stored: after a restart the rows tell again what is left to do.

use types::bucket::meta;

use crate::{
    MvccError, Store,
    hash::{HashJob, KvHash},
    read::Search,
    revision_set::RevisionSet,
};

/// What a step of compaction did, or what it waits for.
#[derive(Debug)]
pub enum CompactStep {
    /// Nothing is left to do.
    Idle,
    /// It did something; there is more.
    Working,
    /// Run this elsewhere and hand the result to [`Store::compaction_hashed`]; go on with steps meanwhile.
    Hash(Box<HashJob>),
    /// It goes on once the first `ops` ops are committed ([`Store::committed`]).
    AwaitingCommit {
        /// As in [`Store::committed`].
        ops: u64,
    },
    /// It goes on once [`Store::compaction_hashed`] was called.
    AwaitingHash,
    /// It goes on once the reads that pin older revisions are done.
    Pinned {
        /// The lowest pinned revision.
        oldest: i64,
    },
}

/// The state of compaction.
pub(crate) struct Compaction {
    running: Option<Running>,
    /// The next one; a later one replaces it.
    queued: Option<Target>,
    /// The last one that was carried out; -1 before.
    finished: i64,
    /// Ops after which the backend holds no row that `finished` deleted.
    finished_ops: u64,
    /// A hash job is out.
    hashing: bool,
    /// Rows deleted since this store was opened.
    deleted: u64,
}

#[derive(Clone, Copy)]
struct Target {
    revision: i64,
    /// The compacted revision before, for the hash.
    previous: i64,
    /// Whether to hash: only when the one before was carried out by then (contract/semantics.md 9.7; upstream:
    /// server/storage/mvcc/kvstore.go, `prevCompactionCompleted`).
    hash: bool,
}

struct Running {
    target: Target,
    phase: Phase,
    /// Rows to delete.
    victims: RevisionSet,
    /// Some key has a tombstone at the target itself.
    tombstone_at_target: bool,
}

enum Phase {
    /// From this key on.
    Sweep(Vec<u8>),
    /// From this key on.
    Survivor(Vec<u8>),
    /// `survivors`: whether any row at or below the target stays.
    Hash {
        survivors: bool,
    },
    Delete,
}

impl Compaction {
    /// The state after a restart: `finished` is on disk, and so is `scheduled`, which may be above.
    pub(crate) fn restored(finished: i64, scheduled: i64) -> Compaction {
        let queued =
            (scheduled > finished).then_some(Target { revision: scheduled, previous: finished, hash: false });
        Compaction { running: None, queued, finished, finished_ops: 0, hashing: false, deleted: 0 }
    }

    pub(crate) fn finished(&self) -> i64 {
        self.finished
    }

    /// Ops after which the backend holds no row that the finished compaction deleted.
    pub(crate) fn finished_ops(&self) -> u64 {
        self.finished_ops
    }

    /// Rows deleted since this store was opened.
    pub(crate) fn deleted(&self) -> u64 {
        self.deleted
    }

    fn is_idle(&self) -> bool {
        self.running.is_none() && self.queued.is_none()
    }
}

impl Store {
    /// Compacts to `revision`, inclusive (contract/semantics.md 4.1): readers below it are refused from now on. The
    /// rows go in [`compact_step`](Store::compact_step).
    ///
    /// # Errors
    /// `Compacted` at or below the last one, `FutureRevision` above the newest revision.
    pub fn compact(&mut self, revision: i64) -> Result<(), MvccError> {
        if revision <= self.compacted {
            return Err(MvccError::Compacted { compacted: self.compacted });
        }
        if revision > self.revision {
            return Err(MvccError::FutureRevision { current: self.revision });
        }
        let target = Target { revision, previous: self.compacted, hash: self.compaction.is_idle() };
        self.compaction.queued = Some(target);
        self.compacted = revision;
        self.outbox.put_meta(meta::SCHEDULED_COMPACT, revision);
        Ok(())
    }

    /// Does a bounded part of what compaction has to do: looks at, or deletes, up to `max` changes.
    ///
    /// # Errors
    /// `Backend` when the hash job cannot be set up.
    pub fn compact_step(&mut self, max: usize) -> Result<CompactStep, MvccError> {
        let Some(mut running) = self.compaction.running.take() else { return Ok(self.begin_compaction()) };
        let step = match &mut running.phase {
            Phase::Sweep(_) => {
                self.sweep_step(&mut running, max);
                CompactStep::Working
            }
            Phase::Survivor(_) => {
                self.survivor_step(&mut running, max);
                CompactStep::Working
            }
            Phase::Hash { survivors } if self.outbox.committed() >= self.compaction.finished_ops => {
                let survivors = *survivors;
                running.phase = Phase::Delete;
                CompactStep::Hash(Box::new(self.compaction_job(&running, survivors)))
            }
            Phase::Hash { .. } => CompactStep::AwaitingCommit { ops: self.compaction.finished_ops },
            Phase::Delete if !running.victims.is_empty() => {
                for (revision, tombstone) in
                    std::iter::from_fn(|| running.victims.pop_first()).take(max.max(1))
                {
                    self.outbox.delete_row(revision, tombstone);
                    self.compaction.deleted += 1;
                }
                CompactStep::Working
            }
            Phase::Delete if self.compaction.hashing => CompactStep::AwaitingHash,
            Phase::Delete => {
                self.outbox.put_meta(meta::FINISHED_COMPACT, running.target.revision);
                self.compaction.finished = running.target.revision;
                self.compaction.finished_ops = self.outbox.emitted();
                return Ok(CompactStep::Working);
            }
        };
        self.compaction.running = Some(running);
        Ok(step)
    }

    /// Takes the result of the job of [`CompactStep::Hash`]; `None` when it could not be computed, which stores
    /// nothing. Only after this does the compaction count as finished.
    pub fn compaction_hashed(&mut self, hash: Option<KvHash>) {
        self.compaction.hashing = false;
        if let Some(hash) = hash {
            self.hashes.store(hash);
        }
    }

    fn begin_compaction(&mut self) -> CompactStep {
        let Some(mut target) = self.compaction.queued else { return CompactStep::Idle };
        match self.pins.oldest().filter(|oldest| *oldest < target.revision) {
            None => self.compaction.queued = None,
            // Whoever pins may wait for the compaction to that revision, and a later one has taken its place in the
            // queue: go as far as the pin lets us. Nobody asks for a hash of that, and with one wanted nothing may go
            // before it is computed.
            Some(oldest) if !target.hash && self.compaction.finished < oldest => {
                target = Target { revision: oldest, previous: self.compaction.finished, hash: false };
            }
            Some(oldest) => return CompactStep::Pinned { oldest },
        }
        self.compaction.running = Some(Running {
            target,
            phase: Phase::Sweep(Vec::new()),
            victims: RevisionSet::default(),
            tombstone_at_target: false,
        });
        CompactStep::Working
    }

    fn sweep_step(&mut self, running: &mut Running, max: usize) {
        let Phase::Sweep(from) = &running.phase else { return };
        let swept = self.index.sweep(running.target.revision, from, max.max(1));
        for (revision, tombstone) in swept.victims {
            running.victims.insert(revision, tombstone);
        }
        running.tombstone_at_target |= swept.tombstone_at_target;
        running.phase = match swept.next {
            Some(next) => Phase::Sweep(next),
            None if !running.target.hash => Phase::Delete,
            None if running.tombstone_at_target => Phase::Hash { survivors: true },
            None => Phase::Survivor(Vec::new()),
        };
    }

    fn survivor_step(&mut self, running: &mut Running, max: usize) {
        let Phase::Survivor(from) = &mut running.phase else { return };
        let from = std::mem::take(from);
        running.phase = match self.first_key_at(running.target.revision, from, max.max(1), |_| true) {
            Search::GoOn(next) => Phase::Survivor(next),
            Search::Found => Phase::Hash { survivors: true },
            Search::Nothing => Phase::Hash { survivors: false },
        };
    }

    /// The hash over all rows up to the target as they are now: what `HashKV` at the target gave before
    /// (contract/semantics.md 9.7).
    fn compaction_job(&mut self, running: &Running, survivors: bool) -> HashJob {
        let Target { revision, previous, .. } = running.target;
        // Of the rows up to the previous compaction, those that this one deletes do not count; all do when nothing
        // survives this one.
        let excluded = if survivors { running.victims.up_to(previous) } else { RevisionSet::default() };
        self.compaction.hashing = true;
        HashJob::new(self.history_of_everything(revision), revision, previous, excluded)
    }
}
