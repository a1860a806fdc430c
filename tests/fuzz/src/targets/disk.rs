//! Files that were damaged, or come from somebody else.

use std::{path::Path, sync::Arc};

use bolt::Db;
use bytes::Bytes;
use prost::Message;
use proto::{raftpb, walpb};
use state::State;
use types::{Write, bucket};
use vfs::{Disk, OpenMode, SimDisk};

use crate::{
    Target,
    input::{Input, long},
    meter,
    worlds::{self, Machine},
};

const SEGMENT: &str = "/m/wal/0000000000000000-0000000000000000.wal";

/// A disk with these files.
fn disk(files: &[(&str, &[u8])]) -> SimDisk {
    let disk = SimDisk::new();
    for (path, content) in files {
        let path = Path::new(path);
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        let file = disk.open(path, OpenMode::Create).unwrap();
        file.write_all_at(content, 0).unwrap();
    }
    disk.make_durable();
    disk
}

pub(crate) const WAL: Target = Target {
    name: "wal",
    what: "a segment, raw or of any records with right checksums, with and without a side file: read, scanned, opened",
    run: run_wal,
    seeds: wal_seeds,
    memory: wal_memory,
    len_max: 16 << 10,
};

/// Reading is through a window of 1 MiB, or less where the segment is shorter. A record takes 64 bytes beside its data.
/// Opening writes the disk in memory: a copy of a torn segment, and zeros up to the next sector.
fn wal_memory(input: &[u8]) -> usize {
    64 * input.len() + (2 << 20)
}

/// A record in its frame, after records with checksum `crc`.
fn frame(kind: i64, data: &[u8], crc: &mut u32) -> Vec<u8> {
    // Type 4 says the checksum so far and has no data.
    if kind != 4 {
        *crc = crc32c::crc32c_append(*crc, data);
    }
    let data = (!data.is_empty()).then(|| Bytes::copy_from_slice(data));
    let record = walpb::Record { r#type: Some(kind), crc: Some(*crc), data }.encode_to_vec();
    let pad = record.len().wrapping_neg() % 8;
    let mut word = record.len() as u64;
    if pad > 0 {
        word |= (0x80 | pad as u64) << 56;
    }
    [&word.to_le_bytes()[..], &record, &[0; 8][..pad]].concat()
}

/// First byte: bit 0: the rest are records, `kind, length of two bytes, data`, each in its frame; bit 1: the last 200 bytes
/// are a side file.
fn run_wal(input: &[u8]) {
    let disk = meter::aside(|| {
        let mut input = Input(input);
        let mode = input.byte();
        let (content, side) = match mode & 2 {
            0 => (input.0, &[][..]),
            _ => input.0.split_at(input.0.len().saturating_sub(200)),
        };
        let mut segment = Vec::new();
        if mode & 1 == 0 {
            segment.extend_from_slice(content);
        } else {
            let (mut content, mut crc) = (Input(content), 0);
            while !content.is_empty() {
                let kind = content.byte();
                segment.extend(frame(i64::from(kind), content.long(), &mut crc));
            }
            segment.resize(segment.len().next_multiple_of(512), 0);
        }
        let mut files = vec![(SEGMENT, &segment[..])];
        if !side.is_empty() {
            files.push(("/m/mainstay/wal/0000000000000000.side", side));
        }
        disk(&files)
    });
    let (dir, side) = (Path::new("/m/wal"), Path::new("/m/mainstay/wal"));
    let with_side = disk.exists(side).unwrap_or(false).then_some(side);
    let read = wal::read(&disk, dir, with_side);
    let _ = wal::scan(&disk, dir, with_side, drop);
    let options =
        wal::WalOptions { segment_bytes: 8192, side_dir: None, prewrite_first: false, room_bytes: 0 };
    let opened = wal::Wal::open(Arc::new(disk), dir, options);
    if with_side.is_none()
        && let (Ok(read), Ok((_, opened))) = (&read, &opened)
    {
        assert_eq!(read.entries, opened.entries, "looking and opening differ");
    }
}

fn records() -> Vec<(u8, Vec<u8>)> {
    let entry = |index: u64| raftpb::Entry {
        term: Some(1),
        index: Some(index),
        r#type: None,
        data: Some(vec![index as u8; 20].into()),
    };
    let state = |commit| raftpb::HardState { term: Some(1), vote: Some(1), commit: Some(commit) };
    let metadata = proto::etcdserverpb::Metadata { node_id: Some(1), cluster_id: Some(2) };
    vec![
        (4, Vec::new()),
        (1, metadata.encode_to_vec()),
        (5, walpb::Snapshot { index: Some(0), term: Some(0), conf_state: None }.encode_to_vec()),
        (2, entry(1).encode_to_vec()),
        (2, entry(2).encode_to_vec()),
        (3, state(1).encode_to_vec()),
        (2, entry(3).encode_to_vec()),
        (3, state(3).encode_to_vec()),
    ]
}

fn wal_seeds() -> Vec<Vec<u8>> {
    let (mut crc, mut raw, mut framed) = (0, vec![0], vec![1]);
    for (kind, data) in records() {
        raw.extend(frame(i64::from(kind), &data, &mut crc));
        framed.extend([&[kind][..], &long(&data)].concat());
    }
    let read = |input: &[u8]| {
        let disk = disk(&[(SEGMENT, &input[1..])]);
        wal::read(&disk, Path::new("/m/wal"), None).map(|found| found.entries.len())
    };
    assert_eq!(read(&raw).unwrap(), 3, "the seed is a sound log");
    let mut torn = raw.clone();
    torn.truncate(torn.len() - 9);
    let mut zeros = raw.clone();
    zeros.resize(2048, 0);
    let with_side = [&[2][..], &raw[1..], &[0; 200]].concat();
    vec![raw, framed, torn, zeros, with_side]
}

pub(crate) const SNAP: Target = Target {
    name: "snap",
    what: "a .snap file, with its checksum as it is or set right",
    run: run_snap,
    seeds: snap_seeds,
    memory: snap_memory,
    len_max: 8 << 10,
};

/// The file, its message, and lists of members' ids: eight bytes for one, in a growing list.
fn snap_memory(input: &[u8]) -> usize {
    36 * input.len() + (64 << 10)
}

fn run_snap(input: &[u8]) {
    let disk = meter::aside(|| {
        let mut input = Input(input);
        let content = match input.flag() {
            false => input.0.to_vec(),
            true => proto::snappb::Snapshot {
                crc: Some(crc32c::crc32c(input.0)),
                data: Some(Bytes::copy_from_slice(input.0)),
            }
            .encode_to_vec(),
        };
        disk(&[("/snap/0000000000000001-0000000000000002.snap", &content)])
    });
    let path = Path::new("/snap/0000000000000001-0000000000000002.snap");
    if let Ok(snapshot) = wal::snap::read(&disk, path) {
        let again = wal::snap::encode(&snapshot);
        assert!(!again.is_empty());
    }
}

fn snap_seeds() -> Vec<Vec<u8>> {
    let conf_state =
        types::raft::ConfState { voters: vec![1, 2], learners: vec![9], ..types::raft::ConfState::default() };
    let meta = types::raft::SnapshotMeta { index: 2, term: 1, conf_state };
    let snapshot = types::raft::Snapshot { meta, data: Bytes::from_static(b"{\"Root\":{}}") };
    let body = raftpb::Snapshot::from(&snapshot).encode_to_vec();
    vec![[&[0][..], &wal::snap::encode(&snapshot)].concat(), [&[1][..], &body].concat()]
}

pub(crate) const DB: Target = Target {
    name: "db",
    what: "a database with any bytes changed: opened, checked, walked, read, changed; as one received from a leader",
    run: run_db,
    seeds: db_seeds,
    memory: db_memory,
    len_max: 4 << 10,
};

/// The sound file that patches are for.
fn image() -> Vec<u8> {
    thread_local! {
        static IMAGE: Vec<u8> = {
            let mut machine = Machine::with_users();
            for number in 0..60u8 {
                let put = proto::etcdserverpb::PutRequest {
                    key: vec![b'k', number].into(),
                    value: vec![number; 40].into(),
                    ..Default::default()
                };
                let header = proto::etcdserverpb::RequestHeader {
                    username: "root".into(),
                    auth_revision: machine.state.auth().revision(),
                    ..Default::default()
                };
                let entry = proto::etcdserverpb::InternalRaftRequest {
                    header: Some(header),
                    put: Some(put),
                    ..Default::default()
                };
                machine.apply(&entry.encode_to_vec()).unwrap();
            }
            machine.commit();
            let image = machine.db.snapshot().image().unwrap();
            let mut bytes = vec![0; usize::try_from(image.len()).unwrap()];
            assert_eq!(image.read_at(0, &mut bytes).unwrap(), bytes.len());
            bytes
        };
    }
    IMAGE.with(Clone::clone)
}

/// The file is opened four times, by different doors: each reads its pages, and keeps what it has read. Changed pages are
/// written to a disk in memory.
fn db_memory(_input: &[u8]) -> usize {
    16 * meter::aside(|| image().len()) + (512 << 10)
}

/// Changes bytes of the sound file: `offset of two bytes, length of one, bytes`. With an odd first byte, checksums of the
/// meta pages are set right again; with the second bit, the file is cut at the end.
fn patched(input: &[u8]) -> Vec<u8> {
    let mut file = image();
    let mut input = Input(input);
    let mode = input.byte();
    while !input.is_empty() {
        let at = usize::from(input.byte()) | usize::from(input.byte()) << 8;
        let patch = input.short();
        let at = at % file.len();
        let end = (at + patch.len()).min(file.len());
        file[at..end].copy_from_slice(&patch[..end - at]);
    }
    if mode & 1 != 0 {
        for page in file.chunks_mut(1024).take(2) {
            let sum = page[16..72].iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            page[72..80].copy_from_slice(&sum.to_le_bytes());
        }
    }
    if mode & 2 != 0 {
        file.truncate(file.len() - usize::from(mode) * 16);
    }
    file
}

fn run_db(input: &[u8]) {
    let disk: Arc<dyn Disk> = meter::aside(|| Arc::new(disk(&[("/db", &patched(input))])));
    let path = Path::new("/db");
    let options = |read_only| bolt::Options {
        page_size: 1024,
        cache_bytes: 256 << 10,
        read_only,
        ..bolt::Options::default()
    };
    let _ = node::check_received(Arc::clone(&disk), path, 3);
    if let Ok(db) = Db::open(Arc::clone(&disk), path, options(true)) {
        let _ = bolt::check(&db.snapshot());
        walk(&db.snapshot());
        let _ = db.snapshot().image();
        let _ = State::open(db.snapshot(), worlds::settings());
        look(&db.snapshot());
    }
    look_at_pages(&*disk, path);
    if let Ok(mut db) = Db::open(disk, path, options(false)) {
        for number in 0..8u8 {
            let key = vec![b'0' + number; 9];
            // One of many keys gone, and one more.
            let write = Write::put(bucket::KEY, key.clone(), vec![number; 300]);
            if db.apply(&write).and_then(|()| db.apply(&Write::delete(bucket::META, key))).is_err() {
                return;
            }
        }
        if db.commit().is_ok() {
            walk(&db.snapshot());
        }
    }
}

/// What the tools for files do.
fn look(snapshot: &bolt::Snapshot) {
    let _ = (bolt::check_metas(snapshot), bolt::check_from(snapshot, 2));
    let mut elements = snapshot.top().elements();
    while let Ok(Some(element)) = elements.next() {
        if let bolt::Element::Bucket(name, bucket) = element {
            let mut below = bucket.elements();
            while let Ok(Some(_)) = below.next() {}
            let _ = snapshot.top().find(&name);
        }
    }
    if snapshot.unused_pages().is_ok() {
        let _ = snapshot.top().stats();
    }
}

fn look_at_pages(disk: &dyn Disk, path: &Path) {
    let Ok(pages) = bolt::Pages::open(disk, path) else { return };
    for id in (0..64).chain([pages.page_count(), u64::MAX]) {
        let Ok(Some(page)) = pages.page(id) else { continue };
        let _ = (page.meta(), page.free_ids());
        for index in (0..page.count().min(300)).chain([u16::MAX]) {
            let _ = (page.leaf_item(index), page.branch_item(index));
        }
    }
}

fn walk(snapshot: &bolt::Snapshot) {
    let Ok(buckets) = snapshot.buckets() else { return };
    for name in buckets {
        let Ok(mut cursor) = snapshot.cursor(&name) else { continue };
        // A sound file has 64 rows and a few: a walk that does not end is a finding, by its time.
        while let Ok(Some((key, _))) = cursor.next() {
            let _ = snapshot.get(&name, &key);
        }
        let _ = cursor.seek(b"k\x10").and_then(|()| cursor.prev().map(drop));
        let _ = cursor.seek_last().and_then(|()| cursor.prev().map(drop));
    }
}

fn db_seeds() -> Vec<Vec<u8>> {
    let pages = image().len() / 1024;
    let mut seeds = vec![vec![0], vec![1]];
    // A child beyond all numbers, found by fuzzing.
    seeds.push([&[0; 4][..], &[0xb5, 0x80, 0xca], &[0xff; 8], &[9]].concat());
    for page in 0..pages {
        // Head of a page, its first elements, and something in the middle.
        for at in [8u16, 16, 32, 48, 500] {
            let at = (page * 1024) as u16 + at;
            let at = at.to_le_bytes();
            seeds.push([&[1, at[0], at[1]][..], &[8], &[0xff, 0, 0, 0, 1, 0, 0, 0x80]].concat());
        }
    }
    seeds
}

pub(crate) const ROWS: Target = Target {
    name: "rows",
    what: "any rows in etcd's buckets, from which a state is opened",
    run: run_rows,
    seeds: row_seeds,
    memory: row_memory,
    len_max: 8 << 10,
};

/// Rows of the small buckets are parsed into members, users, roles and leases; each row of a few bytes has a place in
/// maps, and members' rows are JSON. The key index takes about 100 bytes a key.
fn row_memory(input: &[u8]) -> usize {
    128 * input.len() + (512 << 10)
}

/// `bucket, key, value`, again and again.
fn run_rows(input: &[u8]) {
    let db = meter::aside(|| {
        let mut db = worlds::empty_db();
        let mut input = Input(input);
        while !input.is_empty() {
            let bucket = bucket::ALL[input.choice(bucket::ALL.len())];
            let (key, value) = (input.bytes(), Bytes::copy_from_slice(input.long()));
            if !key.is_empty() {
                db.apply(&Write { bucket, key, value: Some(value) }).unwrap();
            }
        }
        db.commit().unwrap();
        db
    });
    let Ok(mut state) = State::open(db.snapshot(), worlds::settings()) else { return };
    let all = proto::etcdserverpb::RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        ..Default::default()
    };
    if let Ok(mut answer) = state.range(&all) {
        (0..answer.rows.len()).for_each(|i| drop(answer.rows.fetch(i)));
    }
    let _ = state.migrate_storage(None);
    let _ = state.seal();
    meter::aside(|| drop(state));
}

fn row_seeds() -> Vec<Vec<u8>> {
    let snapshot = Machine::with_users().db.snapshot();
    let mut all = Vec::new();
    let mut seeds = Vec::new();
    for (number, name) in bucket::ALL.iter().enumerate() {
        let mut cursor = snapshot.cursor(name).unwrap();
        while let Some((key, value)) = cursor.next().unwrap() {
            let row = [&[number as u8, key.len() as u8][..], &key, &long(&value)].concat();
            seeds.push(row.clone());
            all.extend(row);
        }
    }
    let member =
        br#"{"id":1,"peerURLs":["http://a:1"],"name":"m","clientURLs":["http://a:2"],"isLearner":false}"#;
    let row = |bucket: &str, key: &[u8], value: &[u8]| {
        let number = bucket::ALL.iter().position(|name| *name == bucket).unwrap();
        [&[number as u8, key.len() as u8][..], key, &long(value)].concat()
    };
    let others = [
        row(bucket::MEMBERS, b"1", member),
        row(bucket::MEMBERS_REMOVED, b"2", b"removed"),
        row(bucket::CLUSTER, b"clusterVersion", b"3.7.0"),
        row(bucket::CLUSTER, b"downgrade", br#"{"target-version":"3.6.0","enabled":true}"#),
        row(bucket::ALARM, &[8, 1, 16, 1], b""),
        row(bucket::META, b"confState", br#"{"voters":[1],"auto_leave":false}"#),
        row(bucket::META, b"storageVersion", b"3.7.0"),
        row(bucket::META, b"scheduledCompactRev", &[0, 0, 0, 0, 0, 0, 0, 3, b'_', 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    seeds.push(all.clone());
    all.extend(others.concat());
    seeds.extend(others);
    seeds.push(all);
    seeds
}
