//! Reads: which revisions may be read, listings, counts and walks in slices.

use std::ops::ControlFlow;

use bytes::Bytes;
use types::{KeyRange, Revision};

use crate::{
    MvccError, Pin, Store, Totals,
    error::Corruption,
    index::{Changes, Record},
    rows::fetch_stored,
    store::everything,
};

/// A key-value pair at some revision, as the index knows it: enough to filter, sort and answer `keys_only`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowRef {
    /// The key; empty when the reader asked for [`Keys::Skip`].
    pub key: Bytes,
    /// Where its row is; `rev.main` is the pair's `mod_revision`.
    pub rev: Revision,
    /// Revision of the put that (re)created the key.
    pub create_revision: i64,
    /// Puts since then, that one included.
    pub version: i64,
    /// Bytes of the encoded `mvccpb.KeyValue`.
    pub row_len: u32,
}

impl RowRef {
    pub(crate) fn new(key: Bytes, record: &Record) -> RowRef {
        RowRef {
            key,
            rev: record.rev,
            create_revision: record.create_revision,
            version: record.version,
            row_len: record.row_len,
        }
    }
}

/// Whether a listing carries keys. Rows hold them anyway; who sends rows does not need them twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// [`RowRef::key`] is the key.
    Include,
    /// [`RowRef::key`] is empty, and costs nothing.
    Skip,
}

/// What a range holds.
#[derive(Clone, Debug)]
pub struct Listing {
    /// In key order; at most the limit.
    pub rows: Vec<RowRef>,
    /// Keys in the range, whatever the limit.
    pub count: u64,
    /// The revision that was read.
    pub revision: i64,
}

/// A range read in slices, at one revision, whatever is written or compacted meanwhile.
///
/// It holds a [`Pin`] until dropped.
#[derive(Debug)]
pub struct Walk {
    /// What is left of the range; `None` at the end.
    rest: Option<KeyRange>,
    pin: Pin,
}

impl Walk {
    /// The revision that it reads at.
    pub fn revision(&self) -> i64 {
        self.pin.revision()
    }

    /// Whether all was seen.
    pub fn is_done(&self) -> bool {
        self.rest.is_none()
    }
}

impl Store {
    /// The revision that a read at `at` reads (contract/semantics.md 2.3): 0 and below mean the newest.
    ///
    /// # Errors
    /// `FutureRevision` above the newest, `Compacted` below the compacted one.
    pub fn check_read(&self, at: i64) -> Result<i64, MvccError> {
        let at = if at <= 0 { self.revision } else { at };
        if at > self.revision {
            return Err(MvccError::FutureRevision { current: self.revision });
        }
        if at < self.compacted {
            return Err(MvccError::Compacted { compacted: self.compacted });
        }
        Ok(at)
    }

    /// The check for a range inside a transaction, to be made before it changes anything
    /// (contract/semantics.md 2.4): only 0 is "newest", and a negative revision counts as one before all others.
    ///
    /// # Errors
    /// As [`check_read`](Store::check_read).
    pub fn check_txn_read(&self, at: i64) -> Result<(), MvccError> {
        if at == 0 {
            Ok(())
        } else if at > self.revision {
            Err(MvccError::FutureRevision { current: self.revision })
        } else if at < self.compacted {
            Err(MvccError::Compacted { compacted: self.compacted })
        } else {
            Ok(())
        }
    }

    /// The keys of a range at a revision (`at <= 0`: the newest), the first `limit` of them (0: all).
    ///
    /// Takes one step per row: for ranges of unknown size without a limit use [`Store::walk`].
    ///
    /// # Errors
    /// As [`check_read`](Store::check_read).
    pub fn range(&self, range: &KeyRange, at: i64, limit: usize, keys: Keys) -> Result<Listing, MvccError> {
        let revision = self.check_read(at)?;
        let rows = if range.is_single() {
            self.row_at(&range.key, revision, keys).into_iter().collect()
        } else {
            self.slice(range, revision, if limit == 0 { usize::MAX } else { limit }, usize::MAX, keys).0
        };
        let cut = limit > 0 && rows.len() == limit && !range.is_single();
        let count = if cut { self.index.totals(range, revision).count } else { rows.len() as u64 };
        Ok(Listing { rows, count, revision })
    }

    /// The pair of `key` now.
    pub fn current(&self, key: &[u8]) -> Option<RowRef> {
        self.row_at(key, self.revision, Keys::Include)
    }

    /// The pair of `key` just before revision `before_main`: what an event of that revision calls `prev_kv`
    /// (contract/semantics.md 5.10). `None` when there was none or the revision before is compacted.
    pub fn prev(&self, key: &[u8], before_main: i64) -> Option<RowRef> {
        let at = before_main - 1;
        if at < self.compacted { None } else { self.row_at(key, at, Keys::Include) }
    }

    /// Counts and weighs the keys of a range at a revision (`at <= 0`: the newest).
    ///
    /// O(log n) at the newest revision; at an older one the parts of the index that changed since are walked.
    ///
    /// # Errors
    /// As [`check_read`](Store::check_read).
    pub fn totals(&self, range: &KeyRange, at: i64) -> Result<Totals, MvccError> {
        let at = self.check_read(at)?;
        Ok(self.index.totals(range, at))
    }

    /// The keys of a range at a revision; see [`totals`](Store::totals).
    ///
    /// # Errors
    /// As [`check_read`](Store::check_read).
    pub fn count(&self, range: &KeyRange, at: i64) -> Result<u64, MvccError> {
        Ok(self.totals(range, at)?.count)
    }

    /// Begins to read a range in slices, at a revision (`at <= 0`: the newest) that stays pinned.
    ///
    /// # Errors
    /// As [`check_read`](Store::check_read), and `TooManyPins`.
    pub fn walk(&mut self, range: KeyRange, at: i64) -> Result<Walk, MvccError> {
        let pin = self.pin(at)?;
        Ok(Walk { rest: (!range.is_empty()).then_some(range), pin })
    }

    /// The next rows of a walk: at most `max_rows`. Looks at no more than `max_looks` index entries, so that a slice
    /// can be short, even empty, before the end; only [`Walk::is_done`] tells the end.
    ///
    /// # Errors
    /// `Compacted` when the walk was begun on another store (the backend was replaced under it) and this one has
    /// compacted its revision, `FutureRevision` when it has not reached it.
    pub fn walk_on(
        &self,
        walk: &mut Walk,
        max_rows: usize,
        max_looks: usize,
        keys: Keys,
    ) -> Result<Vec<RowRef>, MvccError> {
        if !self.pins.holds(&walk.pin) {
            self.check_read(walk.revision())?;
        }
        let Some(rest) = walk.rest.take() else { return Ok(Vec::new()) };
        let (rows, next) = self.slice(&rest, walk.revision(), max_rows.max(1), max_looks.max(1), keys);
        // A single key is done after one look.
        walk.rest = next.filter(|_| !rest.is_single()).map(|key| KeyRange::new(key, rest.end));
        Ok(rows)
    }

    /// Counts and weighs what a walk has yet to yield.
    pub fn rest_totals(&self, walk: &Walk) -> Totals {
        walk.rest.as_ref().map(|rest| self.index.totals(rest, walk.revision())).unwrap_or_default()
    }

    /// The encoded `mvccpb.KeyValue` of a row. Often a slice of a page of the backend: who keeps it for long should
    /// copy it.
    ///
    /// # Errors
    /// `Compacted` when the row may have been deleted since it was listed; `Corrupt` when it must be there and is
    /// not, or has another length; `Backend`. A row that was listed without its key must be there.
    pub fn fetch(&self, row: &RowRef) -> Result<Bytes, MvccError> {
        if let Some(bytes) = self.outbox.row(row.rev) {
            return Ok(bytes.clone());
        }
        match fetch_stored(&self.snapshot, row.rev, row.row_len) {
            Err(MvccError::Corrupt(Corruption::Missing(_)))
                if !row.key.is_empty()
                    && row.rev.main <= self.compacted
                    && !self.index.knows(&row.key, row.rev) =>
            {
                Err(MvccError::Compacted { compacted: self.compacted })
            }
            result => result,
        }
    }

    /// Looks for a key that exists at `at` and that `accept` takes, from `from` on, among `max_looks` entries.
    pub(crate) fn first_key_at(
        &self,
        at: i64,
        from: Vec<u8>,
        max_looks: usize,
        accept: impl Fn(&Changes<'_>) -> bool,
    ) -> Search {
        let mut found = false;
        let rest = KeyRange::new(from, everything().end);
        let next = self.index.visit(&rest, at, max_looks, &mut |key, _| {
            found = accept(&key.changes());
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match next {
            _ if found => Search::Found,
            Some(next) => Search::GoOn(next),
            None => Search::Nothing,
        }
    }

    fn row_at(&self, key: &[u8], at: i64, keys: Keys) -> Option<RowRef> {
        let record = self.index.at(key, at).filter(|record| !record.tombstone)?;
        let key = match keys {
            // A copy: the caller's key may be a slice of a large network buffer.
            Keys::Include => Bytes::copy_from_slice(key),
            Keys::Skip => Bytes::new(),
        };
        Some(RowRef::new(key, &record))
    }

    /// The first rows of a range, and where to go on when a bound cut it. Keys share one buffer.
    pub(crate) fn slice(
        &self,
        range: &KeyRange,
        at: i64,
        max_rows: usize,
        max_looks: usize,
        keys: Keys,
    ) -> (Vec<RowRef>, Option<Vec<u8>>) {
        let mut records = Vec::new();
        let mut key_ends = Vec::new();
        let mut key_bytes = Vec::new();
        let mut scratch = Vec::new();
        let mut after_last = None;
        let next = self.index.visit(range, at, max_looks, &mut |key, record| {
            if records.len() == max_rows {
                key.read(&mut scratch);
                after_last = Some(std::mem::take(&mut scratch));
                return ControlFlow::Break(());
            }
            records.push(*record);
            if keys == Keys::Include {
                key.read(&mut scratch);
                key_bytes.extend_from_slice(&scratch);
                key_ends.push(key_bytes.len());
            }
            ControlFlow::Continue(())
        });
        let key_bytes = Bytes::from(key_bytes);
        let mut start = 0;
        let mut key_ends = key_ends.into_iter();
        let rows = records.iter().map(|record| {
            let end = key_ends.next().unwrap_or(start);
            let key = key_bytes.slice(start..end);
            start = end;
            RowRef::new(key, record)
        });
        (rows.collect(), next.or(after_last))
    }
}

/// How [`Store::first_key_at`] ended.
pub(crate) enum Search {
    /// There is one.
    Found,
    /// None so far; go on with this key.
    GoOn(Vec<u8>),
    /// There is none.
    Nothing,
}
