//! A bit flipped in each byte of a log of one mebibyte, with the side file beside it: all are noticed.
//!
//! The normal run takes a sample; `MAINSTAY_EXHAUSTIVE=1` takes each byte, which is minutes in a release build.

use std::thread;

use crate::common::*;
use types::raft::Entry;
use vfs::{CrashPlan, Fault, SimDisk};
use wal::WalError;

const MIB: u64 = 1 << 20;
/// Bytes between two flips of the normal run: a prime, so that every offset in a frame and in a sector comes up.
const STRIDE: u64 = 5003;

/// A closed log of at least a mebibyte in one segment: batches of one to nine entries of 0 to 2,000 bytes.
fn log() -> (SimDisk, Vec<Entry>) {
    let disk = disk();
    let mut wal = create(&disk, &options(1 << 30, true));
    let mut all = Vec::new();
    while wal.size() < MIB {
        let n = all.len() as u64;
        let last = wal.last_index();
        let batch = entries(last + 1..=last + 1 + n % 9, 1, (n as usize * 37) % 2_000);
        wal.append(&batch, state(1, last)).unwrap();
        wal.sync().unwrap();
        all.extend(batch);
    }
    wal.close().unwrap();
    disk.make_durable();
    (disk, all)
}

/// Flips one bit of each byte that `places` names, one at a time; gives how many of them were noticed.
fn flip(disk: &SimDisk, places: impl Iterator<Item = u64>) -> u64 {
    let options = options(1 << 30, true);
    let segment = last_segment(disk);
    let mut noticed = 0;
    for byte in places {
        let bit = byte * 8 + (byte * 5 + byte / 8) % 8;
        disk.flip_bit(&segment, bit).unwrap();
        match open(disk, &options) {
            Err(WalError::Damaged { .. } | WalError::Unusable { .. }) => noticed += 1,
            other => panic!("bit {bit}: {other:?}"),
        }
        disk.flip_bit(&segment, bit).unwrap();
    }
    noticed
}

#[test]
fn no_bit_of_a_mebibyte_can_flip_unnoticed() {
    let (disk, all) = log();
    let len = used(&disk, &last_segment(&disk));
    assert!(len >= MIB, "{len}");
    let stride = if std::env::var_os("MAINSTAY_EXHAUSTIVE").is_some() { 1 } else { STRIDE };
    let noticed: u64 = thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            let disk = disk.crash(CrashPlan::KeepUnsynced);
            scope.spawn(move || flip(&disk, (half * stride..len).step_by(2 * stride as usize)))
        });
        halves.into_iter().map(|half| half.join().unwrap()).sum()
    });
    assert_eq!(noticed, len.div_ceil(stride));
    println!("{noticed} of {noticed} flipped bits in {len} bytes of log noticed");
    // The images were damaged one bit at a time: the log itself is whole.
    let (_, found) = open(&disk, &options(1 << 30, true)).unwrap();
    assert_eq!(found.entries, all);
}

/// Found by the simulator: records that may never have been durable are read and written once more by a start, and a bit
/// that this read brought wrong was stored.
#[test]
fn a_bit_that_is_read_wrong_once_is_never_stored() {
    let disk = disk();
    let options = options(1 << 20, true);
    let mut wal = create(&disk, &options);
    let mut all = entries(1..=20, 1, 200);
    wal.append(&all, state(1, 0)).unwrap();
    wal.sync().unwrap();
    let batch = entries(21..=30, 1, 300);
    wal.append(&batch, state(1, 20)).unwrap();
    all.extend(batch);
    // The process ends before the sync.
    let disk = disk.kill();
    drop(wal);
    let once = disk.crash(CrashPlan::KeepUnsynced);
    let before = once.read_count();
    drop(open(&once, &options).unwrap());
    let reads = once.read_count() - before;
    assert!(reads > 5, "{reads}");
    let mut refused = 0;
    for read in 0..reads {
        for bit in [3, 70, 1_001, 2_000, 15_007] {
            let disk = disk.crash(CrashPlan::KeepUnsynced);
            disk.fail_read_at(read, Fault::ReadBitFlip { bit });
            refused += u64::from(open(&disk, &options).is_err());
            let disk = disk.kill();
            let (_, found) = open(&disk, &options).unwrap_or_else(|e| panic!("read {read}, bit {bit}: {e}"));
            assert_eq!(found.entries, all, "read {read}, bit {bit}");
        }
    }
    println!("{refused} of {} starts refused", 5 * reads);
    assert!(refused > 0);
}
