//! Measures, run by hand: `cargo test --release -p bolt --test bench -- --ignored --nocapture`.
//!
//! CPU time of this thread, system calls included; a shared machine moves it less than the clock on the wall.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::{fs, path::Path, sync::Arc};

use bolt::{Db, Op, Options, Snapshot};
use bytes::Bytes;

/// As in the server: page buffers come and go at a high rate.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: u64 = 1_000_000;
const ROWS_PER_COMMIT: u64 = 10_000;
const ROW_LEN: usize = 300;

/// CPU nanoseconds that this thread has used.
fn cpu_ns() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

fn per_item(what: &str, items: u64, work: impl FnOnce()) -> u64 {
    let start = cpu_ns();
    work();
    let each = (cpu_ns() - start) / items;
    println!("{what:40} {each:6} ns");
    each
}

fn row_key(n: u64) -> Bytes {
    let mut key = Vec::with_capacity(17);
    key.extend(n.to_be_bytes());
    key.push(b'_');
    key.extend(0_u64.to_be_bytes());
    key.into()
}

fn open(dir: &Path, cache_bytes: usize) -> Db {
    let options = Options { side_dir: Some(dir.join("mainstay")), cache_bytes, ..Options::default() };
    Db::open(Arc::new(vfs::RealDisk), &dir.join("db"), options).unwrap()
}

fn scramble(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

/// Appends the rows; returns nanoseconds per row.
fn append_rows(db: &mut Db) -> u64 {
    let ops: Vec<Op> = (0..ROWS)
        .map(|n| Op { bucket: "key", key: row_key(n), value: Some(Bytes::from(vec![n as u8; ROW_LEN])) })
        .collect();
    let (mut applying, mut committing) = (0, 0);
    let put = per_item("put and commit, per row", ROWS, || {
        for batch in ops.chunks(ROWS_PER_COMMIT as usize) {
            let start = cpu_ns();
            batch.iter().for_each(|op| db.apply(op).unwrap());
            let applied = cpu_ns();
            db.commit().unwrap();
            applying += applied - start;
            committing += cpu_ns() - applied;
        }
    });
    println!("  of it applying {} ns, committing {} ns", applying / ROWS, committing / ROWS);
    println!("  file {} MB for {} MB of rows", db.size() >> 20, (ROWS * (ROW_LEN as u64 + 17)) >> 20);
    put
}

#[test]
#[ignore = "a measurement, for release builds"]
fn appending() {
    let dir = tempfile::tempdir().unwrap();
    // The first run pays for memory that the system has never handed out before.
    append_rows(&mut open(dir.path(), 64 << 20));
    let dir = tempfile::tempdir().unwrap();
    let put = append_rows(&mut open(dir.path(), 64 << 20));
    assert!(put < 1000, "the target is below 1 µs a row");
}

/// Random gets of rows `from..from + count`.
fn get(what: &str, snapshot: &Snapshot, from: u64, count: u64) {
    per_item(what, 1_000_000, || {
        for n in 0..1_000_000 {
            let key = row_key(from + scramble(n) % count);
            assert_eq!(snapshot.get("key", &key).unwrap().unwrap().len(), ROW_LEN);
        }
    });
}

#[test]
#[ignore = "a measurement, for release builds"]
fn getting() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = open(dir.path(), 64 << 20);
    append_rows(&mut db);
    (0..10).for_each(|_| get("get, recent rows", &db.snapshot(), ROWS - 100_000, 100_000));
    get("get, few rows", &db.snapshot(), ROWS - 1000, 1000);
}

fn scan(snapshot: &Snapshot) {
    per_item("scan, per row", ROWS, || {
        let mut cursor = snapshot.cursor("key").unwrap();
        let mut rows = 0;
        while cursor.next_ref().unwrap().is_some() {
            rows += 1;
        }
        assert_eq!(rows, ROWS);
    });
}

#[test]
#[ignore = "a measurement, for release builds"]
fn scanning() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = open(dir.path(), 64 << 20);
    append_rows(&mut db);
    (0..10).for_each(|_| scan(&db.snapshot()));
}

#[test]
#[ignore = "a measurement, for release builds"]
fn reading_and_deleting() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = open(dir.path(), 64 << 20);
    append_rows(&mut db);
    let snapshot = db.snapshot();
    let recent = ROWS - 100_000;
    get("get, recent rows (cached)", &snapshot, recent, 100_000);
    get("get, all rows (cache of 64 MiB)", &snapshot, 0, ROWS);
    scan(&snapshot);
    drop(snapshot);

    per_item("delete 2 of 3 in order, per row", ROWS * 2 / 3, || {
        for n in 0..ROWS {
            if n % 3 != 0 {
                db.apply(&Op { bucket: "key", key: row_key(n), value: None }).unwrap();
            }
            if n % ROWS_PER_COMMIT == 0 {
                db.commit().unwrap();
            }
        }
        db.commit().unwrap();
    });
    println!("  file {} MB, in use {} MB", db.size() >> 20, db.size_in_use() >> 20);
    let pages = db.size() / 4096;
    drop(db);
    per_item("open, per page", pages, || drop(open(dir.path(), 64 << 20)));
    let mut db = open(dir.path(), 64 << 20);
    per_item("shrink, per page moved", db.size_in_use() / 4096, || {
        while !db.shrink_step(256).unwrap().done {
            db.commit().unwrap();
        }
    });
    println!("  file {} MB, in use {} MB", db.size() >> 20, db.size_in_use() >> 20);
    let pages = db.size() / 4096;
    drop(db);
    per_item("open after shrinking, per page", pages, || drop(open(dir.path(), 64 << 20)));
    let db = open(dir.path(), 64 << 20);
    assert_eq!(bolt::check(&db.snapshot()), []);
}
