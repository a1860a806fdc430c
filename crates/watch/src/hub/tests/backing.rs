//! The real store beside the naive one, on a simulated disk.

use std::{path::Path, sync::Arc};

use bolt::{Db, Options};
use bytes::Bytes;
use mvcc::{Change, CompactStep, MvccError, RowRef};
use types::{KeyRange, LeaseId};
use vfs::SimDisk;

use super::store::Op;
use crate::PrevRows;

pub(super) struct Backing {
    db: Db,
    pub(super) store: mvcc::Store,
}

impl std::fmt::Debug for Backing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Backing")
    }
}

impl Backing {
    pub(super) fn new() -> Backing {
        let options = Options { cache_bytes: 1 << 20, ..Options::default() };
        let db = Db::open(Arc::new(SimDisk::new()), Path::new("/db"), options).unwrap();
        let (store, _) = mvcc::Store::open(db.snapshot()).unwrap();
        Backing { db, store }
    }

    pub(super) fn write(&mut self, ops: &[Op]) -> Vec<Change> {
        let mut txn = self.store.txn();
        for op in ops {
            match op {
                Op::Put(key, value) => txn.put(key.as_bytes(), value.as_bytes(), LeaseId::NONE),
                Op::Delete(key) => _ = txn.delete_range(&KeyRange::single(*key)),
            }
        }
        txn.finish()
    }

    /// Makes everything durable, then goes on with compaction for some steps.
    pub(super) fn commit(&mut self, steps: usize) {
        for op in self.store.take_ops() {
            self.db.apply(&op).unwrap();
        }
        self.db.commit().unwrap();
        self.store.committed(self.store.ops_emitted(), self.db.snapshot());
        for _ in 0..steps {
            if let CompactStep::Hash(job) = self.store.compact_step(2).unwrap() {
                self.store.compaction_hashed(Some(job.run().unwrap()));
            }
        }
    }
}

impl PrevRows for Backing {
    fn prev(&self, key: &[u8], before_main: i64) -> Option<RowRef> {
        PrevRows::prev(&self.store, key, before_main)
    }

    fn fetch(&self, row: &RowRef) -> Result<Bytes, MvccError> {
        PrevRows::fetch(&self.store, row)
    }
}
