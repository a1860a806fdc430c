//! From records to what raft starts with (contract/semantics.md 14.14 and 14.16).

use std::{collections::VecDeque, path::Path};

use types::raft::{Entry, HardState};

use crate::{
    error::WalError,
    record::{Metadata, Record, SnapshotRecord},
};

/// What was in the log.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Who the log belongs to.
    pub metadata: Metadata,
    /// Where raft starts: the last valid snapshot record.
    pub start: SnapshotRecord,
    /// All valid snapshot records still there, in the order they were written.
    pub snapshots: Vec<SnapshotRecord>,
    /// The last hard state; zeros when there is none. Its commit lies between `start` and the last entry.
    pub hard_state: HardState,
    /// Everything above the start point, without a gap.
    pub entries: Vec<Entry>,
    /// What else was noticed.
    pub report: Report,
}

/// What opening noticed and did. Counts are over all segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records read.
    pub records: u64,
    /// Records that no side file named: damage to their frame heads could not have been told from an end of the
    /// log, nor some from sound data. After an open with a side directory they are named.
    pub unprotected: u64,
    /// Bytes in side files that belong to no readable block.
    pub side_bytes_unreadable: u64,
    /// Side files that were written for another log, and not believed.
    pub side_files_foreign: u64,
    /// The torn write at the end, if there was one. It was cut off.
    pub torn: Option<TornTail>,
}

/// A write that a power loss tore: never synced, so never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// File name of the segment.
    pub segment: String,
    /// Where the first bad frame started; the log now ends there.
    pub offset: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
    /// How the frame was bad.
    pub what: String,
    /// Whether a copy of the segment is kept as `SEGMENT.broken`. Not when one was there already, nor when the
    /// disk is full.
    pub copied: bool,
}

/// Takes records in file order.
#[derive(Default)]
pub(crate) struct Collector {
    metadata: Option<Metadata>,
    hard_state: Option<HardState>,
    snapshots: Vec<SnapshotRecord>,
    log: Log,
    /// A snapshot record above the commit so far: valid once a hard state says so.
    waiting: Option<SnapshotRecord>,
}

/// The entries that may still matter.
#[derive(Default)]
struct Log {
    /// Index before the first of `entries`.
    base: u64,
    entries: VecDeque<Entry>,
}

impl Collector {
    pub(crate) fn take(&mut self, record: Record) {
        match record {
            Record::Metadata(metadata, _) => self.metadata = Some(metadata),
            Record::Entry(entry) => {
                // These entries follow the snapshot, or there would be a gap; nothing stale is left behind.
                self.waiting.take_if(|snapshot| entry.index > snapshot.index);
                self.log.push(entry);
            }
            Record::HardState(state) => {
                self.hard_state = Some(state);
                if let Some(snapshot) = self.waiting.take_if(|snapshot| snapshot.index <= state.commit) {
                    self.log.restart_at(&snapshot);
                }
            }
            Record::Snapshot(snapshot) => {
                if snapshot.index <= self.commit() {
                    self.log.restart_at(&snapshot);
                    self.waiting = None;
                } else {
                    self.waiting = Some(snapshot.clone());
                }
                self.snapshots.push(snapshot);
            }
            Record::Crc(_) => {}
        }
    }

    fn commit(&self) -> u64 {
        self.hard_state.unwrap_or_default().commit
    }

    /// Index of the last entry or valid snapshot record.
    fn last_index(&self, start: u64) -> u64 {
        start.max(self.log.base + self.log.entries.len() as u64)
    }

    /// Closes the books. `first_index` is that in the name of the oldest segment.
    pub(crate) fn finish(mut self, dir: &Path, first_index: u64) -> Result<Recovered, WalError> {
        let unusable = |reason: String| WalError::Unusable { dir: dir.to_owned(), reason };
        let commit = self.commit();
        self.snapshots.retain(|snapshot| snapshot.index <= commit);
        let start = self.snapshots.last().cloned();
        // Without a record, etcd looks for the beginning of the log.
        let wanted = start.as_ref().map_or(0, |start| start.index);
        if first_index > wanted {
            return Err(unusable(format!(
                "wal: file not found which matches the snapshot index '{wanted}': the segment with that index, the \
                 start point, is gone; the oldest one starts at {first_index}"
            )));
        }
        let Some(start) = start else {
            return Err(unusable(format!(
                "wal: snapshot not found: there is no snapshot record up to the commit index {commit}"
            )));
        };
        let differs = |other: &&SnapshotRecord| other.index == start.index && other.term != start.term;
        if let Some(other) = self.snapshots.iter().find(differs) {
            return Err(unusable(format!(
                "wal: snapshot mismatch: there are two snapshot records of the start point, index {}, with terms {} \
                 and {}: one of them is of another log",
                start.index, other.term, start.term
            )));
        }
        let last_index = self.last_index(start.index);
        if commit > last_index {
            return Err(unusable(format!(
                "state.commit {commit} is out of range [{}, {last_index}]: the log ends at {last_index}, committed \
                 entries are missing",
                start.index
            )));
        }
        let entries = self.log.above(start.index).map_err(|first| {
            unusable(format!(
                "wal: slice bounds out of range: entries are missing above the start point {}, the log goes on at \
                 {first}",
                start.index
            ))
        })?;
        let Some(metadata) = self.metadata else {
            return Err(unusable("there is no metadata record".to_owned()));
        };
        Ok(Recovered {
            metadata,
            start,
            snapshots: self.snapshots,
            hard_state: self.hard_state.unwrap_or_default(),
            entries,
            report: Report::default(),
        })
    }
}

impl Log {
    /// An entry replaces the one at its index and all after it.
    fn push(&mut self, entry: Entry) {
        let end = self.base + self.entries.len() as u64;
        if entry.index <= self.base || entry.index > end + 1 {
            // Below what is kept, or after a gap that only a snapshot can explain.
            self.entries.clear();
            self.base = entry.index.saturating_sub(1);
        } else {
            self.entries.truncate((entry.index - self.base - 1) as usize);
        }
        self.entries.push_back(entry);
    }

    /// Forgets what a valid snapshot covers; and all, when the log is not that of the snapshot: raft did so too.
    fn restart_at(&mut self, snapshot: &SnapshotRecord) {
        if snapshot.index <= self.base {
            return;
        }
        let covered = snapshot.index - self.base;
        let last_covered = self.entries.get(covered as usize - 1);
        if last_covered.is_some_and(|entry| entry.term == snapshot.term) {
            self.entries.drain(..covered as usize);
        } else {
            self.entries.clear();
        }
        self.base = snapshot.index;
    }

    /// The entries above `start`; the first index when that leaves a gap.
    fn above(mut self, start: u64) -> Result<Vec<Entry>, u64> {
        if self.base > start && !self.entries.is_empty() {
            return Err(self.base + 1);
        }
        let skip = (start.saturating_sub(self.base) as usize).min(self.entries.len());
        self.entries.drain(..skip);
        Ok(self.entries.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> Record {
        Record::Entry(Entry { index, term, ..Entry::default() })
    }

    fn state(term: u64, commit: u64) -> Record {
        Record::HardState(HardState { term, vote: 0, commit })
    }

    fn snapshot(index: u64, term: u64) -> Record {
        Record::Snapshot(SnapshotRecord { index, term, ..SnapshotRecord::default() })
    }

    /// Start point, and (index, term) of the entries above it; or the error.
    fn collect(records: impl IntoIterator<Item = Record>) -> Result<(u64, Vec<(u64, u64)>), String> {
        let mut collector = Collector::default();
        let metadata = Metadata { node_id: types::MemberId(1), cluster_id: types::ClusterId(2) };
        collector.take(Record::Metadata(metadata, metadata.encode()));
        records.into_iter().for_each(|record| collector.take(record));
        let recovered = collector.finish(Path::new("/w"), 0).map_err(|e| e.to_string())?;
        let entries = recovered.entries.iter().map(|e| (e.index, e.term)).collect();
        Ok((recovered.start.index, entries))
    }

    #[test]
    fn a_new_log_starts_at_zero() {
        assert_eq!(collect([snapshot(0, 0)]), Ok((0, vec![])));
        assert_eq!(collect([snapshot(0, 0), entry(1, 1), state(1, 1)]), Ok((0, vec![(1, 1)])));
        assert!(collect([entry(1, 1), state(1, 1)]).unwrap_err().contains("no snapshot record"));
    }

    #[test]
    fn a_lower_index_replaces_the_tail() {
        let log =
            [snapshot(0, 0), entry(1, 1), entry(2, 1), entry(3, 1), state(1, 1), entry(2, 2), state(2, 1)];
        assert_eq!(collect(log), Ok((0, vec![(1, 1), (2, 2)])));
    }

    #[test]
    fn the_start_is_the_last_snapshot_record_within_the_commit() {
        let log = |commit| {
            let mut log = vec![snapshot(0, 0)];
            log.extend((1..=6).map(|i| entry(i, 1)));
            log.extend([state(1, commit), snapshot(3, 1), snapshot(5, 1)]);
            collect(log)
        };
        assert_eq!(log(4), Ok((3, vec![(4, 1), (5, 1), (6, 1)])));
        assert_eq!(log(5), Ok((5, vec![(6, 1)])));
        assert!(log(7).unwrap_err().contains("log ends at 6"));
    }

    #[test]
    fn a_start_point_with_two_terms_is_refused() {
        let log = |later| {
            let begin =
                [snapshot(0, 0), entry(1, 1), entry(2, 1), state(1, 2), snapshot(1, 7), snapshot(1, 1)];
            collect(begin.into_iter().chain(later))
        };
        assert!(log(None).unwrap_err().starts_with("wal: snapshot mismatch"));
        assert_eq!(log(Some(snapshot(2, 1))), Ok((2, vec![])), "only the start point counts");
    }

    #[test]
    fn a_received_snapshot_jumps_ahead_and_drops_what_is_not_its_history() {
        let before = || vec![snapshot(0, 0), entry(1, 1), entry(2, 1), entry(3, 1), state(1, 1)];
        let with = |more: &[Record]| collect(before().into_iter().chain(more.iter().cloned()));
        assert_eq!(with(&[snapshot(9, 2), state(2, 9)]), Ok((9, vec![])));
        assert_eq!(with(&[snapshot(9, 2), state(2, 9), entry(10, 2), state(2, 9)]), Ok((9, vec![(10, 2)])));
        assert_eq!(with(&[snapshot(9, 2), entry(10, 2), state(2, 9)]), Ok((9, vec![(10, 2)])));
        assert_eq!(with(&[snapshot(2, 2), state(2, 2)]), Ok((2, vec![])), "entry 3 is of another history");
        assert_eq!(with(&[snapshot(2, 1), state(2, 2)]), Ok((2, vec![(3, 1)])));
        assert_eq!(
            with(&[snapshot(9, 2)]),
            Ok((0, vec![(1, 1), (2, 1), (3, 1)])),
            "no hard state, not valid"
        );
    }

    #[test]
    fn gaps_are_refused() {
        let log = [snapshot(0, 0), entry(1, 1), entry(3, 1), state(1, 1)];
        assert!(collect(log).unwrap_err().contains("goes on at 3"));
    }
}
