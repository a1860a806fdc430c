//! One change to the backend, as the deterministic crates hand it back to their caller.

use bytes::Bytes;

/// A key of one bucket set or deleted. Applied in order, inside the transaction that also moves the
/// consistent index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Name of the bucket, one of [`crate::bucket`].
    pub bucket: &'static str,
    /// Key inside the bucket; never empty.
    pub key: Bytes,
    /// The new value; `None` deletes the key. Deleting an absent key is no error.
    pub value: Option<Bytes>,
}

impl Write {
    /// Sets `key` to `value`.
    pub fn put(bucket: &'static str, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Write {
        Write { bucket, key: key.into(), value: Some(value.into()) }
    }

    /// Deletes `key`.
    pub fn delete(bucket: &'static str, key: impl Into<Bytes>) -> Write {
        Write { bucket, key: key.into(), value: None }
    }
}
