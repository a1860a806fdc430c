//! Every bound of the crate, in one place.

/// A segment is cut after the batch that takes it past this many bytes (contract/semantics.md 14.10).
pub const SEGMENT_BYTES: u64 = 64_000_000;

/// Longest record that is written or believed, in bytes. etcd has no bound but the file's length; requests are
/// bounded far below this.
pub const RECORD_BYTES_MAX: u64 = 1 << 30;

/// Size of the reads of a segment, in bytes.
pub(crate) const READ_BYTES: usize = 1 << 20;

/// Size of the writes that pre-write a segment with zeros, in bytes.
pub(crate) const ZERO_WRITE_BYTES: usize = 1 << 20;

/// An encode buffer beyond this is given back after the batch, in bytes.
pub(crate) const BUFFER_KEPT_BYTES: usize = 8 << 20;

/// Side rows per block at most.
pub(crate) const SIDE_BLOCK_ROWS_MAX: usize = 4096;

/// Side files larger than this are not believed, in bytes: far more rows than a segment can have records.
pub(crate) const SIDE_FILE_BYTES_MAX: u64 = 1 << 30;

/// The search for records beyond a bad spot reads at most this many times the bytes that are there, so that
/// hostile contents cannot make it quadratic.
pub(crate) const SEARCH_FACTOR_MAX: u64 = 16;

/// What that search counts for each place that looks like a frame, in bytes.
pub(crate) const SEARCH_CANDIDATE_BYTES: u64 = 64 << 10;

/// Lost records that an error names at most.
pub(crate) const LOST_RECORDS_MAX: usize = 1 << 16;

/// `.snap` files longer than this are not read, in bytes. Theirs is the membership as JSON.
pub const SNAP_FILE_BYTES_MAX: u64 = 1 << 30;

/// How many `.snap` files and segments etcd keeps by default (`--max-snapshots`, `--max-wals`).
pub const FILES_KEPT: usize = 5;
