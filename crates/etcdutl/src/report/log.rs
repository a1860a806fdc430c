//! Facts from the log, and from the files beside the database.

use std::{fs, path::Path};

use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, decode_key, skip_field};
use proto::etcdserverpb::InternalRaftRequest;
use serde_json::Value;
use telemetry::log::size;
use types::raft::{Entry, EntryKind};
use wal::{Recovered, SegmentName, WalError, snap};

use super::{Group, db::Facts, remarks::Remarks};
use crate::dbfile::disk;

/// Reads the log and looks at the directory.
pub(super) fn read(data_dir: &Path, wal_dir: &Path, db: &Facts, remarks: &mut Remarks) -> Vec<Group> {
    let side_dir = data_dir.join("member/mainstay/wal");
    let side_dir = side_dir.exists().then_some(side_dir);
    let mut groups = Vec::new();
    match wal::read(&*disk(), wal_dir, side_dir.as_deref()) {
        Ok(recovered) => groups.push(log(&recovered, wal_dir, db, remarks)),
        Err(WalError::NotFound { .. }) => remarks.blocks(format!(
            "there is no log in {}: name it with --wal-dir, or restore the directory from a snapshot",
            wal_dir.display()
        )),
        Err(error) => remarks.blocks(format!("the log cannot be used: {error}")),
    }
    groups.push(beside(data_dir, remarks));
    groups
}

fn log(recovered: &Recovered, wal_dir: &Path, db: &Facts, remarks: &mut Remarks) -> Group {
    let (segments, bytes) = segments(wal_dir);
    let start = recovered.start.index;
    let last = recovered.entries.last().map_or(start, |entry| entry.index);
    let unapplied = db.applied.map(|applied| last.saturating_sub(applied.max(start)));
    judge_pair(recovered, start, last, db, remarks);
    let unreadable = recovered.entries.iter().filter(|entry| !is_readable(entry)).count();
    if unreadable > 0 {
        remarks
            .blocks(format!("{unreadable} entries of the log cannot be read: they are of another version"));
    }
    let old = recovered.entries.iter().filter(|entry| is_v2(entry)).count();
    if old > 0 {
        remarks.surprise(format!(
            "{old} entries of the log are requests of the v2 API, which are passed over: let etcd 3.5 make a snapshot first"
        ));
    }
    let facts = vec![
        ("segments", segments.into()),
        ("size", size(bytes).into()),
        ("member", recovered.metadata.node_id.to_string().into()),
        ("cluster", recovered.metadata.cluster_id.to_string().into()),
        ("starts at index", start.into()),
        ("ends at index", last.into()),
        ("committed index", recovered.hard_state.commit.into()),
        ("term", recovered.hard_state.term.into()),
        ("entries the database lacks", unapplied.into()),
        ("torn tail", torn(recovered, remarks)),
        ("requests of the v2 API", old.into()),
    ];
    Group { name: "log", facts }
}

fn judge_pair(recovered: &Recovered, start: u64, last: u64, db: &Facts, remarks: &mut Remarks) {
    let Some(applied) = db.applied else { return };
    if applied > last {
        remarks.blocks(format!(
            "the database holds the log up to index {applied}, but the log ends at {last}: acknowledged writes are missing from it"
        ));
    }
    if start > applied {
        remarks.blocks(format!(
            "the database holds the log up to index {applied}, but the log begins at {start}: the database is older than its log"
        ));
    }
    let Some(small) = &db.small else { return };
    let id = recovered.metadata.node_id;
    if small.cluster.is_removed(id) {
        remarks.blocks(format!("member {id}, whose log this is, was removed from its cluster"));
    } else if applied > 0 && small.cluster.member(id).is_none() {
        remarks.surprise(format!("member {id}, whose log this is, is not among the members in the database"));
    }
}

fn torn(recovered: &Recovered, remarks: &mut Remarks) -> Value {
    let Some(torn) = &recovered.report.torn else { return "none".into() };
    remarks.note(format!(
        "the log ends in a write that a power loss tore ({} bytes at offset {} of {}); it was acknowledged to nobody, and the next server cuts it off",
        torn.bytes, torn.offset, torn.segment
    ));
    format!("{} bytes at offset {} of {}", torn.bytes, torn.offset, torn.segment).into()
}

/// How many segments there are, and their bytes.
fn segments(dir: &Path) -> (u64, u64) {
    let Ok(entries) = fs::read_dir(dir) else { return (0, 0) };
    let lengths = entries.flatten().filter_map(|entry| {
        SegmentName::parse(&entry.file_name().to_string_lossy())?;
        entry.metadata().ok().map(|about| about.len())
    });
    lengths.fold((0, 0), |(count, bytes), len| (count + 1, bytes + len))
}

fn request_in(entry: &Entry) -> Option<InternalRaftRequest> {
    proto::decode(entry.data.clone()).ok()
}

fn is_readable(entry: &Entry) -> bool {
    entry.kind != EntryKind::Normal || request_in(entry).is_some()
}

/// The field of a request that older versions kept those of the v2 API in.
const V2_FIELD: u32 = 2;

fn is_v2(entry: &Entry) -> bool {
    entry.kind == EntryKind::Normal && has_field(entry.data.clone(), V2_FIELD)
}

/// Whether a message has the field; a message that breaks off has what came before.
fn has_field(mut message: Bytes, wanted: u32) -> bool {
    while message.has_remaining() {
        let Ok((field, wire_type)) = decode_key(&mut message) else { return false };
        if field == wanted {
            return true;
        }
        if skip_field(wire_type, field, &mut message, DecodeContext::default()).is_err() {
            return false;
        }
    }
    false
}

/// `.snap` files, databases received from a leader, and what crashes left.
fn beside(data_dir: &Path, remarks: &mut Remarks) -> Group {
    let dir = data_dir.join("member/snap");
    let names: Vec<String> = fs::read_dir(&dir).map_or_else(
        |_| Vec::new(),
        |entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
    );
    let with = |end: &str| names.iter().filter(|name| name.ends_with(end)).count();
    let received = with(".snap.db");
    if received > 0 {
        remarks
            .note(format!("{received} databases that were received from a leader lie beside the database"));
    }
    let broken = with(".broken");
    if broken > 0 {
        remarks.surprise(format!("{broken} files were set aside as broken in {}", dir.display()));
    }
    let snaps = snap::list(&*disk(), &dir).unwrap_or_default();
    let old_keys = snaps.first().and_then(|name| snap::read(&*disk(), &dir.join(name.file_name())).ok());
    let old_keys = old_keys.map_or(0, |snapshot| v2_keys(&snapshot.data));
    if old_keys > 0 {
        remarks.surprise(format!(
            "the newest .snap file holds {old_keys} keys of the v2 API: nothing since 3.6 reads them; export them with etcd 3.5 if they matter"
        ));
    }
    Group {
        name: "files",
        facts: vec![
            (".snap files", snaps.len().into()),
            ("received databases", received.into()),
            ("set aside as broken", broken.into()),
            ("keys of the v2 API", old_keys.into()),
        ],
    }
}

/// Keys that users of the v2 API have set: below `/1`.
fn v2_keys(tree: &[u8]) -> u64 {
    let Ok(tree) = serde_json::from_slice::<Value>(tree) else { return 0 };
    let mut stack = vec![&tree["Root"]["Children"]["1"]];
    let mut keys = 0;
    while let Some(node) = stack.pop() {
        match node["Children"].as_object() {
            Some(children) => stack.extend(children.values()),
            None => keys += u64::from(node.is_object()),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_the_old_api_are_seen() {
        let entry = |data: &'static [u8]| Entry { data: Bytes::from_static(data), ..Entry::default() };
        assert!(is_v2(&entry(b"\x08\x05\x12\x00")));
        assert!(!is_v2(&entry(b"\x08\x05\x1a\x00")) && !is_v2(&entry(b"")) && !is_v2(&entry(b"\xff")));
    }

    #[test]
    fn keys_of_the_old_api_are_counted() {
        let tree = br#"{"Root":{"Children":{"0":{"Children":{"version":{"Value":"3.5.0","Children":null}}},
            "1":{"Children":{"a":{"Value":"1","Children":null},"b":{"Children":{"c":{"Children":null}}}}}}}}"#;
        assert_eq!(v2_keys(tree), 2);
        assert_eq!(v2_keys(br#"{"Root":{"Children":{"1":{"Children":{}}}}}"#), 0);
        assert_eq!(v2_keys(b"no json"), 0);
    }
}
