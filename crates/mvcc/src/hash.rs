//! Hashes by which members compare their contents (contract/semantics.md 9.7).
//!
//! `HashKV` must give what etcd gives, so its oddities are kept: rows up to the compacted revision count only if they
//! are still the newest of a live key, but all of them do when no key lives; tombstones at the compacted revision
//! never count. etcd finds the rows that count by a walk over its whole index under a lock. Here a bounded walk finds
//! the few that do *not* count ([`HashPlan`]); the rows are then read elsewhere ([`HashJob`]).

use std::collections::BTreeMap;

use bolt::{Cursor, Snapshot};
use types::{
    Revision,
    bucket::{self, meta},
};

use crate::{
    History, MvccError, Pin, Store, index::Changes, limits::COMPACTION_HASHES_MAX, read::Search,
    revision_set::RevisionSet,
};

/// A hash, and what it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvHash {
    /// CRC32C.
    pub hash: u32,
    /// Over all changes up to this revision.
    pub revision: i64,
    /// The compacted revision that it took into account; -1 for none.
    pub compacted: i64,
}

/// The answer to a request for a hash.
#[derive(Debug)]
pub enum HashKv {
    /// It was computed when that revision was compacted.
    Stored(KvHash),
    /// It has to be computed, by [`Store::hash_step`].
    Plan(Box<HashPlan>),
}

/// What a step towards a hash brought.
#[derive(Debug)]
pub enum HashStep {
    /// There is more to do.
    Working(Box<HashPlan>),
    /// It goes on once compaction is done and what it deleted is committed: the first `ops` ops, and more if it is
    /// not done yet.
    Waiting {
        /// For the next try.
        plan: Box<HashPlan>,
        /// As in [`Store::committed`].
        ops: u64,
    },
    /// All that the store has to say; run it on any thread.
    Ready(Box<HashJob>),
}

/// The part of a hash that needs the index, done in slices. Holds a [`Pin`] at the compacted revision: compactions
/// accepted meanwhile wait for it.
#[derive(Debug)]
pub struct HashPlan {
    revision: i64,
    compacted: i64,
    stage: Stage,
    /// Rows up to `compacted` that do not count.
    excluded: RevisionSet,
    _pin: Pin,
}

impl HashPlan {
    /// The revision that is hashed.
    pub fn revision(&self) -> i64 {
        self.revision
    }
}

#[derive(Debug)]
enum Stage {
    /// Looks for rows that do not count, from this key on.
    Exclude(Vec<u8>),
    /// Looks for a key that lives, from this key on.
    Survivor(Vec<u8>),
    Done,
}

impl Store {
    /// The hash over all changes up to `revision`; 0 is the newest.
    ///
    /// # Errors
    /// `Compacted` below the compacted revision, `FutureRevision` above the newest, `TooManyPins`.
    pub fn hash_kv(&mut self, revision: i64) -> Result<HashKv, MvccError> {
        if let Some(stored) = self.hashes.by_revision.get(&revision) {
            return Ok(HashKv::Stored(*stored));
        }
        if revision > 0 && revision < self.compacted {
            return Err(MvccError::Compacted { compacted: self.compacted });
        }
        if revision > self.revision {
            return Err(MvccError::FutureRevision { current: self.revision });
        }
        let plan = HashPlan {
            revision: if revision == 0 { self.revision } else { revision },
            compacted: self.compacted,
            // Without a compaction every row counts.
            stage: if self.compacted < 0 { Stage::Done } else { Stage::Exclude(Vec::new()) },
            excluded: RevisionSet::default(),
            _pin: self.pins.pin(self.compacted)?,
        };
        Ok(HashKv::Plan(Box::new(plan)))
    }

    /// The hashes of the last compactions, oldest first.
    pub fn compaction_hashes(&self) -> Vec<KvHash> {
        self.hashes.by_revision.values().copied().collect()
    }

    /// Does a bounded part of a plan: looks at up to `max` keys.
    pub fn hash_step(&self, plan: Box<HashPlan>, max: usize) -> HashStep {
        let ops = self.compaction.finished_ops();
        if self.compaction.finished() < plan.compacted || self.outbox.committed() < ops {
            return HashStep::Waiting { plan, ops };
        }
        self.plan_step(plan, max)
    }

    /// The hash over all changes up to `revision` (0 is the newest), of a store that nothing is written to: nobody will
    /// finish a compaction that was under way, so the rows that it would delete are left out.
    ///
    /// # Errors
    /// As [`Store::hash_kv`] and [`HashJob::step`].
    pub fn hash_at_rest(&mut self, revision: i64) -> Result<KvHash, MvccError> {
        let mut plan = match self.hash_kv(revision)? {
            HashKv::Stored(hash) => return Ok(hash),
            HashKv::Plan(plan) => plan,
        };
        loop {
            match self.plan_step(plan, usize::MAX) {
                HashStep::Working(next) | HashStep::Waiting { plan: next, .. } => plan = next,
                HashStep::Ready(job) => return job.run(),
            }
        }
    }

    fn plan_step(&self, mut plan: Box<HashPlan>, max: usize) -> HashStep {
        match std::mem::replace(&mut plan.stage, Stage::Done) {
            Stage::Exclude(from) => {
                let next = self.index.visit_aged(&from, max.max(1), &mut |changes| plan.exclude(changes));
                plan.stage = match next {
                    Some(next) => Stage::Exclude(next),
                    None if plan.excluded.is_empty() => Stage::Done,
                    None => Stage::Survivor(Vec::new()),
                };
                HashStep::Working(plan)
            }
            Stage::Survivor(from) => {
                let revision = plan.revision;
                let kept = |changes: &Changes<'_>| kept(changes, revision).is_some();
                plan.stage = match self.first_key_at(revision, from, max.max(1), kept) {
                    Search::GoOn(next) => Stage::Survivor(next),
                    Search::Found => Stage::Done,
                    Search::Nothing => {
                        plan.excluded = RevisionSet::default();
                        Stage::Done
                    }
                };
                HashStep::Working(plan)
            }
            Stage::Done => {
                let view = self.history_of_everything(plan.revision);
                HashStep::Ready(Box::new(HashJob::new(view, plan.revision, plan.compacted, plan.excluded)))
            }
        }
    }
}

impl HashPlan {
    /// Notes the rows of one key that do not count. Where compaction is done, few changes are left up to `compacted`, and
    /// no tombstones below it.
    fn exclude(&mut self, changes: &Changes<'_>) {
        let kept = kept(changes, self.revision);
        for record in (0..changes.count_up_to(self.compacted)).map(|position| changes.record(position)) {
            if kept != Some(record.rev) {
                self.excluded.insert(record.rev, record.tombstone);
            }
        }
    }
}

/// The row of a key that a compaction to `at` would keep as a live one. etcd takes a tombstone at `at` itself for the
/// end even when a put of the same revision follows (upstream: server/storage/mvcc/key_index.go, `keep`).
fn kept(changes: &Changes<'_>, at: i64) -> Option<Revision> {
    if changes.of_revision(at).any(|record| record.tombstone) {
        return None;
    }
    changes.newest_up_to(at).filter(|record| !record.tombstone).map(|record| record.rev)
}

/// The part of a hash that reads rows; runs on any thread, in slices.
pub struct HashJob {
    view: History,
    result: KvHash,
    excluded: RevisionSet,
}

impl std::fmt::Debug for HashJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashJob").field("so_far", &self.result).finish_non_exhaustive()
    }
}

impl HashJob {
    pub(crate) fn new(view: History, revision: i64, compacted: i64, excluded: RevisionSet) -> HashJob {
        let hash = crc32c::crc32c(bucket::KEY.as_bytes());
        HashJob { view, result: KvHash { hash, revision, compacted }, excluded }
    }

    /// Reads up to `max_rows` rows, and no more after `max_bytes` are reached. `Some` is the end.
    ///
    /// # Errors
    /// As [`History::next_rows`].
    pub fn step(&mut self, max_rows: usize, max_bytes: usize) -> Result<Option<KvHash>, MvccError> {
        let rows = self.view.next_rows(max_rows, max_bytes)?;
        for row in &rows {
            let tombstone_at_compacted = row.tombstone && row.revision.main == self.result.compacted;
            if !self.excluded.take_if_contains(row.revision) && !tombstone_at_compacted {
                self.add(row.revision, row.tombstone, &row.row);
            }
        }
        Ok(rows.is_empty().then_some(self.result))
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// As [`step`](HashJob::step).
    pub fn run(mut self) -> Result<KvHash, MvccError> {
        loop {
            if let Some(hash) = self.step(1024, 1 << 20)? {
                return Ok(hash);
            }
        }
    }

    fn add(&mut self, revision: Revision, tombstone: bool, row: &[u8]) {
        let hash = if tombstone {
            crc32c::crc32c_append(self.result.hash, &revision.encode_tombstone())
        } else {
            crc32c::crc32c_append(self.result.hash, &revision.encode())
        };
        self.result.hash = crc32c::crc32c_append(hash, row);
    }
}

/// The hashes that compactions left, by revision.
#[derive(Default)]
pub(crate) struct CompactionHashes {
    by_revision: BTreeMap<i64, KvHash>,
}

impl CompactionHashes {
    pub(crate) fn store(&mut self, hash: KvHash) {
        self.by_revision.insert(hash.revision, hash);
        while self.by_revision.len() > COMPACTION_HASHES_MAX {
            self.by_revision.pop_first();
        }
    }
}

/// `Maintenance.Hash`: over all buckets of a snapshot except the facts about the file itself, in slices, on any
/// thread. Commit first what should be in it.
pub struct HashAll {
    snapshot: Snapshot,
    /// Buckets to go, the next one last.
    buckets: Vec<String>,
    /// The bucket under way.
    current: Option<(String, Cursor)>,
    hash: u32,
}

/// Keys of `meta` that members need not agree on (upstream: server/storage/schema/schema.go, `DefaultIgnores`).
const NOT_HASHED: [&[u8]; 3] = [meta::CONSISTENT_INDEX, meta::TERM, meta::STORAGE_VERSION];

/// Begins the hash over everything in `snapshot`.
///
/// # Errors
/// `Backend`.
pub fn hash_all(snapshot: &Snapshot) -> Result<HashAll, MvccError> {
    let mut buckets = snapshot.buckets()?;
    buckets.reverse();
    Ok(HashAll { snapshot: snapshot.clone(), buckets, current: None, hash: 0 })
}

impl HashAll {
    /// Reads up to `max_rows` keys. `Some` is the end.
    ///
    /// # Errors
    /// `Backend`.
    pub fn step(&mut self, max_rows: usize) -> Result<Option<u32>, MvccError> {
        let mut rows = 0;
        while rows < max_rows.max(1) {
            let Some((bucket, cursor)) = &mut self.current else {
                let Some(next) = self.buckets.pop() else { return Ok(Some(self.hash)) };
                self.hash = crc32c::crc32c_append(self.hash, next.as_bytes());
                let cursor = self.snapshot.cursor(&next)?;
                self.current = Some((next, cursor));
                continue;
            };
            match cursor.next_ref()? {
                None => self.current = None,
                Some((key, _)) if bucket == bucket::META && NOT_HASHED.contains(&key) => {}
                Some((key, value)) => {
                    self.hash = crc32c::crc32c_append(crc32c::crc32c_append(self.hash, key), value);
                }
            }
            rows += 1;
        }
        Ok(None)
    }
}
