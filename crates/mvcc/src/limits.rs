//! Every bound of this crate, in one place.

/// Entries of a leaf of the key index; one more splits it.
pub(crate) const LEAF_ENTRIES_MAX: usize = 64;
/// Packed bytes of a leaf with several entries, so that an insert never moves more than this.
pub(crate) const LEAF_BYTES_MAX: usize = 16 * 1024;
/// Children of an inner node of the key index.
pub(crate) const INNER_CHILDREN_MAX: usize = 64;
/// A node with fewer entries or children than this is joined with a neighbour when both fit into one.
pub(crate) const NODE_ENTRIES_MIN: usize = 16;

/// Longest encoded row, in bytes: what the file format can hold as one value (bbolt's `MaxValueSize`).
pub const ROW_BYTES_MAX: usize = (1 << 31) - 2;

/// Different revisions that may be pinned at once; each holds up the deletion of compacted rows.
pub const PINNED_REVISIONS_MAX: usize = 4096;
/// Rows that are not yet in the backend and that one [`History`](crate::History) takes along.
pub const HISTORY_PENDING_MAX: usize = 4096;
/// Compaction hashes that are kept, newest first (contract/semantics.md 9.7).
pub const COMPACTION_HASHES_MAX: usize = 10;
