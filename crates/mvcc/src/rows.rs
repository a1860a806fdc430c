//! Rows to be read on another thread.

use bolt::{Cursor, Snapshot};
use bytes::Bytes;
use types::{Revision, bucket};

use crate::{MvccError, RowRef, Store, error::Corruption};

/// Rows that can be read away from the store, on any thread.
pub struct Rows {
    snapshot: Snapshot,
    sources: Vec<Source>,
    /// Behind the row that [`Rows::fetch_next_to`] read last, and its revision.
    cursor: Option<(Cursor, Revision)>,
}

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

/// Rows that a reader passes over rather than seek anew: about what a seek costs.
const SKIPPED_ROWS_MAX: usize = 8;

impl Rows {
    /// As [`fetch`](Rows::fetch), but cheap when row `i` stands soon after the one read before, as the rows of keys
    /// do that were written one after the other.
    ///
    /// # Errors
    /// As [`fetch`](Rows::fetch).
    ///
    /// # Panics
    /// As [`fetch`](Rows::fetch).
    pub fn fetch_next_to(&mut self, i: usize) -> Result<Bytes, MvccError> {
        let (rev, row_len) = match &self.sources[i] {
            Source::Pending(bytes) => return Ok(bytes.clone()),
            Source::Stored(rev, row_len) => (*rev, *row_len),
        };
        let row = match self.row_ahead(rev)? {
            Some(row) => row,
            None => self.row_sought(rev)?.ok_or(Corruption::Missing(rev))?,
        };
        check_len(rev, row_len, row)
    }

    /// The row at `rev`, if the cursor meets it soon.
    fn row_ahead(&mut self, rev: Revision) -> Result<Option<Bytes>, MvccError> {
        let Some((cursor, last)) = self.cursor.as_mut().filter(|(_, last)| *last < rev) else {
            return Ok(None);
        };
        let wanted = rev.encode();
        for _ in 0..SKIPPED_ROWS_MAX {
            match cursor.next()? {
                Some((key, row)) if key == wanted[..] => {
                    *last = rev;
                    return Ok(Some(row));
                }
                Some((key, _)) if key < wanted[..] => {}
                Some(_) | None => break,
            }
        }
        Ok(None)
    }

    /// The row at `rev`, found from the root; the cursor stands behind it then.
    fn row_sought(&mut self, rev: Revision) -> Result<Option<Bytes>, MvccError> {
        let mut cursor = match self.cursor.take() {
            Some((cursor, _)) => cursor,
            None => self.snapshot.cursor(bucket::KEY)?,
        };
        let wanted = rev.encode();
        cursor.seek(&wanted)?;
        let found = cursor.next()?.filter(|(key, _)| key == &wanted[..]);
        self.cursor = Some((cursor, rev));
        Ok(found.map(|(_, row)| row))
    }
}

fn check_len(revision: Revision, expected: u32, row: Bytes) -> Result<Bytes, MvccError> {
    if row.len() != expected as usize {
        return Err(Corruption::Length { revision, expected, found: row.len() }.into());
    }
    Ok(row)
}

/// Reads a row from the backend, and checks that it has the length that the index knows.
pub(crate) fn fetch_stored(snapshot: &Snapshot, rev: Revision, row_len: u32) -> Result<Bytes, MvccError> {
    let row = snapshot.get(bucket::KEY, &rev.encode())?.ok_or(Corruption::Missing(rev))?;
    check_len(rev, row_len, row)
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
        Rows { snapshot: self.snapshot.clone(), sources, cursor: None }
    }
}
