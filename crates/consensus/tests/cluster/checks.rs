//! What must hold in the whole cluster at all times.

use std::collections::BTreeMap;

use consensus::{LogStore, MemLog, RawNode, StoreError};
use types::raft::Entry;

/// Everything that happened, as far as the properties need it.
#[derive(Default)]
pub(crate) struct Checks {
    /// The leader of each term.
    leaders: BTreeMap<u64, u64>,
    /// Applied entries by index: term, and a digest of everything up to there.
    applied: BTreeMap<u64, (u64, u64)>,
}

impl Checks {
    /// Highest index applied anywhere.
    pub(crate) fn applied_max(&self) -> u64 {
        self.applied.keys().next_back().copied().unwrap_or(0)
    }

    /// Election safety and leader completeness.
    pub(crate) fn leader(&mut self, node: &RawNode<MemLog>) {
        let status = node.basic_status();
        let term = status.hard_state.term;
        let known = self.leaders.insert(term, status.id);
        assert!(known.is_none_or(|known| known == status.id), "two leaders in term {term}");
        if known.is_some() {
            return;
        }
        for (&index, &(term, _)) in &self.applied {
            match node.term(index) {
                Ok(here) => assert_eq!(here, term, "leader {} lacks the applied entry {index}", status.id),
                Err(error) => {
                    assert_eq!(error, StoreError::Compacted, "leader lacks the applied entry {index}");
                }
            }
        }
    }

    /// State machine safety: `digest` stands for the state after the entry.
    pub(crate) fn applied(&mut self, entry: &Entry, digest: u64) {
        let mine = (entry.term, digest);
        let first = *self.applied.entry(entry.index).or_insert(mine);
        assert_eq!(first, mine, "two members applied different entries at {}", entry.index);
    }

    /// A snapshot stands for exactly what was applied.
    pub(crate) fn snapshot(&mut self, index: u64, digest: u64) {
        if let Some((_, expected)) = self.applied.get(&index) {
            assert_eq!(digest, *expected, "the snapshot at {index} is of another state");
        }
    }

    /// Log matching, on what is durable.
    pub(crate) fn logs_match(a: &MemLog, b: &MemLog) {
        let low = a.first_index().max(b.first_index());
        let high = a.last_index().min(b.last_index());
        if low > high {
            return;
        }
        let read = |log: &MemLog| log.entries(low, high + 1, u64::MAX).expect("within the log");
        let pairs: Vec<(Entry, Entry)> = read(a).into_iter().zip(read(b)).collect();
        let agree = pairs.iter().rposition(|(a, b)| a.term == b.term).map_or(0, |last| last + 1);
        for (a, b) in &pairs[..agree] {
            assert_eq!(a, b, "logs agree at a later entry and differ here");
        }
    }
}
