//! A member whose files were damaged gets from the others what it lost, and is then what it was; what cannot be had
//! from others is refused. The normal run takes a sample; `MAINSTAY_EXHAUSTIVE=1` goes to hundreds of places.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[path = "support/crew.rs"]
mod crew;
#[path = "support/donors.rs"]
mod donors;
mod support;

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use crew::{Mate, Network, crew_with, leader, mate_config, wait_for};
use donors::Givers;
use node::Config;
use proto::etcdserverpb::RangeRequest;
use support::{compact, put, range};
use vfs::{CrashPlan, SimDisk};

const NAMES: [&str; 3] = ["a", "b", "c"];
const SECTOR: usize = 512;

/// Three members, one of which has stopped, and what all of them must hold in the end.
struct Hurt {
    network: Network,
    mates: Vec<Mate>,
    victim: Mate,
    pairs: BTreeMap<String, String>,
}

impl Hurt {
    /// `snapshots`: the log begins behind its beginning. `behind`: the others went on while the victim was away.
    fn new(snapshots: bool, behind: bool) -> Hurt {
        let network = Network::default();
        let settings = |name: &str| Config {
            snapshot_count: if snapshots { 40 } else { 10_000 },
            snapshot_catchup_entries: 20,
            ..mate_config(name, &NAMES)
        };
        let mut mates = crew_with(&network, &NAMES, settings);
        let mut pairs = BTreeMap::new();
        write(&mates[leader(&mates)], &mut pairs, 0..150);
        let follower = (leader(&mates) + 1) % mates.len();
        let mut victim = mates.remove(follower);
        caught_up(&victim, &pairs);
        victim.stop(&network);
        let rest = leader(&mates);
        let more = if behind { 150..200 } else { 150..153 };
        write(&mates[rest], &mut pairs, more);
        compact(&mates[rest].port, 100, true).unwrap();
        let others = mates.iter().map(|mate| (mate.member().handle(), mate.disk.clone())).collect();
        victim.config.donors = Some(Arc::new(Givers::new(others)));
        Hurt { network, mates, victim, pairs }
    }

    fn file(&self, name: &str) -> PathBuf {
        let found =
            self.victim.disk.files().into_iter().filter(|path| path.to_string_lossy().ends_with(name));
        found.max().expect("the file is there")
    }

    /// Damages the victim's disk and starts it. If it starts, it must come to hold every pair, and is stopped again; if
    /// it does not, the damage goes away, and this is why. A disk that was run from is never set back: that would be a
    /// log that has lost its end.
    fn start_damaged(&mut self, damage: impl Fn(&SimDisk)) -> Result<(), String> {
        let sound = self.victim.disk.crash(CrashPlan::KeepUnsynced);
        damage(&self.victim.disk);
        let others = self.mates.iter().map(|mate| (mate.member().handle(), mate.disk.clone())).collect();
        let givers = Givers::new(others);
        givers.give_to(&self.victim.disk);
        self.victim.config.donors = Some(Arc::new(givers.clone()));
        if let Err(error) = self.victim.try_start(&self.network) {
            self.victim.disk = sound;
            return Err(error.to_string());
        }
        if !self.victim.member().wait_published(crew::PATIENCE) {
            return Err(self.victim.member.take().unwrap().stop().unwrap_err());
        }
        caught_up(&self.victim, &self.pairs);
        if let Some(kin) = givers.asked_by() {
            assert_eq!(kin.member, self.victim.id);
            assert_eq!(kin.urls.len(), 2, "{kin:?}");
        }
        self.victim.stop(&self.network);
        Ok(())
    }

    /// Makes the log and the database of the others grow.
    fn go_on(&mut self) {
        let rest = leader(&self.mates);
        write(&self.mates[rest], &mut self.pairs, 300..303);
    }
}

fn write(mate: &Mate, pairs: &mut BTreeMap<String, String>, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let (key, value) = (format!("key-{:02}", n % 70), format!("{n}-").repeat(60));
        put(&mate.port, &key, &value).unwrap();
        pairs.insert(key, value);
    }
}

fn held(mate: &Mate) -> BTreeMap<String, String> {
    let all = RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        serializable: true,
        ..Default::default()
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let reply = range(&mate.port, all).unwrap();
    reply.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect()
}

fn caught_up(mate: &Mate, pairs: &BTreeMap<String, String>) {
    wait_for("all pairs", || (held(mate) == *pairs).then_some(()));
}

/// Places spread over `count` of something.
fn places(count: usize) -> impl Iterator<Item = usize> {
    let wanted = if env::var_os("MAINSTAY_EXHAUSTIVE").is_some() { 400 } else { 12 };
    (0..wanted).map(move |n| count * n / wanted)
}

fn used(disk: &SimDisk, path: &Path) -> usize {
    let bytes = disk.contents(path).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

#[test]
fn a_damaged_database_is_replaced_and_the_log_goes_on_from_it() {
    for (snapshots, behind) in [(false, false), (true, true), (true, false), (false, true)] {
        let mut hurt = Hurt::new(snapshots, behind);
        let db = hurt.file("snap/db");
        let len = used(&hurt.victim.disk, &db);
        for place in places(len) {
            hurt.go_on();
            let bit = place as u64 * 8 + place as u64 % 8;
            let healed = hurt.start_damaged(|disk| disk.flip_bit(&db, bit).unwrap());
            assert_eq!(healed, Ok(()), "bit {bit}");
        }
        for place in places(len / SECTOR) {
            let sector = place * SECTOR..(place + 1) * SECTOR;
            let zero = |disk: &SimDisk| disk.damage(&db, |bytes| bytes[sector.clone()].fill(0)).unwrap();
            assert_eq!(hurt.start_damaged(zero), Ok(()), "sector {place}");
        }
        let gone = |disk: &SimDisk| vfs::Disk::remove_file(disk, &db).unwrap();
        assert_eq!(hurt.start_damaged(gone), Ok(()));
        let empty = |disk: &SimDisk| disk.truncate(&db, 0).unwrap();
        assert_eq!(hurt.start_damaged(empty), Ok(()));
        let other = |disk: &SimDisk| disk.damage(&db, |bytes| bytes.fill(0xa5)).unwrap();
        assert_eq!(hurt.start_damaged(other), Ok(()));
    }
}

#[test]
fn a_damaged_log_is_mended_to_the_byte() {
    for (snapshots, behind) in [(false, false), (true, true)] {
        let mut hurt = Hurt::new(snapshots, behind);
        let log = hurt.file(".wal");
        let len = used(&hurt.victim.disk, &log);
        for place in places(len) {
            let bit = place as u64 * 8 + place as u64 % 8;
            let healed = hurt.start_damaged(|disk| disk.flip_bit(&log, bit).unwrap());
            assert_eq!(healed, Ok(()), "bit {bit}");
        }
        for place in places(len / SECTOR) {
            let sector = place * SECTOR..(place + 1) * SECTOR;
            let zero = |disk: &SimDisk| disk.damage(&log, |bytes| bytes[sector.clone()].fill(0)).unwrap();
            assert_eq!(hurt.start_damaged(zero), Ok(()), "sector {place}");
            let (one, other) = (place, len / SECTOR - 1 - place);
            let swap = |disk: &SimDisk| {
                let change = |bytes: &mut Vec<u8>| {
                    for at in 0..SECTOR {
                        bytes.swap(one * SECTOR + at, other * SECTOR + at);
                    }
                };
                disk.damage(&log, change).unwrap();
            };
            assert_eq!(hurt.start_damaged(swap), Ok(()), "sectors {one} and {other}");
        }
    }
}

#[test]
fn length_words_of_the_log_come_back() {
    let mut hurt = Hurt::new(false, true);
    let dir = hurt.file(".wal").parent().unwrap().to_owned();
    let log = hurt.file(".wal");
    let mut offsets = Vec::new();
    wal::scan(&hurt.victim.disk, &dir, None, |located| offsets.push(located.offset)).unwrap();
    for place in places(offsets.len()) {
        for bit in [0, 9, 17, 35, 58, 63] {
            let flip = |disk: &SimDisk| disk.flip_bit(&log, offsets[place] * 8 + bit).unwrap();
            assert_eq!(hurt.start_damaged(flip), Ok(()), "bit {bit} of record {place}");
        }
    }
}

#[test]
fn log_and_database_at_once() {
    let mut hurt = Hurt::new(true, true);
    let (log, db) = (hurt.file(".wal"), hurt.file("snap/db"));
    let (log_len, db_len) = (used(&hurt.victim.disk, &log), used(&hurt.victim.disk, &db));
    let healed = hurt.start_damaged(|disk| {
        disk.flip_bit(&log, log_len as u64 * 4).unwrap();
        disk.flip_bit(&db, db_len as u64 * 4).unwrap();
    });
    assert_eq!(healed, Ok(()));
}

#[test]
fn a_lost_tail_of_the_log_without_its_names_is_refused() {
    let mut hurt = Hurt::new(false, false);
    let log = hurt.file(".wal");
    let rows = hurt.file(".rows");
    let len = used(&hurt.victim.disk, &log);
    let refused = hurt.start_damaged(|disk| {
        disk.damage(&log, |bytes| bytes[len / 2..len / 2 + 9].fill(0xff)).unwrap();
        vfs::Disk::remove_file(disk, &rows).unwrap();
    });
    let error = refused.unwrap_err();
    assert!(error.contains("WAL damaged") && error.contains("no side file names what is missing"), "{error}");
}
