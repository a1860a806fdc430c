//! A full disk, whoever filled it: what costs space is refused, everything else goes on, nothing acknowledged is
//! lost, and writes come back by themselves when there is space. Never a stop, never a start that fails.
//!
//! `MAINSTAY_SMALL_DISK` names a folder on a small file system (100 MB or so) that may be filled: then the same is
//! tried there. `MAINSTAY_EXHAUSTIVE=1` cuts the power at twenty times as many places, and fills the disk far more
//! often.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{
    collections::BTreeMap,
    env, io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use node::{Caller, Config, Error, Member, Port, Rejection};
use proto::etcdserverpb::{
    AlarmRequest, AlarmType, DefragmentRequest, DeleteRangeRequest, HashRequest, LeaseGrantRequest,
    LeaseRevokeRequest, PutRequest, RequestOp, TxnRequest, alarm_request::AlarmAction,
    request_op::Request as Op,
};
use support::{compact, get, put, run, start_with};
use vfs::{CrashPlan, DirEntry, Disk, Fault, File, OpenMode, RealDisk, SimDisk};

const DIR: &str = "/data";
/// Where somebody else's bytes are.
const HOG: &str = "/hog";
const MIB: u64 = 1 << 20;
const RESERVE: u64 = 2 * MIB;
const CAPACITY: u64 = 14 * MIB;
/// What the log prepares ahead of use.
const SEGMENT_BYTES: u64 = 64_000_000;

const NO_SPACE: Error = Error::Rejected(Rejection::NoSpace);

fn config() -> Config {
    Config { reserve_bytes: RESERVE, ..support::config(Path::new(DIR)) }
}

/// A small disk with a member on it, and what its clients know.
struct Rig {
    disk: SimDisk,
    member: Option<Member>,
    port: Port,
    /// What was acknowledged.
    pairs: BTreeMap<String, String>,
    /// Keys whose delete was acknowledged.
    gone: Vec<String>,
    written: usize,
}

impl Rig {
    fn new() -> Rig {
        let disk = SimDisk::new();
        disk.set_capacity(Some(CAPACITY));
        let rig = Rig::on(disk);
        until("the reserve is whole", || rig.reserve() == RESERVE);
        rig
    }

    fn on(disk: SimDisk) -> Rig {
        let member = start_with(config(), Arc::new(disk.clone()));
        let port = member.handle().port();
        Rig { disk, member: Some(member), port, pairs: BTreeMap::new(), gone: Vec::new(), written: 0 }
    }

    fn restart(&mut self) {
        // With no room for the last commit the stop says so; the log has everything.
        let _ = self.member.take().unwrap().stop();
        let member = start_with(config(), Arc::new(self.disk.clone()));
        self.port = member.handle().port();
        self.member = Some(member);
    }

    /// After a power loss. What an image has kept may be more than fits: then the member waits until there is room.
    /// Whether it had to.
    fn start_on(&mut self, image: SimDisk) -> bool {
        self.disk = image;
        let member = node::start(config(), Arc::new(self.disk.clone())).unwrap();
        let waits = !member.wait_published(Duration::from_millis(500));
        if waits {
            self.make_room();
            assert!(member.wait_published(Duration::from_secs(10)), "it does not start with room either");
        }
        self.port = member.handle().port();
        self.member = Some(member);
        waits
    }

    fn reserve(&self) -> u64 {
        len(&self.disk, &Path::new(DIR).join("member/mainstay/reserve"))
    }

    fn put(&mut self) -> Result<(), Error> {
        let (key, value) = (format!("key-{:05}", self.written), format!("{}-", self.written).repeat(800));
        self.written += 1;
        put(&self.port, &key, &value)?;
        self.pairs.insert(key, value);
        Ok(())
    }

    /// Puts until that is refused, more or less for good.
    fn fill(&mut self) {
        for _ in 0..20 {
            self.put_until_refused();
        }
    }

    fn put_until_refused(&mut self) {
        let error = (0..20_000).find_map(|_| self.put().err());
        assert_eq!(error, Some(NO_SPACE));
        // What was still on its way to the backend may take less than was thought, as the next look tells.
        self.flush();
    }

    fn free(&self) -> u64 {
        self.disk.free_bytes(Path::new("/")).unwrap()
    }

    /// Waits until the backend has everything.
    fn flush(&self) {
        run(&self.port, self.port.hash(Caller::default(), HashRequest {})).unwrap();
    }

    /// Somebody else takes what is left.
    fn hog(&self) {
        let hog = self.disk.open(Path::new(HOG), OpenMode::Create).unwrap();
        let zeros = vec![0; MIB as usize];
        while hog.write_all_at(&zeros, hog.len().unwrap()).is_ok() {}
        hog.sync_data().unwrap();
    }

    /// Somebody else goes, and the disk is enlarged a little.
    fn make_room(&self) {
        self.disk.open(Path::new(HOG), OpenMode::Create).unwrap().set_len(0).unwrap();
        self.disk.set_capacity(Some(self.disk.used() + 3 * RESERVE));
    }

    /// From one moment to the next the disk is full beyond measure; a delete on another port waits for space when this
    /// returns.
    fn delete_without_a_byte_left(&self, key: String) -> thread::JoinHandle<Result<(), Error>> {
        self.disk.set_capacity(Some(100));
        let handle = self.member.as_ref().unwrap().handle();
        let waiting = thread::spawn(move || {
            // The backend may have spent the reserve first; then the delete is refused as long as that lasts.
            let (port, mut answer) = (handle.port(), Err(NO_SPACE));
            until("the delete is taken", || {
                answer = delete(&port, &key);
                answer != Err(NO_SPACE)
            });
            answer
        });
        until("the reserve is spent", || self.reserve() <= RESERVE / 8);
        waiting
    }

    /// Long requests that change nothing, until they are refused.
    fn spend_the_reserve(&self) {
        let error = (0..20_000).find_map(|_| delete(&self.port, &"absent".repeat(500)).err());
        assert_eq!(error, Some(NO_SPACE));
    }

    /// Deletes the first pair; its space comes back only with a compaction.
    fn delete(&mut self) -> Result<(), Error> {
        let key = self.pairs.keys().next().expect("there is a pair left").clone();
        delete(&self.port, &key)?;
        self.pairs.remove(&key);
        self.gone.push(key);
        Ok(())
    }

    fn compact(&self) -> Result<(), Error> {
        compact(&self.port, self.revision(), true)
    }

    fn revision(&self) -> i64 {
        let request = proto::etcdserverpb::RangeRequest { key: "x".into(), ..Default::default() };
        support::range(&self.port, request).unwrap().header.unwrap().revision
    }

    fn writes_come_back(&mut self) {
        until("a put is taken", || self.put().is_ok());
    }

    fn check(&self) {
        for (key, value) in &self.pairs {
            assert_eq!(get(&self.port, key).as_ref(), Some(value), "{key}");
        }
        for key in self.gone.iter().rev().take(50) {
            assert_eq!(get(&self.port, key), None, "{key}");
        }
    }

    fn stop(mut self) {
        self.check();
        self.member.take().unwrap().stop().unwrap();
    }
}

fn len(disk: &SimDisk, path: &Path) -> u64 {
    disk.open(path, OpenMode::Read).map_or(0, |file| file.len().unwrap())
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

fn delete(port: &Port, key: &str) -> Result<(), Error> {
    let request = DeleteRangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..Default::default() };
    run(port, port.delete_range(Caller::default(), request)).map(drop)
}

fn alarm(port: &Port, action: AlarmAction, alarm: AlarmType) -> Result<usize, Error> {
    let request = AlarmRequest { action: action as i32, member_id: 0, alarm: alarm as i32 };
    run(port, port.alarm(Caller::default(), request)).map(|reply| reply.alarms.len())
}

fn txn(port: &Port, op: Op) -> Result<(), Error> {
    let request = TxnRequest { success: vec![RequestOp { request: Some(op) }], ..Default::default() };
    run(port, port.txn(Caller::default(), request)).map(drop)
}

#[test]
fn writes_are_refused_before_the_disk_is_full_and_everything_else_goes_on() {
    let mut rig = Rig::new();
    let lease = LeaseGrantRequest { ttl: 1000, id: 7 };
    run(&rig.port, rig.port.lease_grant(Caller::default(), lease)).unwrap();
    let leased = PutRequest { key: "leased".into(), lease: 7, ..Default::default() };
    run(&rig.port, rig.port.put(Caller::default(), leased)).unwrap();
    until("space is short, whatever the next look finds", || {
        rig.put_until_refused();
        rig.free() < RESERVE / 2
    });
    assert!(rig.free() > 0);
    assert_eq!(rig.reserve(), RESERVE, "not touched while there is space");

    let port = &rig.port;
    // No alarm, which would outlast the shortage.
    assert_eq!(alarm(port, AlarmAction::Get, AlarmType::None), Ok(0));
    let grant = LeaseGrantRequest { ttl: 1000, id: 8 };
    assert_eq!(run(port, port.lease_grant(Caller::default(), grant)).unwrap_err(), NO_SPACE);
    let put = PutRequest { key: "a".into(), value: "b".into(), ..Default::default() };
    assert_eq!(txn(port, Op::RequestPut(put)).unwrap_err(), NO_SPACE);
    let gone = DeleteRangeRequest { key: "key-00000".into(), ..Default::default() };
    txn(port, Op::RequestDeleteRange(gone)).unwrap();
    rig.pairs.remove("key-00000");
    run(port, port.lease_revoke(Caller::default(), LeaseRevokeRequest { id: 7 })).unwrap();
    assert_eq!(get(port, "leased"), None);
    assert_eq!(alarm(port, AlarmAction::Activate, AlarmType::Corrupt), Ok(1));
    assert_eq!(alarm(port, AlarmAction::Deactivate, AlarmType::Corrupt), Ok(1));
    for _ in 0..rig.pairs.len() / 2 {
        rig.delete().unwrap();
    }
    rig.compact().unwrap();
    rig.check();
    // What was deleted and compacted comes back to the disk, and with it the writes.
    let before = len(&rig.disk, Path::new("/data/member/snap/db"));
    run(&rig.port, rig.port.defragment(Caller::default(), DefragmentRequest {})).unwrap();
    assert!(len(&rig.disk, Path::new("/data/member/snap/db")) < before);
    rig.writes_come_back();
    rig.stop();
}

#[test]
fn the_reserve_carries_what_is_left_when_others_take_the_last_byte() {
    let mut rig = Rig::new();
    rig.fill();
    rig.hog();
    let deletes = (0..200).take_while(|_| rig.delete().is_ok()).count();
    assert_eq!(deletes, 200);
    rig.spend_the_reserve();
    assert!(rig.reserve() < RESERVE / 4, "{}", rig.reserve());
    // The rest is for what gives space back, and to say what is wrong.
    assert_eq!(rig.delete(), Err(NO_SPACE));
    rig.compact().unwrap();
    assert_eq!(alarm(&rig.port, AlarmAction::Get, AlarmType::None), Ok(0));
    rig.check();
    assert_eq!(rig.put(), Err(NO_SPACE));
    rig.make_room();
    rig.writes_come_back();
    assert_eq!(rig.reserve(), RESERVE, "whole again before the first write");
    rig.stop();
}

#[test]
fn a_member_starts_again_and_again_on_a_full_disk() {
    let mut rig = Rig::new();
    rig.fill();
    rig.hog();
    rig.spend_the_reserve();
    for _ in 0..8 {
        rig.restart();
        rig.check();
        assert_eq!(rig.put(), Err(NO_SPACE));
        // Somebody else was faster.
        rig.hog();
    }
    rig.make_room();
    rig.writes_come_back();
    rig.stop();
}

#[test]
fn a_burst_that_the_backend_has_no_room_for_waits_in_the_log() {
    let mut rig = Rig::new();
    for _ in 0..1000 {
        rig.put().unwrap();
    }
    rig.hog();
    until("writes are refused", || rig.put() == Err(NO_SPACE));
    for _ in 0..3 {
        rig.check();
        rig.restart();
        rig.hog();
    }
    rig.make_room();
    rig.writes_come_back();
    rig.stop();
}

#[test]
fn a_write_that_finds_no_room_at_all_waits() {
    let mut rig = Rig::new();
    for _ in 0..20 {
        rig.put().unwrap();
    }
    put(&rig.port, "waiting", "1").unwrap();
    let waiting = rig.delete_without_a_byte_left("waiting".into());
    // Everybody else is refused at once, and nobody has seen what is not durable.
    assert_eq!(rig.compact(), Err(NO_SPACE));
    assert_eq!(rig.put(), Err(NO_SPACE));
    assert!(get(&rig.port, "waiting").is_some());
    rig.check();
    rig.disk.set_capacity(Some(CAPACITY));
    assert_eq!(waiting.join().unwrap(), Ok(()));
    assert!(get(&rig.port, "waiting").is_none());
    rig.writes_come_back();
    rig.stop();
}

#[test]
fn a_member_that_waits_for_space_can_be_stopped_and_started() {
    let mut rig = Rig::new();
    for round in 0..3 {
        for _ in 0..20 {
            rig.put().unwrap();
        }
        let waiting = rig.delete_without_a_byte_left(format!("absent-{round}"));
        let begun = Instant::now();
        let _ = rig.member.take().unwrap().stop();
        assert!(begun.elapsed() < Duration::from_secs(3), "the stop waited for space");
        assert!(waiting.join().unwrap().is_err());
        // Without a byte it cannot lead, but it does not give up either.
        let member = node::start(config(), Arc::new(rig.disk.clone())).unwrap();
        assert!(!member.wait_published(Duration::from_millis(150)));
        assert!(!member.has_ended());
        rig.disk.set_capacity(Some(CAPACITY));
        assert!(member.wait_published(Duration::from_secs(10)));
        rig.port = member.handle().port();
        rig.member = Some(member);
        rig.check();
        rig.writes_come_back();
    }
    rig.stop();
}

#[test]
fn a_member_that_fails_while_it_waits_for_space_ends() {
    let mut rig = Rig::new();
    for _ in 0..20 {
        rig.put().unwrap();
    }
    // The log waits, and the backend with what was just put.
    let waiting = rig.delete_without_a_byte_left("absent".into());
    until("the backend waits, too", || rig.put() == Err(NO_SPACE));
    rig.disk.fail_at(0, Fault::Eio);
    let member = rig.member.take().unwrap();
    until("the member ends", || member.has_ended());
    assert!(waiting.join().unwrap().is_err());
    assert!(member.stop().is_err());
    rig.disk.set_capacity(Some(CAPACITY));
    let image = rig.disk.kill();
    assert!(!rig.start_on(image));
    rig.writes_come_back();
    rig.stop();
}

#[test]
fn segments_that_are_kept_beyond_need_go_first() {
    let mut rig = Rig::on(SimDisk::new());
    let wal = |rig: &Rig, suffix: &str| -> Vec<u64> {
        let files = rig.disk.files();
        let wanted = files.iter().filter(|path| path.extension().is_some_and(|found| found == suffix));
        wanted.filter(|path| path.starts_with("/data/member/wal")).map(|path| len(&rig.disk, path)).collect()
    };
    let value = "v".repeat(1_000_000);
    while wal(&rig, "wal").len() < 3 {
        put(&rig.port, "large", &value).unwrap();
    }
    rig.flush();
    until("the reserve is whole", || rig.reserve() == RESERVE);
    // The next segment, written ahead of use, goes before any other; that alone must not be enough.
    until("a segment is ready", || wal(&rig, "tmp") == [SEGMENT_BYTES]);
    let before = rig.disk.used();
    rig.disk.set_capacity(Some(before - SEGMENT_BYTES + RESERVE / 4));
    until("segments go", || wal(&rig, "wal").len() == 1);
    // With room again, another one may be ready already.
    assert!(before - rig.disk.used() > 100 * MIB);
    rig.writes_come_back();
    rig.stop();
}

/// The log below `/fast` on a disk of its own.
struct TwoDisks {
    data: SimDisk,
    log: SimDisk,
}

impl TwoDisks {
    fn of(&self, path: &Path) -> &SimDisk {
        if path.starts_with("/fast") { &self.log } else { &self.data }
    }
}

impl Disk for TwoDisks {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        self.of(path).open(path, mode)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.of(path).exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.of(dir).list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.of(dir).create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.of(from).rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.of(path).remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.of(dir).remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.of(dir).sync_dir(dir)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.of(path).free_bytes(path)
    }
}

#[test]
fn a_log_on_another_disk_does_not_draw_on_the_reserve() {
    let (data, log) = (SimDisk::new(), SimDisk::new());
    log.create_dir_all(Path::new("/fast")).unwrap();
    log.set_capacity(Some(CAPACITY));
    let config = Config { wal_dir: Some("/fast/wal".into()), ..config() };
    let member = start_with(config, Arc::new(TwoDisks { data: data.clone(), log: log.clone() }));
    let port = member.handle().port();
    let reserve = || len(&data, &Path::new(DIR).join("member/mainstay/reserve"));
    until("the reserve is whole", || reserve() == RESERVE);
    run(&port, port.hash(Caller::default(), HashRequest {})).unwrap();
    let calls = log.io_count();
    log.set_capacity(Some(100));
    let handle = member.handle();
    let waiting = thread::spawn(move || delete(&handle.port(), "absent"));
    // Only the write that finds no room comes back to this disk, and the reserve would be asked before it waits.
    until("a write was tried again and again", || log.io_count() >= calls + 5);
    assert_eq!(reserve(), RESERVE);
    assert_eq!(put(&port, "other", "1").err(), Some(NO_SPACE));
    log.set_capacity(Some(CAPACITY));
    assert_eq!(waiting.join().unwrap(), Ok(()));
    until("a put is taken", || put(&port, "a", "b").is_ok());
    assert_eq!(reserve(), RESERVE);
    member.stop().unwrap();
}

/// Small numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn many_cycles_of_full_and_free() {
    let mut random = Random(3);
    let mut rig = Rig::new();
    let cycles = if env::var_os("MAINSTAY_EXHAUSTIVE").is_some() { 200 } else { 12 };
    for cycle in 0..cycles {
        match random.below(6) {
            0 | 1 => rig.fill(),
            2 => rig.hog(),
            3 => rig.make_room(),
            4 => rig.restart(),
            _ => {
                let image = rig.disk.crash(CrashPlan::Seeded { seed: cycle });
                let _ = rig.member.take().unwrap().stop();
                rig.start_on(image);
            }
        }
        for _ in 0..random.below(60) {
            if !rig.pairs.is_empty() && rig.delete().is_err() {
                break;
            }
        }
        if random.below(3) == 0 {
            rig.make_room();
            rig.compact().unwrap();
            run(&rig.port, rig.port.defragment(Caller::default(), DefragmentRequest {})).unwrap();
        }
        rig.check();
    }
    rig.make_room();
    while !rig.pairs.is_empty() {
        until("a delete is taken", || rig.delete().is_ok());
    }
    rig.compact().unwrap();
    run(&rig.port, rig.port.defragment(Caller::default(), DefragmentRequest {})).unwrap();
    rig.writes_come_back();
    rig.stop();
}

/// Deletes until that is refused or the power goes, a compaction, and a stop. Gives the key whose delete was asked for
/// and not answered: it may be there afterwards or not.
fn live_on_a_full_disk(rig: &mut Rig) -> Option<String> {
    let mut in_doubt = None;
    for _ in 0..150 {
        let key = rig.pairs.keys().next().expect("there are more").clone();
        match rig.delete() {
            Ok(()) => {}
            Err(NO_SPACE) => break,
            Err(_) => {
                in_doubt = Some(key);
                break;
            }
        }
    }
    if in_doubt.is_none() {
        let _ = compact(&rig.port, 10, true);
    }
    // Without power this fails, as it should.
    let _ = rig.member.take().unwrap().stop();
    in_doubt
}

#[test]
fn the_power_goes_while_the_disk_is_full() {
    let mut rig = Rig::new();
    rig.fill();
    rig.hog();
    let _ = rig.member.take().unwrap().stop();
    let (full, pairs) = (rig.disk.clone(), rig.pairs.clone());
    let step = if env::var_os("MAINSTAY_EXHAUSTIVE").is_some() { 1 } else { 23 };
    let (mut images, mut waited) = (0, 0);
    for number in (0..460).step_by(step) {
        let disk = full.crash(CrashPlan::KeepUnsynced);
        disk.fail_at(number, Fault::Crash);
        rig.disk = disk.clone();
        rig.pairs = pairs.clone();
        rig.gone.clear();
        if let Ok(member) = node::start(config(), Arc::new(disk)) {
            rig.port = member.handle().port();
            while !member.wait_published(Duration::from_millis(5)) && !member.has_ended() {}
            rig.member = Some(member);
            if let Some(key) = live_on_a_full_disk(&mut rig) {
                rig.pairs.remove(&key);
            }
        }
        let plan = match number % 3 {
            0 => CrashPlan::LoseUnsynced,
            1 => CrashPlan::KeepUnsynced,
            _ => CrashPlan::Seeded { seed: number },
        };
        waited += u32::from(rig.start_on(rig.disk.crash(plan)));
        rig.check();
        rig.make_room();
        rig.writes_come_back();
        let _ = rig.member.take().unwrap().stop();
        images += 1;
    }
    println!("{images} crash images, {waited} of them started only with more room");
}

/// The same on a file system of the machine, with what is real there: blocks, delayed allocation, holes.
#[test]
fn a_real_file_system_can_be_filled() {
    let Some(folder) = env::var_os("MAINSTAY_SMALL_DISK") else {
        println!("skipped: MAINSTAY_SMALL_DISK is not set");
        return;
    };
    let dir = tempfile::tempdir_in(&folder).unwrap();
    let (data, hog): (PathBuf, PathBuf) = (dir.path().join("data"), dir.path().join("hog"));
    let free = RealDisk.free_bytes(dir.path()).unwrap();
    assert!(free < 4 << 30, "{free} bytes are too many to fill");
    let config = Config { reserve_bytes: 8 * MIB, ..support::config(&data) };
    let mut keys = Vec::new();
    for round in 0..3 {
        let member = start_with(config.clone(), Arc::new(RealDisk));
        let port = member.handle().port();
        let reserve = || RealDisk.open(&data.join("member/mainstay/reserve"), OpenMode::Read);
        until("the reserve is whole", || reserve().is_ok_and(|file| file.len().unwrap() == 8 * MIB));
        let value = "v".repeat(100_000);
        let refused = (0..1_000_000).find_map(|n| {
            let key = format!("{round}-{n:06}");
            let error = put(&port, &key, &value).err();
            keys.extend(error.is_none().then_some(key));
            error
        });
        assert_eq!(refused, Some(NO_SPACE));
        run(&port, port.hash(Caller::default(), HashRequest {})).unwrap();
        // Somebody else takes the rest.
        let file = RealDisk.open(&hog, OpenMode::Create).unwrap();
        let mut at = 0;
        let mut take_all = || {
            while file.write_all_at(&[7; 4096], at).is_ok() {
                at += 4096;
            }
        };
        take_all();
        for key in keys.drain(..20) {
            delete(&port, &key).unwrap();
        }
        let mut take_all_again = |port: &Port| {
            until("writes are refused", || {
                // The member gives up segments that it does not need, which the other takes, too.
                take_all();
                put(port, "a", "b").err() == Some(NO_SPACE)
            });
        };
        take_all_again(&port);
        member.stop().unwrap();
        let member = start_with(config.clone(), Arc::new(RealDisk));
        let port = member.handle().port();
        take_all_again(&port);
        assert_eq!(get(&port, keys.last().unwrap()).as_deref(), Some(&*value));
        RealDisk.remove_file(&hog).unwrap();
        drop(file);
        for key in keys.drain(..) {
            until("a delete is taken", || delete(&port, &key).is_ok());
        }
        let request = proto::etcdserverpb::RangeRequest { key: "x".into(), ..Default::default() };
        let revision = support::range(&port, request).unwrap().header.unwrap().revision;
        compact(&port, revision, true).unwrap();
        run(&port, port.defragment(Caller::default(), DefragmentRequest {})).unwrap();
        until("a put is taken", || put(&port, "a", "b").is_ok());
        member.stop().unwrap();
    }
}
