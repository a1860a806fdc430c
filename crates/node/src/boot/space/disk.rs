//! A disk on which nothing fails for lack of space while the member runs: see [`Space`].

use std::{io, path::Path, sync::Arc};

use vfs::{DirEntry, Disk, File, LockKind, OpenMode, is_full};

use super::{Draws, Space};

/// Whatever was told to be written here draws on the reserve, then waits.
pub(crate) struct RoomyDisk(Arc<Space>);

impl RoomyDisk {
    pub(crate) fn new(space: Arc<Space>) -> RoomyDisk {
        RoomyDisk(space)
    }
}

impl Space {
    /// Does `act` again and again while it fails for lack of space, as long as that makes sense. A write that found
    /// the disk full may have stored a part; the next try stores the same bytes at the same place.
    fn with_room<T>(&self, draws: Draws, mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut waiting = None;
        loop {
            match act() {
                Err(error) if is_full(&error) => {
                    if !self.make_room(draws, &mut waiting) {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
    }

    fn draws(&self, path: &Path) -> Draws {
        if !path.starts_with(&self.data_dir) {
            Draws::Nothing
        } else if self.log_dirs.iter().any(|dir| path.starts_with(dir)) && path != self.db_path {
            Draws::All
        } else {
            Draws::Some
        }
    }
}

impl Disk for RoomyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let (space, draws) = (&self.0, self.0.draws(path));
        let file = space.with_room(draws, || space.disk.open(path, mode))?;
        Ok(Arc::new(RoomyFile { file, space: Arc::clone(space), draws }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.disk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.disk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.with_room(self.0.draws(dir), || self.0.disk.create_dir_all(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.with_room(self.0.draws(to), || self.0.disk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.disk.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.disk.remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.disk.sync_dir(dir)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.0.disk.free_bytes(path)
    }
}

struct RoomyFile {
    file: Arc<dyn File>,
    space: Arc<Space>,
    draws: Draws,
}

impl File for RoomyFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.space.with_room(self.draws, || self.file.write_all_at(buf, offset))
    }

    fn write_if_room_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_if_room_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.space.with_room(self.draws, || self.file.set_len(len))
    }

    /// Not again when it fails, whatever the reason: what it should have made durable may be lost by then.
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        self.file.try_lock(kind)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}
