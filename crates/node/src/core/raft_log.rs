//! How much of raft's log stays in memory, for members that are a little behind.
//!
//! Whoever is further behind gets the backend instead, so nothing that it does not hold yet is let go.

use bytes::Bytes;
use telemetry::line;
use types::raft::{ConfState, Entry};

use super::Core;

/// Bytes of entries that are kept. Their number is bounded, too, but that says little when values are large.
const KEPT_BYTES_MAX: u64 = 64 << 20;
/// So many entries are forgotten together (contract/semantics.md 14.12).
const STEP: u64 = 100;

impl Core {
    /// The backend holds everything up to `index`: raft can give that to others, and forgets what is far behind.
    pub(super) fn trim_raft_log(&mut self, index: u64, conf_state: &ConfState, data: &Bytes) {
        let log = self.raft.store_mut();
        if index <= log.last_snapshot().meta.index.saturating_add(STEP) {
            return;
        }
        if let Err(error) = log.create_snapshot(index, Some(conf_state.clone()), data.clone()) {
            return self.fault(format!("raft's log does not take a snapshot at {index}: {error}"));
        }
        let kept_max = self.config.snapshot_catchup_entries;
        let log = self.raft.store_mut();
        let Some(last) = last_needless(log.iter(), index, kept_max, KEPT_BYTES_MAX) else { return };
        match log.compact(last) {
            Ok(()) => line!(Debug, "compacted Raft logs", "compact-index" => last),
            Err(error) => self.fault(format!("raft's log does not forget up to {last}: {error}")),
        }
    }
}

/// The last entry that can go, so that at most `entries_max` entries and about `bytes_max` bytes are left up to
/// `index`; `None` when all stay.
fn last_needless<'a>(
    entries: impl Iterator<Item = &'a Entry> + Clone,
    index: u64,
    entries_max: u64,
    bytes_max: u64,
) -> Option<u64> {
    let known = entries.take_while(|entry| entry.index <= index);
    let mut bytes: u64 = known.clone().map(|entry| entry.data.len() as u64).sum();
    let mut last = None;
    for entry in known {
        if index - entry.index < entries_max && bytes <= bytes_max {
            break;
        }
        bytes -= entry.data.len() as u64;
        last = Some(entry.index);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_few_entries_and_few_bytes() {
        let entries: Vec<Entry> =
            (11..=20).map(|index| Entry { index, data: vec![0; 10].into(), ..Entry::default() }).collect();
        let last =
            |index, entries_max, bytes_max| last_needless(entries.iter(), index, entries_max, bytes_max);
        assert_eq!(last(20, 10, 100), None);
        assert_eq!(last(20, 9, 100), Some(11));
        assert_eq!(last(20, 100, 99), Some(11));
        assert_eq!(last(20, 100, 30), Some(17));
        assert_eq!(last(20, 0, 100), Some(20));
        assert_eq!(last(15, 0, 0), Some(15), "what the backend lacks stays");
        assert_eq!(last(15, 2, 100), Some(13));
        assert_eq!(last(10, 0, 0), None);
    }
}
