//! Space: what is freed is reused, and given back, while readers go on.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::{sync::mpsc, thread};

use bolt::{Db, Options, Snapshot};
use common::*;
use vfs::{RealDisk, SimDisk};

/// Shrinks until done, a commit after each step. Returns how many commits that took.
fn defragment(db: &mut Db, pages: u64) -> usize {
    for steps in 0..2000 {
        if db.shrink_step(pages).unwrap().done {
            return steps;
        }
        db.commit().unwrap();
    }
    panic!("shrinking does not end");
}

fn file_len(disk: &SimDisk) -> u64 {
    disk.contents(DB_PATH.as_ref()).unwrap().len() as u64
}

fn wasted_percent(db: &Db) -> u64 {
    (db.size() - db.size_in_use()) * 100 / db.size()
}

#[test]
fn shrinking_leaves_next_to_nothing_unused() {
    for (page_size, long) in [(1024, 300), (1024, 9000), (4096, 30_000)] {
        let disk = disk();
        let options = options(page_size, 1 << 20, true);
        let mut db = open(&disk, &options);
        let mut model = Model::new();
        for n in 0..1500 {
            let len = if n % 9 == 0 { long } else { 150 };
            put(&mut db, &mut model, "key", &appended_key(n), &value(n, len));
            if n % 100 == 99 {
                db.commit().unwrap();
            }
        }
        for n in (0..1400).filter(|n| n % 27 != 0) {
            delete(&mut db, &mut model, "key", &appended_key(n));
            if n % 100 == 99 {
                db.commit().unwrap();
            }
        }
        db.commit().unwrap();
        db.commit().unwrap();
        assert!(wasted_percent(&db) > 50, "{}", wasted_percent(&db));
        let steps = defragment(&mut db, 32);
        assert!(
            wasted_percent(&db) < 12,
            "{page_size} {long}: {} % after {steps} steps",
            wasted_percent(&db)
        );
        assert_eq!(file_len(&disk), db.size());
        assert_clean(&db.snapshot());
        assert_same(&db.snapshot(), &model);
        drop(db);
        assert_same(&open(&disk, &options).snapshot(), &model);
    }
}

#[test]
fn a_reader_keeps_the_file_long_and_then_lets_go() {
    let disk = disk();
    let mut db = open(&disk, &options(1024, 0, true));
    let mut model = Model::new();
    (0..500).for_each(|n| put(&mut db, &mut model, "key", &appended_key(n), &value(n, 200)));
    db.commit().unwrap();
    let (snapshot, seen) = (db.snapshot(), model.clone());
    let long = db.size();
    (0..490).for_each(|n| delete(&mut db, &mut model, "key", &appended_key(n)));
    db.commit().unwrap();
    defragment(&mut db, 100);
    assert!(file_len(&disk) >= long);
    assert_same(&snapshot, &seen);
    drop(snapshot);
    defragment(&mut db, 100);
    assert!(file_len(&disk) < long / 10);
    assert_same(&db.snapshot(), &model);
}

#[test]
fn steady_overwriting_does_not_grow_the_file() {
    let disk = disk();
    let mut db = open(&disk, &options(1024, 0, true));
    let mut model = Model::new();
    let mut sizes = Vec::new();
    for round in 0..200_u64 {
        (0..20).for_each(|n| put(&mut db, &mut model, "key", &appended_key(round * 20 + n), &value(n, 100)));
        (0..20).for_each(|n| {
            delete(&mut db, &mut model, "key", &appended_key(round.saturating_sub(10) * 20 + n));
        });
        db.commit().unwrap();
        sizes.push(db.size());
    }
    assert!(sizes[199] <= sizes[40], "{} {}", sizes[40], sizes[199]);
}

/// A long reader does not keep what was written and freed after it began.
#[test]
fn a_long_reader_costs_only_what_it_sees() {
    let disk = disk();
    let mut db = open(&disk, &options(1024, 0, true));
    let mut model = Model::new();
    (0..200).for_each(|n| put(&mut db, &mut model, "key", &appended_key(n), &value(n, 100)));
    db.commit().unwrap();
    let (snapshot, seen) = (db.snapshot(), model.clone());
    let before = db.size();
    for round in 0..300_u64 {
        (0..5).for_each(|n| put(&mut db, &mut model, "lease", &[n], &value(round, 300)));
        db.commit().unwrap();
    }
    assert!(db.size() < before * 3, "{before} {}", db.size());
    assert_same(&snapshot, &seen);
}

#[test]
fn readers_and_the_writer_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        page_size: 1024,
        cache_bytes: 256 << 10,
        side_dir: Some(dir.path().join("side")),
        ..Options::default()
    };
    let mut db = Db::open(std::sync::Arc::new(RealDisk), &dir.path().join("db"), options).unwrap();
    let (sender, receiver) = mpsc::sync_channel::<(Snapshot, Model)>(4);
    let receiver = std::sync::Mutex::new(receiver);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = receiver.lock().unwrap().recv();
                    let Ok((snapshot, model)) = next else { return };
                    assert_same(&snapshot, &model);
                    assert_clean(&snapshot);
                }
            });
        }
        let mut model = Model::new();
        for round in 0..120_u64 {
            (0..30)
                .for_each(|n| put(&mut db, &mut model, "key", &appended_key(round * 30 + n), &value(n, 120)));
            let old: Vec<_> = model["key"].keys().take(25).cloned().collect();
            old.iter().for_each(|key| delete(&mut db, &mut model, "key", key));
            put(&mut db, &mut model, "meta", b"round", &round.to_be_bytes());
            if round % 5 == 0 {
                db.shrink_step(10).unwrap();
            }
            db.commit().unwrap();
            sender.send((db.snapshot(), model.clone())).unwrap();
        }
        drop(sender);
    });
}

#[test]
fn handles_can_go_to_other_threads() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<Db>();
    is_send::<Snapshot>();
    is_sync::<Snapshot>();
    is_send::<bolt::Cursor>();
    is_send::<bolt::Image>();
}
