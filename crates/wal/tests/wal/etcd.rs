//! Logs that etcd wrote, with its own WAL package: `fixtures/etcd-3.7.1` and `fixtures/etcd-3.6.14`.
//!
//! Both were written by a Go program with `SegmentSizeBytes = 3000`: `wal.Create` with the metadata of these
//! tests, then for each index from 1 to 20 one `Save` of an entry (term 2, `index * 30` bytes, none for each
//! fifth, a conf change at 7) with the hard state (2, 3, index - 1). The one of 3.6.14 then saves a snapshot
//! record at 12.

use std::path::{Path, PathBuf};

use types::raft::{Entry, EntryKind, HardState};
use vfs::{Disk, OpenMode, SimDisk};

use crate::common::*;

const NAMES: [&str; 2] = ["0000000000000000-0000000000000000.wal", "0000000000000001-000000000000000f.wal"];
const V3_7: [&[u8]; 2] = [
    include_bytes!("fixtures/etcd-3.7.1/0000000000000000-0000000000000000.wal"),
    include_bytes!("fixtures/etcd-3.7.1/0000000000000001-000000000000000f.wal"),
];
const V3_6: [&[u8]; 2] = [
    include_bytes!("fixtures/etcd-3.6.14/0000000000000000-0000000000000000.wal"),
    include_bytes!("fixtures/etcd-3.6.14/0000000000000001-000000000000000f.wal"),
];

fn disk_with(fixture: [&[u8]; 2]) -> SimDisk {
    let disk = disk();
    disk.create_dir_all(&wal_dir()).unwrap();
    for (name, bytes) in NAMES.iter().zip(fixture) {
        disk.open(&wal_dir().join(name), OpenMode::Create).unwrap().write_all_at(bytes, 0).unwrap();
    }
    disk.make_durable();
    disk
}

fn written() -> Vec<Entry> {
    let entry = |index: u64| {
        let len = if index.is_multiple_of(5) { 0 } else { index as usize * 30 };
        let kind = if index == 7 { EntryKind::ConfChange } else { EntryKind::Normal };
        let data: Vec<u8> = (0..len).map(|j| (index as u8).wrapping_add(j as u8)).collect();
        Entry { term: 2, index, kind, data: data.into() }
    };
    (1..=20).map(entry).collect()
}

#[test]
fn logs_of_3_7_and_3_6_are_read() {
    for side in [false, true] {
        let (_, found) = open(&disk_with(V3_7), &options(3000, side)).unwrap();
        assert_eq!((found.metadata, found.start.index), (METADATA, 0));
        assert_eq!(found.hard_state, HardState { term: 2, vote: 3, commit: 19 });
        assert_eq!(found.entries, written());
        assert_eq!(found.report.torn, None);

        let (_, found) = open(&disk_with(V3_6), &options(3000, side)).unwrap();
        assert_eq!((found.metadata, found.start), (METADATA, snapshot(12, 2)));
        assert_eq!(found.hard_state, HardState { term: 2, vote: 3, commit: 19 });
        assert_eq!(found.entries, written()[12..]);
    }
}

#[test]
fn the_same_saves_give_the_same_bytes_as_3_7() {
    let disk = disk();
    // etcd decides on a cut before it has flushed what it just saved, and so cuts a little later.
    let mut wal = create(&disk, &options(3500, true));
    for entry in written() {
        let commit = entry.index - 1;
        wal.append(&[entry], HardState { term: 2, vote: 3, commit }).unwrap();
    }
    wal.close().unwrap();
    let paths: Vec<PathBuf> = NAMES.iter().map(|name| wal_dir().join(name)).collect();
    assert_eq!(segments(&disk), paths);
    for (path, theirs) in paths.iter().zip(V3_7) {
        let ours = disk.contents(path).unwrap();
        assert_eq!(ours[..], theirs[..ours.len()], "{}", path.display());
        assert!(theirs[ours.len()..].iter().all(|b| *b == 0), "theirs is preallocated");
    }
}

#[test]
fn a_log_of_3_6_goes_on_with_its_metadata_as_it_was() {
    let disk = disk_with(V3_6);
    let (mut wal, found) = open(&disk, &options(3000, true)).unwrap();
    for index in 21..=40 {
        wal.append(&[entry(index, 3, 200)], state(3, index - 1)).unwrap();
    }
    wal.close().unwrap();
    assert!(segments(&disk).len() > 3);
    let (_, again) = open(&disk, &options(3000, true)).unwrap();
    assert_eq!(again.entries[..8], found.entries);
    assert_eq!(again.entries[8..], entries(21..=40, 3, 200));
    // Crc record of 16 bytes, then the metadata record, which must be that of etcd's first segment.
    let metadata = |path: &Path| {
        let bytes = disk.contents(path).unwrap();
        let record = bytes.windows(2).skip(24).position(|w| w[0] == 0x1a).unwrap() + 24;
        bytes[record..record + 16].to_vec()
    };
    assert_eq!(metadata(&segments(&disk)[3]), metadata(&segments(&disk)[0]));
}
