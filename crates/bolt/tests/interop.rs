//! Files that bbolt wrote (tests/bbolt): read, changed, shrunk, and what is nested in them preserved.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::{fmt::Write, path::Path, sync::Arc};

use bolt::{Db, Op, Options};
use common::*;
use vfs::{Disk, OpenMode, SimDisk};

const FILES: [(&str, &[u8], &str); 6] = [
    ("freelist", include_bytes!("bbolt/freelist.db"), include_str!("bbolt/freelist.txt")),
    ("no_freelist", include_bytes!("bbolt/no_freelist.db"), include_str!("bbolt/no_freelist.txt")),
    ("long_values", include_bytes!("bbolt/long_values.db"), include_str!("bbolt/long_values.txt")),
    ("nested", include_bytes!("bbolt/nested.db"), include_str!("bbolt/nested.txt")),
    ("page_size_1024", include_bytes!("bbolt/page_size_1024.db"), include_str!("bbolt/page_size_1024.txt")),
    (
        "page_size_16384",
        include_bytes!("bbolt/page_size_16384.db"),
        include_str!("bbolt/page_size_16384.txt"),
    ),
];

fn disk_with(bytes: &[u8]) -> SimDisk {
    let disk = disk();
    let file = disk.open(Path::new(DB_PATH), OpenMode::Create).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    disk.make_durable();
    disk
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// As the `.txt` files, without sequences.
fn dump(model: &Model) -> String {
    let mut text = String::new();
    for (bucket, rows) in model {
        writeln!(text, "bucket {bucket}").unwrap();
        for (key, value) in rows {
            let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "{key} {} {:016x}", value.len(), fnv(value)).unwrap();
        }
    }
    text
}

/// A `.txt` without sequences and nested buckets, which follow the rows of the bucket that they are in.
fn top_level(text: &str) -> String {
    let mut nested = false;
    let mut kept = String::new();
    for line in text.lines() {
        let name = line.strip_prefix("bucket ").map(|rest| rest.split_once(" seq ").unwrap().0);
        nested = name.map_or(nested, |name| name.contains('/'));
        if !nested {
            writeln!(kept, "{}", name.map_or(line.into(), |name| format!("bucket {name}"))).unwrap();
        }
    }
    kept
}

fn each(options: &Options, test: impl Fn(&str, &SimDisk, Db, &str)) {
    for (name, bytes, text) in FILES {
        let disk = disk_with(bytes);
        let db = Db::open(Arc::new(disk.clone()), Path::new(DB_PATH), options.clone()).unwrap();
        test(name, &disk, db, text);
    }
}

#[test]
fn reads_what_bbolt_reads() {
    for side in [false, true] {
        each(&options(4096, 1 << 20, side), |name, _, db, text| {
            assert_eq!(bolt::check(&db.snapshot()), [], "{name}");
            assert_eq!(dump(&contents(&db.snapshot())), top_level(text), "{name}");
        });
    }
}

#[test]
fn changes_keep_everything_else() {
    let options = options(4096, 1 << 20, true);
    each(&options, |name, disk, mut db, _| {
        let mut model = contents(&db.snapshot());
        for round in 0..4_u64 {
            let keys: Vec<_> = model["key"].keys().cloned().collect();
            keys.iter()
                .skip(round as usize)
                .step_by(7)
                .for_each(|key| delete(&mut db, &mut model, "key", key));
            for n in 0..40 {
                let key = format!("n{:03}", (n * 37 + round * 11) % 500);
                put(&mut db, &mut model, "key", key.as_bytes(), &value(n, 90 + n as usize * 10));
            }
            put(&mut db, &mut model, "empty", &[round as u8], b"x");
            db.commit().unwrap();
            assert_clean(&db.snapshot());
            assert_same(&db.snapshot(), &model);
        }
        for _ in 0..200 {
            if db.shrink_step(5).unwrap().done {
                break;
            }
            db.commit().unwrap();
            assert_clean(&db.snapshot());
        }
        drop(db);
        let db = open(disk, &options);
        assert_clean(&db.snapshot());
        assert_same(&db.snapshot(), &model);
        assert!(!name.is_empty());
    });
}

#[test]
fn nested_buckets_are_neither_read_nor_lost() {
    let (_, bytes, _) = FILES[3];
    let disk = disk_with(bytes);
    let options = options(4096, 1 << 20, true);
    let mut db = open(&disk, &options);
    let nested = |db: &Db| {
        let image = image_bytes(&db.snapshot().image().unwrap());
        // The rows of the nested buckets, found by their keys: 60 in pages, 1 inline.
        image.windows(6).filter(|w| w[0] == b's' && w[1..].iter().all(u8::is_ascii_digit)).count()
    };
    assert_eq!(db.snapshot().get("key", b"sub").unwrap(), None);
    let before = nested(&db);
    assert!(before >= 60, "{before}");
    for (key, value) in [(&b"sub"[..], Some(b"x".to_vec())), (b"tiny", None)] {
        let op = Op { bucket: "key", key: key.into(), value: value.map(Into::into) };
        assert!(matches!(db.apply(&op), Err(bolt::BoltError::Incompatible { .. })));
    }
    let mut model = contents(&db.snapshot());
    let keys: Vec<_> = model["key"].keys().cloned().collect();
    keys.iter().for_each(|key| delete(&mut db, &mut model, "key", key));
    db.commit().unwrap();
    db.shrink_step(1000).unwrap();
    db.commit().unwrap();
    drop(db);
    let db = open(&disk, &options);
    assert_clean(&db.snapshot());
    assert_eq!(contents(&db.snapshot())["key"].len(), 0);
    assert_eq!(nested(&db), before);
}

/// bbolt writes the count of a long freelist as its first entry and 0xFFFF into the header.
#[test]
fn check_compares_the_freelist() {
    let (_, bytes, _) = FILES[0];
    let page_size = 4096;
    let newest = (0..2)
        .map(|slot| &bytes[slot * page_size..])
        .max_by_key(|meta| u64::from_le_bytes(meta[64..72].try_into().unwrap()))
        .unwrap();
    let freelist = u64::from_le_bytes(newest[48..56].try_into().unwrap()) as usize * page_size;
    let count = u16::from_le_bytes(bytes[freelist + 10..freelist + 12].try_into().unwrap());
    assert!(count > 1);

    let checked = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.to_vec();
        change(&mut bytes);
        let disk = disk_with(&bytes);
        bolt::check_file(Arc::new(disk), Path::new(DB_PATH), options(4096, 0, false)).unwrap()
    };
    assert_eq!(checked(&|_| {}), []);
    let extended = |bytes: &mut Vec<u8>| {
        bytes[freelist + 10..freelist + 12].copy_from_slice(&[0xFF, 0xFF]);
        let ids = bytes[freelist + 16..freelist + 16 + usize::from(count) * 8].to_vec();
        bytes[freelist + 16..freelist + 24].copy_from_slice(&u64::from(count).to_le_bytes());
        bytes[freelist + 24..freelist + 24 + ids.len()].copy_from_slice(&ids);
    };
    assert_eq!(checked(&extended), []);
    let one_missing = |bytes: &mut Vec<u8>| bytes[freelist + 10] -= 1;
    assert_eq!(checked(&one_missing).len(), 1);
    let too_many = |bytes: &mut Vec<u8>| bytes[freelist + 10..freelist + 12].copy_from_slice(&[0xFE, 0xFF]);
    assert_eq!(checked(&too_many).len(), 1);
}

#[test]
fn a_second_process_is_refused() {
    let disk = disk();
    let options = options(4096, 0, false);
    let db = open(&disk, &options);
    let again = Db::open(Arc::new(disk.clone()), Path::new(DB_PATH), options.clone());
    assert!(matches!(again, Err(bolt::BoltError::Locked { .. })));
    let snapshot = db.snapshot();
    drop(db);
    assert!(
        Db::open(Arc::new(disk.clone()), Path::new(DB_PATH), options.clone()).is_err(),
        "a reader holds the lock"
    );
    drop(snapshot);
    open(&disk, &options);
}

#[test]
fn read_only_changes_nothing() {
    let (_, bytes, _) = FILES[1];
    let disk = disk_with(bytes);
    let options = Options { read_only: true, ..options(4096, 0, true) };
    let mut db = open(&disk, &options);
    let op = Op { bucket: "key", key: "a".into(), value: None };
    assert!(matches!(db.apply(&op), Err(bolt::BoltError::ReadOnly)));
    assert!(matches!(db.commit(), Err(bolt::BoltError::ReadOnly)));
    assert_clean(&db.snapshot());
    drop(db);
    assert_eq!(disk.files(), [Path::new(DB_PATH)]);
    assert!(disk.contents(Path::new(DB_PATH)).unwrap() == bytes);
}
