//! A small world for tests of the log: a simulated disk with the directories of a member.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use types::{
    ClusterId, MemberId,
    raft::{ConfState, Entry, HardState},
};
use vfs::{Disk, SimDisk};
use wal::{Metadata, Recovered, SnapshotRecord, Wal, WalError, WalOptions};

pub(crate) const METADATA: Metadata =
    Metadata { node_id: MemberId(0x8e9e_05c5_2164_694d), cluster_id: ClusterId(0xcdf8) };

pub(crate) fn member() -> &'static Path {
    Path::new("/data/member")
}

pub(crate) fn wal_dir() -> PathBuf {
    member().join("wal")
}

pub(crate) fn side_dir() -> PathBuf {
    member().join("mainstay/wal")
}

/// A disk on which `/data/member` is durable.
pub(crate) fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(member()).unwrap();
    disk.make_durable();
    disk
}

pub(crate) fn options(segment_bytes: u64, side: bool) -> WalOptions {
    WalOptions { segment_bytes, side_dir: side.then(side_dir), prewrite_first: false, room_bytes: 0 }
}

pub(crate) fn create(disk: &SimDisk, options: &WalOptions) -> Wal {
    try_create(disk, options).unwrap()
}

pub(crate) fn try_create(disk: &SimDisk, options: &WalOptions) -> Result<Wal, WalError> {
    Wal::create(Arc::new(disk.clone()), &wal_dir(), METADATA, options.clone())
}

pub(crate) fn open(disk: &SimDisk, options: &WalOptions) -> Result<(Wal, Recovered), WalError> {
    Wal::open(Arc::new(disk.clone()), &wal_dir(), options.clone())
}

/// An entry whose data tells its index and term, `len` bytes without a run of zeros.
pub(crate) fn entry(index: u64, term: u64, len: usize) -> Entry {
    let seed = (index ^ term.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let byte = |i: usize| (seed.rotate_left((i % 61) as u32) >> 3) as u8 | 1;
    Entry { term, index, data: (0..len).map(byte).collect::<Vec<u8>>().into(), ..Entry::default() }
}

pub(crate) fn entries(indexes: std::ops::RangeInclusive<u64>, term: u64, len: usize) -> Vec<Entry> {
    indexes.map(|index| entry(index, term, len)).collect()
}

pub(crate) fn state(term: u64, commit: u64) -> HardState {
    HardState { term, vote: 3, commit }
}

pub(crate) fn snapshot(index: u64, term: u64) -> SnapshotRecord {
    let conf_state = ConfState { voters: vec![3, 4], ..ConfState::default() };
    SnapshotRecord { index, term, conf_state }
}

/// The newest segment file.
pub(crate) fn last_segment(disk: &SimDisk) -> PathBuf {
    segments(disk).pop().unwrap()
}

/// All segment files, oldest first.
pub(crate) fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let is_segment =
        |path: &PathBuf| path.starts_with(wal_dir()) && path.extension().is_some_and(|e| e == "wal");
    disk.files().into_iter().filter(is_segment).collect()
}

/// The side files, oldest first.
pub(crate) fn side_files(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.starts_with(side_dir())).collect()
}

/// Removes the side files, as an operator might.
pub(crate) fn drop_side(disk: &SimDisk) {
    for path in side_files(disk) {
        disk.remove_file(&path).unwrap();
    }
    disk.make_durable();
}

/// End of the last record in a segment: its length without the zeros behind.
pub(crate) fn used(disk: &SimDisk, path: &Path) -> u64 {
    let bytes = disk.contents(path).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    used.next_multiple_of(8) as u64
}

/// What survives in a log without any snapshot: entries by overwriting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) entries: Vec<Entry>,
    pub(crate) hard_state: HardState,
}

impl Model {
    pub(crate) fn append(&mut self, batch: &[Entry], hard_state: HardState) {
        if let Some(first) = batch.first() {
            self.entries.truncate(first.index as usize - 1);
        }
        self.entries.extend_from_slice(batch);
        self.hard_state = hard_state;
    }

    /// The entries above an index.
    pub(crate) fn above(&self, start: u64) -> &[Entry] {
        &self.entries[(start as usize).min(self.entries.len())..]
    }
}
