//! Write transactions.

use std::ops::Deref;

use bytes::Bytes;
use types::{KeyRange, LeaseId, Revision};

use crate::{
    Keys, RowRef, Store,
    index::Record,
    limits::ROW_BYTES_MAX,
    row::{KeyValue, StoredRow},
};

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was written.
    Put,
    /// It was deleted.
    Delete,
}

/// One change, as apply reports it to watches and leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When: the sub numbers of one transaction count up from 0.
    pub revision: Revision,
    /// What.
    pub kind: ChangeKind,
    /// Which key; a slice of `row`.
    pub key: Bytes,
    /// The encoded `mvccpb.KeyValue`, shared with the op that writes it; a tombstone's holds the key alone.
    pub row: Bytes,
    /// Whether a put began a new life of the key.
    pub create: bool,
    /// What a put attached the key to; none for a delete.
    pub lease: LeaseId,
    /// The pair that this change replaced or deleted, be it of the same transaction.
    pub prev: Option<RowRef>,
}

/// A write transaction. Everything it changes has one main revision, the store's plus one; a transaction that
/// changes nothing uses none up (contract/semantics.md 1.2-1.4).
///
/// Changes take effect at once and cannot be taken back: check first, then write (3.8). Reads, through the store
/// that this dereferences to, see them. Dropping it without [`finish`](WriteTxn::finish) loses the report alone.
pub struct WriteTxn<'a> {
    store: &'a mut Store,
    /// Main revision of its changes.
    main: i64,
    changes: Vec<Change>,
}

impl Deref for WriteTxn<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store
    }
}

impl<'a> WriteTxn<'a> {
    pub(crate) fn new(store: &'a mut Store) -> WriteTxn<'a> {
        let main = store.revision + 1;
        WriteTxn { store, main, changes: Vec::new() }
    }

    /// Main revision of the changes made, or to be made, in this transaction.
    pub fn main(&self) -> i64 {
        self.main
    }

    /// The changes so far, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Writes a key (contract/semantics.md 1.5). An equal value is a change too.
    ///
    /// # Panics
    /// When the pair is longer than a file can hold ([`ROW_BYTES_MAX`]), far beyond what requests may carry.
    pub fn put(&mut self, key: &[u8], value: &[u8], lease: LeaseId) {
        let rev = self.next_revision();
        let mut stored = None;
        let (prev, record) = self.store.index.push(key, |newest| {
            let alive = newest.filter(|record| !record.tombstone);
            let create_revision = alive.map_or(rev.main, |record| record.create_revision);
            let version = alive.map_or(0, |record| record.version).wrapping_add(1);
            let fields =
                KeyValue { key, create_revision, mod_revision: rev.main, version, value, lease: lease.0 };
            let row = StoredRow::new(&rev.encode(), &fields);
            let row_len = row_len(&row);
            stored = Some(row);
            Record { rev, create_revision, version, row_len, tombstone: false }
        });
        let stored = stored.expect("`push` calls back");
        self.record(ChangeKind::Put, &record, &stored, lease, prev);
    }

    /// Deletes the keys of a range that exist now, in key order, and returns them.
    pub fn delete_range(&mut self, range: &KeyRange) -> Vec<RowRef> {
        let keys = if range.is_single() {
            self.store.current(&range.key).into_iter().collect()
        } else {
            self.store.slice(range, self.store.revision, usize::MAX, usize::MAX, Keys::Include).0
        };
        for row in &keys {
            self.delete(&row.key);
        }
        keys
    }

    /// Ends the transaction and reports what it changed, in order.
    pub fn finish(self) -> Vec<Change> {
        self.changes
    }

    /// Deletes a key that exists (1.6).
    fn delete(&mut self, key: &[u8]) {
        let rev = self.next_revision();
        let stored = StoredRow::new(&rev.encode_tombstone(), &KeyValue { key, ..KeyValue::default() });
        let row_len = row_len(&stored);
        let (prev, record) = self.store.index.push(key, |_| Record {
            rev,
            create_revision: 0,
            version: 0,
            row_len,
            tombstone: true,
        });
        self.record(ChangeKind::Delete, &record, &stored, LeaseId::NONE, prev);
    }

    fn next_revision(&self) -> Revision {
        Revision { main: self.main, sub: self.changes.len() as i64 }
    }

    /// Hands the row to the backend and the change to the report.
    fn record(
        &mut self,
        kind: ChangeKind,
        record: &Record,
        stored: &StoredRow,
        lease: LeaseId,
        prev: Option<Record>,
    ) {
        let prev = prev.filter(|prev| !prev.tombstone);
        self.store.revision = self.main;
        self.store.outbox.put_row(record.rev, record.tombstone, stored);
        self.changes.push(Change {
            revision: record.rev,
            kind,
            key: stored.key.clone(),
            row: stored.row.clone(),
            create: kind == ChangeKind::Put && prev.is_none(),
            lease,
            prev: prev.map(|prev| RowRef::new(stored.key.clone(), &prev)),
        });
    }
}

fn row_len(stored: &StoredRow) -> u32 {
    assert!(stored.row.len() <= ROW_BYTES_MAX, "a row of {} bytes", stored.row.len());
    stored.row.len() as u32
}
