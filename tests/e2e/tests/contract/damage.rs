//! Data directories that are not as a server left them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use e2e::server::Server;
use prost::Message;
use proto::{raftpb::HardState, walpb};
use tempfile::TempDir;
use types::Write;
use vfs::RealDisk;

use crate::common::*;

/// Types of WAL records (contract/semantics.md 14.9).
pub(crate) mod kind {
    pub(crate) const METADATA: i64 = 1;
    pub(crate) const ENTRY: i64 = 2;
    pub(crate) const STATE: i64 = 3;
    pub(crate) const CRC: i64 = 4;
    pub(crate) const SNAPSHOT: i64 = 5;
}

/// A directory that a server has served: three puts, stopped cleanly.
pub(crate) fn used() -> TempDir {
    used_with(&[])
}

/// Likewise, with more flags.
pub(crate) fn used_with(flags: &[&str]) -> TempDir {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start_on(dir.path(), flags).unwrap_or_else(|exit| panic!("{exit:?}"));
    let client = server.client();
    for key in ["a", "b", "c"] {
        put_ok(&client, key, key);
    }
    server.stop();
    dir
}

/// A directory whose log starts at a snapshot above 0.
pub(crate) fn used_with_snapshot() -> TempDir {
    let dir = TempDir::new().expect("a directory");
    let server =
        Server::start_on(dir.path(), &["--snapshot-count=5"]).unwrap_or_else(|exit| panic!("{exit:?}"));
    let client = server.client();
    for n in 0..30 {
        put_ok(&client, "k", &n.to_string());
    }
    let snap = || fs::read_dir(snap_dir(dir.path())).ok()?.filter_map(Result::ok).find(is_snap);
    assert!(e2e::server::poll(snap).is_some(), "a snapshot is written");
    server.stop();
    dir
}

fn is_snap(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name().into_string().unwrap_or_default();
    name.ends_with(".snap") && !name.starts_with("tmp")
}

pub(crate) fn snap_dir(data: &Path) -> PathBuf {
    data.join("member/snap")
}

pub(crate) fn db(data: &Path) -> PathBuf {
    snap_dir(data).join("db")
}

/// The only segment.
pub(crate) fn segment(data: &Path) -> PathBuf {
    data.join("member/wal/0000000000000000-0000000000000000.wal")
}

/// What Mainstay keeps beside etcd's files: gone, as in a directory that etcd has served. Checksums that no longer
/// fit would be noticed first.
pub(crate) fn forget_sums(data: &Path) {
    let _ = fs::remove_dir_all(data.join("member/mainstay"));
}

/// Changes rows of the database.
pub(crate) fn edit_db(data: &Path, writes: &[Write]) {
    forget_sums(data);
    let mut db =
        bolt::Db::open(Arc::new(RealDisk), &db(data), bolt::Options::default()).expect("the database opens");
    for write in writes {
        db.apply(write).expect("a row can be changed");
    }
    db.commit().expect("the database can be written");
}

/// The records of a segment: type and payload.
pub(crate) fn read_wal(path: &Path) -> Vec<(i64, Bytes)> {
    let bytes = fs::read(path).expect("the segment is there");
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(word) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        if word == 0 {
            break;
        }
        let length = (word & (u64::MAX >> 8)) as usize;
        let pad = (word >> 56) as usize & 7;
        let record = walpb::Record::decode(&bytes[at + 8..at + 8 + length]).expect("a record");
        records.push((record.r#type(), record.data.unwrap_or_default()));
        at += 8 + length + pad;
    }
    records
}

/// Writes a segment anew, with right checksums that go on from `crc`; gives the last one.
pub(crate) fn write_wal(path: &Path, mut crc: u32, records: &[(i64, Bytes)]) -> u32 {
    let mut bytes = Vec::new();
    for (kind, data) in records {
        crc = crc32c::crc32c_append(crc, data);
        let data = (*kind != kind::CRC).then(|| data.clone());
        let record = walpb::Record { r#type: Some(*kind), crc: Some(crc), data }.encode_to_vec();
        let pad = (8 - record.len() % 8) % 8;
        let top = if pad == 0 { 0 } else { 0x80 | pad as u64 };
        bytes.extend_from_slice(&(record.len() as u64 | top << 56).to_le_bytes());
        bytes.extend_from_slice(&record);
        bytes.resize(bytes.len() + pad, 0);
    }
    bytes.resize(bytes.len() + 4096, 0);
    fs::write(path, bytes).expect("the segment can be written");
    crc
}

/// Changes the records of the only segment.
pub(crate) fn edit_wal(data: &Path, edit: impl FnOnce(&mut Vec<(i64, Bytes)>)) {
    forget_sums(data);
    let mut records = read_wal(&segment(data));
    edit(&mut records);
    write_wal(&segment(data), 0, &records);
}

/// The last hard state in the log.
pub(crate) fn last_state(records: &[(i64, Bytes)]) -> HardState {
    let (_, data) = records.iter().rev().find(|(kind, _)| *kind == kind::STATE).expect("a log has a state");
    HardState::decode(&data[..]).expect("a state")
}

/// Where a snapshot that was received from a leader would stand, for the point that the log starts from.
pub(crate) fn received_snapshot(data: &Path) -> PathBuf {
    let records = read_wal(&segment(data));
    let (_, last) = records.iter().rev().find(|(kind, _)| *kind == kind::SNAPSHOT).expect("a log has one");
    let start = walpb::Snapshot::decode(&last[..]).expect("a snapshot record");
    snap_dir(data).join(format!("{:016x}.snap.db", start.index()))
}

/// All files below a directory, but for what Mainstay keeps for itself and segments that are prepared ahead.
pub(crate) fn files(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![data.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory can be listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                if !path.ends_with("member/mainstay") {
                    dirs.push(path);
                }
            } else if !path.ends_with("wal/0.tmp") {
                found.insert(path.clone(), fs::read(&path).expect("a file can be read"));
            }
        }
    }
    found
}
