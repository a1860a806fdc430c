//! What the backend has yet to write, and the rows that can only be read here until it has.

use std::collections::VecDeque;

use bolt::Op;
use bytes::Bytes;
use types::{Revision, bucket};

use crate::row::StoredRow;

/// A row that the store's snapshot may not hold yet.
#[derive(Clone)]
pub(crate) struct PendingRow {
    /// Number of the op that writes it; the first op since the store was opened is 0.
    op: u64,
    pub(crate) revision: Revision,
    pub(crate) tombstone: bool,
    pub(crate) row: Bytes,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Outbox {
    /// Not yet taken by the caller.
    ops: Vec<Op>,
    /// Ops ever emitted.
    emitted: u64,
    /// Ops that are in the store's snapshot; never more than `emitted`.
    committed: u64,
    /// Ascending by `op` and by `revision`: revisions are written in order.
    rows: VecDeque<PendingRow>,
}

impl Outbox {
    /// Writes a row.
    pub(crate) fn put_row(&mut self, revision: Revision, tombstone: bool, stored: &StoredRow) {
        let row = stored.row.clone();
        self.rows.push_back(PendingRow { op: self.emitted, revision, tombstone, row });
        self.emit(bucket::KEY, stored.storage_key.clone(), Some(stored.row.clone()));
    }

    /// Deletes a row.
    pub(crate) fn delete_row(&mut self, revision: Revision, tombstone: bool) {
        let key = if tombstone {
            Bytes::copy_from_slice(&revision.encode_tombstone())
        } else {
            Bytes::copy_from_slice(&revision.encode())
        };
        self.emit(bucket::KEY, key, None);
    }

    /// Writes a main revision under a key of `meta`.
    pub(crate) fn put_meta(&mut self, key: &'static [u8], main: i64) {
        let value = Bytes::copy_from_slice(&Revision { main, sub: 0 }.encode());
        self.emit(bucket::META, Bytes::from_static(key), Some(value));
    }

    /// The ops since the last call, in order.
    pub(crate) fn take(&mut self) -> Vec<Op> {
        std::mem::take(&mut self.ops)
    }

    /// Those not taken yet that came after the first `emitted`.
    pub(crate) fn after(&self, emitted: u64) -> &[Op] {
        let taken = self.emitted - self.ops.len() as u64;
        let skipped = (emitted.saturating_sub(taken) as usize).min(self.ops.len());
        &self.ops[skipped..]
    }

    /// Ops ever emitted.
    pub(crate) fn emitted(&self) -> u64 {
        self.emitted
    }

    /// Ops that are in the store's snapshot.
    pub(crate) fn committed(&self) -> u64 {
        self.committed
    }

    /// Drops the rows that the first `count` ops wrote: a snapshot holds them now.
    pub(crate) fn commit(&mut self, count: u64) {
        assert!(
            self.committed <= count && count <= self.emitted,
            "{count} ops committed of {}, after {}",
            self.emitted,
            self.committed
        );
        self.committed = count;
        while self.rows.front().is_some_and(|row| row.op < count) {
            self.rows.pop_front();
        }
        if self.rows.is_empty() {
            self.rows.shrink_to(1024);
        }
    }

    /// The row at `revision`, when it is pending.
    pub(crate) fn row(&self, revision: Revision) -> Option<&Bytes> {
        if self.rows.front().is_none_or(|first| revision < first.revision) {
            return None;
        }
        let place = self.rows.binary_search_by_key(&revision, |row| row.revision).ok()?;
        self.rows.get(place).map(|row| &row.row)
    }

    /// The pending rows with `from <= main <= to`, in order.
    pub(crate) fn rows(&self, from: i64, to: i64) -> impl Iterator<Item = &PendingRow> {
        let first = self.rows.partition_point(|row| row.revision.main < from);
        self.rows.range(first..).take_while(move |row| row.revision.main <= to)
    }

    /// Number of pending rows.
    pub(crate) fn pending(&self) -> usize {
        self.rows.len()
    }

    fn emit(&mut self, bucket: &'static str, key: Bytes, value: Option<Bytes>) {
        self.ops.push(Op { bucket, key, value });
        self.emitted += 1;
    }
}
