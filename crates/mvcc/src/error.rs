//! What can go wrong, by what the caller will do about it.

use types::Revision;

/// Why the store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum MvccError {
    /// The revision is gone, or about to be: tell the client, with the revision that is left.
    #[error("required revision has been compacted; the oldest is {compacted}")]
    Compacted {
        /// The oldest revision that can be read.
        compacted: i64,
    },
    /// The revision does not exist yet: tell the client.
    #[error("required revision is a future revision; the newest is {current}")]
    FutureRevision {
        /// The newest revision that can be read.
        current: i64,
    },
    /// More than [`limits::PINNED_REVISIONS_MAX`](crate::limits::PINNED_REVISIONS_MAX) revisions are pinned:
    /// refuse the request that wanted one more.
    #[error("too many revisions are pinned by running reads")]
    TooManyPins,
    /// The file does not hold what it must: stop serving from it.
    #[error("key bucket: {0}")]
    Corrupt(#[from] Corruption),
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] bolt::BoltError),
}

/// How a row or a meta key contradicts the format or the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corruption {
    /// A key of the bucket is no revision, or one beyond what a store can reach.
    #[error("the key after revision {after} is not a revision")]
    RowKey {
        /// The last good one.
        after: Revision,
    },
    /// Keys do not ascend.
    #[error("revision {0} is out of order or there twice")]
    RowOrder(Revision),
    /// The value at a revision is no `mvccpb.KeyValue`, or longer than one can be.
    #[error("the value at revision {0} is not a key-value pair")]
    Row(Revision),
    /// The index names a row that is not there.
    #[error("the row at revision {0} is missing")]
    Missing(Revision),
    /// A row has another length than when it was indexed.
    #[error("the row at revision {revision} has {found} bytes instead of {expected}")]
    Length {
        /// Which row.
        revision: Revision,
        /// Bytes when it was indexed.
        expected: u32,
        /// Bytes now.
        found: usize,
    },
    /// A meta key does not hold a revision.
    #[error("meta key {0} does not hold a revision")]
    Meta(&'static str),
}
