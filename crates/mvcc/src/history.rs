//! History: the rows in revision order, read away from the store.

use std::collections::VecDeque;

use bolt::{Cursor, Snapshot};
use bytes::Bytes;
use types::{Revision, bucket};

use crate::{MvccError, Store, error::Corruption, limits::HISTORY_PENDING_MAX, outbox::PendingRow};

/// One change, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// When.
    pub revision: Revision,
    /// Whether it deleted the key; `row` then holds the key alone.
    pub tombstone: bool,
    /// The encoded `mvccpb.KeyValue`. Often a slice of a page of the backend: who keeps it for long should copy it.
    pub row: Bytes,
}

/// A cursor over the changes of some revisions, in order. Holds a snapshot of the backend and nothing of the store:
/// it may be kept and read on any thread, and later compactions do not touch it.
pub struct History {
    snapshot: Snapshot,
    /// Over `snapshot`, just before `next`; `None` before the first slice and after an error.
    cursor: Option<Cursor>,
    /// Rows that the snapshot may lack, ascending; read after those that it has.
    pending: VecDeque<PendingRow>,
    /// The next row is at this revision or later.
    next: Revision,
    /// Last main revision, inclusive.
    to: i64,
    /// The snapshot has no more rows at or below `to`.
    snapshot_done: bool,
}

impl Store {
    /// The changes with `from <= main <= to`, in order. `to` above the newest revision means the newest.
    ///
    /// Rows that only memory holds are taken along up to a bound ([`HISTORY_PENDING_MAX`], but always whole
    /// revisions), so [`History::to`] can be less than asked for; go on from there with another one.
    ///
    /// Of revision `from == compacted` a change that a later one of the same revision replaced may be missing.
    ///
    /// # Errors
    /// `Compacted` when `from` is below the compacted revision.
    pub fn history(&self, from: i64, to: i64) -> Result<History, MvccError> {
        if from < self.compacted {
            return Err(MvccError::Compacted { compacted: self.compacted });
        }
        let to = to.min(self.revision);
        let mut pending: VecDeque<_> =
            self.outbox.rows(from, to).take(HISTORY_PENDING_MAX + 1).cloned().collect();
        let mut last = to;
        if pending.len() > HISTORY_PENDING_MAX {
            last = whole_revisions(&mut pending, self.outbox.rows(from, to));
        }
        Ok(self.history_with(pending, from, last))
    }

    /// All rows with main `<= to`, also those below the compacted revision that are still there.
    pub(crate) fn history_of_everything(&self, to: i64) -> History {
        self.history_with(self.outbox.rows(0, to).cloned().collect(), 0, to)
    }

    fn history_with(&self, pending: VecDeque<PendingRow>, from: i64, to: i64) -> History {
        History {
            snapshot: self.snapshot.clone(),
            cursor: None,
            pending,
            next: Revision { main: from.max(0), sub: 0 },
            to,
            snapshot_done: false,
        }
    }
}

/// Cuts a list of pending rows, one longer than allowed, to whole revisions, and returns the last of them. A single
/// revision beyond the bound stays whole.
fn whole_revisions<'a>(pending: &mut VecDeque<PendingRow>, all: impl Iterator<Item = &'a PendingRow>) -> i64 {
    let first = pending.front().map_or(0, |row| row.revision.main);
    let cut = pending.back().map_or(0, |row| row.revision.main);
    if first == cut {
        *pending = all.take_while(|row| row.revision.main == first).cloned().collect();
        return first;
    }
    while pending.back().is_some_and(|row| row.revision.main == cut) {
        pending.pop_back();
    }
    cut - 1
}

impl History {
    /// The last main revision that it yields, inclusive.
    pub fn to(&self) -> i64 {
        self.to
    }

    /// The next rows: at most `max_rows`, and no more after `max_bytes` of row bytes are reached. Empty at the end,
    /// and only there (`max_rows` 0 counts as 1).
    ///
    /// # Errors
    /// `Corrupt` when a storage key is no revision, `Backend`.
    pub fn next_rows(&mut self, max_rows: usize, max_bytes: usize) -> Result<Vec<HistoryRow>, MvccError> {
        let mut slice = Slice { rows: Vec::new(), bytes: 0, max_rows: max_rows.max(1), max_bytes };
        if !self.snapshot_done {
            self.read_snapshot(&mut slice)?;
        }
        if self.snapshot_done {
            self.read_pending(&mut slice);
        }
        Ok(slice.rows)
    }

    fn read_snapshot(&mut self, slice: &mut Slice) -> Result<(), MvccError> {
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => {
                let mut cursor = self.snapshot.cursor(bucket::KEY)?;
                cursor.seek(&self.next.encode())?;
                cursor
            }
        };
        while !slice.is_full() {
            let Some((key, row)) = cursor.next()? else {
                self.snapshot_done = true;
                break;
            };
            let Some((revision, tombstone)) = Revision::decode(&key) else {
                return Err(Corruption::RowKey { after: self.next }.into());
            };
            if revision.main > self.to {
                self.snapshot_done = true;
                break;
            }
            self.next = after(revision);
            slice.push(HistoryRow { revision, tombstone, row });
        }
        self.cursor = Some(cursor);
        Ok(())
    }

    /// What the snapshot already had is skipped: it may be newer than the list.
    fn read_pending(&mut self, slice: &mut Slice) {
        while !slice.is_full()
            && let Some(PendingRow { revision, tombstone, row, .. }) = self.pending.pop_front()
        {
            if revision >= self.next {
                self.next = after(revision);
                slice.push(HistoryRow { revision, tombstone, row });
            }
        }
    }
}

fn after(revision: Revision) -> Revision {
    Revision { main: revision.main, sub: revision.sub.saturating_add(1) }
}

/// A slice being filled.
struct Slice {
    rows: Vec<HistoryRow>,
    bytes: usize,
    max_rows: usize,
    max_bytes: usize,
}

impl Slice {
    fn is_full(&self) -> bool {
        self.rows.len() >= self.max_rows || (self.bytes >= self.max_bytes && !self.rows.is_empty())
    }

    fn push(&mut self, row: HistoryRow) {
        self.bytes += row.row.len();
        self.rows.push(row);
    }
}
