//! Power loss and damage, met by the built binary on a real file system.
//!
//! A member lives on a simulated disk, which then loses its power, or gets a bit flipped; what is left is written out,
//! and the binary is started on it. The normal run takes a few; `MAINSTAY_CRASHES=300` as many as it says, each
//! another seed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[path = "../../../crates/node/tests/support/mod.rs"]
mod support;

use std::{
    env,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread,
};

use e2e::server::{Exit, Server};
use support::life;
use tempfile::TempDir;
use vfs::{CrashPlan, Fault, SimDisk};

/// Steps of one life.
const STEPS: usize = 120;
const BLOCK: usize = 4096;
/// Who the member on the simulated disk was: a log without entries is begun anew only by the same.
const WHO: [&str; 3] = [
    "--name=default",
    "--initial-cluster=default=http://localhost:2380",
    "--initial-advertise-peer-urls=http://localhost:2380",
];

/// Seeds to try, of each of the two kinds.
fn seeds() -> std::ops::Range<u64> {
    0..env::var("MAINSTAY_CRASHES").map_or(4, |count| count.parse().expect("MAINSTAY_CRASHES is a number"))
}

/// A number below `bound` that looks random, the `nth` of its seed.
fn pick(seed: u64, nth: u64, bound: u64) -> u64 {
    let mut x = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ nth.wrapping_mul(0xd1b5_4a32_d192_ed03);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) % bound
}

/// Writes `/data` of `disk` to a real directory, zeros as holes.
fn write_out(disk: &SimDisk) -> TempDir {
    let dir = TempDir::new().unwrap();
    for path in disk.files() {
        let Ok(below) = path.strip_prefix("/data") else { continue };
        let (target, bytes) = (dir.path().join(below), disk.contents(&path).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        let file = File::create(target).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        for (n, block) in bytes.chunks(BLOCK).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                file.write_all_at(block, (n * BLOCK) as u64).unwrap();
            }
        }
    }
    dir
}

/// What the binary serves from `dir`, and that it takes a write and stops.
fn served(dir: &Path) -> Result<life::Pairs, Exit> {
    let server = Server::start_on(dir, &WHO)?;
    let client = server.client();
    let found = life::pairs(&client.ok(life::everything()));
    client.ok(proto::etcdserverpb::PutRequest { key: "after".into(), ..Default::default() });
    assert_eq!(client.ok(life::everything()).count, found.len() as i64 + 1);
    server.stop();
    Ok(found)
}

/// Two seeds at a time.
fn each_seed(check: impl Fn(u64) + Sync) {
    thread::scope(|scope| {
        for half in 0..2 {
            let check = &check;
            scope.spawn(move || seeds().filter(|seed| seed % 2 == half).for_each(check));
        }
    });
}

#[test]
fn the_binary_starts_after_any_power_loss() {
    let whole = SimDisk::new();
    assert_eq!(life::live(&whole, STEPS).acknowledged, STEPS);
    let ios = whole.io_count();
    each_seed(|seed| {
        let disk = SimDisk::new();
        let at = 1 + pick(seed, 1, ios);
        disk.fail_at(at, Fault::Crash);
        let life = life::live(&disk, STEPS);
        let plan = match seed % 4 {
            0 => CrashPlan::TearLast { seed },
            1 => CrashPlan::LoseUnsynced,
            _ => CrashPlan::Seeded { seed },
        };
        let dir = write_out(&disk.crash(plan));
        let what = format!("seed {seed}, power lost at I/O {at} of about {ios}");
        let found = served(dir.path()).unwrap_or_else(|exit| panic!("{what}: does not start: {exit:?}"));
        assert!(life.allows(&found), "{what}: after {} steps: {found:?}", life.acknowledged);
    });
    println!("{} power losses: all started, nothing acknowledged lost", seeds().end);
}

#[test]
fn the_binary_never_serves_a_flipped_bit() {
    let disk = SimDisk::new();
    assert_eq!(life::live(&disk, STEPS).acknowledged, STEPS);
    let right = life::after(STEPS);
    let files: Vec<PathBuf> = disk.files().into_iter().filter(|path| path.starts_with("/data")).collect();
    each_seed(|seed| {
        let image = disk.crash(CrashPlan::KeepUnsynced);
        let path = &files[pick(seed, 1, files.len() as u64) as usize];
        let bytes = image.contents(path).unwrap();
        // Zeros at the end are room for later; few of the flips go there.
        let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let bits = 8 * if seed % 8 == 0 { bytes.len() } else { used } as u64;
        if bits == 0 {
            return;
        }
        let bit = pick(seed, 2, bits);
        image.flip_bit(path, bit).unwrap();
        let dir = write_out(&image);
        let what = format!("seed {seed}, bit {bit} of {}", path.display());
        match served(dir.path()) {
            Ok(found) => assert!(found == right, "{what}: a wrong answer"),
            Err(exit) => {
                assert!(exit.code.is_some_and(|code| code != 0), "{what}: {exit:?}");
                assert!(exit.fatal()["error"].is_string(), "{what}: {exit:?}");
            }
        }
    });
    println!("{} flipped bits: none served", seeds().end);
}
