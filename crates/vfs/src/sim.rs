//! A disk in memory that can lose power.
//!
//! Nothing in here is random by itself: what a crash keeps, which call fails and which bit flips are choices of
//! the caller ([`CrashPlan`], [`Fault`]), so that a seed replays exactly.
//!
//! The model, stricter than any real file system in that nothing is ordered but by a sync:
//! - `write_all_at` and `set_len` are visible at once and durable after `sync_data` of that file.
//! - Names (created, renamed, removed) are visible at once and durable after `sync_dir` of a directory they are
//!   in. A rename is atomic: it happened or it did not. A durable name may lead to a file whose bytes are lost.
//! - Power loss keeps any subset of what was not durable; writes tear at 512-byte sectors.
//! - After a failed sync, what it covered stays visible and is never made durable by a later sync.
//! - Locks belong to the handle that took them, as on Linux.

mod content;
mod fault;
mod state;
#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use fault::{CrashPlan, Fate, Fault, Unsynced};
use state::{Ino, State};

use crate::{DirEntry, Disk, File, LockKind, OpenMode};

/// A disk in memory. Clones are the same disk, seen by other code of the same process.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk, with nothing but the root directory. Relative paths start at the root.
    pub fn new() -> SimDisk {
        SimDisk::from_state(State::new())
    }

    fn from_state(state: State) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave the state half changed in a way that matters to a test that goes on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many mutating calls were made so far: the number of the next one. Creating opens, writes, syncs and
    /// changes of names and lengths count, failed ones too; reads, locks and opens of what exists do not.
    pub fn io_count(&self) -> u64 {
        self.lock().calls
    }

    /// Plants `fault`: it fires once, at the first call that it applies to and whose number is at least `number`
    /// (a read has the number of the next mutating call).
    pub fn fail_at(&self, number: u64, fault: Fault) {
        self.lock().faults.push((number, fault));
    }

    /// How many reads were made so far: the number of the next one.
    pub fn read_count(&self) -> u64 {
        self.lock().reads
    }

    /// Plants a fault of a read: it fires once, at the first read whose number is at least `number`.
    pub fn fail_read_at(&self, number: u64, fault: Fault) {
        self.lock().read_faults.push((number, fault));
    }

    /// The faults that have fired since the last call, in order.
    pub fn take_fired(&self) -> Vec<Fault> {
        std::mem::take(&mut self.lock().fired)
    }

    /// Takes back all faults that have not fired.
    pub fn clear_faults(&self) {
        let mut state = self.lock();
        state.faults.clear();
        state.read_faults.clear();
    }

    /// Whether a [`Fault::Crash`] fired, or [`SimDisk::kill`] was called.
    pub fn power_lost(&self) -> bool {
        self.lock().power_lost
    }

    /// Bounds the sum of all file lengths, in bytes; writes beyond store what fits and fail with `ENOSPC`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// The sum of all file lengths, in bytes.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// What is not durable now, in the order it was issued.
    pub fn unsynced(&self) -> Vec<Unsynced> {
        self.lock().unsynced()
    }

    /// The disk as found after power loss at this moment: without locks and faults, everything durable. This
    /// disk goes on unchanged, so that one run can be cut at many places.
    pub fn crash(&self, plan: CrashPlan) -> SimDisk {
        SimDisk::from_state(self.lock().crash(&plan))
    }

    /// The disk as the next process finds it after this one was killed: every change is visible, and durable
    /// only if it was. This disk and its open files fail from now on.
    pub fn kill(&self) -> SimDisk {
        SimDisk::from_state(self.lock().kill())
    }

    /// Makes everything durable, uncounted: for the set-up of a test.
    pub fn make_durable(&self) {
        self.lock().make_durable();
    }

    /// All files, sorted by path.
    pub fn files(&self) -> Vec<PathBuf> {
        self.lock().files()
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.lock().contents(path)
    }

    /// Changes the stored bytes of a file behind everybody's back: visible, durable, uncounted.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.lock().damage(path, change)
    }

    /// Flips one stored bit, counted from the start of the file.
    ///
    /// # Errors
    /// When there is no such file, or it is too short.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> io::Result<()> {
        self.damage_within(path, bit / 8, |byte| *byte ^= 1 << (bit % 8))
    }

    /// Zeroes one stored 512-byte sector, as far as the file reaches.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn zero_sector(&self, path: &Path, sector: u64) -> io::Result<()> {
        self.damage(path, |bytes| {
            let len = bytes.len();
            let start = ((sector * content::SECTOR_LEN) as usize).min(len);
            bytes[start..(start + content::SECTOR_LEN as usize).min(len)].fill(0);
        })
    }

    /// Stored bytes of a file from `offset` on: as many as there are, and no more than `len`.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn peek(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.lock().peek(path, offset, len)
    }

    /// Stores bytes behind everybody's back, as far as the file reaches: visible, durable, uncounted. What was written
    /// there and is not durable yet stays so.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn poke(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.lock().poke(path, offset, bytes)
    }

    /// Where the last bytes that were stored in a file end, at most 4 KiB too far: what was only made longer does not
    /// count.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn stored_end(&self, path: &Path) -> io::Result<u64> {
        self.lock().stored_end(path)
    }

    /// Planted faults that have not fired.
    pub fn faults_left(&self) -> Vec<Fault> {
        let state = self.lock();
        state.faults.iter().chain(&state.read_faults).map(|(_, fault)| *fault).collect()
    }

    /// Cuts the stored file to `len` bytes.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.damage(path, |bytes| bytes.truncate(len as usize))
    }

    fn damage_within(&self, path: &Path, offset: u64, change: impl FnOnce(&mut u8)) -> io::Result<()> {
        let mut inside = false;
        self.damage(path, |bytes| {
            if let Some(byte) = bytes.get_mut(offset as usize) {
                change(byte);
                inside = true;
            }
        })?;
        if inside { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        SimDisk::new()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("SimDisk").field("files", &state.files()).field("io_count", &state.calls).finish()
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let (ino, handle) = self.lock().open(path, mode)?;
        let writable = mode != OpenMode::Read;
        Ok(Arc::new(SimFile { disk: self.clone(), ino, handle, writable }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.lock();
        if state.power_lost {
            return Err(io::Error::other("power lost"));
        }
        match state.find(path) {
            Ok(_) => Ok(true),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let entries = self.lock().list(dir)?;
        Ok(entries.into_iter().map(|(name, is_dir)| DirEntry { name, is_dir }).collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.lock().create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.lock().rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.lock().remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.lock().remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.lock().sync_dir(dir)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.lock().free_bytes(path)
    }
}

/// One open file description.
struct SimFile {
    disk: SimDisk,
    ino: Ino,
    handle: u64,
    writable: bool,
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(rustix::io::Errno::BADF.into()) }
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.lock().read(self.ino, buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.lock().write(self.ino, buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.lock().len(self.ino)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.lock().set_len(self.ino, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.lock().sync(self.ino)
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        self.disk.lock().try_lock(self.ino, self.handle, kind)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.lock().close(self.ino, self.handle);
    }
}
