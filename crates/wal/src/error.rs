//! What can go wrong, by what the caller will do about it.
//!
//! Where etcd refuses, too, its text is part of ours: scripts and runbooks look for it (contract/errors.tsv).

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// An error of the write-ahead log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The disk failed. When it happened in a write or sync, the `Wal` is poisoned and the process must stop.
    #[error("WAL: {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// Another process (etcd, or a second Mainstay) has the log open.
    #[error("fileutil: file already locked: another process has the WAL segment {} open; stop it first", path.display())]
    Locked {
        /// The locked segment.
        path: PathBuf,
    },
    /// There is no log in the directory.
    #[error("wal: file not found: there is no segment in {}", dir.display())]
    NotFound {
        /// The directory.
        dir: PathBuf,
    },
    /// `create` found something at its target.
    #[error("WAL: {} exists already", dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// Records that were synced are unreadable or gone. Nothing was changed on disk.
    ///
    /// Never truncate here: the lost records may have been acknowledged.
    #[error("{}", describe_damage(segment, *offset, cause, *first_lost_index, lost))]
    Damaged {
        /// The damaged (or missing) segment.
        segment: PathBuf,
        /// Where in it the first bad frame starts, in bytes.
        offset: u64,
        /// How the damage shows.
        cause: DamageCause,
        /// Lowest log index that cannot be read any more; without a side file, the lowest that may be affected.
        first_lost_index: u64,
        /// Lost records that the side file still names, in file order, at most 65536. Empty without a side file.
        lost: Vec<LostRecord>,
    },
    /// The log is readable, but raft cannot start from it; etcd stops here too.
    #[error("{reason}. Nothing was changed; restore the directory from a backup, or replace the member. WAL: {}", dir.display())]
    Unusable {
        /// The directory.
        dir: PathBuf,
        /// Why: etcd's text, and what it means here.
        reason: String,
    },
    /// The caller's batch does not continue the log. Nothing was written.
    #[error("WAL: entry {got} does not continue a log that ends at {last}")]
    OutOfOrder {
        /// Index of the last entry before.
        last: u64,
        /// Index that was given.
        got: u64,
    },
    /// A record is too long. Nothing was written.
    #[error("WAL: a record of {bytes} bytes is longer than the limit")]
    TooLong {
        /// Its length.
        bytes: u64,
    },
    /// An earlier write or sync failed: what is on disk is unknown, nothing may be written until a restart.
    #[error("WAL: an earlier write or sync failed, nothing more is written: {0}")]
    Poisoned(String),
}

/// How damage shows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamageCause {
    /// A length word, record header or checksum that does not fit, and no sign of a torn write.
    BadFrame(String),
    /// The frame is bad, but later records prove that it had been synced.
    SyncedLater(String),
    /// The side file names a record that is not there, or not the same.
    SideFile(String),
    /// A segment is missing or does not continue the one before.
    Chain(String),
}

impl fmt::Display for DamageCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DamageCause::BadFrame(what) => {
                write!(f, "{what}, and nothing suggests a write torn by a power loss")
            }
            DamageCause::SyncedLater(what) => {
                write!(f, "{what}, but later records prove that it had been synced")
            }
            DamageCause::SideFile(what) => write!(f, "{what}, against the checksums in the side file"),
            DamageCause::Chain(what) => write!(f, "{what}"),
        }
    }
}

/// A record that the side file names and the log lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRecord {
    /// Sequence number of its segment.
    pub sequence: u64,
    /// Where its frame starts in the segment, in bytes.
    pub offset: u64,
    /// Length of the frame, in bytes.
    pub length: u32,
    /// Type of the record (contract/semantics.md 14.9); 2 is an entry.
    pub kind: u8,
    /// Index of an entry or snapshot record, commit of a hard state; else 0.
    pub index: u64,
    /// Term of an entry, hard state or snapshot record; else 0.
    pub term: u64,
    /// CRC32C of the whole frame.
    pub crc: u32,
}

fn describe_damage(
    segment: &Path,
    offset: u64,
    cause: &DamageCause,
    first_lost_index: u64,
    lost: &[LostRecord],
) -> String {
    let named = match lost.len() {
        0 => String::new(),
        n => format!(" The side file names {n} lost records."),
    };
    format!(
        "WAL damaged: {} at byte {offset}: {cause}. Entries from index {first_lost_index} on are lost or in doubt, \
         and some of them may have been acknowledged, so nothing was truncated.{named} If other members are \
         healthy, remove this member from the cluster and add it anew with an empty data directory. Do not delete \
         the damaged files before that.",
        segment.display()
    )
}

/// Puts file and verb to an I/O error.
pub(crate) trait Context<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, WalError>;
}

impl<T> Context<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, WalError> {
        self.map_err(|source| WalError::Io { doing, path: path.to_owned(), source })
    }
}
