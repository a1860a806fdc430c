//! One flipped bit anywhere in the db or the WAL, side files present: a member either refuses to start, or refuses
//! to answer, or answers right. Never a wrong answer.
//!
//! The normal run takes a sample; `MAINSTAY_EXHAUSTIVE=1` flips 10,000 places of each.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use node::Port;
use proto::etcdserverpb::RangeRequest;
use support::{compact, put, range, start, try_start};
use vfs::{CrashPlan, SimDisk};

const DIR: &str = "/data";

/// A directory with some hundred kilobytes of both files, stopped cleanly, and every pair in it.
fn prepared() -> (SimDisk, BTreeMap<String, String>) {
    let disk = SimDisk::new();
    let member = start(Path::new(DIR), Arc::new(disk.clone()));
    let port = member.handle().port();
    let mut pairs = BTreeMap::new();
    for n in 0..400 {
        let (key, value) = (format!("key-{:03}", n % 150), format!("{n}-").repeat(100));
        put(&port, &key, &value).unwrap();
        pairs.insert(key, value);
    }
    compact(&port, 200, true).unwrap();
    member.stop().unwrap();
    (disk.crash(CrashPlan::LoseUnsynced), pairs)
}

/// What became of one damaged start.
#[derive(Debug, Default)]
struct Outcomes {
    refused_to_start: u32,
    refused_to_answer: u32,
    right: u32,
}

fn pairs_at(port: &Port, revision: i64) -> Result<BTreeMap<String, String>, node::Error> {
    let all = RangeRequest { key: vec![0].into(), range_end: vec![0].into(), revision, ..Default::default() };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(range(port, all)?.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect())
}

fn flip_everywhere(file: impl Fn(&Path) -> bool) -> Outcomes {
    let (disk, pairs) = prepared();
    let path: PathBuf = disk.files().into_iter().find(|path| file(path)).expect("the file is there");
    let len = disk.contents(&path).unwrap().len() as u64;
    let places: u64 = if env::var_os("MAINSTAY_EXHAUSTIVE").is_some() { 10_000 } else { 120 };
    let mut outcomes = Outcomes::default();
    for place in 0..places {
        // Bytes spread over the file, bits over the byte.
        let bit = (len * place / places) * 8 + place % 8;
        let damaged = disk.crash(CrashPlan::KeepUnsynced);
        damaged.flip_bit(&path, bit).unwrap();
        let Some(member) = try_start(Path::new(DIR), Arc::new(damaged)) else {
            outcomes.refused_to_start += 1;
            continue;
        };
        let port = member.handle().port();
        match pairs_at(&port, 0) {
            Ok(found) => {
                assert!(found == pairs, "bit {bit} of {} gives a wrong answer", path.display());
                outcomes.right += 1;
            }
            Err(_) => outcomes.refused_to_answer += 1,
        }
        // It may have noticed more meanwhile, and say so.
        let _ = member.stop();
    }
    outcomes
}

#[test]
fn a_flipped_bit_in_the_db_is_never_served() {
    let outcomes = flip_everywhere(|path| path.ends_with("member/snap/db"));
    println!("db: {outcomes:?}");
    assert!(outcomes.refused_to_start + outcomes.refused_to_answer > 0);
}

#[test]
fn a_flipped_bit_in_the_wal_is_never_served() {
    let outcomes = flip_everywhere(|path| path.extension().is_some_and(|e| e == "wal"));
    println!("WAL: {outcomes:?}");
    assert!(outcomes.refused_to_start > 0);
}
