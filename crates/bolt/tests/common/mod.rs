//! A plain map as the model of a database, and random work on both.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bolt::{Db, Image, Op, Options, Snapshot};
use bytes::Bytes;
use proptest::prelude::*;
use vfs::SimDisk;

pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;
/// Bucket → key → value.
pub type Model = BTreeMap<String, Rows>;

pub const BUCKETS: [&str; 4] = ["key", "lease", "meta", "auth"];
pub const DB_PATH: &str = "/d/member/snap/db";
pub const SIDE_DIR: &str = "/d/member/mainstay";

/// A disk with the directory of the database.
pub fn disk() -> SimDisk {
    use vfs::Disk;
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d/member/snap")).unwrap();
    disk.make_durable();
    disk
}

pub fn open(disk: &SimDisk, options: &Options) -> Db {
    Db::open(Arc::new(disk.clone()), Path::new(DB_PATH), options.clone()).unwrap()
}

pub fn options(page_size: usize, cache_bytes: usize, side: bool) -> Options {
    let side_dir = side.then(|| SIDE_DIR.into());
    Options { page_size, cache_bytes, side_dir, ..Options::default() }
}

/// A value of `len` bytes that depends on `seed`.
pub fn value(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (seed.wrapping_mul(31).wrapping_add(i * 7) >> 3) as u8).collect()
}

pub fn put(db: &mut Db, model: &mut Model, bucket: &'static str, key: &[u8], value: &[u8]) {
    let op = Op { bucket, key: Bytes::copy_from_slice(key), value: Some(Bytes::copy_from_slice(value)) };
    db.apply(&op).unwrap();
    model.entry(bucket.into()).or_default().insert(key.to_vec(), value.to_vec());
}

pub fn delete(db: &mut Db, model: &mut Model, bucket: &'static str, key: &[u8]) {
    db.apply(&Op { bucket, key: Bytes::copy_from_slice(key), value: None }).unwrap();
    if let Some(rows) = model.get_mut(bucket) {
        rows.remove(key);
    }
}

/// Everything that a snapshot holds.
pub fn contents(snapshot: &Snapshot) -> Model {
    try_contents(snapshot).unwrap()
}

pub fn try_contents(snapshot: &Snapshot) -> Result<Model, bolt::BoltError> {
    let mut model = Model::new();
    for bucket in snapshot.buckets()? {
        let mut cursor = snapshot.cursor(&bucket)?;
        let rows = model.entry(bucket).or_default();
        while let Some((key, value)) = cursor.next()? {
            rows.insert(key.to_vec(), value.to_vec());
        }
    }
    Ok(model)
}

pub fn assert_clean(snapshot: &Snapshot) {
    assert_eq!(bolt::check(snapshot), []);
}

/// Every way of reading gives what the model holds.
pub fn assert_same(snapshot: &Snapshot, model: &Model) {
    let found = contents(snapshot);
    assert!(found == *model, "differs: {}", first_difference(&found, model));
    for (bucket, rows) in model {
        let mut back = Vec::new();
        let mut cursor = snapshot.cursor(bucket).unwrap();
        cursor.seek_last().unwrap();
        while let Some((key, value)) = cursor.prev().unwrap() {
            back.push((key.to_vec(), value.to_vec()));
        }
        assert!(
            back.into_iter().eq(rows.iter().rev().map(|(k, v)| (k.clone(), v.clone()))),
            "{bucket} backwards"
        );
        for (key, value) in rows.iter().step_by(rows.len() / 20 + 1) {
            assert_eq!(snapshot.get(bucket, key).unwrap().as_deref(), Some(&value[..]));
            let mut probe = key.clone();
            probe.push(0);
            cursor.seek(&probe).unwrap();
            let above = rows.range(probe.clone()..).next().map(|(k, _)| k.clone());
            assert_eq!(cursor.clone().next().unwrap().map(|(k, _)| k.to_vec()), above);
            let below = rows.range(..probe.clone()).next_back().map(|(k, _)| k.clone());
            assert_eq!(cursor.prev().unwrap().map(|(k, _)| k.to_vec()), below);
            if !rows.contains_key(&probe) {
                assert_eq!(snapshot.get(bucket, &probe).unwrap(), None);
            }
        }
    }
}

pub fn first_difference(found: &Model, model: &Model) -> String {
    if found.keys().ne(model.keys()) {
        return format!("buckets {:?}, expected {:?}", found.keys(), model.keys());
    }
    for (bucket, rows) in model {
        for key in rows.keys().chain(found[bucket].keys()) {
            let (a, b) = (found[bucket].get(key).map(Vec::len), rows.get(key).map(Vec::len));
            if found[bucket].get(key) != rows.get(key) {
                return format!("{bucket} {key:02x?}: {a:?} bytes, expected {b:?}");
            }
        }
    }
    "nowhere".into()
}

/// The whole image, read in pieces of odd sizes.
pub fn image_bytes(image: &Image) -> Vec<u8> {
    let mut bytes = vec![0; image.len() as usize];
    let mut at = 0;
    for piece in [1, 100, 5000, 70_001].into_iter().cycle() {
        let end = (at + piece).min(bytes.len());
        let filled = image.read_at(at as u64, &mut bytes[at..end]).unwrap();
        assert_eq!(filled, end - at);
        if filled == 0 {
            return bytes;
        }
        at += filled;
    }
    unreachable!("the loop is endless")
}

/// One step of random work.
#[derive(Clone, Debug)]
pub enum Step {
    Put {
        bucket: usize,
        key: u16,
        key_len: usize,
        len: usize,
    },
    Append {
        count: u16,
        len: usize,
    },
    Delete {
        bucket: usize,
        key: u16,
        key_len: usize,
    },
    /// Deletes a part (in 256ths) of the rows of a bucket, every `stride`-th.
    Thin {
        bucket: usize,
        part: u8,
        stride: usize,
    },
    Commit,
    Reopen,
    Hold,
    Release {
        which: usize,
    },
    Shrink {
        pages: u64,
    },
}

pub fn steps(max: usize) -> impl Strategy<Value = Vec<Step>> {
    let key_len = prop_oneof![8 => Just(2_usize), 2 => 2..60_usize, 1 => 300..900_usize];
    let len = prop_oneof![6 => 0..200_usize, 3 => 200..1500_usize, 1 => 1500..30_000_usize];
    let append_len = prop_oneof![4 => 50..400_usize, 2 => 400..1200_usize, 1 => 1200..9000_usize];
    let step = prop_oneof![
        8 => (0..4_usize, any::<u16>(), key_len.clone(), len)
            .prop_map(|(bucket, key, key_len, len)| Step::Put { bucket, key: key % 300, key_len, len }),
        6 => (1..60_u16, append_len).prop_map(|(count, len)| Step::Append { count, len }),
        4 => (0..4_usize, any::<u16>(), key_len)
            .prop_map(|(bucket, key, key_len)| Step::Delete { bucket, key: key % 300, key_len }),
        3 => (0..4_usize, any::<u8>(), 1..4_usize)
            .prop_map(|(bucket, part, stride)| Step::Thin { bucket, part, stride }),
        6 => Just(Step::Commit),
        2 => Just(Step::Reopen),
        2 => Just(Step::Hold),
        3 => (0..4_usize).prop_map(|which| Step::Release { which }),
        3 => (1..40_u64).prop_map(|pages| Step::Shrink { pages }),
    ];
    proptest::collection::vec(step, 1..max)
}

pub fn step_key(key: u16, key_len: usize) -> Vec<u8> {
    let mut bytes = key.to_be_bytes().to_vec();
    bytes.resize(key_len, b'x');
    bytes
}

/// The key of appended row `n`, above all of [`step_key`] in the `key` bucket.
pub fn appended_key(n: u64) -> Vec<u8> {
    let mut key = vec![0xFF];
    key.extend(n.to_be_bytes());
    key.extend(b"_00000000");
    key
}

/// Applies a step that changes rows; `false` for the others.
pub fn change(db: &mut Db, model: &mut Model, appended: &mut u64, step: &Step) -> bool {
    match *step {
        Step::Put { bucket, key, key_len, len } => {
            let value = value(u64::from(key) + len as u64, len);
            put(db, model, BUCKETS[bucket], &step_key(key, key_len), &value);
        }
        Step::Append { count, len } => {
            for _ in 0..count {
                *appended += 1;
                put(db, model, "key", &appended_key(*appended), &value(*appended, len));
            }
        }
        Step::Delete { bucket, key, key_len } => delete(db, model, BUCKETS[bucket], &step_key(key, key_len)),
        Step::Thin { bucket, part, stride } => {
            let keys: Vec<_> =
                model.get(BUCKETS[bucket]).into_iter().flat_map(|rows| rows.keys().cloned()).collect();
            let count = keys.len() * usize::from(part) / 255;
            for key in keys.iter().take(count).step_by(stride) {
                delete(db, model, BUCKETS[bucket], key);
            }
        }
        _ => return false,
    }
    true
}
