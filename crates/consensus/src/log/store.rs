//! The door to the durable part of the log.

use types::raft::{ConfState, Entry, HardState, Snapshot};

/// Why the store has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The entry lies before the first one that is kept.
    #[error("requested index is unavailable due to compaction")]
    Compacted,
    /// The entry lies after the last one.
    #[error("requested entry at index is unavailable")]
    Unavailable,
    /// There is no snapshot at hand now; ask again later.
    #[error("snapshot is temporarily unavailable")]
    SnapshotUnavailable,
    /// The snapshot is not newer than the one that is kept.
    #[error("requested index is older than the existing snapshot")]
    SnapshotOutOfDate,
    /// Reading failed. The node that sees this takes no further input.
    #[error("{0}")]
    Failed(String),
}

/// The durable part of a log: entries from `first_index` to `last_index`, and a snapshot of what lies before.
///
/// The node only reads. Its driver appends what `Ready` hands out, and may compact and make snapshots at any
/// time between two calls, never beyond what is applied.
pub trait LogStore {
    /// What was remembered across the restart.
    ///
    /// # Errors
    /// When it cannot be read.
    fn initial_state(&self) -> Result<(HardState, ConfState), StoreError>;

    /// Entries of `[low, high)` from the start on, at most `bytes_max` encoded bytes but at least one.
    ///
    /// # Errors
    /// `Compacted` or `Unavailable` when the range is not within the log.
    fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StoreError>;

    /// Term of an entry in `[first_index - 1, last_index]`.
    ///
    /// # Errors
    /// `Compacted` or `Unavailable` outside of that.
    fn term(&self, index: u64) -> Result<u64, StoreError>;

    /// Index of the first entry that is kept; one after `last_index` when none is.
    fn first_index(&self) -> u64;

    /// Index of the last entry; that of the snapshot when no entry is kept.
    fn last_index(&self) -> u64;

    /// A snapshot for a follower that needs entries before `first_index`; its index is at least
    /// `first_index - 1` and at most the applied index.
    ///
    /// # Errors
    /// `SnapshotUnavailable` when it takes a while; the node asks again.
    fn snapshot(&self) -> Result<Snapshot, StoreError>;
}
