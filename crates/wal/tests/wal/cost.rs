//! What a write costs. Not a test of anything but speed, so it runs only when asked for:
//! `cargo test --release -p wal cost -- --ignored --nocapture`.

use std::{sync::Arc, time::Instant};

use crate::common::*;
use vfs::RealDisk;
use wal::{Wal, WalOptions};

/// Nanoseconds per entry of `len` bytes for encode, checksums and write, in batches of `count`, syncs apart.
fn measure(count: u64, len: usize, side: bool) -> (f64, f64) {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let options = WalOptions {
        side_dir: side.then(|| dir.path().join("mainstay/wal")),
        prewrite_first: true,
        ..WalOptions::default()
    };
    let mut wal = Wal::create(Arc::new(RealDisk), &dir.path().join("wal"), METADATA, options).unwrap();
    let batches = 50_000_000 / (count * (len as u64 + 80));
    let (mut appending, mut syncing) = (0, 0);
    for _ in 0..batches {
        let last = wal.last_index();
        let batch = entries(last + 1..=last + count, 1, len);
        let start = Instant::now();
        wal.append(&batch, state(1, last)).unwrap();
        let appended = Instant::now();
        wal.sync().unwrap();
        appending += (appended - start).as_nanos();
        syncing += appended.elapsed().as_nanos();
    }
    let entries = (batches * count) as f64;
    (appending as f64 / entries, syncing as f64 / entries)
}

#[test]
#[ignore = "measures speed; run it alone in a release build"]
fn of_an_entry() {
    for side in [false, true] {
        for (count, len) in [(1, 300), (10, 300), (100, 300), (1000, 300), (100, 1024)] {
            let (append, sync) = measure(count, len, side);
            println!(
                "side file {side}, {count} x {len} bytes: append {append:.0} ns, sync {sync:.0} ns an entry"
            );
        }
    }
}

#[test]
#[ignore = "measures speed; run it alone in a release build"]
fn of_opening() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let (wal_dir, side) = (dir.path().join("wal"), dir.path().join("mainstay/wal"));
    let options = |side_dir| WalOptions { side_dir, ..WalOptions::default() };
    let mut wal = Wal::create(Arc::new(RealDisk), &wal_dir, METADATA, options(Some(side.clone()))).unwrap();
    for batch in 0..4000 {
        wal.append(&entries(batch * 250 + 1..=batch * 250 + 250, 1, 300), state(1, batch * 250)).unwrap();
        if batch == 3960 {
            wal.save_snapshot(snapshot(990_000, 1)).unwrap();
        }
    }
    wal.close().unwrap();
    for side_dir in [None, Some(side)] {
        let start = Instant::now();
        let (wal, found) = Wal::open(Arc::new(RealDisk), &wal_dir, options(side_dir.clone())).unwrap();
        let took = start.elapsed().as_millis();
        println!(
            "opening {} MB, {} records, {} entries above the start, side file {}: {took} ms",
            wal.size() / 1_000_000,
            found.report.records,
            found.entries.len(),
            side_dir.is_some()
        );
    }
}
