//! The replicated log as one node sees it: the durable part in the store, the rest in memory, and how far it
//! is committed and applied.

mod mem_log;
mod size;
mod store;
#[cfg(test)]
mod tests;
mod unstable;

use std::fmt;

pub use mem_log::MemLog;
pub(crate) use size::{encoded_len_sum, payload_len_sum};
pub use store::{LogStore, StoreError};
use types::raft::{Entry, EntryKind, Snapshot};
use unstable::Unstable;

use crate::{
    Divergence, EntryId,
    journal::{Journal, note},
};

/// The log of one node.
///
/// Invariants: `applied <= applying <= committed <= last.index`.
#[derive(Debug)]
pub(crate) struct RaftLog<S> {
    pub(crate) store: S,
    unstable: Unstable,
    /// The last entry, or the snapshot that takes its place. A copy, so that asking costs nothing.
    last: EntryId,
    /// Highest index known to be durable on a quorum, inclusive.
    committed: u64,
    /// Highest index handed out to be applied, inclusive.
    applying: u64,
    /// Highest index reported as applied, inclusive.
    applied: u64,
    /// Bound on `applying_bytes`; a single larger entry still goes.
    applying_bytes_max: u64,
    /// Encoded bytes handed out and not reported as applied.
    applying_bytes: u64,
    /// Whether handing out waits for reports: the bound is reached, or the next entry would cross it.
    applying_paused: bool,
}

impl<S: LogStore> RaftLog<S> {
    /// The log of a store; everything before its first entry counts as committed and applied.
    pub(crate) fn new(store: S, applying_bytes_max: u64) -> Result<RaftLog<S>, StoreError> {
        let compacted = store.first_index() - 1;
        let index = store.last_index();
        let last = EntryId { term: store.term(index)?, index };
        Ok(RaftLog {
            store,
            unstable: Unstable::new(index + 1),
            last,
            committed: compacted,
            applying: compacted,
            applied: compacted,
            applying_bytes_max,
            applying_bytes: 0,
            applying_paused: false,
        })
    }

    /// The last entry, durable or not.
    pub(crate) fn last(&self) -> EntryId {
        self.last
    }

    pub(crate) fn committed(&self) -> u64 {
        self.committed
    }

    pub(crate) fn applied(&self) -> u64 {
        self.applied
    }

    /// First index whose entry can still be read.
    pub(crate) fn first_index(&self) -> u64 {
        match self.unstable.snapshot() {
            Some(snapshot) => snapshot.meta.index + 1,
            None => self.store.first_index(),
        }
    }

    /// The term of an entry, also of the one right before `first_index`.
    pub(crate) fn term(&self, index: u64) -> Result<u64, StoreError> {
        if index == self.last.index {
            return Ok(self.last.term);
        }
        if let Some(term) = self.unstable.term(index) {
            return Ok(term);
        }
        if index > self.last.index {
            return Err(StoreError::Unavailable);
        }
        if index + 1 < self.first_index() {
            return Err(StoreError::Compacted);
        }
        self.store.term(index)
    }

    /// The term of an entry, or 0 when it is not known.
    pub(crate) fn term_or_zero(&self, index: u64) -> u64 {
        self.term(index).unwrap_or(0)
    }

    /// Whether the log has exactly that entry.
    pub(crate) fn matches(&self, id: EntryId) -> bool {
        self.term(id.index) == Ok(id.term)
    }

    /// Whether a log that ends with `their` has at least as much as this one.
    pub(crate) fn is_up_to_date(&self, their: EntryId) -> bool {
        (their.term, their.index) >= (self.last.term, self.last.index)
    }

    /// The highest entry up to `index` whose term is at most `term`: beyond it a log with such terms cannot
    /// agree with this one. Term 0 when it is not known.
    pub(crate) fn find_conflict_by_term(&self, index: u64, term: u64) -> EntryId {
        let mut index = index;
        while index > 0 {
            match self.term(index) {
                Ok(here) if here > term => index -= 1,
                Ok(here) => return EntryId { term: here, index },
                Err(_) => return EntryId { term: 0, index },
            }
        }
        EntryId::default()
    }

    /// Appends a leader's entries after `prev` and commits up to `committed` as far as they reach. Gives the
    /// last index that now agrees with the leader, or `None` when the log does not have `prev`.
    ///
    /// The entries follow `prev` without gap; `prev.index` is not below the commit index.
    pub(crate) fn try_append(
        &mut self,
        prev: EntryId,
        mut entries: Vec<Entry>,
        committed: u64,
        journal: &mut Journal,
    ) -> Result<Option<u64>, Divergence> {
        if !self.matches(prev) {
            return Ok(None);
        }
        let last_new = prev.index + entries.len() as u64;
        if let Some(known) = self.count_known(&entries, journal) {
            let index = prev.index + known as u64 + 1;
            if index <= self.committed {
                return Err(Divergence::CommittedEntry { index, committed: self.committed });
            }
            entries.drain(..known);
            self.append(entries, journal);
        }
        self.commit_to(committed.min(last_new))?;
        Ok(Some(last_new))
    }

    /// How many entries from the start are in the log already; `None` when all are.
    fn count_known(&self, entries: &[Entry], journal: &mut Journal) -> Option<usize> {
        let known = entries.iter().position(|entry| !self.matches(EntryId::of(entry)))?;
        let EntryId { term, index } = EntryId::of(&entries[known]);
        if index <= self.last.index {
            note!(
                journal,
                Info,
                "found conflict at index {index} [existing term: {}, conflicting term: {term}]",
                self.term_or_zero(index)
            );
        }
        Some(known)
    }

    /// Appends entries, which replace what the log has from their first index on; never committed ones.
    pub(crate) fn append(&mut self, entries: Vec<Entry>, journal: &mut Journal) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        assert!(first.index > self.committed, "append would replace the committed entry {}", first.index);
        self.last = EntryId::of(last);
        self.unstable.append(entries, journal);
    }

    /// Commits up to `index`, which the log has; never falls back.
    pub(crate) fn commit_to(&mut self, index: u64) -> Result<(), Divergence> {
        if index > self.committed {
            if index > self.last.index {
                return Err(Divergence::CommitBeyondLog { commit: index, last: self.last.index });
            }
            self.committed = index;
        }
        Ok(())
    }

    /// Commits up to that entry if the log has it and it is news.
    pub(crate) fn maybe_commit(&mut self, id: EntryId) -> bool {
        if id.term == 0 || id.index <= self.committed || !self.matches(id) {
            return false;
        }
        self.committed = id.index;
        true
    }

    /// A snapshot takes the place of the whole log. Its index is above the commit index.
    pub(crate) fn restore(&mut self, snapshot: Snapshot, journal: &mut Journal) {
        let (term, index) = (snapshot.meta.term, snapshot.meta.index);
        note!(journal, Info, "log [{self}] starts to restore snapshot [index: {index}, term: {term}]");
        self.committed = index;
        self.last = EntryId { term, index };
        self.unstable.restore(snapshot);
    }

    /// Entries from `low` on to the end of the log, at most `bytes_max` but at least one.
    pub(crate) fn entries_from(&self, low: u64, bytes_max: u64) -> Result<Vec<Entry>, StoreError> {
        if low > self.last.index {
            return Ok(Vec::new());
        }
        self.slice(low, self.last.index + 1, bytes_max)
    }

    /// Entries of `[low, high)` from the start on, at most `bytes_max` but at least one.
    fn slice(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StoreError> {
        if low < self.first_index() {
            return Err(StoreError::Compacted);
        }
        let offset = self.unstable.offset();
        if low >= offset {
            let entries = self.unstable.slice(low, high);
            return Ok(entries[..size::count_within(entries.iter(), bytes_max)].to_vec());
        }
        let stable_end = high.min(offset);
        let mut entries = self.store.entries(low, stable_end, bytes_max)?;
        if high <= offset || (entries.len() as u64) < stable_end - low {
            return Ok(entries);
        }
        let bytes = encoded_len_sum(&entries);
        if bytes >= bytes_max {
            return Ok(entries);
        }
        let rest = self.unstable.slice(offset, high);
        let count = size::count_within(rest.iter(), bytes_max - bytes);
        if count == 1 && size::encoded_len(&rest[0]) > bytes_max - bytes {
            return Ok(entries);
        }
        entries.extend_from_slice(&rest[..count]);
        Ok(entries)
    }

    /// Whether a conf change is committed and not applied. Reads in bounded steps.
    pub(crate) fn has_unapplied_conf_change(&self) -> Result<bool, StoreError> {
        let mut low = self.applied + 1;
        while low <= self.committed {
            let entries = self.slice(low, self.committed + 1, self.applying_bytes_max)?;
            if entries.is_empty() {
                return Err(StoreError::Unavailable);
            }
            if entries.iter().any(|entry| entry.kind != EntryKind::Normal) {
                return Ok(true);
            }
            low += entries.len() as u64;
        }
        Ok(false)
    }

    /// A snapshot for a follower: the one that is not durable yet, or the store's.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        match self.unstable.snapshot() {
            Some(snapshot) => Ok(snapshot.clone()),
            None => self.store.snapshot(),
        }
    }

    /// Entries to be written that were not handed out yet.
    pub(crate) fn next_unstable(&self) -> &[Entry] {
        self.unstable.next_entries()
    }

    /// Whether any entry is not reported as durable.
    pub(crate) fn has_unstable(&self) -> bool {
        self.unstable.len() > 0
    }

    /// The snapshot to be written, unless it was handed out.
    pub(crate) fn next_snapshot(&self) -> Option<&Snapshot> {
        self.unstable.next_snapshot()
    }

    /// Whether a snapshot is not reported as durable.
    pub(crate) fn has_pending_snapshot(&self) -> bool {
        self.unstable.snapshot().is_some()
    }

    /// Everything unstable counts as handed out.
    pub(crate) fn accept_unstable(&mut self) {
        self.unstable.accept();
    }

    pub(crate) fn stable_to(&mut self, id: EntryId, journal: &mut Journal) {
        self.unstable.stable_to(id, journal);
    }

    pub(crate) fn stable_snapshot_to(&mut self, index: u64) {
        self.unstable.stable_snapshot_to(index);
    }

    /// Highest index that may be applied: committed, and durable here unless `allow_unstable`.
    fn appliable(&self, allow_unstable: bool) -> u64 {
        if allow_unstable { self.committed } else { self.committed.min(self.unstable.offset() - 1) }
    }

    /// Whether entries can be handed out to be applied.
    pub(crate) fn has_next_committed(&self, allow_unstable: bool) -> bool {
        !self.applying_paused
            && !self.has_pending_snapshot()
            && self.applying < self.appliable(allow_unstable)
    }

    /// Hands out entries to be applied, as far as the bound allows.
    pub(crate) fn take_next_committed(&mut self, allow_unstable: bool) -> Result<Vec<Entry>, StoreError> {
        if !self.has_next_committed(allow_unstable) {
            return Ok(Vec::new());
        }
        let end = self.appliable(allow_unstable);
        let room = self.applying_bytes_max.saturating_sub(self.applying_bytes);
        let entries = self.slice(self.applying + 1, end + 1, room)?;
        let Some(last) = entries.last() else { return Err(StoreError::Unavailable) };
        self.applying = last.index;
        self.applying_bytes = self.applying_bytes.saturating_add(encoded_len_sum(&entries));
        self.applying_paused = self.applying_bytes >= self.applying_bytes_max || self.applying < end;
        Ok(entries)
    }

    /// Reports application up to `index`, at most what is committed; `bytes` of what was handed out are done.
    pub(crate) fn applied_to(&mut self, index: u64, bytes: u64) {
        assert!(
            self.applied <= index && index <= self.committed,
            "applied({index}) is out of range [{self}]"
        );
        self.applied = index;
        self.applying = self.applying.max(index);
        self.applying_bytes = self.applying_bytes.saturating_sub(bytes);
        self.applying_paused = self.applying_bytes >= self.applying_bytes_max;
    }
}

impl<S> fmt::Display for RaftLog<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "committed={}, applied={}, applying={}, unstable.offset={}, unstable.offsetInProgress={}, \
             len(unstable.Entries)={}",
            self.committed,
            self.applied,
            self.applying,
            self.unstable.offset(),
            self.unstable.in_progress_end(),
            self.unstable.len()
        )
    }
}
