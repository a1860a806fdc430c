//! What can go wrong, by what the caller will do about it.

use std::{io, path::PathBuf};

use crate::format::PageId;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum BoltError {
    /// Another process (etcd, or another member on the same directory) has the file open. Do not start.
    #[error("{path}: another process holds the lock on this file")]
    Locked {
        /// The database file.
        path: PathBuf,
    },
    /// The operating system refused. After a failed write or sync the [`Db`](crate::Db) is poisoned.
    #[error("{action}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is no bbolt file of version 2, or both meta pages are bad.
    #[error("not a readable bolt file: {what}")]
    Invalid {
        /// Which check failed.
        what: &'static str,
    },
    /// A page breaks the rules of the format. There is no checksum that says who is to blame.
    #[error("page {page}: {what}")]
    Corrupt {
        /// The page's number in the file.
        page: PageId,
        /// The broken rule.
        what: &'static str,
    },
    /// What the disk returned is not what was written: a checksum differs, or the file is older than what was
    /// made durable. Never answer from it; repair from a peer.
    #[error("page {page}: damaged on disk: {what}")]
    Damaged {
        /// The page's number in the file.
        page: PageId,
        /// How that is known.
        what: &'static str,
    },
    /// A write or sync failed earlier in this process; nothing more is written (a sync is never retried).
    #[error("an earlier write to the database failed; it takes no more changes")]
    Poisoned,
    /// The database was opened for reading only.
    #[error("the database is open for reading only")]
    ReadOnly,
    /// Empty, or longer than bbolt's 32,768 bytes.
    #[error("key of {len} bytes; 1 to 32768 are allowed")]
    KeyLength {
        /// Its length in bytes.
        len: usize,
    },
    /// Longer than bbolt's 2^31 - 2 bytes.
    #[error("value of {len} bytes; at most 2147483646 are allowed")]
    ValueLength {
        /// Its length in bytes.
        len: usize,
    },
    /// A name that is a key was used as a bucket, or a nested bucket as a key.
    #[error("{name:?} is a bucket where a key is meant, or the other way round")]
    Incompatible {
        /// The key or bucket name.
        name: String,
    },
}

impl BoltError {
    /// Adds what was being done to an error of the operating system.
    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> BoltError {
        move |source| BoltError::Io { action, source }
    }

    pub(crate) fn corrupt(page: PageId, what: &'static str) -> BoltError {
        BoltError::Corrupt { page, what }
    }
}
