//! Power loss under a running member, at every I/O of its life, with what was not synced lost, kept, torn or mixed.
//!
//! The normal run takes a sample; `MAINSTAY_EXHAUSTIVE=1` cuts at every single I/O.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{
    env,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use support::{
    life::{self, Life},
    put, range, start, try_start,
};
use vfs::{CrashPlan, Disk, Fault, SimDisk};

/// Steps of one life: with 640 of them it has more than 2,000 I/Os.
fn steps() -> usize {
    if env::var_os("MAINSTAY_EXHAUSTIVE").is_some() { 640 } else { 60 }
}

/// Starts on what the crash left, and finds everything that was acknowledged, and at most the one step more that
/// was asked for, whole.
fn check(image: SimDisk, life: &Life, what: &str) {
    let Some(member) = try_start(Path::new("/data"), Arc::new(image)) else {
        panic!("{what}: does not start, after {} acknowledged steps", life.acknowledged);
    };
    let port = member.handle().port();
    let found = life::pairs(&range(&port, life::everything()).unwrap_or_else(|e| panic!("{what}: {e}")));
    assert!(life.allows(&found), "{what}: after {} acknowledged steps: {found:?}", life.acknowledged);
    put(&port, "after", "life").unwrap();
    member.stop().unwrap();
}

/// I/Os of a life in which the power stays on.
fn count() -> u64 {
    let disk = SimDisk::new();
    assert_eq!(life::live(&disk, steps()).acknowledged, steps());
    disk.io_count()
}

/// Checks every kind of image that a crash at this I/O may leave, and says how many there were.
fn crash_at(number: u64, total: u64) -> usize {
    let disk = SimDisk::new();
    disk.fail_at(number, Fault::Crash);
    let life = life::live(&disk, steps());
    let plans = [
        CrashPlan::LoseUnsynced,
        CrashPlan::KeepUnsynced,
        CrashPlan::TearLast { seed: number },
        CrashPlan::Seeded { seed: number },
    ];
    let images = plans.len();
    for plan in plans {
        let what = format!("power lost at I/O {number} of about {total}, {plan:?}");
        check(disk.crash(plan), &life, &what);
    }
    images
}

#[test]
fn the_power_goes_at_any_io() {
    let total = count();
    assert!(total > 200, "only {total} I/Os");
    let exhaustive = env::var_os("MAINSTAY_EXHAUSTIVE").is_some();
    let step = if exhaustive { 1 } else { (total / 24).max(1) as usize };
    // Two at a time: the exhaustive run takes half an hour of one core.
    let images: usize = std::thread::scope(|scope| {
        let halves = [0, step as u64].map(|offset| {
            scope.spawn(move || {
                (1 + offset..=total).step_by(2 * step).map(|number| crash_at(number, total)).sum::<usize>()
            })
        });
        halves.into_iter().map(|half| half.join().expect("no image fails")).sum()
    });
    println!("{images} crash images of a life of {total} I/Os: all started, nothing acknowledged lost");
}

#[test]
fn a_second_life_is_as_safe_as_the_first() {
    let disk = SimDisk::new();
    drop(start(Path::new("/data"), Arc::new(disk.clone())).stop());
    let first = disk.io_count();
    for seed in 0..6 {
        let disk = SimDisk::new();
        let member = start(Path::new("/data"), Arc::new(disk.clone()));
        member.stop().unwrap();
        disk.fail_at(disk.io_count() + 3 + seed * first / 4, Fault::Crash);
        let life = life::live(&disk, steps());
        check(disk.crash(CrashPlan::Seeded { seed }), &life, &format!("second life, seed {seed}"));
    }
}

#[test]
fn a_failed_sync_stops_the_member() {
    let disk = SimDisk::new();
    let member = start(Path::new("/data"), Arc::new(disk.clone()));
    let port = member.handle().port();
    put(&port, "a", "1").unwrap();
    for ahead in 1..4 {
        disk.fail_at(disk.io_count() + ahead, Fault::SyncFails);
    }
    let mut refused = false;
    for n in 0..10 {
        refused |= put(&port, "a", &n.to_string()).is_err();
    }
    assert!(refused, "a write was acknowledged after a failed sync");
    assert!(member.stop().is_err());
}

/// A disk that counts its users: whoever keeps one keeps files open, and their locks.
#[test]
fn an_ended_member_lets_go_of_its_disk() {
    let stopped: Arc<dyn Disk> = Arc::new(SimDisk::new());
    start(Path::new("/data"), Arc::clone(&stopped)).stop().unwrap();
    assert_eq!(Arc::strong_count(&stopped), 1);
    let failed = SimDisk::new();
    let counted: Arc<dyn Disk> = Arc::new(failed.clone());
    let member = start(Path::new("/data"), Arc::clone(&counted));
    failed.fail_at(0, Fault::Crash);
    assert!(put(&member.handle().port(), "a", "b").is_err());
    drop(member);
    let deadline = Instant::now() + Duration::from_secs(10);
    while Arc::strong_count(&counted) > 1 {
        assert!(Instant::now() < deadline, "the disk is still held");
        thread::yield_now();
    }
}
