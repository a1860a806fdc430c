//! A disk whose syncs can be held up.

use std::{
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex},
};

use vfs::{DirEntry, Disk, File, LockKind, OpenMode, SimDisk};

#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn close(&self, close: bool) {
        *self.closed.lock().unwrap() = close;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let closed = self.closed.lock().unwrap();
        drop(self.opened.wait_while(closed, |closed| *closed).unwrap());
    }
}

/// A disk on which no sync, or no renaming, returns while it stalls.
#[derive(Clone)]
pub(crate) struct StallingDisk {
    disk: SimDisk,
    gate: Arc<Gate>,
    renaming: Arc<Gate>,
}

impl StallingDisk {
    pub(crate) fn new(disk: SimDisk) -> StallingDisk {
        StallingDisk { disk, gate: Arc::default(), renaming: Arc::default() }
    }

    pub(crate) fn stall(&self, stall: bool) {
        self.gate.close(stall);
    }

    /// Holds up whoever wants to put a file in the place of the database.
    pub(crate) fn stall_replacing(&self, stall: bool) {
        self.renaming.close(stall);
    }
}

impl Disk for StallingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, mode)?;
        Ok(Arc::new(StallingFile { file, gate: Arc::clone(&self.gate) }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if to.ends_with("db") {
            self.renaming.pass();
        }
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }
}

struct StallingFile {
    file: Arc<dyn File>,
    gate: Arc<Gate>,
}

impl File for StallingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync_data()
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        self.file.try_lock(kind)
    }
}
