//! The end of the log that is not durable yet: entries, and perhaps a snapshot before them.

use types::raft::{Entry, Snapshot};

use crate::{
    EntryId,
    journal::{Journal, note},
};

/// Entries and a snapshot on their way to the store.
#[derive(Debug)]
pub(super) struct Unstable {
    /// A snapshot from the leader that is not durable yet.
    snapshot: Option<Snapshot>,
    /// Whether the snapshot was handed out to be written.
    snapshot_in_progress: bool,
    /// Invariant: `entries[i].index == offset + i`.
    entries: Vec<Entry>,
    /// First index that is not durable.
    offset: u64,
    /// First index that was not handed out to be written. Invariant: between `offset` and the end.
    in_progress_end: u64,
}

impl Unstable {
    pub(super) fn new(offset: u64) -> Unstable {
        Unstable {
            snapshot: None,
            snapshot_in_progress: false,
            entries: Vec::new(),
            offset,
            in_progress_end: offset,
        }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn in_progress_end(&self) -> u64 {
        self.in_progress_end
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// One after the last entry.
    fn end(&self) -> u64 {
        self.offset + self.entries.len() as u64
    }

    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// The snapshot, unless it was handed out.
    pub(super) fn next_snapshot(&self) -> Option<&Snapshot> {
        if self.snapshot_in_progress { None } else { self.snapshot.as_ref() }
    }

    /// Entries not handed out yet.
    pub(super) fn next_entries(&self) -> &[Entry] {
        &self.entries[(self.in_progress_end - self.offset) as usize..]
    }

    /// Entries of `[low, high)`, which lies between `offset` and the end.
    pub(super) fn slice(&self, low: u64, high: u64) -> &[Entry] {
        assert!(self.offset <= low && low <= high && high <= self.end(), "slice out of bounds");
        &self.entries[(low - self.offset) as usize..(high - self.offset) as usize]
    }

    /// The term of the entry at `index`, if it or the snapshot that ends there is here.
    pub(super) fn term(&self, index: u64) -> Option<u64> {
        if index >= self.offset {
            let position = usize::try_from(index - self.offset).ok()?;
            return self.entries.get(position).map(|entry| entry.term);
        }
        let meta = &self.snapshot.as_ref()?.meta;
        (meta.index == index).then_some(meta.term)
    }

    /// Everything here counts as handed out.
    pub(super) fn accept(&mut self) {
        self.in_progress_end = self.end();
        self.snapshot_in_progress = self.snapshot.is_some();
    }

    /// Appends entries in order; what is here at their indexes and after is replaced.
    pub(super) fn append(&mut self, entries: Vec<Entry>, journal: &mut Journal) {
        let Some(first) = entries.first().map(|entry| entry.index) else { return };
        if first <= self.offset && first < self.end() || first < self.offset {
            note!(journal, Info, "replace the unstable entries from index {first}");
            self.entries = entries;
            self.offset = first;
            self.in_progress_end = first;
            return;
        }
        assert!(first <= self.end(), "entries leave a gap before index {first}");
        if first < self.end() {
            note!(journal, Info, "truncate the unstable entries before index {first}");
            self.entries.truncate((first - self.offset) as usize);
            self.in_progress_end = self.in_progress_end.min(first);
        }
        if self.entries.is_empty() {
            self.entries = entries;
        } else {
            self.entries.extend(entries);
        }
    }

    /// The log up to `id` is durable, if `id` still is what it was when the write began.
    pub(super) fn stable_to(&mut self, id: EntryId, journal: &mut Journal) {
        let EntryId { term, index } = id;
        let Some(here) = self.term(index) else {
            note!(journal, Info, "entry at index {index} missing from unstable log; ignoring");
            return;
        };
        if index < self.offset {
            note!(journal, Info, "entry at index {index} matched unstable snapshot; ignoring");
            return;
        }
        if here != term {
            note!(
                journal,
                Info,
                "entry at (index,term)=({index},{term}) mismatched with entry at ({index},{here}) in unstable \
                 log; ignoring"
            );
            return;
        }
        if index + 1 == self.end() {
            self.entries.clear();
        } else {
            self.entries.drain(..(index + 1 - self.offset) as usize);
        }
        self.offset = index + 1;
        self.in_progress_end = self.in_progress_end.max(self.offset);
    }

    /// The snapshot of that index is durable.
    pub(super) fn stable_snapshot_to(&mut self, index: u64) {
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.meta.index == index) {
            self.snapshot = None;
            self.snapshot_in_progress = false;
        }
    }

    /// A snapshot takes the place of everything.
    pub(super) fn restore(&mut self, snapshot: Snapshot) {
        *self = Unstable::new(snapshot.meta.index + 1);
        self.snapshot = Some(snapshot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    fn entries(ids: &[(u64, u64)]) -> Vec<Entry> {
        ids.iter().map(|&(term, index)| Entry { term, index, ..Entry::default() }).collect()
    }

    fn unstable(ids: &[(u64, u64)]) -> (Unstable, Journal) {
        let mut journal = Journal::new(Level::Info);
        let mut unstable = Unstable::new(5);
        unstable.append(entries(ids), &mut journal);
        (unstable, journal)
    }

    fn ids(unstable: &Unstable) -> Vec<(u64, u64)> {
        unstable.entries.iter().map(|entry| (entry.term, entry.index)).collect()
    }

    #[test]
    fn append_extends_replaces_or_truncates() {
        type Ids = Vec<(u64, u64)>;
        let cases: [(Ids, Ids, Ids, u64, Option<&str>); 5] = [
            (vec![(1, 5)], vec![(1, 6), (1, 7)], vec![(1, 5), (1, 6), (1, 7)], 6, None),
            (vec![(1, 5)], vec![(2, 5), (2, 6)], vec![(2, 5), (2, 6)], 5, Some("replace")),
            (vec![(1, 5)], vec![(2, 4), (2, 5)], vec![(2, 4), (2, 5)], 4, Some("replace")),
            (vec![(1, 5), (1, 6), (1, 7)], vec![(2, 6)], vec![(1, 5), (2, 6)], 6, Some("truncate")),
            (vec![], vec![(1, 5)], vec![(1, 5)], 5, None),
        ];
        for (before, new, after, in_progress_end, note) in cases {
            let (mut unstable, mut journal) = unstable(&before);
            unstable.accept();
            unstable.append(entries(&new), &mut journal);
            assert_eq!(ids(&unstable), after);
            assert_eq!(unstable.in_progress_end, in_progress_end, "{new:?}");
            let notes = journal.take();
            assert_eq!(notes.first().map(|line| line.text.split(' ').next().unwrap()), note);
        }
    }

    #[test]
    fn stable_to_believes_only_what_still_holds() {
        for (id, left) in [((1, 5), 2), ((1, 7), 0), ((2, 6), 3), ((1, 4), 3), ((1, 8), 3)] {
            let (mut unstable, mut journal) = unstable(&[(1, 5), (1, 6), (1, 7)]);
            unstable.stable_to(EntryId { term: id.0, index: id.1 }, &mut journal);
            assert_eq!(unstable.len(), left, "{id:?}");
            assert_eq!(journal.take().is_empty(), left < 3, "an ignored report is noted");
            assert!(unstable.in_progress_end >= unstable.offset);
        }
    }
}
