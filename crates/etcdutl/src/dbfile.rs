//! Opening database files: with bbolt's locks, waiting for them as long as the user wants to.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bolt::{BoltError, Db, Lock, Options};
use vfs::{Disk, RealDisk};

use crate::{
    failure::Failure,
    golang::{io_text, path_error},
};

/// Time between two tries to get a lock that another process holds; it tells nobody when it lets go.
const LOCK_RETRY: Duration = Duration::from_millis(50);
/// Memory for pages: tools read most pages once.
const CACHE_BYTES: usize = 64 << 20;

/// How long to wait for a lock: `None` is for ever.
pub(crate) type Patience = Option<Duration>;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// Looking, while nobody writes.
    Reading,
    /// Looking at a file that nobody else will write: without a lock.
    ReadingCopy,
    /// Changing.
    Writing,
}

/// The disk of this machine.
pub(crate) fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// Fails as `stat` does when there is nothing at `path`.
pub(crate) fn check_there(path: &Path) -> Result<(), Failure> {
    std::fs::metadata(path).map(drop).map_err(|e| Failure::new(path_error("stat", path, &e)))
}

/// `member/snap/db` of a data directory.
pub(crate) fn db_path(data_dir: &str) -> PathBuf {
    PathBuf::from(crate::golang::join(data_dir, "member/snap/db"))
}

/// The folder of the checksums of `db`, when it is a member's and has them.
pub(crate) fn side_dir(db: &Path) -> Option<PathBuf> {
    let dir = db.parent()?.parent()?.join("mainstay");
    dir.join(bolt::SUMS_FILE_NAME).exists().then_some(dir)
}

/// Opens a file that is there.
///
/// # Errors
/// In bbolt's words where it has some.
pub(crate) fn open(path: &Path, purpose: For, patience: Patience) -> Result<Db, Failure> {
    open_raw(path, purpose, patience).map_err(|error| Failure::new(text_of(&error)))
}

/// As [`open`].
///
/// # Errors
/// As bolt has them.
pub(crate) fn open_raw(path: &Path, purpose: For, patience: Patience) -> Result<Db, BoltError> {
    let begun = Instant::now();
    loop {
        let options = Options {
            cache_bytes: CACHE_BYTES,
            side_dir: side_dir(path),
            read_only: purpose != For::Writing,
            lock: match purpose {
                For::Reading => Lock::Shared,
                For::ReadingCopy => Lock::Unlocked,
                For::Writing => Lock::Exclusive,
            },
            ..Options::default()
        };
        match Db::open(disk(), path, options) {
            Err(BoltError::Locked { .. }) if patience.is_none_or(|most| begun.elapsed() < most) => {
                thread::sleep(LOCK_RETRY);
            }
            opened => return opened,
        }
    }
}

/// What bbolt says, or else what bolt does.
pub(crate) fn text_of(error: &BoltError) -> String {
    match error {
        BoltError::Locked { path } => {
            format!("timeout: another process has {} open (is a member running on it?)", path.display())
        }
        BoltError::Invalid { .. } => "invalid database".to_owned(),
        BoltError::Io { source, .. } if source.kind() == io::ErrorKind::IsADirectory => {
            "invalid database".to_owned()
        }
        BoltError::Io { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof => {
            "unexpected EOF".to_owned()
        }
        BoltError::Io { action, source } => format!("{action}: {}", io_text(source)),
        other => other.to_string(),
    }
}
