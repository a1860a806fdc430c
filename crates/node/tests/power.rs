//! Power loss under a running member, at every I/O of its life, with what was not synced lost, kept, torn or mixed.
//!
//! The normal run takes a sample; `MAINSTAY_EXHAUSTIVE=1` cuts at every single I/O.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{collections::BTreeMap, env, path::Path, sync::Arc};

use bytes::Bytes;
use node::{Caller, Error, Port};
use proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, request_op::Request,
};
use support::{compact, put, range, run, start, try_start};
use vfs::{CrashPlan, Fault, SimDisk};

type Pairs = BTreeMap<String, String>;

/// Steps of one life: with 640 of them it has more than 2,000 I/Os.
fn steps() -> usize {
    if env::var_os("MAINSTAY_EXHAUSTIVE").is_some() { 640 } else { 60 }
}

/// One step of a life. Each changes several keys or none, so that half of one would show.
enum Step {
    /// Puts a value under two keys in one transaction.
    Twice(usize, String),
    /// Deletes ten keys.
    Delete,
    Compact,
}

fn step(n: usize) -> Step {
    match n {
        _ if n % 13 == 12 => Step::Delete,
        _ if n % 50 == 40 => Step::Compact,
        _ => Step::Twice(n % 20, format!("{n}-").repeat(1 + n * 7 % 300)),
    }
}

fn take(port: &Port, step: Step) -> Result<(), Error> {
    match step {
        Step::Twice(key, value) => {
            let put = |name: &str| RequestOp {
                request: Some(Request::RequestPut(PutRequest {
                    key: format!("{name}-{key:02}").into(),
                    value: value.clone().into(),
                    ..PutRequest::default()
                })),
            };
            let txn = TxnRequest { success: vec![put("key"), put("mirror")], ..TxnRequest::default() };
            run(port, port.txn(Caller::default(), txn)).map(drop)
        }
        Step::Delete => {
            let (key, range_end) = (Bytes::from("key-05"), Bytes::from("key-15"));
            let request = DeleteRangeRequest { key, range_end, ..DeleteRangeRequest::default() };
            run(port, port.delete_range(Caller::default(), request)).map(drop)
        }
        Step::Compact => {
            let any = RangeRequest { key: "x".into(), ..RangeRequest::default() };
            let revision = range(port, any)?.header.map_or(0, |header| header.revision);
            compact(port, revision, true)
        }
    }
}

/// What is there after the first `count` steps.
fn after(count: usize) -> Pairs {
    let mut pairs = Pairs::new();
    for n in 0..count {
        match step(n) {
            Step::Twice(key, value) => {
                pairs.insert(format!("key-{key:02}"), value.clone());
                pairs.insert(format!("mirror-{key:02}"), value);
            }
            Step::Delete => pairs.retain(|key, _| !("key-05".."key-15").contains(&key.as_str())),
            Step::Compact => {}
        }
    }
    pairs
}

/// What was acknowledged before the power went.
struct Life {
    acknowledged: usize,
}

/// One life of a member on `disk`, until the power goes or every step is taken.
fn live(disk: &SimDisk) -> Life {
    let mut life = Life { acknowledged: 0 };
    let Some(member) = try_start(Path::new("/data"), Arc::new(disk.clone())) else { return life };
    let port = member.handle().port();
    for n in 0..steps() {
        if take(&port, step(n)).is_err() {
            break;
        }
        life.acknowledged = n + 1;
    }
    // With the power gone the stop fails, as it should.
    let _ = member.stop();
    life
}

/// Starts on what the crash left, and finds everything that was acknowledged, and at most the one step more that
/// was asked for, whole.
fn check(image: SimDisk, life: &Life, what: &str) {
    let Some(member) = try_start(Path::new("/data"), Arc::new(image)) else {
        panic!("{what}: does not start, after {} acknowledged steps", life.acknowledged);
    };
    let port = member.handle().port();
    let everything =
        RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..RangeRequest::default() };
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let reply = range(&port, everything).unwrap_or_else(|e| panic!("{what}: {e}"));
    let found: Pairs = reply.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect();
    let allowed = [after(life.acknowledged), after((life.acknowledged + 1).min(steps()))];
    assert!(allowed.contains(&found), "{what}: after {} acknowledged steps: {found:?}", life.acknowledged);
    put(&port, "after", "life").unwrap();
    member.stop().unwrap();
}

/// I/Os of a life in which the power stays on.
fn count() -> u64 {
    let disk = SimDisk::new();
    assert_eq!(live(&disk).acknowledged, steps());
    disk.io_count()
}

/// Checks every kind of image that a crash at this I/O may leave, and says how many there were.
fn crash_at(number: u64, total: u64) -> usize {
    let disk = SimDisk::new();
    disk.fail_at(number, Fault::Crash);
    let life = live(&disk);
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
        let life = live(&disk);
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
