//! The pairs that keys had before a change: what the hub needs of the store on the spot.

use bytes::Bytes;
use mvcc::{MvccError, RowRef, Store};

/// The store, as far as the hub looks into it: the pairs from before a change. Tests have a naive one.
pub trait PrevRows {
    /// Where the pair is that `key` had just before revision `before_main`. Looks only at what is in memory.
    fn prev(&self, key: &[u8], before_main: i64) -> Option<RowRef>;

    /// The encoded `KeyValue` of such a pair. May read the disk, so the hub fetches few rows this way
    /// ([`crate::Limits::prev_rows_inline_max`]) and has the others read elsewhere.
    ///
    /// # Errors
    /// `Compacted` when it is gone; anything else means that the store must not be trusted any more.
    fn fetch(&self, row: &RowRef) -> Result<Bytes, MvccError>;
}

impl PrevRows for Store {
    fn prev(&self, key: &[u8], before_main: i64) -> Option<RowRef> {
        Store::prev(self, key, before_main)
    }

    fn fetch(&self, row: &RowRef) -> Result<Bytes, MvccError> {
        Store::fetch(self, row)
    }
}
