//! A store on a backend beside its model, and every comparison between them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bolt::{Db, Options};
use bytes::Bytes;
use types::{KeyRange, LeaseId, Revision, bucket};
use vfs::SimDisk;

use super::model::{Model, RowsByRevision};
use crate::{
    Change, ChangeKind, CompactStep, HashJob, HashKv, HashStep, KeyValue, Keys, MvccError, Store, framed_len,
};

/// One operation of a transaction.
#[derive(Clone, Debug)]
pub(super) enum TxnOp {
    Put { key: Vec<u8>, value: Vec<u8>, lease: i64 },
    Delete(KeyRange),
}

pub(super) struct Harness {
    disk: SimDisk,
    db: Db,
    pub(super) store: Store,
    pub(super) model: Model,
    /// The model when the backend last committed: what a crash goes back to.
    durable: Model,
    /// The job that a compaction handed out.
    job: Option<Box<HashJob>>,
    /// Hashes that must be stored, by revision: of compactions that began when none was running.
    hashes: BTreeMap<i64, u32>,
}

impl Harness {
    pub(super) fn new() -> Harness {
        let disk = SimDisk::new();
        let db = open_db(&disk);
        Harness::on(disk, db)
    }

    /// On a backend with something in it; the model is for the caller to fill.
    pub(super) fn on(disk: SimDisk, db: Db) -> Harness {
        let (store, _) = Store::open(db.snapshot()).unwrap();
        Harness {
            disk,
            db,
            store,
            model: Model::new(),
            durable: Model::new(),
            job: None,
            hashes: BTreeMap::new(),
        }
    }

    pub(super) fn put(&mut self, key: &str, value: &str) -> i64 {
        self.txn(&[TxnOp::Put { key: key.into(), value: value.into(), lease: 0 }]);
        self.store.revision()
    }

    pub(super) fn delete(&mut self, key: &str) -> i64 {
        self.txn(&[TxnOp::Delete(KeyRange::single(Bytes::copy_from_slice(key.as_bytes())))]);
        self.store.revision()
    }

    /// Runs a transaction on both, and compares what it reports.
    pub(super) fn txn(&mut self, ops: &[TxnOp]) -> Vec<Change> {
        let before = self.model.revision;
        let mut txn = self.store.txn();
        for op in ops {
            match op {
                TxnOp::Put { key, value, lease } => {
                    txn.put(key, value, LeaseId(*lease));
                    self.model.put(key, value, *lease);
                }
                TxnOp::Delete(range) => {
                    let deleted = txn.delete_range(range);
                    assert_eq!(deleted.len(), self.model.delete_range(range));
                }
            }
            // Reads inside the transaction see what it did.
            let at = txn.revision();
            let listed = txn.range(&everything(), 0, 0, Keys::Include).unwrap();
            let expected = self.model.list(&everything(), at);
            assert_eq!(listed.rows.len(), expected.len());
            for (row, (rev, _)) in listed.rows.iter().zip(expected) {
                assert_eq!(row.rev, rev);
            }
        }
        let changes = txn.finish();
        self.model.end_txn();
        assert_eq!(self.store.revision(), self.model.revision);
        self.check_changes(before, &changes);
        changes
    }

    fn check_changes(&self, before: i64, changes: &[Change]) {
        let rows: Vec<_> = self.model.rows.range(Revision::new(before + 1, 0)..).collect();
        assert_eq!(changes.len(), rows.len());
        for (change, (rev, row)) in changes.iter().zip(rows) {
            assert_eq!(change.revision, *rev);
            assert_eq!(change.kind == ChangeKind::Delete, row.tombstone);
            assert_eq!(change.row, row.encoded());
            assert_eq!(change.key, row.pair.key);
            assert_eq!(change.lease, LeaseId(row.pair.lease));
            assert_eq!(change.create, !row.tombstone && row.pair.version == 1);
            let prev = self.model.rows.range(..rev).rev().find(|(_, other)| other.pair.key == row.pair.key);
            match prev.filter(|(_, prev)| !prev.tombstone) {
                None => assert_eq!(change.prev, None),
                Some((prev_rev, prev)) => {
                    let found = change.prev.as_ref().unwrap();
                    assert_eq!((found.rev, &found.key), (*prev_rev, &prev.pair.key));
                    if prev_rev.main > self.model.compacted() {
                        assert_eq!(self.store.fetch(found).unwrap(), prev.encoded());
                    }
                }
            }
        }
    }

    pub(super) fn compact(&mut self, at: i64) -> Result<(), MvccError> {
        let was_idle = self.store.compaction_finished() == self.store.compacted();
        let result = self.store.compact(at);
        if result.is_ok() {
            self.model.compactions.push(at);
            if was_idle {
                self.hashes.insert(at, self.model.compaction_hash());
            }
        }
        result
    }

    /// One step of compaction; a hash job is kept for [`run_job`](Harness::run_job).
    pub(super) fn step(&mut self, max: usize) -> CompactStep {
        let step = self.store.compact_step(max).unwrap();
        if let CompactStep::Hash(job) = step {
            assert!(self.job.replace(job).is_none());
            return CompactStep::Working;
        }
        step
    }

    pub(super) fn run_job(&mut self) {
        if let Some(job) = self.job.take() {
            let hash = job.run().unwrap();
            assert_eq!(Some(&hash.hash), self.hashes.get(&hash.revision), "{hash:?}");
            self.store.compaction_hashed(Some(hash));
        }
    }

    /// Brings the ops to the backend and makes them durable.
    pub(super) fn commit(&mut self) {
        for op in self.store.take_ops() {
            self.db.apply(&op).unwrap();
        }
        self.db.commit().unwrap();
        self.store.committed(self.store.ops_emitted(), self.db.snapshot());
        self.durable = self.model.clone();
        assert_eq!(self.store.pending_rows(), 0);
    }

    /// Brings the ops to the backend; the store learns of it only for some of them.
    pub(super) fn commit_and_tell_late(&mut self, untold: u64) {
        let committed = self.store.outbox.committed();
        for op in self.store.take_ops() {
            self.db.apply(&op).unwrap();
        }
        self.db.commit().unwrap();
        self.durable = self.model.clone();
        let told = self.store.ops_emitted().saturating_sub(untold).max(committed);
        self.store.committed(told, self.db.snapshot());
    }

    /// Carries compaction through. With pins held it would not end.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            match self.step(3) {
                CompactStep::Idle => {
                    assert_eq!(self.store.compaction_finished(), self.store.compacted());
                    return self.commit();
                }
                CompactStep::AwaitingCommit { .. } => self.commit(),
                CompactStep::AwaitingHash => self.run_job(),
                CompactStep::Working => {}
                step @ (CompactStep::Hash(_) | CompactStep::Pinned { .. }) => panic!("{step:?}"),
            }
        }
        panic!("compaction does not end");
    }

    /// Opens the store again from what is durable; all else is lost.
    pub(super) fn crash(&mut self) {
        self.disk = self.disk.kill();
        self.db = open_db(&self.disk);
        self.model = self.durable.clone();
        self.job = None;
        self.hashes.clear();
        let (store, leases) = Store::open(self.db.snapshot()).unwrap();
        self.store = store;
        assert_eq!(self.store.revision(), self.model.revision);
        assert_eq!(self.store.compacted(), self.model.compacted());
        let expected: Vec<_> = self
            .model
            .list(&everything(), self.model.revision)
            .iter()
            .filter(|(_, row)| row.pair.lease != 0)
            .map(|(_, row)| (LeaseId(row.pair.lease), row.pair.key.clone()))
            .collect();
        assert_eq!(leases, expected);
    }

    /// Compares a range at a revision, in every way to read it.
    pub(super) fn check_range(&mut self, range: &KeyRange, at: i64, limit: usize) {
        let revision = if at <= 0 { self.model.revision } else { at };
        let result = self.store.range(range, at, limit, Keys::Include);
        if revision > self.model.revision {
            assert!(matches!(result, Err(MvccError::FutureRevision { .. })));
            assert!(self.store.walk(range.clone(), at).is_err() && self.store.count(range, at).is_err());
            return;
        }
        if revision < self.model.compacted() {
            assert!(matches!(result, Err(MvccError::Compacted { .. })));
            assert!(self.store.walk(range.clone(), at).is_err() && self.store.count(range, at).is_err());
            return;
        }
        let listing = result.unwrap();
        let expected = self.model.list(range, revision);
        assert_eq!((listing.revision, listing.count), (revision, expected.len() as u64), "{range:?} at {at}");
        let shown = if limit == 0 { expected.len() } else { expected.len().min(limit) };
        assert_eq!(listing.rows.len(), shown);
        let detached = self.store.detach(&listing.rows);
        for (i, (row, (rev, expected))) in listing.rows.iter().zip(&expected).enumerate() {
            let pair = &expected.pair;
            assert_eq!((row.rev, &row.key), (*rev, &pair.key));
            assert_eq!((row.create_revision, row.version), (pair.create_revision, pair.version), "{row:?}");
            assert_eq!(self.store.fetch(row).unwrap(), expected.encoded());
            assert_eq!(detached.fetch(i).unwrap(), expected.encoded());
            assert_eq!(KeyValue::decode(&expected.encoded()).unwrap().key, &pair.key[..]);
        }
        let bytes: usize = expected[..shown].iter().map(|(_, row)| row.encoded().len()).sum();
        assert_eq!(detached.total_len(), bytes as u64);
        let totals = self.store.totals(range, at).unwrap();
        assert_eq!(totals.count, expected.len() as u64);
        let framed: u64 = expected.iter().map(|(_, row)| framed_len(row.encoded().len() as u32)).sum();
        assert_eq!(totals.framed_bytes, framed);
        self.check_walk(range, at, &expected.iter().map(|(rev, _)| *rev).collect::<Vec<_>>());
    }

    fn check_walk(&mut self, range: &KeyRange, at: i64, expected: &[Revision]) {
        let mut walk = self.store.walk(range.clone(), at).unwrap();
        let mut found = Vec::new();
        while !walk.is_done() {
            let rows = self.store.walk_on(&mut walk, 2, 3, Keys::Skip).unwrap();
            assert!(rows.len() <= 2 && rows.iter().all(|row| row.key.is_empty()));
            found.extend(rows.iter().map(|row| row.rev));
        }
        assert_eq!(found, expected);
    }

    /// Compares everything that can be asked, at every revision.
    pub(super) fn check_all(&mut self) {
        self.store.index.check();
        assert_eq!(self.store.revision(), self.model.revision);
        assert_eq!(self.store.compacted(), self.model.compacted());
        let live = self.model.list(&everything(), self.model.revision).len();
        assert_eq!(self.store.key_count(), live as u64);
        for at in self.model.compacted().max(1)..=self.model.revision {
            self.check_range(&everything(), at, 0);
            self.check_range(&KeyRange::new("b", "d"), at, 2);
            self.check_history(at);
            self.check_prev(at);
        }
    }

    fn check_history(&self, from: i64) {
        let mut history = self.store.history(from, i64::MAX).unwrap();
        let mut found = Vec::new();
        loop {
            let rows = history.next_rows(3, 40).unwrap();
            if rows.is_empty() {
                break;
            }
            found.extend(rows);
        }
        let compacted = self.model.compacted();
        let must = self.model.left_by(compacted);
        let mut found = found.into_iter().peekable();
        for (rev, row) in self.model.rows.range(Revision::new(from, 0)..) {
            let is_next = found.peek().is_some_and(|found| found.revision == *rev);
            // Until the rows are gone, replaced ones of the compacted revision itself may show up.
            assert!(is_next || (rev.main == compacted && !must.contains_key(rev)), "{rev} from {from}");
            if is_next {
                let found = found.next().unwrap();
                assert_eq!((found.tombstone, &found.row[..]), (row.tombstone, &row.encoded()[..]));
            }
        }
        assert_eq!(found.next(), None);
    }

    fn check_prev(&self, at: i64) {
        for (_, row) in self.model.rows.range(Revision::new(at, 0)..Revision::new(at + 1, 0)) {
            let prev = self.store.prev(&row.pair.key, at);
            let expected = self.model.pair(&row.pair.key, at - 1).filter(|_| at > self.model.compacted());
            assert_eq!(
                prev.map(|prev| self.store.fetch(&prev).unwrap().to_vec()),
                expected.map(|row| row.encoded())
            );
        }
    }

    /// Compares `HashKV` at every revision, and what the bucket holds. Compaction must have settled.
    pub(super) fn check_settled(&mut self) {
        for at in self.model.compacted().max(1)..=self.model.revision {
            let stored = self.hashes.get(&at).copied();
            let hash = self.hash(at);
            let kept_hash = self.store.compaction_hashes().iter().any(|hash| hash.revision == at);
            assert_eq!(
                hash,
                stored.filter(|_| kept_hash).unwrap_or_else(|| self.model.hash(at)),
                "hash at {at}"
            );
        }
        assert_eq!(self.rows_on_disk(), self.expected_on_disk());
    }

    pub(super) fn hash(&mut self, at: i64) -> u32 {
        let mut plan = match self.store.hash_kv(at).unwrap() {
            HashKv::Stored(hash) => return hash.hash,
            HashKv::Plan(plan) => plan,
        };
        for _ in 0..10_000 {
            plan = match self.store.hash_step(plan, 2) {
                HashStep::Working(plan) => plan,
                HashStep::Waiting { plan, .. } => {
                    self.commit();
                    plan
                }
                HashStep::Ready(job) => return job.run().unwrap().hash,
            }
        }
        panic!("the plan does not end");
    }

    pub(super) fn rows_on_disk(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut cursor = self.db.snapshot().cursor(bucket::KEY).unwrap();
        let mut rows = BTreeMap::new();
        while let Some((key, row)) = cursor.next().unwrap() {
            rows.insert(key.to_vec(), row.to_vec());
        }
        rows
    }

    /// The bytes of the database file.
    pub(super) fn file(&self) -> Vec<u8> {
        self.disk.contents(Path::new("/db")).unwrap()
    }

    pub(super) fn expected_on_disk(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        encode(&self.model.on_disk())
    }
}

pub(super) fn encode(rows: &RowsByRevision) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let key = |rev: &Revision, tombstone| {
        if tombstone { rev.encode_tombstone().to_vec() } else { rev.encode().to_vec() }
    };
    rows.iter().map(|(rev, row)| (key(rev, row.tombstone), row.encoded())).collect()
}

pub(super) fn everything() -> KeyRange {
    KeyRange::new(Bytes::new(), "\0")
}

pub(super) fn open_db(disk: &SimDisk) -> Db {
    let options = Options { cache_bytes: 1 << 20, ..Options::default() };
    Db::open(Arc::new(disk.clone()), Path::new("/db"), options).unwrap()
}
