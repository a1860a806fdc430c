//! The log store that members use: all entries since the last compaction, in memory.
//!
//! Durability is the WAL's business: the driver appends here what the WAL has synced.

use std::collections::VecDeque;

use bytes::Bytes;
use types::raft::{ConfState, Entry, HardState, Snapshot, SnapshotMeta};

use super::{LogStore, StoreError, size};
use crate::EntryId;

/// Entries kept in memory, the hard state, and the last snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemLog {
    hard_state: HardState,
    /// The last snapshot made or applied; index 0 when there was none.
    snapshot: Snapshot,
    /// The entry before the first that is kept. At most `snapshot`'s unless the driver compacts further.
    base: EntryId,
    /// Invariant: `entries[i].index == base.index + 1 + i`.
    entries: VecDeque<Entry>,
}

impl MemLog {
    /// An empty log of a member that knows nobody.
    pub fn new() -> MemLog {
        MemLog::default()
    }

    /// The log as a restart finds it: entries that follow the snapshot's index, in order.
    ///
    /// # Errors
    /// `Unavailable` when the entries leave a gap after the snapshot.
    pub fn restore(
        hard_state: HardState,
        snapshot: Snapshot,
        entries: Vec<Entry>,
    ) -> Result<MemLog, StoreError> {
        let base = EntryId { term: snapshot.meta.term, index: snapshot.meta.index };
        let mut log = MemLog { hard_state, snapshot, base, entries: VecDeque::new() };
        log.append(entries)?;
        Ok(log)
    }

    /// Remembers the hard state; matters only to a node started on this log later.
    pub fn set_hard_state(&mut self, state: HardState) {
        self.hard_state = state;
    }

    /// The hard state last set.
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// Appends entries in order; those kept at their indexes and after are replaced, those compacted are
    /// skipped.
    ///
    /// # Errors
    /// `Unavailable` when they leave a gap after the last entry, or among each other. Nothing is appended.
    pub fn append(&mut self, mut entries: Vec<Entry>) -> Result<(), StoreError> {
        let Some(first) = entries.first().map(|entry| entry.index) else { return Ok(()) };
        let gapless = (first..).zip(&entries).all(|(index, entry)| entry.index == index);
        if !gapless || first > self.last_index() + 1 {
            return Err(StoreError::Unavailable);
        }
        let compacted = (self.first_index().saturating_sub(first) as usize).min(entries.len());
        if compacted > 0 {
            entries.drain(..compacted);
        }
        let Some(first) = entries.first().map(|entry| entry.index) else { return Ok(()) };
        self.entries.truncate((first - self.first_index()) as usize);
        self.entries.extend(entries);
        Ok(())
    }

    /// Forgets the entries up to `index`, inclusive; not beyond what is applied.
    ///
    /// # Errors
    /// `Compacted` when they are forgotten already, `Unavailable` when `index` is beyond the log.
    pub fn compact(&mut self, index: u64) -> Result<(), StoreError> {
        if index <= self.base.index {
            return Err(StoreError::Compacted);
        }
        let term = self.term(index)?;
        self.entries.drain(..(index - self.base.index) as usize);
        self.base = EntryId { term, index };
        // A burst should not hold its memory for ever.
        if self.entries.capacity() > 1024 && self.entries.capacity() / 4 > self.entries.len() {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        Ok(())
    }

    /// Records a snapshot of the state at `index`, which [`LogStore::snapshot`] then gives. Entries stay.
    ///
    /// `conf_state` is the configuration there; `None` when it is that of the last snapshot.
    ///
    /// # Errors
    /// `SnapshotOutOfDate` when there is a newer one, `Unavailable` when `index` is beyond the log,
    /// `Compacted` when its term is forgotten.
    pub fn create_snapshot(
        &mut self,
        index: u64,
        conf_state: Option<ConfState>,
        data: Bytes,
    ) -> Result<&Snapshot, StoreError> {
        if index <= self.snapshot.meta.index {
            return Err(StoreError::SnapshotOutOfDate);
        }
        let term = self.term(index)?;
        let conf_state = conf_state.unwrap_or_else(|| self.snapshot.meta.conf_state.clone());
        self.snapshot = Snapshot { meta: SnapshotMeta { index, term, conf_state }, data };
        Ok(&self.snapshot)
    }

    /// Replaces everything by a snapshot from the leader.
    ///
    /// # Errors
    /// `SnapshotOutOfDate` when it is not newer than the last one.
    pub fn apply_snapshot(&mut self, snapshot: Snapshot) -> Result<(), StoreError> {
        let kept = self.snapshot.meta.index;
        if kept != 0 && kept >= snapshot.meta.index {
            return Err(StoreError::SnapshotOutOfDate);
        }
        self.base = EntryId { term: snapshot.meta.term, index: snapshot.meta.index };
        self.entries.clear();
        self.snapshot = snapshot;
        Ok(())
    }

    /// The snapshot last made or applied; index 0 when there was none.
    pub fn last_snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The entries that are kept, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.entries.iter()
    }
}

impl LogStore for MemLog {
    fn initial_state(&self) -> Result<(HardState, ConfState), StoreError> {
        Ok((self.hard_state, self.snapshot.meta.conf_state.clone()))
    }

    fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StoreError> {
        if low <= self.base.index {
            return Err(StoreError::Compacted);
        }
        if high > self.last_index() + 1 || low > high {
            return Err(StoreError::Unavailable);
        }
        let first = self.first_index();
        let range = (low - first) as usize..(high - first) as usize;
        let count = size::count_within(self.entries.range(range.clone()), bytes_max);
        Ok(self.entries.range(range.start..range.start + count).cloned().collect())
    }

    fn term(&self, index: u64) -> Result<u64, StoreError> {
        if index == self.base.index {
            return Ok(self.base.term);
        }
        let offset = index.checked_sub(self.base.index + 1).ok_or(StoreError::Compacted)?;
        let entry = usize::try_from(offset).ok().and_then(|offset| self.entries.get(offset));
        entry.map(|entry| entry.term).ok_or(StoreError::Unavailable)
    }

    fn first_index(&self) -> u64 {
        self.base.index + 1
    }

    fn last_index(&self) -> u64 {
        self.base.index + self.entries.len() as u64
    }

    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        if self.snapshot.meta.index == 0 {
            return Err(StoreError::SnapshotUnavailable);
        }
        Ok(self.snapshot.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(ids: &[(u64, u64)]) -> Vec<Entry> {
        ids.iter().map(|&(term, index)| Entry { term, index, ..Entry::default() }).collect()
    }

    fn log(base: (u64, u64), ids: &[(u64, u64)]) -> MemLog {
        let meta = SnapshotMeta { term: base.0, index: base.1, conf_state: ConfState::default() };
        let snapshot = Snapshot { meta, data: Bytes::new() };
        MemLog::restore(HardState::default(), snapshot, entries(ids)).unwrap()
    }

    fn ids(log: &MemLog) -> Vec<(u64, u64)> {
        log.iter().map(|entry| (entry.term, entry.index)).collect()
    }

    #[test]
    fn append_replaces_skips_and_refuses_gaps() {
        for (new, expected) in [
            (vec![], Ok(vec![(3, 4), (3, 5)])),
            (vec![(1, 1), (1, 2)], Ok(vec![(3, 4), (3, 5)])),
            (vec![(3, 3), (4, 4)], Ok(vec![(4, 4)])),
            (vec![(3, 4), (5, 5), (5, 6)], Ok(vec![(3, 4), (5, 5), (5, 6)])),
            (vec![(5, 6)], Ok(vec![(3, 4), (3, 5), (5, 6)])),
            (vec![(5, 7)], Err(StoreError::Unavailable)),
            (vec![(5, 6), (5, 8)], Err(StoreError::Unavailable)),
        ] {
            let mut log = log((3, 3), &[(3, 4), (3, 5)]);
            let result = log.append(entries(&new)).map(|()| ids(&log));
            assert_eq!(result, expected, "{new:?}");
        }
    }

    #[test]
    fn reads_stay_within_the_log() {
        let log = log((3, 3), &[(4, 4), (5, 5), (6, 6)]);
        assert_eq!((log.first_index(), log.last_index()), (4, 6));
        assert_eq!(log.term(2), Err(StoreError::Compacted));
        assert_eq!(log.term(3), Ok(3));
        assert_eq!(log.term(6), Ok(6));
        assert_eq!(log.term(7), Err(StoreError::Unavailable));
        assert_eq!(log.term(u64::MAX), Err(StoreError::Unavailable));
        assert_eq!(log.entries(3, 5, 9), Err(StoreError::Compacted));
        assert_eq!(log.entries(5, 8, 9), Err(StoreError::Unavailable));
        assert_eq!(log.entries(4, 7, 0), Ok(entries(&[(4, 4)])));
        assert_eq!(log.entries(4, 7, u64::MAX), Ok(entries(&[(4, 4), (5, 5), (6, 6)])));
        assert_eq!(log.entries(7, 7, u64::MAX), Ok(vec![]));
    }

    #[test]
    fn compaction_keeps_the_term_before_the_first_entry() {
        let mut log = log((3, 3), &[(4, 4), (5, 5), (6, 6)]);
        assert_eq!(log.compact(3), Err(StoreError::Compacted));
        assert_eq!(log.compact(7), Err(StoreError::Unavailable));
        log.compact(5).unwrap();
        assert_eq!((log.term(5), ids(&log)), (Ok(5), vec![(6, 6)]));
        log.compact(6).unwrap();
        assert_eq!((log.first_index(), log.last_index()), (7, 6));
    }

    #[test]
    fn snapshots_only_move_forward() {
        let mut log = log((3, 3), &[(4, 4), (5, 5)]);
        let voters = ConfState { voters: vec![1], ..ConfState::default() };
        assert_eq!(log.create_snapshot(3, None, Bytes::new()), Err(StoreError::SnapshotOutOfDate));
        assert_eq!(log.create_snapshot(6, None, Bytes::new()), Err(StoreError::Unavailable));
        log.create_snapshot(4, Some(voters.clone()), Bytes::new()).unwrap();
        let made = log.create_snapshot(5, None, Bytes::from_static(b"x")).unwrap().clone();
        assert_eq!((made.meta.term, &made.meta.conf_state), (5, &voters));
        assert_eq!(log.apply_snapshot(made), Err(StoreError::SnapshotOutOfDate));
        let meta = SnapshotMeta { term: 7, index: 9, conf_state: voters };
        log.apply_snapshot(Snapshot { meta, data: Bytes::new() }).unwrap();
        assert_eq!((log.first_index(), log.last_index(), log.term(9)), (10, 9, Ok(7)));
        assert_eq!(MemLog::new().snapshot(), Err(StoreError::SnapshotUnavailable));
    }
}
