//! Bit rot, zeroed sectors, and files put back from elsewhere: never a wrong answer.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::{path::Path, sync::Arc};

use bolt::{BoltError, Db, Options};
use common::*;
use proptest::prelude::*;
use vfs::{Disk, SimDisk};

const PAGE_SIZE: usize = 1024;

fn opts() -> Options {
    options(PAGE_SIZE, 0, true)
}

fn try_open(disk: &SimDisk) -> Result<Db, BoltError> {
    Db::open(Arc::new(disk.clone()), Path::new(DB_PATH), opts())
}

fn read_all(disk: &SimDisk) -> Result<Model, BoltError> {
    try_contents(&try_open(disk)?.snapshot())
}

/// Three commits with branches, overflow, inline buckets and free pages. Returns the contents after the last two.
fn sample() -> (SimDisk, [Model; 2]) {
    let disk = disk();
    let mut db = open(&disk, &opts());
    let mut model = Model::new();
    for n in 0..120 {
        put(&mut db, &mut model, "key", &appended_key(n), &value(n, if n % 30 == 7 { 3000 } else { 100 }));
    }
    put(&mut db, &mut model, "meta", b"term", b"1");
    db.commit().unwrap();
    (0..60).filter(|n| n % 4 != 0).for_each(|n| delete(&mut db, &mut model, "key", &appended_key(n)));
    db.commit().unwrap();
    let before = model.clone();
    put(&mut db, &mut model, "meta", b"term", b"2");
    put(&mut db, &mut model, "lease", b"a", &value(3, 700));
    db.commit().unwrap();
    (disk, [before, model])
}

fn copy_of(disk: &SimDisk) -> SimDisk {
    disk.crash(vfs::CrashPlan::KeepUnsynced)
}

fn side_path() -> std::path::PathBuf {
    Path::new(SIDE_DIR).join("db.sums")
}

#[test]
fn no_flipped_bit_gives_a_wrong_answer() {
    let (disk, [before, last]) = sample();
    let len = disk.contents(Path::new(DB_PATH)).unwrap().len() as u64;
    let (mut found_out, mut harmless) = (0, 0);
    for bit in (0..len * 8).step_by(37) {
        let copy = copy_of(&disk);
        copy.flip_bit(Path::new(DB_PATH), bit).unwrap();
        match read_all(&copy) {
            // The newest meta page is bad: that looks like a cut during its write, and the one before is in order.
            Ok(found) if bit / 8 < 2 * PAGE_SIZE as u64 => {
                assert!(found == before || found == last, "bit {bit}");
            }
            Ok(found) => {
                assert!(found == last, "bit {bit}: {}", first_difference(&found, &last));
                harmless += 1;
            }
            Err(BoltError::Damaged { .. }) => found_out += 1,
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
    assert!(found_out > harmless && harmless > 0, "{found_out} {harmless}");
}

#[test]
fn no_zeroed_sector_gives_a_wrong_answer() {
    let (disk, [before, last]) = sample();
    let sectors = disk.contents(Path::new(DB_PATH)).unwrap().len() as u64 / 512;
    for sector in 0..sectors {
        let copy = copy_of(&disk);
        copy.zero_sector(Path::new(DB_PATH), sector).unwrap();
        match read_all(&copy) {
            Ok(found) => assert!(found == last || (sector < 4 && found == before), "sector {sector}"),
            Err(error) => assert!(matches!(error, BoltError::Damaged { .. }), "sector {sector}: {error}"),
        }
    }
}

#[test]
fn damage_of_the_side_file_only_takes_protection_away() {
    let (disk, [_, last]) = sample();
    let len = disk.contents(&side_path()).unwrap().len() as u64;
    for bit in (0..len * 8).step_by(61) {
        let copy = copy_of(&disk);
        copy.flip_bit(&side_path(), bit).unwrap();
        assert!(read_all(&copy).unwrap() == last, "bit {bit}");
    }
    for sector in 0..len / 512 {
        let copy = copy_of(&disk);
        copy.zero_sector(&side_path(), sector).unwrap();
        let mut db = try_open(&copy).unwrap();
        let mut model = last.clone();
        (0..9).for_each(|n| put(&mut db, &mut model, "key", &appended_key(900 + n), &value(n, 200)));
        db.commit().unwrap();
        drop(db);
        assert!(read_all(&copy).unwrap() == model, "sector {sector}");
    }
}

#[test]
fn without_the_side_file_it_is_built_anew() {
    let (disk, [_, mut last]) = sample();
    disk.remove_file(&side_path()).unwrap();
    let mut db = try_open(&disk).unwrap();
    assert!(contents(&db.snapshot()) == last);
    put(&mut db, &mut last, "meta", b"term", b"3");
    db.commit().unwrap();
    drop(db);
    let bits = disk.contents(Path::new(DB_PATH)).unwrap().len() as u64 * 8;
    for bit in (2 * PAGE_SIZE as u64 * 8..bits).step_by(1009) {
        let copy = copy_of(&disk);
        copy.flip_bit(Path::new(DB_PATH), bit).unwrap();
        if let Ok(found) = read_all(&copy) {
            assert!(found == last, "bit {bit}");
        }
    }
}

#[test]
fn an_older_file_is_damage_not_an_older_state() {
    let (disk, [_, mut last]) = sample();
    let old = disk.contents(Path::new(DB_PATH)).unwrap();
    let mut db = try_open(&disk).unwrap();
    for n in 0..2 {
        put(&mut db, &mut last, "meta", b"term", &[n]);
        db.commit().unwrap();
    }
    drop(db);
    disk.damage(Path::new(DB_PATH), |bytes| *bytes = old).unwrap();
    assert!(matches!(read_all(&disk), Err(BoltError::Damaged { .. })));
}

/// What etcd does to our file: a state without stamps. Here by way of an image, which has none either.
#[test]
fn a_file_that_somebody_else_wrote_is_taken_as_it_is() {
    let (disk, [_, last]) = sample();
    let stranger = copy_of(&disk);
    let mut db =
        Db::open(Arc::new(stranger.clone()), Path::new(DB_PATH), options(PAGE_SIZE, 0, false)).unwrap();
    let mut model = last.clone();
    for n in 0..2 {
        put(&mut db, &mut model, "meta", b"term", &[n]);
        db.commit().unwrap();
    }
    drop(db);
    let theirs = stranger.contents(Path::new(DB_PATH)).unwrap();
    disk.damage(Path::new(DB_PATH), |bytes| *bytes = theirs).unwrap();
    assert!(read_all(&disk).unwrap() == model);

    let mut db = try_open(&disk).unwrap();
    put(&mut db, &mut model, "meta", b"term", b"ours again");
    db.commit().unwrap();
    drop(db);
    assert!(read_all(&disk).unwrap() == model);
}

#[test]
fn a_short_file_is_damage() {
    let (disk, _) = sample();
    let len = disk.contents(Path::new(DB_PATH)).unwrap().len() as u64;
    for cut in [1, PAGE_SIZE as u64, len - 3 * PAGE_SIZE as u64] {
        let copy = copy_of(&disk);
        copy.truncate(Path::new(DB_PATH), len - cut).unwrap();
        assert!(matches!(try_open(&copy), Err(BoltError::Damaged { .. })), "{cut}");
    }
    for len in [0, 1, 100, 1000, 2000] {
        let copy = copy_of(&disk);
        copy.truncate(Path::new(DB_PATH), len).unwrap();
        assert_eq!(try_open(&copy).is_ok(), len == 0, "only an empty file is a new one");
    }
}

#[test]
fn an_image_of_damaged_pages_is_refused() {
    let (disk, _) = sample();
    let bits = disk.contents(Path::new(DB_PATH)).unwrap().len() as u64 * 8;
    let whole = image_bytes(&try_open(&disk).unwrap().snapshot().image().unwrap());
    let mut refused = 0;
    for bit in (2 * PAGE_SIZE as u64 * 8..bits).step_by(1009) {
        let copy = copy_of(&disk);
        let db = try_open(&copy).unwrap();
        copy.flip_bit(Path::new(DB_PATH), bit).unwrap();
        let Ok(image) = db.snapshot().image() else {
            refused += 1;
            continue;
        };
        let mut bytes = vec![0; image.len() as usize];
        match image.read_at(0, &mut bytes) {
            Ok(_) => assert!(bytes == whole, "bit {bit}"),
            Err(error) => {
                assert!(matches!(error, BoltError::Damaged { .. }), "bit {bit}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Without checksums wrong answers are possible, but no panic, no endless loop, no huge allocation.
    #[test]
    fn garbage_never_panics(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..20),
        side in any::<bool>(),
    ) {
        let (disk, _) = sample();
        disk.damage(Path::new(DB_PATH), |bytes| {
            for (at, byte) in &changes {
                // Half of the changes go to page and element headers.
                let mut at = at.index(bytes.len());
                if byte % 2 == 0 {
                    at = at / PAGE_SIZE * PAGE_SIZE + at % 64;
                }
                bytes[at] = *byte;
            }
        }).unwrap();
        let options = options(PAGE_SIZE, 64 << 10, side);
        if let Ok(mut db) = Db::open(Arc::new(disk.clone()), Path::new(DB_PATH), options) {
            let snapshot = db.snapshot();
            let _ = try_contents(&snapshot);
            let _ = bolt::check(&snapshot);
            let _ = snapshot.image();
            for n in 0..40 {
                let op = |value| bolt::Op { bucket: "key", key: appended_key(n * 3).into(), value };
                let _ = db.apply(&op(None));
                let _ = db.apply(&op(Some(value(n, 300).into())));
            }
            let _ = db.shrink_step(20);
            let _ = db.commit();
            let _ = db.commit();
            let _ = try_contents(&db.snapshot());
        }
    }
}
