//! Power cuts, failed calls and lying disks at every single I/O of a run.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bolt::{BoltError, Db, Op, Options};
use bytes::Bytes;
use common::*;
use vfs::{CrashPlan, DirEntry, Disk, Fault, File, LockKind, OpenMode, SimDisk};

/// What a run got done before it was stopped.
struct Outcome {
    /// Contents after each commit that returned, and in front the empty database.
    committed: Vec<Model>,
    /// Contents that the commit in progress would have made.
    in_flight: Option<Model>,
    error: Option<BoltError>,
}

/// A small generator, so that every run does the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Ops of one batch: appends, puts, deletes, now and then a long value.
fn batch(random: &mut Random, model: &mut Model, appended: &mut u64) -> Vec<Op> {
    let mut ops = Vec::new();
    for _ in 0..random.below(12) {
        *appended += 1;
        let len = if random.below(8) == 0 { random.below(6000) } else { 40 + random.below(250) };
        ops.push(("key", appended_key(*appended), Some(value(*appended, len as usize))));
    }
    for _ in 0..random.below(4) {
        let key = step_key(random.below(40) as u16, 2);
        let len = random.below(120) as usize;
        ops.push(("lease", key, (random.below(3) > 0).then(|| value(len as u64, len))));
    }
    let old: Vec<_> = model.get("key").into_iter().flat_map(|rows| rows.keys().cloned()).collect();
    for key in old.iter().take(old.len() / 2) {
        if random.below(4) == 0 {
            ops.push(("key", key.clone(), None));
        }
    }
    ops.push(("meta", b"consistent_index".to_vec(), Some(appended.to_be_bytes().to_vec())));
    for (bucket, key, value) in &ops {
        match value {
            Some(value) => {
                model.entry((*bucket).into()).or_default().insert(key.clone(), value.clone());
            }
            None => {
                model.get_mut(*bucket).map(|rows| rows.remove(key));
            }
        }
    }
    let op = |(bucket, key, value): (_, Vec<u8>, Option<Vec<u8>>)| Op {
        bucket,
        key: Bytes::from(key),
        value: value.map(Bytes::from),
    };
    ops.into_iter().map(op).collect()
}

fn try_open<D: Disk + Clone + 'static>(disk: &D, options: &Options) -> Result<Db, BoltError> {
    Db::open(Arc::new(disk.clone()), Path::new(DB_PATH), options.clone())
}

fn work<D: Disk + Clone + 'static>(
    disk: &D,
    options: &Options,
    start: &Model,
    seed: u64,
    commits: usize,
) -> Outcome {
    work_reopening(disk, options, start, seed, commits, commits / 2)
}

fn work_reopening<D: Disk + Clone + 'static>(
    disk: &D,
    options: &Options,
    start: &Model,
    seed: u64,
    commits: usize,
    reopen_after: usize,
) -> Outcome {
    let mut outcome = Outcome { committed: vec![start.clone()], in_flight: None, error: None };
    let mut random = Random(seed);
    let mut model = start.clone();
    let mut appended = seed * 1000;
    let mut step = || -> Result<(), BoltError> {
        let mut db = try_open(disk, options)?;
        let mut held = None;
        for round in 0..commits {
            for op in batch(&mut random, &mut model, &mut appended) {
                db.apply(&op)?;
            }
            if random.below(3) == 0 {
                db.shrink_step(6)?;
            }
            if random.below(4) == 0 {
                held = Some(db.snapshot());
            } else if random.below(3) == 0 {
                held = None;
            }
            outcome.in_flight = Some(model.clone());
            db.commit()?;
            outcome.in_flight = None;
            outcome.committed.push(model.clone());
            if round == reopen_after {
                drop(held.take());
                drop(db);
                db = try_open(disk, options)?;
            }
        }
        Ok(())
    };
    outcome.error = step().err();
    outcome
}

/// The state after a crash is the last committed one or the one in flight, sound, and can be worked on.
fn assert_recovers(disk: &SimDisk, options: &Options, outcome: &Outcome, what: &str) {
    let db = try_open(disk, options).unwrap_or_else(|e| panic!("{what}: {e}"));
    let found = contents(&db.snapshot());
    let last = outcome.committed.last().unwrap();
    let expected = found == *last || outcome.in_flight.as_ref() == Some(&found);
    assert!(expected, "{what}: {}", first_difference(&found, last));
    assert_eq!(bolt::check(&db.snapshot()), [], "{what}");
    drop(db);
    let more = work(disk, options, &found, 77, 2);
    assert!(more.error.is_none(), "{what}: {:?}", more.error);
    let db = try_open(disk, options).unwrap();
    assert_same(&db.snapshot(), more.committed.last().unwrap());
    assert_clean(&db.snapshot());
}

fn io_count(options: &Options, commits: usize) -> u64 {
    let disk = disk();
    let before = disk.io_count();
    let outcome = work(&disk, options, &Model::new(), 5, commits);
    let count = disk.io_count() - before;
    assert!(outcome.error.is_none() && outcome.committed.len() == commits + 1);
    assert_same(&try_open(&disk, options).unwrap().snapshot(), outcome.committed.last().unwrap());
    count
}

fn plans(at: u64) -> Vec<CrashPlan> {
    let mut plans = vec![CrashPlan::LoseUnsynced, CrashPlan::KeepUnsynced, CrashPlan::TearLast { seed: at }];
    plans.extend((0..3).map(|i| CrashPlan::Seeded { seed: at * 31 + i }));
    plans
}

fn power_cut_at_every_io(options: &Options, commits: usize) {
    for at in 0..io_count(options, commits) {
        let disk = disk();
        disk.fail_at(disk.io_count() + at, Fault::Crash);
        let outcome = work(&disk, options, &Model::new(), 5, commits);
        assert!(disk.power_lost(), "io {at} never happened");
        for plan in plans(at) {
            assert_recovers(&disk.crash(plan.clone()), options, &outcome, &format!("io {at}, {plan:?}"));
        }
    }
}

#[test]
fn power_cut_with_side_file() {
    power_cut_at_every_io(&options(1024, 1 << 20, true), 14);
}

#[test]
fn power_cut_without_side_file() {
    power_cut_at_every_io(&options(1024, 0, false), 14);
}

#[test]
fn power_cut_during_recovery() {
    let options = options(1024, 1 << 20, true);
    let first = disk();
    let count = io_count(&options, 6);
    first.fail_at(first.io_count() + count - 2, Fault::Crash);
    let outcome = work(&first, &options, &Model::new(), 5, 6);
    for seed in 0..4 {
        let crashed = first.crash(CrashPlan::Seeded { seed });
        let found = contents(&try_open(&crashed, &options).unwrap().snapshot());
        assert!(outcome.committed.contains(&found) || outcome.in_flight.as_ref() == Some(&found));
        for at in 0..30 {
            let second = crashed.crash(CrashPlan::LoseUnsynced);
            second.fail_at(second.io_count() + at, Fault::Crash);
            let again = work(&second, &options, &found, 9, 3);
            for plan in plans(at) {
                assert_recovers(
                    &second.crash(plan.clone()),
                    &options,
                    &again,
                    &format!("{seed} {at} {plan:?}"),
                );
            }
        }
    }
}

/// A disk whose process is killed at a chosen call: that one and all later ones do nothing.
#[derive(Clone)]
struct KilledAt {
    disk: SimDisk,
    calls_left: Arc<AtomicU64>,
}

struct KilledFile {
    file: Arc<dyn File>,
    calls_left: Arc<AtomicU64>,
}

fn count(calls_left: &AtomicU64) -> io::Result<()> {
    let left = calls_left.load(Ordering::Relaxed);
    calls_left.store(left.saturating_sub(1), Ordering::Relaxed);
    if left == 0 { Err(io::Error::other("killed")) } else { Ok(()) }
}

impl Disk for KilledAt {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, mode)?;
        Ok(Arc::new(KilledFile { file, calls_left: Arc::clone(&self.calls_left) }))
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        count(&self.calls_left).and_then(|()| self.disk.create_dir_all(dir))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        count(&self.calls_left).and_then(|()| self.disk.rename(from, to))
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        count(&self.calls_left).and_then(|()| self.disk.remove_file(path))
    }
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        count(&self.calls_left).and_then(|()| self.disk.remove_dir_all(dir))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        count(&self.calls_left).and_then(|()| self.disk.sync_dir(dir))
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }
}

impl File for KilledFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        count(&self.calls_left).and_then(|()| self.file.write_all_at(buf, offset))
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        count(&self.calls_left).and_then(|()| self.file.set_len(len))
    }
    fn sync_data(&self) -> io::Result<()> {
        count(&self.calls_left).and_then(|()| self.file.sync_data())
    }
    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        self.file.try_lock(kind)
    }
}

/// The process is killed between any two calls; what it left in the system's memory is visible to the next one,
/// and must not be built upon before it is durable: then the power goes.
#[test]
fn killed_and_then_power_cut() {
    let options = options(1024, 1 << 20, true);
    for kill_at in 0..io_count(&options, 6) {
        let first = disk();
        let killed = KilledAt { disk: first.clone(), calls_left: Arc::new(AtomicU64::new(kill_at)) };
        let outcome = work(&killed, &options, &Model::new(), 5, 6);
        let left = first.kill();
        let (whole, cut) = (CrashPlan::KeepUnsynced, CrashPlan::LoseUnsynced);
        let found = contents(&try_open(&left.crash(whole.clone()), &options).unwrap().snapshot());
        // Run anew for each cut, on a disk with the same things not durable: that is what `kill` gives.
        for cut_at in [1, 2, 4, 6, 8, 11] {
            let first = disk();
            let killed = KilledAt { disk: first.clone(), calls_left: Arc::new(AtomicU64::new(kill_at)) };
            work(&killed, &options, &Model::new(), 5, 6);
            let second = first.kill();
            second.fail_at(second.io_count() + cut_at, Fault::Crash);
            let mut again = work(&second, &options, &found, 9, 3);
            if again.committed.len() == 1 && again.in_flight.is_none() {
                // Nothing was committed on top: the older of the two states may come back.
                again.in_flight = outcome.committed.last().cloned();
            }
            for plan in [
                cut.clone(),
                whole.clone(),
                CrashPlan::Seeded { seed: cut_at },
                CrashPlan::Seeded { seed: 99 },
            ] {
                assert_recovers(
                    &second.crash(plan.clone()),
                    &options,
                    &again,
                    &format!("{kill_at} {cut_at} {plan:?}"),
                );
            }
        }
    }
}

#[test]
fn failed_calls_stop_the_writer() {
    let options = options(1024, 1 << 20, true);
    for at in 0..io_count(&options, 8) {
        for fault in [Fault::Eio, Fault::Enospc, Fault::SyncFails] {
            let disk = disk();
            disk.fail_at(disk.io_count() + at, fault);
            let outcome = work(&disk, &options, &Model::new(), 5, 8);
            let Some(error) = &outcome.error else {
                assert!(fault == Fault::SyncFails, "io {at} {fault:?} went unnoticed");
                continue;
            };
            assert!(matches!(error, BoltError::Io { .. }), "io {at} {fault:?}: {error}");
            disk.clear_faults();
            for plan in [CrashPlan::LoseUnsynced, CrashPlan::KeepUnsynced, CrashPlan::Seeded { seed: at }] {
                assert_recovers(
                    &disk.crash(plan.clone()),
                    &options,
                    &outcome,
                    &format!("io {at} {fault:?} {plan:?}"),
                );
            }
        }
    }
}

#[test]
fn poisoned_takes_nothing_more() {
    let disk = disk();
    let mut db = open(&disk, &options(1024, 1 << 20, true));
    let mut model = Model::new();
    put(&mut db, &mut model, "key", b"a", b"1");
    db.commit().unwrap();
    put(&mut db, &mut model, "key", b"b", b"2");
    disk.fail_at(disk.io_count(), Fault::SyncFails);
    assert!(matches!(db.commit(), Err(BoltError::Io { .. })));
    let op = Op { bucket: "key", key: "c".into(), value: None };
    assert!(matches!(db.apply(&op), Err(BoltError::Poisoned)));
    assert!(matches!(db.commit(), Err(BoltError::Poisoned)));
    assert!(matches!(db.shrink_step(1), Err(BoltError::Poisoned)));
    assert_eq!(db.snapshot().get("key", b"a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(db.snapshot().get("key", b"b").unwrap(), None);
}

/// Lost and misdirected writes, flipped bits on the way to the disk: found, or without effect on what is read.
#[test]
fn lying_disks_are_found_out() {
    let options = options(1024, 0, true);
    for at in 0..io_count(&options, 10) {
        for fault in
            [Fault::LostWrite, Fault::MisdirectedWrite { forward: 1024 }, Fault::BitFlip { bit: at * 997 }]
        {
            let disk = disk();
            disk.fail_at(disk.io_count() + at, fault);
            // Not reopened: a meta page that never arrived cannot be told from a commit that never came.
            let outcome = work_reopening(&disk, &options, &Model::new(), 5, 10, usize::MAX);
            let read = try_open(&disk, &options).and_then(|db| try_contents(&db.snapshot()));
            if let Ok(found) = read {
                let newest = outcome.committed.iter().rev().take(2);
                let known = newest.chain(&outcome.in_flight).any(|model| *model == found);
                assert!(
                    known,
                    "io {at} {fault:?}: {}",
                    first_difference(&found, outcome.committed.last().unwrap())
                );
            }
        }
    }
}
