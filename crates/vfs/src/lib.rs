//! The one door to files: [`RealDisk`] on the operating system, [`SimDisk`] in memory, which can lose power.
//!
//! Everything that touches a file goes through [`Disk`] and [`File`], so that a test can cut the power at any
//! call, fail it, or damage what it stored. Paths are absolute or relative to the process; nothing here knows
//! what the files mean.

mod real;
mod sim;

use std::{io, path::Path, sync::Arc};

pub use real::RealDisk;
pub use sim::{CrashPlan, Fate, Fault, SimDisk, Unsynced};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; reading only.
    Read,
    /// Must exist; reading and writing.
    ReadWrite,
    /// Created (mode 0600) when absent; reading and writing; contents are kept.
    Create,
    /// Created (mode 0600); fails with `AlreadyExists` when present.
    CreateNew,
}

/// Which kind of lock etcd takes on a file; the two do not see each other (contract/semantics.md 14.21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// `flock(2)` `LOCK_EX`, as bbolt takes it on `db`.
    Flock,
    /// An open-file-description write lock on the whole file, as etcd takes it on WAL segments.
    OpenFileDescription,
    /// `flock(2)` `LOCK_SH`, as bbolt takes it on a file that it only reads: any number of readers, and no
    /// [`LockKind::Flock`] beside them. [`SimDisk`] lets one reader at a time have it.
    SharedFlock,
}

/// A directory entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last path element; names that are not UTF-8 are shown with replacement characters.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A file system.
pub trait Disk: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Whether something is at `path`.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// What is in a directory, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// Creates a directory and its parents (mode 0700); fine when present. Not durable until the parent is synced.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Renames a file or directory, replacing a file at `to`. Not durable until the parent directory is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Not durable until the parent directory is synced.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and everything below it.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that this process may still write to the file system that holds `path`, which must exist; `u64::MAX`
    /// when there is no bound. Out of date at once when others write too, and blind to quotas of a user.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Size in bytes of the file system that holds `path`, which must exist; `u64::MAX` when it has no bound.
    fn total_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// Whether a call failed for lack of space: a full file system, or a spent disk quota.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// An open file. All offsets are absolute; there is no cursor. Dropping the last handle releases its locks.
pub trait File: Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; 0 at or beyond the end. May be short elsewhere too.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `buf` at `offset`, growing the file with zeros where needed. Not durable before a sync.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// The same for bytes that can be done without. A disk that keeps a reserve, or waits for space, does neither
    /// for them: on a full disk it fails at once.
    fn write_if_room_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(buf, offset)
    }
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Cuts or grows (with zeros) to `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes contents and length durable (`fdatasync`). A failure means that what was not durable before may be
    /// lost for good: never call it again and hope (reliability.md G).
    fn sync_data(&self) -> io::Result<()>;
    /// Takes `kind` without waiting; `false` when another open file description holds it.
    fn try_lock(&self, kind: LockKind) -> io::Result<bool>;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends first.
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}
