//! Segments written with zeros ahead of use.
//!
//! Overwriting blocks that a file already has makes a sync a third cheaper than growing it, because no metadata
//! changes. This costs writing everything twice; whether that pays is for the caller, who calls
//! [`SegmentPreparer::prepare`] or does not.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use vfs::{Disk, File, LockKind, OpenMode};

use crate::{
    error::{Context, WalError},
    limits::ZERO_WRITE_BYTES,
    name::PREPARED,
    options::WalOptions,
};

/// Prepares the next segment, on a thread of the caller's while the log goes on. Clones share their work.
#[derive(Clone)]
pub struct SegmentPreparer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    bytes: u64,
    /// Bytes that must stay free besides.
    room_bytes: u64,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    ready: Option<Prepared>,
    /// Whether a `prepare` is under way.
    busy: bool,
    /// How many were begun: names alternate as etcd's do.
    begun: usize,
}

/// A locked file of zeros.
pub(crate) struct Prepared {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
}

impl SegmentPreparer {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, options: &WalOptions) -> SegmentPreparer {
        let WalOptions { segment_bytes: bytes, room_bytes, .. } = *options;
        SegmentPreparer { disk, dir: dir.to_owned(), bytes, room_bytes, shared: Arc::default() }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next cut would have to make its segment itself.
    pub fn needed(&self) -> bool {
        let shared = self.shared();
        shared.ready.is_none() && !shared.busy
    }

    /// Writes and syncs the next segment, unless one is ready or on its way, or the disk is short of space; whether
    /// it did. Takes as long as writing a whole segment does.
    ///
    /// # Errors
    /// When the disk fails. The log goes on without a prepared segment.
    pub fn prepare(&self) -> Result<bool, WalError> {
        let free = self.disk.free_bytes(&self.dir).doing("measure", &self.dir)?;
        if free < self.bytes.saturating_add(self.room_bytes) {
            return Ok(false);
        }
        let path = {
            let mut shared = self.shared();
            if shared.ready.is_some() || shared.busy {
                return Ok(false);
            }
            shared.busy = true;
            shared.begun += 1;
            self.dir.join(PREPARED[(shared.begun - 1) % PREPARED.len()])
        };
        let result = self.write(path);
        let mut shared = self.shared();
        shared.busy = false;
        shared.ready = Some(result?);
        Ok(true)
    }

    fn write(&self, path: PathBuf) -> Result<Prepared, WalError> {
        if self.disk.exists(&path).doing("look for", &path)? {
            self.disk.remove_file(&path).doing("remove", &path)?;
        }
        let file = create_locked(&*self.disk, &path)?;
        let written = write_zeros(&*file, self.bytes).and_then(|()| file.sync_data());
        if written.is_err() {
            // A part of it is zeros too, so leaving it is harmless; but the disk may be full.
            let _ = self.disk.remove_file(&path);
        }
        written.doing("prepare", &path)?;
        Ok(Prepared { path, file })
    }

    /// Removes the segment that is ready, for the room that it takes; whether there was one. The next cut makes its
    /// own then.
    pub fn discard(&self) -> bool {
        let Some(Prepared { path, file }) = self.take() else { return false };
        drop(file);
        // What cannot be removed now goes when the log is opened next; it holds zeros only.
        self.disk.remove_file(&path).and_then(|()| self.disk.sync_dir(&self.dir)).is_ok()
    }

    pub(crate) fn take(&self) -> Option<Prepared> {
        self.shared().ready.take()
    }
}

/// Creates a file that must not exist, with etcd's lock on it.
pub(crate) fn create_locked(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn File>, WalError> {
    let file = disk.open(path, OpenMode::CreateNew).doing("create", path)?;
    lock(&*file, path)?;
    Ok(file)
}

/// Takes etcd's lock.
pub(crate) fn lock(file: &dyn File, path: &Path) -> Result<(), WalError> {
    if file.try_lock(LockKind::OpenFileDescription).doing("lock", path)? {
        Ok(())
    } else {
        Err(WalError::Locked { path: path.to_owned() })
    }
}

/// Fills a file with zeros up to `bytes`, in fact and not as a hole. Not at the cost of a reserve.
pub(crate) fn write_zeros(file: &dyn File, bytes: u64) -> std::io::Result<()> {
    // Never written, so it takes no memory.
    static ZEROS: [u8; ZERO_WRITE_BYTES] = [0; ZERO_WRITE_BYTES];
    let mut at = 0;
    while at < bytes {
        let count = (bytes - at).min(ZEROS.len() as u64);
        file.write_if_room_at(&ZEROS[..count as usize], at)?;
        at += count;
    }
    Ok(())
}
