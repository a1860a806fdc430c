//! The store itself: what it owns, and its dealings with the backend.

use bolt::{Op, Snapshot};
use bytes::Bytes;
use types::{KeyRange, LeaseId};

use crate::{
    MvccError, Pin, compact::Compaction, hash::CompactionHashes, index::KeyIndex, outbox::Outbox, pins::Pins,
    restore, txn::WriteTxn,
};

/// All revisions of all keys that are not compacted. See the crate for how it works.
pub struct Store {
    /// What the backend held when [`Store::committed`] was last called.
    pub(crate) snapshot: Snapshot,
    pub(crate) index: KeyIndex,
    /// Of the last change; at least 1.
    pub(crate) revision: i64,
    /// Reads below are refused; -1 before the first compaction, never above `revision`.
    pub(crate) compacted: i64,
    pub(crate) outbox: Outbox,
    pub(crate) pins: Pins,
    pub(crate) compaction: Compaction,
    pub(crate) hashes: CompactionHashes,
}

impl Store {
    /// Builds the store from the rows of a backend, and takes up a compaction that had not finished.
    ///
    /// Returns the leases of live keys too, in key order: attachments are kept nowhere else
    /// (contract/semantics.md 6.10). Reads every row once.
    ///
    /// # Errors
    /// `Corrupt` when the rows contradict the format, `Backend` when they cannot be read.
    pub fn open(snapshot: Snapshot) -> Result<(Store, Vec<(LeaseId, Bytes)>), MvccError> {
        restore::open(snapshot)
    }

    /// The revision of the last change; 1 in a fresh store.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The revision of the last compaction, which is the oldest that can be read; -1 before the first.
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// The last compaction whose rows are all deleted, as far as the ops emitted so far go; -1 before the first.
    pub fn compaction_finished(&self) -> i64 {
        self.compaction.finished()
    }

    /// Rows that compaction has deleted since this store was opened.
    pub fn rows_compacted(&self) -> u64 {
        self.compaction.deleted()
    }

    /// Keys that exist now.
    pub fn key_count(&self) -> u64 {
        self.index.live()
    }

    /// Heap bytes of the key index, allocator overhead left out. Walks the whole index.
    pub fn index_bytes(&self) -> usize {
        self.index.heap_bytes()
    }

    /// Rows that are held in memory because the backend has not committed them.
    pub fn pending_rows(&self) -> usize {
        self.outbox.pending()
    }

    /// Begins a write transaction: one revision for all it changes (contract/semantics.md 1.2).
    pub fn txn(&mut self) -> WriteTxn<'_> {
        WriteTxn::new(self)
    }

    /// The ops for the backend since the last call, to be applied in this order.
    pub fn take_ops(&mut self) -> Vec<Op> {
        self.outbox.take()
    }

    /// Those of the ops not taken yet that were emitted after the first `emitted` ones.
    pub fn ops_after(&self, emitted: u64) -> &[Op] {
        self.outbox.after(emitted)
    }

    /// Ops ever emitted since [`Store::open`], taken or not.
    pub fn ops_emitted(&self) -> u64 {
        self.outbox.emitted()
    }

    /// Says that `snapshot` holds the effects of the first `up_to_ops` ops (counted from [`Store::open`], those of
    /// this store alone). Rows that it holds are dropped from memory. It may hold more than that; that is as
    /// harmless as saying it late.
    ///
    /// # Panics
    /// When `up_to_ops` goes back, or beyond what was emitted.
    pub fn committed(&mut self, up_to_ops: u64, snapshot: Snapshot) {
        self.outbox.commit(up_to_ops);
        self.snapshot = snapshot;
    }

    /// Keeps the rows visible at `at` from being deleted while the pin lives. `at <= 0` is the newest revision.
    ///
    /// # Errors
    /// As [`Store::check_read`], and `TooManyPins`.
    pub fn pin(&mut self, at: i64) -> Result<Pin, MvccError> {
        let at = self.check_read(at)?;
        self.pins.pin(at)
    }
}

/// Every key, also the empty one that `etcdutl snapshot restore --bump-revision` leaves in the bucket.
pub(crate) fn everything() -> KeyRange {
    KeyRange::new(Bytes::new(), Bytes::from_static(&[0]))
}
