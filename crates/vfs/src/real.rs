//! The operating system's files.
//!
//! The one module of the lower crates that talks to the kernel. Each `open` makes a new open file description,
//! because both kinds of lock belong to the description: sharing one would let two owners pass as one.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use rustix::fs::FlockOperation;

use crate::{DirEntry, Disk, File, LockKind, OpenMode};

/// Mode of files that are created, before the umask (contract/semantics.md 14.1).
const FILE_MODE: u32 = 0o600;
/// Mode of directories that are created, before the umask.
const DIR_MODE: u32 = 0o700;

/// The file system of the operating system. Holds no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read).mode(FILE_MODE);
        match mode {
            OpenMode::Read | OpenMode::ReadWrite => {}
            OpenMode::Create => {
                options.create(true);
            }
            OpenMode::CreateNew => {
                options.create_new(true);
            }
        }
        // The standard library sets O_CLOEXEC, so that a child process cannot keep a lock alive.
        Ok(Arc::new(RealFile { file: options.open(path)? }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match fs::exists(path) {
            // Something on the way is a file.
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => Ok(false),
            found => found,
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(DirEntry { name, is_dir: entry.file_type()?.is_dir() });
        }
        entries.sort();
        Ok(entries)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(or_current(dir))?.sync_all()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(or_current(path))?;
        // Available, not free: what is kept for root is not ours.
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(or_current(path))?;
        Ok(found.f_blocks.saturating_mul(found.f_frsize))
    }
}

/// `Path::parent` of a bare file name is the empty path, which the kernel does not know.
fn or_current(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

/// One open file description.
struct RealFile {
    file: fs::File,
}

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        match kind {
            LockKind::Flock => lock_flock(&self.file, FlockOperation::NonBlockingLockExclusive),
            LockKind::SharedFlock => lock_flock(&self.file, FlockOperation::NonBlockingLockShared),
            LockKind::OpenFileDescription => lock_description(&self.file),
        }
    }
}

fn lock_flock(file: &fs::File, operation: FlockOperation) -> io::Result<bool> {
    match rustix::fs::flock(file, operation) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// A write lock on the whole file, tied to the description, not to the process: classic POSIX locks vanish as
/// soon as any descriptor of the file is closed.
#[cfg(target_os = "linux")]
fn lock_description(file: &fs::File) -> io::Result<bool> {
    use nix::{errno::Errno, fcntl, libc};

    let whole_file = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl::fcntl(file, fcntl::FcntlArg::F_OFD_SETLK(&whole_file)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        // A kernel or file system without them: etcd falls back to flock (contract/semantics.md 14.21).
        Err(Errno::EINVAL) => lock_flock(file, FlockOperation::NonBlockingLockExclusive),
        Err(e) => Err(e.into()),
    }
}

/// Where there are no open-file-description locks etcd uses flock (contract/semantics.md 14.21).
#[cfg(not(target_os = "linux"))]
fn lock_description(file: &fs::File) -> io::Result<bool> {
    lock_flock(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn writes_are_read_back_and_grow_with_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = RealDisk.open(&path, OpenMode::CreateNew).unwrap();
        file.write_all_at(b"abc", 4).unwrap();
        file.sync_data().unwrap();
        RealDisk.sync_dir(dir.path()).unwrap();
        let mut buf = [9; 7];
        file.read_exact_at(&mut buf, 0).unwrap();
        assert_eq!(&buf, b"\0\0\0\0abc");
        assert_eq!(file.read_at(&mut buf, 7).unwrap(), 0);
        assert_eq!(file.read_exact_at(&mut buf, 1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        file.set_len(2).unwrap();
        assert_eq!(file.len().unwrap(), 2);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn open_modes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for mode in [OpenMode::Read, OpenMode::ReadWrite] {
            assert_eq!(RealDisk.open(&path, mode).err().unwrap().kind(), io::ErrorKind::NotFound);
        }
        RealDisk.open(&path, OpenMode::Create).unwrap().write_all_at(b"x", 0).unwrap();
        assert_eq!(RealDisk.open(&path, OpenMode::Create).unwrap().len().unwrap(), 1);
        let again = RealDisk.open(&path, OpenMode::CreateNew);
        assert_eq!(again.err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        assert!(RealDisk.open(&path, OpenMode::Read).unwrap().write_all_at(b"y", 0).is_err());
    }

    #[test]
    fn names() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("a/b");
        RealDisk.create_dir_all(&sub).unwrap();
        RealDisk.create_dir_all(&sub).unwrap();
        assert_eq!(fs::metadata(&sub).unwrap().permissions().mode() & 0o777, 0o700);
        RealDisk.open(&sub.join("f"), OpenMode::Create).unwrap();
        RealDisk.rename(&sub.join("f"), &sub.join("g")).unwrap();
        let names = RealDisk.list(&sub).unwrap();
        assert_eq!(names, [DirEntry { name: "g".into(), is_dir: false }]);
        assert!(RealDisk.exists(&sub.join("g")).unwrap());
        assert!(!RealDisk.exists(&sub.join("g/h")).unwrap());
        RealDisk.remove_file(&sub.join("g")).unwrap();
        assert!(!RealDisk.exists(&sub.join("g")).unwrap());
        RealDisk.remove_dir_all(&dir.path().join("a")).unwrap();
        assert!(RealDisk.list(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn free_bytes_are_those_of_the_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let free = RealDisk.free_bytes(dir.path()).unwrap();
        // Others write meanwhile, but nobody fills or frees petabytes.
        assert!(free > 0 && free < 1 << 60, "{free}");
        assert!(RealDisk.total_bytes(dir.path()).unwrap() >= free);
        let absent = RealDisk.free_bytes(&dir.path().join("absent"));
        assert_eq!(absent.err().unwrap().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn locks_belong_to_the_description_and_kinds_do_not_meet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for kind in [LockKind::Flock, LockKind::OpenFileDescription] {
            let one = RealDisk.open(&path, OpenMode::Create).unwrap();
            let two = RealDisk.open(&path, OpenMode::ReadWrite).unwrap();
            assert!(one.try_lock(kind).unwrap());
            assert!(one.try_lock(kind).unwrap(), "taking it again is fine");
            assert!(!two.try_lock(kind).unwrap());
            // Closing another descriptor of the file would drop a classic POSIX lock.
            drop(RealDisk.open(&path, OpenMode::ReadWrite).unwrap());
            assert!(!two.try_lock(kind).unwrap());
            drop(one);
            assert!(two.try_lock(kind).unwrap());
        }
        let one = RealDisk.open(&path, OpenMode::ReadWrite).unwrap();
        let two = RealDisk.open(&path, OpenMode::ReadWrite).unwrap();
        assert!(one.try_lock(LockKind::Flock).unwrap());
        assert!(two.try_lock(LockKind::OpenFileDescription).unwrap());
        assert!(!two.try_lock(LockKind::SharedFlock).unwrap());
        drop(one);
        let three = RealDisk.open(&path, OpenMode::ReadWrite).unwrap();
        assert!(
            two.try_lock(LockKind::SharedFlock).unwrap() && three.try_lock(LockKind::SharedFlock).unwrap()
        );
        assert!(!three.try_lock(LockKind::Flock).unwrap(), "a reader is left");
    }
}
