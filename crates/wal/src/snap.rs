//! `.snap` files: the place of a snapshot in the log, and the membership at that point (docs/format/snapshot.md).
//!
//! etcd 3.7 writes one with each snapshot record and reads them only for a downgrade; 3.6 starts from one
//! (contract/semantics.md 14.24). So we write them, keep them in step, and never leave a stale one newest.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use prost::Message;
use proto::{raftpb, snappb};
use types::raft::Snapshot;
use vfs::{Disk, OpenMode};

use crate::{limits::SNAP_FILE_BYTES_MAX, name::hex, record::SnapshotRecord};

const SUFFIX: &str = ".snap";
/// A file that cannot be read is set aside under its name and this.
const BROKEN: &str = ".broken";
/// First letters of files that are being written; etcd removes such at boot (contract/semantics.md 14.1).
const TEMPORARY: &str = "tmp";

/// An error of a `.snap` file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapError {
    /// The disk failed.
    #[error("snapshot file: {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("snapshot file {} is damaged: {what}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// How it shows.
        what: String,
    },
}

/// The name of a `.snap` file, `TERM-INDEX.snap`. The greatest is the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapName {
    /// Term of the last index it includes.
    pub term: u64,
    /// The last index it includes.
    pub index: u64,
}

impl SnapName {
    /// The file name.
    pub fn file_name(self) -> String {
        format!("{:016x}-{:016x}{SUFFIX}", self.term, self.index)
    }

    /// Reads a file name; `None` when it is not of a `.snap` file.
    pub fn parse(name: &str) -> Option<SnapName> {
        let (term, index) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        Some(SnapName { term: hex(term)?, index: hex(index)? })
    }
}

/// Writes the `.snap` file of a snapshot, durably; it appears whole, where etcd writes in place.
///
/// # Errors
/// `Io`. What is there of the file then is removed when the directory is opened next.
pub fn write(disk: &dyn Disk, dir: &Path, snapshot: &Snapshot) -> Result<SnapName, SnapError> {
    let name = SnapName { term: snapshot.meta.term, index: snapshot.meta.index };
    write_encoded(disk, dir, name, &encode(snapshot))
}

/// As [`write`], of what [`encode`] gave.
///
/// # Errors
/// Likewise.
pub fn write_encoded(
    disk: &dyn Disk,
    dir: &Path,
    name: SnapName,
    encoded: &[u8],
) -> Result<SnapName, SnapError> {
    let (path, building) = (dir.join(name.file_name()), dir.join(format!("{TEMPORARY}{}", name.file_name())));
    let written = (|| {
        let file = disk.open(&building, OpenMode::Create)?;
        file.set_len(0)?;
        file.write_all_at(encoded, 0)?;
        file.sync_data()?;
        disk.rename(&building, &path)?;
        disk.sync_dir(dir)
    })();
    written.map_err(|source| SnapError::Io { doing: "write", path, source })?;
    Ok(name)
}

/// The bytes of a `.snap` file.
pub fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let data = raftpb::Snapshot::from(snapshot).encode_to_vec();
    snappb::Snapshot { crc: Some(crc32c::crc32c(&data)), data: Some(data.into()) }.encode_to_vec()
}

/// Reads one `.snap` file, changing nothing.
///
/// # Errors
/// `Damaged` when it is not what was written, `Io`.
pub fn read(disk: &dyn Disk, path: &Path) -> Result<Snapshot, SnapError> {
    let io = |source| SnapError::Io { doing: "read", path: path.to_owned(), source };
    let file = disk.open(path, OpenMode::Read).map_err(io)?;
    let len = file.len().map_err(io)?;
    let damaged = |what: String| SnapError::Damaged { path: path.to_owned(), what };
    if len > SNAP_FILE_BYTES_MAX {
        return Err(damaged(format!("{len} bytes are more than any member writes")));
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0).map_err(io)?;
    decode(bytes.into()).map_err(damaged)
}

fn decode(bytes: Bytes) -> Result<Snapshot, String> {
    let file = snappb::Snapshot::decode(bytes).map_err(|e| e.to_string())?;
    let (data, crc) = (file.data.unwrap_or_default(), file.crc.unwrap_or(0));
    if data.is_empty() || crc == 0 {
        return Err("it is empty".to_owned());
    }
    let found = crc32c::crc32c(&data);
    if found != crc {
        return Err(format!("the checksum is {found:08x}, the file says {crc:08x}"));
    }
    let message = raftpb::Snapshot::decode(data).map_err(|e| e.to_string())?;
    Ok(message.into())
}

/// The `.snap` files of a directory, newest first. An absent directory has none.
///
/// # Errors
/// `Io`.
pub fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<SnapName>, SnapError> {
    let mut names: Vec<_> = file_names(disk, dir)?.iter().filter_map(|name| SnapName::parse(name)).collect();
    names.sort();
    names.reverse();
    Ok(names)
}

fn file_names(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, SnapError> {
    match disk.list(dir) {
        Ok(entries) => Ok(entries.into_iter().filter(|e| !e.is_dir).map(|e| e.name).collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(SnapError::Io { doing: "list", path: dir.to_owned(), source }),
    }
}

/// Loads the newest `.snap` file that is sound and stands at one of the WAL's valid snapshot records. A damaged
/// one is renamed `.snap.broken` and passed over, as etcd does.
///
/// # Errors
/// `Io`.
pub fn load_newest(
    disk: &dyn Disk,
    dir: &Path,
    records: &[SnapshotRecord],
) -> Result<Option<Snapshot>, SnapError> {
    for name in list(disk, dir)? {
        let path = dir.join(name.file_name());
        match read(disk, &path) {
            Ok(snapshot) => {
                let meta = &snapshot.meta;
                if records.iter().any(|r| (r.index, r.term) == (meta.index, meta.term)) {
                    return Ok(Some(snapshot));
                }
            }
            Err(SnapError::Damaged { .. }) => set_aside(disk, &path)?,
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn set_aside(disk: &dyn Disk, path: &Path) -> Result<(), SnapError> {
    let mut broken = path.as_os_str().to_owned();
    broken.push(BROKEN);
    disk.rename(path, Path::new(&broken)).map_err(|source| SnapError::Io {
        doing: "set aside",
        path: path.to_owned(),
        source,
    })
}

/// Removes the oldest `.snap` files down to `keep` (0 removes none), and gives their names.
///
/// # Errors
/// `Io`.
pub fn purge(disk: &dyn Disk, dir: &Path, keep: usize) -> Result<Vec<SnapName>, SnapError> {
    let mut surplus = list(disk, dir)?;
    if keep == 0 {
        return Ok(Vec::new());
    }
    surplus.drain(..keep.min(surplus.len()));
    surplus.reverse();
    for name in &surplus {
        remove(disk, &dir.join(name.file_name()))?;
    }
    Ok(surplus)
}

/// Removes files that a crash left half written: `tmp*`, ours and etcd's.
///
/// # Errors
/// `Io`.
pub fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> Result<(), SnapError> {
    for name in file_names(disk, dir)?.iter().filter(|name| name.starts_with(TEMPORARY)) {
        remove(disk, &dir.join(name))?;
    }
    Ok(())
}

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), SnapError> {
    disk.remove_file(path).map_err(|source| SnapError::Io { doing: "remove", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use types::raft::{ConfState, SnapshotMeta};
    use vfs::{CrashPlan, Fault, SimDisk};

    use super::*;

    const DIR: &str = "/snap";

    fn disk() -> SimDisk {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new(DIR)).unwrap();
        disk.make_durable();
        disk
    }

    fn snapshot(index: u64, term: u64) -> Snapshot {
        let conf_state = ConfState { voters: vec![1, 2], learners: vec![9], ..ConfState::default() };
        Snapshot {
            meta: SnapshotMeta { index, term, conf_state },
            data: Bytes::from_static(b"{\"Root\":{}}"),
        }
    }

    fn record(index: u64, term: u64) -> SnapshotRecord {
        SnapshotRecord { index, term, ..SnapshotRecord::default() }
    }

    fn path_of(index: u64, term: u64) -> PathBuf {
        Path::new(DIR).join(SnapName { term, index }.file_name())
    }

    #[test]
    fn round_trip_and_name() {
        let disk = disk();
        let name = write(&disk, Path::new(DIR), &snapshot(300, 2)).unwrap();
        assert_eq!(name.file_name(), "0000000000000002-000000000000012c.snap");
        assert_eq!(read(&disk, &path_of(300, 2)).unwrap(), snapshot(300, 2));
        assert_eq!(list(&disk, Path::new(DIR)).unwrap(), [name]);
        assert_eq!(list(&disk, Path::new("/none")).unwrap(), []);
    }

    #[test]
    fn every_bit_and_every_length_is_checked() {
        let disk = disk();
        write(&disk, Path::new(DIR), &snapshot(300, 2)).unwrap();
        let sound = disk.contents(&path_of(300, 2)).unwrap();
        for bit in 0..sound.len() * 8 {
            disk.flip_bit(&path_of(300, 2), bit as u64).unwrap();
            // A flip in the head may leave the same meaning; it never gives another one.
            match read(&disk, &path_of(300, 2)) {
                Ok(found) => assert_eq!(found, snapshot(300, 2), "bit {bit}"),
                Err(error) => assert!(matches!(error, SnapError::Damaged { .. }), "{error}"),
            }
            disk.flip_bit(&path_of(300, 2), bit as u64).unwrap();
        }
        for len in (0..sound.len()).rev() {
            disk.truncate(&path_of(300, 2), len as u64).unwrap();
            assert!(matches!(read(&disk, &path_of(300, 2)), Err(SnapError::Damaged { .. })), "length {len}");
        }
    }

    #[test]
    fn the_newest_sound_one_at_a_valid_record_is_loaded() {
        let disk = disk();
        for (index, term) in [(10, 1), (20, 2), (15, 3), (30, 3)] {
            write(&disk, Path::new(DIR), &snapshot(index, term)).unwrap();
        }
        let load = |records: &[SnapshotRecord]| {
            load_newest(&disk, Path::new(DIR), records).unwrap().map(|s| (s.meta.index, s.meta.term))
        };
        let all = [record(10, 1), record(20, 2), record(30, 3)];
        assert_eq!(load(&all), Some((30, 3)));
        assert_eq!(load(&all[..2]), Some((20, 2)));
        assert_eq!(load(&[record(10, 2)]), None);
        disk.zero_sector(&path_of(30, 3), 0).unwrap();
        assert_eq!(load(&all), Some((20, 2)));
        let broken = PathBuf::from("/snap/0000000000000003-000000000000001e.snap.broken");
        assert!(disk.files().contains(&broken), "{:?}", disk.files());
    }

    #[test]
    fn purge_keeps_the_newest() {
        let disk = disk();
        for index in 1..=7 {
            write(&disk, Path::new(DIR), &snapshot(index * 10, 1)).unwrap();
        }
        assert_eq!(purge(&disk, Path::new(DIR), 0).unwrap(), []);
        let gone: Vec<_> = purge(&disk, Path::new(DIR), 5).unwrap().iter().map(|n| n.index).collect();
        assert_eq!(gone, [10, 20]);
        assert_eq!(list(&disk, Path::new(DIR)).unwrap().len(), 5);
    }

    #[test]
    fn a_crash_leaves_all_or_nothing() {
        let calls = {
            let disk = disk();
            let before = disk.io_count();
            write(&disk, Path::new(DIR), &snapshot(300, 2)).unwrap();
            disk.io_count() - before
        };
        for call in 0..calls {
            for seed in 0..8 {
                let disk = disk();
                disk.fail_at(disk.io_count() + call, Fault::Crash);
                write(&disk, Path::new(DIR), &snapshot(300, 2)).unwrap_err();
                let image = disk.crash(CrashPlan::Seeded { seed });
                remove_leftovers(&image, Path::new(DIR)).unwrap();
                assert!(image.files().len() <= 1, "{image:?}");
                if !image.files().is_empty() {
                    assert_eq!(read(&image, &path_of(300, 2)).unwrap(), snapshot(300, 2));
                }
            }
        }
    }
}
