//! Every bound of the crate, in one place.

/// What the hub may hold and how large its replies get. Sizes are bytes unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Replies of at least this size are cut for watchers that asked for fragments: `--max-request-bytes`
    /// plus 512 KiB (contract/semantics.md 5.11).
    pub fragment_bytes: usize,
    /// A stream with this much queued gets no more events until it has drained to half of it.
    pub stream_bytes_max: usize,
    /// What a stream may have queued even when `queued_bytes_max` is reached. An idle stream can always take
    /// one reply, so that readers that keep up never wait for those that do not.
    pub stream_bytes_floor: usize,
    /// All streams together. A soft bound: the floor of each stream, one reply each, comes on top. Bytes that
    /// several streams share count once for each.
    pub queued_bytes_max: usize,
    /// Newest revisions kept in memory, for watchers that are only a little behind.
    pub recent_bytes_max: usize,
    /// Revisions, not bytes; see `recent_bytes_max`.
    pub recent_revisions_max: usize,
    /// One read of history; a single revision may be larger.
    pub slice_bytes_max: usize,
    /// Rows, not bytes; see `slice_bytes_max`.
    pub slice_rows_max: usize,
    /// Previous rows, not bytes, that are read on the spot for one revision, or for the revisions in memory; when
    /// more are needed, they are read elsewhere and their watchers wait.
    pub prev_rows_inline_max: usize,
    /// Previous rows read for one slice, or on the spot for the revisions in memory; those of a single revision may
    /// be larger.
    pub prev_bytes_max: usize,
    /// One reply to a watcher that catches up; a single revision may be larger.
    pub reply_bytes_max: usize,
    /// Revisions in one reply to a watcher that catches up (contract/semantics.md 5.7).
    pub reply_revisions_max: usize,
}

/// How far below the watcher whose turn it is a read of history may start, to take others along.
pub(crate) const LOOK_BACK_REVISIONS: i64 = 1000;
/// Up to so many different ranges are compared with each change of a slice one by one; more are looked up in the
/// index of all ranges.
pub(crate) const COMPARED_RANGES_MAX: usize = 16;
/// Room for matches (group and change) that is kept from one revision to the next.
pub(crate) const HITS_KEPT: usize = 4096;
/// Rows read at a time when only the rest of a revision is wanted.
pub(crate) const REST_ROWS: usize = 256;

/// Default of `--max-request-bytes`.
const REQUEST_BYTES_DEFAULT: usize = 1_572_864;
/// What etcd adds to it for the rest of the message.
const GRPC_OVERHEAD_BYTES: usize = 512 * 1024;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            fragment_bytes: REQUEST_BYTES_DEFAULT + GRPC_OVERHEAD_BYTES,
            stream_bytes_max: 4 << 20,
            stream_bytes_floor: 16 << 10,
            queued_bytes_max: 128 << 20,
            recent_bytes_max: 4 << 20,
            recent_revisions_max: 4096,
            slice_bytes_max: 1 << 20,
            slice_rows_max: 4096,
            prev_rows_inline_max: 128,
            prev_bytes_max: 4 << 20,
            reply_bytes_max: 256 << 10,
            reply_revisions_max: 1000,
        }
    }
}

impl Limits {
    /// The defaults with another `--max-request-bytes`.
    pub fn for_request_bytes(max_request_bytes: usize) -> Limits {
        Limits { fragment_bytes: max_request_bytes.saturating_add(GRPC_OVERHEAD_BYTES), ..Limits::default() }
    }
}
