//! Rows to be read on another thread.

use bolt::Snapshot;
use bytes::Bytes;
use types::{Revision, bucket};

use crate::{MvccError, RowRef, Store, error::Corruption};

/// Rows that can be read away from the store, on any thread.
#[derive(Clone)]
pub struct Rows {
    snapshot: Snapshot,
    sources: Vec<Source>,
}

#[derive(Clone)]
enum Source {
    Pending(Bytes),
    Stored(Revision, u32),
}

impl Rows {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Bytes of row `i`, known without reading it.
    ///
    /// # Panics
    /// When `i` is not below [`len`](Rows::len).
    pub fn row_len(&self, i: usize) -> u32 {
        match &self.sources[i] {
            Source::Pending(bytes) => bytes.len() as u32,
            Source::Stored(_, len) => *len,
        }
    }

    /// Bytes of all rows together, known without reading them.
    pub fn total_len(&self) -> u64 {
        (0..self.len()).map(|i| u64::from(self.row_len(i))).sum()
    }

    /// Row `i`: exactly [`row_len`](Rows::row_len) bytes.
    ///
    /// # Errors
    /// `Corrupt` when the row is missing or has another length, `Backend`.
    ///
    /// # Panics
    /// When `i` is not below [`len`](Rows::len).
    pub fn fetch(&self, i: usize) -> Result<Bytes, MvccError> {
        match &self.sources[i] {
            Source::Pending(bytes) => Ok(bytes.clone()),
            Source::Stored(rev, len) => fetch_stored(&self.snapshot, *rev, *len),
        }
    }
}

/// Reads a row from the backend, and checks that it has the length that the index knows.
pub(crate) fn fetch_stored(snapshot: &Snapshot, rev: Revision, row_len: u32) -> Result<Bytes, MvccError> {
    let row = snapshot.get(bucket::KEY, &rev.encode())?.ok_or(Corruption::Missing(rev))?;
    if row.len() != row_len as usize {
        return Err(Corruption::Length { revision: rev, expected: row_len, found: row.len() }.into());
    }
    Ok(row)
}

impl Store {
    /// Makes rows readable on another thread, for as long as wanted: later compactions do not touch them.
    ///
    /// The rows must come from this store, at revisions that are still readable or pinned.
    pub fn detach(&self, rows: &[RowRef]) -> Rows {
        let sources = rows
            .iter()
            .map(|row| match self.outbox.row(row.rev) {
                Some(bytes) => Source::Pending(bytes.clone()),
                None => Source::Stored(row.rev, row.row_len),
            })
            .collect();
        Rows { snapshot: self.snapshot.clone(), sources }
    }
}
