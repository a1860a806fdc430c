//! Figures, to be read by people: `cargo test -p mvcc --release measure -- --ignored --nocapture`.

use std::{hint::black_box, time::Instant};

use bolt::Db;
use types::{KeyRange, LeaseId};
use vfs::SimDisk;

use super::harness::open_db;
use crate::{CompactStep, Keys, Store};

const KEYS: u64 = 1_000_000;

/// 40 bytes, in an order that is random for the index.
fn key(i: u64) -> [u8; 40] {
    let mut key = *b"/registry/pods/namespace-00/pod-00000000";
    let scattered = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20 & 0xffff_ffff;
    let digit = |shift: u32| b"0123456789abcdef"[(scattered >> shift & 15) as usize];
    key[25..27].copy_from_slice(&[b'0' + (scattered % 10) as u8, b'0' + (scattered / 10 % 10) as u8]);
    for (place, byte) in key[32..].iter_mut().enumerate() {
        *byte = digit(4 * place as u32);
    }
    key
}

/// Resident memory of this process, in bytes; 0 where the system does not tell.
fn resident() -> usize {
    let Ok(status) = std::fs::read_to_string("/proc/self/statm") else { return 0 };
    status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// CPU time of this thread, in nanoseconds, where Linux tells.
fn cpu() -> Option<u64> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    schedstat.split(' ').next()?.parse().ok()
}

/// Runs `work`; nanoseconds that it took. CPU time varies less than wall time, but its clock is coarse.
fn spent(work: impl FnOnce()) -> u64 {
    let (start, cpu_start) = (Instant::now(), cpu());
    work();
    let wall = start.elapsed().as_nanos() as u64;
    match (cpu_start, cpu()) {
        (Some(before), Some(after)) if wall > 100_000_000 => after - before,
        _ => wall,
    }
}

fn each(label: &str, count: u64, work: impl FnOnce()) {
    let spent = spent(work);
    println!("{label}: {:.3} s, {} ns each", spent as f64 / 1e9, spent / count);
}

fn commit(store: &mut Store, db: &mut Db) {
    for op in store.take_ops() {
        db.apply(&op).unwrap();
    }
    db.commit().unwrap();
    store.committed(store.ops_emitted(), db.snapshot());
}

#[test]
#[ignore = "a measurement"]
fn index_alone() {
    let before = resident();
    let mut index = crate::index::KeyIndex::default();
    let put = |index: &mut crate::index::KeyIndex, i: u64, main: u64| {
        index.push(&key(i), |old| crate::index::Record {
            rev: types::Revision { main: main as i64, sub: 0 },
            create_revision: old.map_or(main as i64, |old| old.create_revision),
            version: old.map_or(0, |old| old.version) + 1,
            row_len: 600,
            tombstone: false,
        });
    };
    each("insert", KEYS, || (0..KEYS).for_each(|i| put(&mut index, i, i + 2)));
    let live = index.live();
    println!(
        "{live} keys: {:.1} bytes a key on the heap, {:.1} resident",
        index.heap_bytes() as f64 / live as f64,
        (resident() - before) as f64 / live as f64
    );
    each("look up", KEYS, || {
        (0..KEYS).for_each(|i| {
            black_box(index.at(&key(i * 7 % KEYS), i64::MAX));
        });
    });
    each("look up of 1,000 keys, again and again", KEYS, || {
        (0..KEYS).for_each(|i| {
            black_box(index.at(&key(i % 1000), i64::MAX));
        });
    });
    each("count of a tenth", 1000, || {
        (0..1000).for_each(|_| {
            black_box(index.totals(
                &KeyRange::new("/registry/pods/namespace-10", "/registry/pods/namespace-20"),
                i64::MAX,
            ));
        });
    });
    each("overwrite", KEYS, || (0..KEYS).for_each(|i| put(&mut index, i, KEYS + i + 2)));
    println!("two revisions: {:.1} bytes a key", index.heap_bytes() as f64 / live as f64);
    let mut from = Vec::new();
    let mut worst = 0;
    each("sweep", KEYS, || {
        loop {
            let start = Instant::now();
            let next = index.sweep(2 * KEYS as i64 + 1, &from, 1000).next;
            worst = worst.max(start.elapsed().as_micros());
            let Some(next) = next else { break };
            from = next;
        }
    });
    println!(
        "worst sweep of 1000: {worst} us; {:.1} bytes a key after",
        index.heap_bytes() as f64 / live as f64
    );
}

/// The worst case: nothing that neighbours have in common.
#[test]
#[ignore = "a measurement"]
fn index_of_random_keys() {
    let mut index = crate::index::KeyIndex::default();
    for i in 0..KEYS {
        let mut key = [0; 40];
        for (place, chunk) in (0_u64..).zip(key.chunks_mut(8)) {
            let word = (i * 5 + place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&(word ^ word >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes());
        }
        index.push(&key, |_| crate::index::Record {
            rev: types::Revision { main: i as i64 + 2, sub: 0 },
            create_revision: i as i64 + 2,
            version: 1,
            row_len: 600,
            tombstone: false,
        });
    }
    println!("random keys of 40 bytes: {:.1} bytes a key", index.heap_bytes() as f64 / KEYS as f64);
}

#[test]
#[ignore = "a measurement"]
fn store_on_a_backend() {
    let disk = SimDisk::new();
    let mut db = open_db(&disk);
    let (mut store, _) = Store::open(db.snapshot()).unwrap();
    let value = [7; 512];
    let batch = 10_000;
    let (mut puts, mut commits) = (0, 0);
    for first in (0..KEYS).step_by(batch) {
        puts += spent(|| {
            for i in first..first + batch as u64 {
                let mut txn = store.txn();
                txn.put(&key(i), &value, LeaseId::NONE);
                black_box(txn.finish());
            }
        });
        commits += spent(|| commit(&mut store, &mut db));
    }
    println!("put: {} ns; commit: {} ns each", puts / KEYS, commits / KEYS);
    println!(
        "db {} MB, index {:.1} bytes a key",
        db.size() >> 20,
        store.index_bytes() as f64 / store.key_count() as f64
    );

    let range = KeyRange::new("/registry/pods/namespace-10", "/registry/pods/namespace-11");
    let listing = store.range(&range, 0, 0, Keys::Include).unwrap();
    each("list with keys", listing.count, || drop(store.range(&range, 0, 0, Keys::Include)));
    each("list without keys", listing.count, || drop(store.range(&range, 0, 0, Keys::Skip)));
    let rows = store.detach(&listing.rows);
    each("fetch in key order", listing.count, || {
        (0..rows.len()).for_each(|i| {
            black_box(rows.fetch(i).unwrap());
        });
    });
    let old = store.revision();
    (0..1000).for_each(|i| store.txn().put(&key(i), &value, LeaseId::NONE));
    each("count of all, 1000 changes ago", 1, || {
        black_box(store.count(&KeyRange::all(), old).unwrap());
    });
    commit(&mut store, &mut db);

    each("restore", KEYS, || drop(Store::open(db.snapshot()).unwrap()));
    for i in 0..KEYS / 2 {
        store.txn().put(&key(i * 2), &value, LeaseId::NONE);
        if i % 10_000 == 0 {
            commit(&mut store, &mut db);
        }
    }
    commit(&mut store, &mut db);
    compact(&mut store, &mut db);
}

fn compact(store: &mut Store, db: &mut Db) {
    store.compact(store.revision()).unwrap();
    let (mut worst, mut steps, mut total) = (0, 0, 0);
    loop {
        let mut step = CompactStep::Idle;
        let spent_here = spent(|| step = store.compact_step(1000).unwrap());
        (worst, steps, total) = (worst.max(spent_here), steps + 1, total + spent_here);
        match step {
            CompactStep::Idle => break,
            CompactStep::Hash(job) => {
                let mut hash = None;
                each("hash", KEYS * 3 / 2, || hash = Some(job.run().unwrap()));
                store.compaction_hashed(hash);
            }
            CompactStep::AwaitingCommit { .. } => commit(store, db),
            CompactStep::Working | CompactStep::AwaitingHash => {}
            CompactStep::Pinned { .. } => unreachable!("nothing pins"),
        }
    }
    println!("compaction of half: {steps} steps, {} us in all, worst {} us", total / 1000, worst / 1000);
    println!("commit of its ops: {} ms", spent(|| commit(store, db)) / 1_000_000);
}
