//! Single rules of the contract, by example.

use std::collections::BTreeMap;

use bolt::{Db, Op};
use types::{KeyRange, Revision, bucket};
use vfs::SimDisk;

use super::harness::{Harness, TxnOp, everything, open_db};
use crate::{CompactStep, Corruption, HashKv, HashStep, Keys, MvccError, Store};

/// An empty store's hash, as etcd gives it (contract/semantics.md 9.7).
const HASH_OF_NOTHING: u32 = 1_084_519_789;

fn put(key: &str, value: &str) -> TxnOp {
    TxnOp::Put { key: key.into(), value: value.into(), lease: 0 }
}

fn delete_from(key: &'static str) -> TxnOp {
    TxnOp::Delete(KeyRange::new(key, "\0"))
}

#[test]
fn a_fresh_store() {
    let mut harness = Harness::new();
    assert_eq!((harness.store.revision(), harness.store.compacted(), harness.store.key_count()), (1, -1, 0));
    assert_eq!(harness.hash(0), HASH_OF_NOTHING);
    assert_eq!(harness.hash(1), HASH_OF_NOTHING);
    assert!(harness.store.take_ops().is_empty());
    assert_eq!(harness.put("a", "1"), 2);
}

#[test]
fn what_leaves_the_store_can_be_sent_to_other_threads() {
    fn check<T: Send + 'static>() {}
    check::<crate::Rows>();
    check::<crate::History>();
    check::<crate::HashJob>();
    check::<crate::HashAll>();
    check::<crate::Walk>();
    check::<crate::Pin>();
    check::<crate::Change>();
    check::<Store>();
}

#[test]
fn what_changes_nothing_uses_no_revision() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    assert_eq!(harness.delete("b"), 2);
    assert_eq!(harness.txn(&[]), []);
    assert_eq!(harness.store.revision(), 2);
    assert_eq!(harness.put("a", "1"), 3, "an equal value is a change");
}

#[test]
fn read_checks_outside_and_inside_transactions() {
    let mut harness = Harness::new();
    for value in ["1", "2", "3", "4"] {
        harness.put("a", value);
    }
    let store = &mut harness.store;
    // 2.3
    assert_eq!(store.check_read(0).unwrap(), 5);
    assert_eq!(store.check_read(-7).unwrap(), 5);
    assert_eq!(store.check_read(1).unwrap(), 1);
    assert!(matches!(store.check_read(6), Err(MvccError::FutureRevision { current: 5 })));
    // 2.4
    assert!(store.check_txn_read(-1).is_ok());
    assert!(matches!(store.check_txn_read(-2), Err(MvccError::Compacted { compacted: -1 })));
    store.compact(3).unwrap();
    assert!(matches!(store.check_read(2), Err(MvccError::Compacted { compacted: 3 })));
    assert_eq!(store.check_read(3).unwrap(), 3);
    assert_eq!(store.check_read(-7).unwrap(), 5);
    assert!(store.check_txn_read(0).is_ok() && store.check_txn_read(3).is_ok());
    assert!(store.check_txn_read(-1).is_err() && store.check_txn_read(2).is_err());
    assert!(matches!(store.check_txn_read(6), Err(MvccError::FutureRevision { .. })));
    // 4.1
    assert!(matches!(store.compact(3), Err(MvccError::Compacted { compacted: 3 })));
    assert!(matches!(store.compact(6), Err(MvccError::FutureRevision { current: 5 })));
    store.compact(5).unwrap();
}

/// 1.7: several changes of one key in one revision, then compaction at and around that revision, then a restart.
#[test]
fn one_key_changed_several_times_in_one_revision() {
    let transactions: [&[TxnOp]; 5] = [
        &[put("k", "2"), delete_from("k")],
        &[delete_from("k"), put("k", "2")],
        &[delete_from("k"), put("k", "2"), delete_from("k")],
        &[put("k", "2"), delete_from("k"), put("k", "3")],
        &[put("k", "2"), put("k", "3")],
    ];
    for existed in [false, true] {
        for ops in transactions {
            for compact_at in [3, 4, 5, 6] {
                let mut harness = Harness::new();
                harness.put("other", "1");
                if existed {
                    harness.put("k", "1");
                } else {
                    harness.put("other", "2");
                }
                harness.txn(ops);
                harness.put("other", "3");
                harness.put("k", "after");
                harness.check_all();
                harness.commit();
                harness.check_settled();
                harness.compact(compact_at).unwrap();
                harness.check_all();
                harness.settle();
                harness.check_all();
                harness.check_settled();
                harness.crash();
                harness.check_all();
                harness.check_settled();
                harness.delete("k");
                harness.compact(7).unwrap();
                harness.settle();
                harness.check_all();
                harness.check_settled();
                assert!(
                    harness.store.range(&KeyRange::single("k"), 0, 0, Keys::Skip).unwrap().rows.is_empty()
                );
            }
        }
    }
}

/// The bug of 4.3 that is not copied: with a tombstone and a later put in the compacted revision, the put stays.
#[test]
fn compaction_keeps_a_put_after_a_tombstone_of_the_same_revision() {
    let mut harness = Harness::new();
    harness.put("k", "1");
    harness.txn(&[delete_from("k"), put("k", "2")]);
    harness.compact(3).unwrap();
    harness.settle();
    let keys: Vec<_> = harness.rows_on_disk().into_keys().collect();
    let (tombstone, put) = (Revision::new(3, 0), Revision::new(3, 1));
    assert_eq!(keys, [tombstone.encode_tombstone().to_vec(), put.encode().to_vec()]);
    let row = harness.store.current(b"k").unwrap();
    assert_eq!((row.create_revision, row.version), (3, 1));
    assert!(harness.store.fetch(&row).is_ok());
    harness.crash();
    assert_eq!(harness.store.current(b"k"), Some(row));
}

#[test]
fn tombstones_stay_at_the_compacted_revision_only() {
    for (compact_at, left) in [(2, 3), (3, 2), (4, 1)] {
        let mut harness = Harness::new();
        harness.put("gone", "1"); // 2
        harness.delete("gone"); // 3
        harness.put("other", "1"); // 4
        harness.compact(compact_at).unwrap();
        harness.settle();
        assert_eq!(harness.rows_on_disk().len(), left, "compacted at {compact_at}");
        harness.check_all();
        harness.check_settled();
        // A watch from the compacted revision on still finds the delete, before and after a restart.
        if compact_at == 3 {
            harness.crash();
            let rows = harness.store.history(3, 9).unwrap().next_rows(9, 1000).unwrap();
            assert!(rows[0].tombstone && rows[0].revision == Revision::new(3, 0));
        }
        // The next compaction takes it.
        harness.put("other", "2");
        harness.compact(5).unwrap();
        harness.settle();
        assert_eq!(harness.rows_on_disk(), harness.expected_on_disk());
        assert_eq!(harness.rows_on_disk().len(), 1);
        assert_eq!(harness.store.index.at(b"gone", i64::MAX), None, "the index forgets the key");
    }
}

/// reliability.md D 5: the newest rows may all be gone.
#[test]
fn the_revision_survives_compaction_of_everything_and_a_restart() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    harness.delete("a");
    harness.put("b", "1");
    harness.delete("b"); // 5
    harness.txn(&[put("c", "1"), delete_from("a")]); // 6
    harness.put("d", "1");
    harness.delete("d"); // 8
    harness.compact(8).unwrap();
    harness.commit();
    harness.crash();
    assert_eq!(harness.store.revision(), 8);
    harness.settle();
    assert_eq!(harness.rows_on_disk().len(), 1, "the tombstone at 8");
    harness.crash();
    assert_eq!(harness.store.revision(), 8);
    // Were that gone too, the compaction would still tell.
    let mut db = open_db(&SimDisk::new());
    let rev = |main: i64| Revision::new(main, 0).encode().to_vec().into();
    db.apply(&Op { bucket: bucket::META, key: "finishedCompactRev".into(), value: Some(rev(8)) }).unwrap();
    db.apply(&Op { bucket: bucket::META, key: "scheduledCompactRev".into(), value: Some(rev(11)) }).unwrap();
    db.commit().unwrap();
    let (store, _) = Store::open(db.snapshot()).unwrap();
    assert_eq!((store.revision(), store.compacted(), store.compaction_finished()), (11, 11, 8));
}

/// Stops after every number of steps, with and without what they did on disk, and goes on after a restart.
#[test]
fn an_interrupted_compaction_is_resumed() {
    for steps in 0..24 {
        for committed in [false, true] {
            let mut harness = Harness::new();
            for round in 0..4 {
                for key in ["a", "b", "c", "d", "e"] {
                    harness.put(key, &round.to_string());
                }
            }
            harness.delete("c");
            harness.put("a", "last");
            harness.commit();
            harness.compact(20).unwrap();
            harness.commit();
            for _ in 0..steps {
                harness.step(2);
                harness.run_job();
            }
            if committed {
                harness.commit();
            }
            harness.crash();
            harness.check_all();
            assert_eq!(harness.store.compacted(), 20);
            harness.settle();
            harness.check_all();
            harness.check_settled();
            assert!(harness.store.compaction_hashes().is_empty(), "the rows it went over were not all there");
        }
    }
}

#[test]
fn a_long_history_is_swept_in_slices() {
    for slice in [1, 2, 7, 1000] {
        let mut harness = Harness::new();
        for i in 0..100 {
            harness.put("hot", &i.to_string());
            if i % 40 == 39 {
                harness.delete("hot");
            }
        }
        harness.txn(&[delete_from("hot"), put("hot", "again")]);
        let at = harness.store.revision();
        harness.put("hot", "after");
        harness.commit();
        harness.compact(at).unwrap();
        let mut swept = 0;
        while let CompactStep::Working = harness.step(slice) {
            swept += 1;
            harness.check_range(&everything(), at, 0);
            harness.check_range(&everything(), at + 1, 0);
            assert!(swept < 1000);
        }
        assert!(swept >= 100 / slice);
        harness.run_job();
        harness.settle();
        harness.check_all();
        harness.check_settled();
    }
}

#[test]
fn a_later_compaction_replaces_one_that_waits() {
    let mut harness = Harness::new();
    for value in ["1", "2", "3", "4", "5", "6"] {
        harness.put("a", value);
    }
    harness.commit();
    harness.compact(3).unwrap();
    harness.step(1);
    harness.compact(4).unwrap();
    harness.compact(6).unwrap();
    harness.settle();
    harness.check_all();
    harness.check_settled();
    let hashes: Vec<_> = harness.store.compaction_hashes().iter().map(|hash| hash.revision).collect();
    assert_eq!(hashes, [3], "only the first began with nothing left to do");
}

#[test]
fn pins_hold_up_deletion_and_nothing_else() {
    let mut harness = Harness::new();
    for value in ["1", "2", "3"] {
        harness.put("a", value);
    }
    harness.commit();
    let mut walk = harness.store.walk(everything(), 2).unwrap();
    let pin = harness.store.pin(3).unwrap();
    harness.compact(4).unwrap();
    assert!(matches!(harness.step(9), CompactStep::Pinned { oldest: 2 }));
    assert!(matches!(harness.store.check_read(2), Err(MvccError::Compacted { .. })), "new reads are refused");
    let rows = harness.store.walk_on(&mut walk, 9, 9, Keys::Include).unwrap();
    assert_eq!(rows[0].rev, Revision::new(2, 0));
    assert!(harness.store.fetch(&rows[0]).is_ok());
    let detached = harness.store.detach(&rows);
    drop(walk);
    assert!(matches!(harness.step(9), CompactStep::Pinned { oldest: 3 }));
    drop(pin);
    harness.settle();
    harness.check_settled();
    assert!(matches!(harness.store.fetch(&rows[0]), Err(MvccError::Compacted { compacted: 4 })));
    assert!(detached.fetch(0).is_ok(), "what was detached before stays");
}

/// A hash pins what is compacted when it is asked for, and waits until that is carried out. A compaction that comes
/// later waits for the pin.
#[test]
fn a_hash_and_the_compaction_behind_it_do_not_wait_for_each_other() {
    let mut harness = Harness::new();
    for value in ["1", "2", "3", "4", "5", "6"] {
        harness.put("a", value);
    }
    harness.commit();
    harness.compact(3).unwrap();
    harness.step(1);
    harness.compact(4).unwrap();
    let HashKv::Plan(mut plan) = harness.store.hash_kv(5).unwrap() else { panic!("nothing is stored of 5") };
    harness.compact(6).unwrap();
    let mut hash = None;
    for _ in 0..100 {
        match harness.step(9) {
            CompactStep::AwaitingCommit { .. } => harness.commit(),
            CompactStep::AwaitingHash => harness.run_job(),
            CompactStep::Pinned { oldest } => {
                assert_eq!(oldest, 4);
                harness.commit();
            }
            _ => {}
        }
        plan = match harness.store.hash_step(plan, 9) {
            HashStep::Working(plan) | HashStep::Waiting { plan, .. } => plan,
            HashStep::Ready(job) => {
                hash = Some(job.run().unwrap());
                break;
            }
        };
    }
    let hash = hash.expect("the hash is computed");
    assert_eq!((hash.revision, hash.compacted), (5, 4));
    harness.settle();
    harness.check_all();
    harness.check_settled();
}

#[test]
fn the_last_ten_compaction_hashes_are_kept() {
    let mut harness = Harness::new();
    for round in 0..15 {
        let revision = harness.put("a", &round.to_string());
        harness.put("b", &round.to_string());
        harness.compact(revision).unwrap();
        harness.settle();
        harness.check_settled();
    }
    let hashes = harness.store.compaction_hashes();
    assert_eq!(hashes.len(), 10);
    assert!(hashes.windows(2).all(|pair| pair[1].compacted == pair[0].revision));
    // A stored hash answers even for a revision that is long compacted.
    let old = hashes[0];
    assert!(old.revision < harness.store.compacted());
    assert_eq!(harness.hash(old.revision), old.hash);
    assert!(matches!(harness.store.hash_kv(old.revision - 1), Err(MvccError::Compacted { .. })));
    assert!(matches!(harness.store.hash_kv(1000), Err(MvccError::FutureRevision { .. })));
}

/// Clients may ask for the hash at any number; below the first revision there are no rows.
#[test]
fn a_hash_at_a_negative_revision_covers_no_rows() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    let revision = harness.put("a", "2");
    harness.delete("a");
    harness.compact(revision).unwrap();
    harness.settle();
    let nothing = crc32c::crc32c(bucket::KEY.as_bytes());
    for at in [i64::MIN, i64::MIN + 1, -1] {
        assert_eq!(harness.hash(at), nothing, "at {at}");
    }
}

/// A row without any field is what `etcdutl snapshot restore --bump-revision --mark-compacted` adds.
#[test]
fn a_bumped_revision_is_taken() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    harness.put("a", "2");
    harness.commit();
    let disk = SimDisk::new();
    let mut db = open_db(&disk);
    put_rows(&mut db, &harness.rows_on_disk());
    let bumped = Revision::new(1003, 0).encode().to_vec();
    db.apply(&Op { bucket: bucket::KEY, key: bumped.clone().into(), value: Some("".into()) }).unwrap();
    db.apply(&Op { bucket: bucket::META, key: "scheduledCompactRev".into(), value: Some(bumped.into()) })
        .unwrap();
    db.commit().unwrap();
    let mut harness = Harness::on(disk, db);
    assert_eq!((harness.store.revision(), harness.store.compacted()), (1003, 1003));
    harness.settle();
    assert_eq!(harness.store.range(&KeyRange::all(), 0, 0, Keys::Include).unwrap().count, 1);
    assert_eq!(harness.rows_on_disk().len(), 2);
}

#[test]
fn damaged_rows_are_refused() {
    let good = Revision::new(5, 0).encode().to_vec();
    let other = Revision::new(6, 0).encode().to_vec();
    let open = |rows: &[(&[u8], &[u8])]| {
        let rows = rows.iter().map(|(key, row)| (key.to_vec(), row.to_vec())).collect();
        match Store::open(db_with(&rows).snapshot()) {
            Err(MvccError::Corrupt(corruption)) => Some(corruption),
            Ok(_) => None,
            Err(error) => panic!("{error}"),
        }
    };
    let revision = Revision::new(5, 0);
    assert_eq!(open(&[(&good, b"\x0a\x01k")]), None);
    assert_eq!(open(&[(&good, b"\x0a\x02k")]), Some(Corruption::Row(revision)));
    assert_eq!(open(&[(&good[..16], b"")]), Some(Corruption::RowKey { after: Revision::default() }));
    let mut no_mark = good.clone();
    no_mark.push(b'x');
    assert_eq!(open(&[(&good, b""), (&no_mark, b"")]), Some(Corruption::RowKey { after: revision }));
    let huge_sub = Revision::new(6, i64::MAX).encode();
    assert_eq!(open(&[(&good, b""), (&huge_sub, b"")]), Some(Corruption::RowKey { after: revision }));
    let twice = revision.encode_tombstone();
    assert_eq!(open(&[(&good, b""), (&twice, b""), (&other, b"")]), Some(Corruption::RowOrder(revision)));
    // Odd but readable: tombstones without a life before them, and twice.
    let tombstones = [Revision::new(5, 0).encode_tombstone(), Revision::new(6, 0).encode_tombstone()];
    assert_eq!(open(&[(&tombstones[0], b"\x0a\x01k"), (&tombstones[1], b"\x0a\x01k")]), None);
    let mut db = open_db(&SimDisk::new());
    db.apply(&Op { bucket: bucket::META, key: "finishedCompactRev".into(), value: Some("seven".into()) })
        .unwrap();
    db.commit().unwrap();
    let result = Store::open(db.snapshot());
    assert!(matches!(result, Err(MvccError::Corrupt(Corruption::Meta("finishedCompactRev")))));
}

#[test]
fn a_lost_or_cut_row_is_noticed() {
    let mut harness = Harness::new();
    harness.put("a", "value");
    harness.put("b", "value");
    harness.commit();
    let mut rows = harness.rows_on_disk();
    rows.remove(&Revision::new(2, 0).encode()[..]);
    rows.insert(Revision::new(3, 0).encode().to_vec(), b"\x0a\x01b".to_vec());
    let (a, b) = (harness.store.current(b"a").unwrap(), harness.store.current(b"b").unwrap());
    let detached = harness.store.detach(&[a.clone(), b.clone()]);
    assert!(detached.fetch(0).is_ok());
    harness.store.committed(harness.store.ops_emitted(), db_with(&rows).snapshot());
    let missing = Corruption::Missing(Revision::new(2, 0));
    assert!(matches!(harness.store.fetch(&a), Err(MvccError::Corrupt(found)) if found == missing));
    assert!(matches!(harness.store.fetch(&b), Err(MvccError::Corrupt(Corruption::Length { found: 3, .. }))));
    let detached = harness.store.detach(std::slice::from_ref(&a));
    assert!(matches!(detached.fetch(0), Err(MvccError::Corrupt(found)) if found == missing));
    // Compaction excuses nothing that it keeps, whether or not the listing has keys.
    harness.store.compact(3).unwrap();
    let listing = harness.store.range(&KeyRange::single("a"), 0, 0, Keys::Skip).unwrap();
    for row in [&a, &listing.rows[0]] {
        assert!(matches!(harness.store.fetch(row), Err(MvccError::Corrupt(found)) if found == missing));
    }
}

#[test]
fn rows_read_in_any_order_are_the_same() {
    let mut harness = Harness::new();
    let keys: Vec<_> = (0..200).map(|i| format!("k{i:03}")).collect();
    for key in keys.iter().chain(keys.iter().step_by(3)).chain(keys.iter().step_by(7)) {
        harness.put(key, "value");
    }
    harness.commit();
    harness.put("k001", "pending");
    let listing = harness.store.range(&crate::store::everything(), 0, 0, Keys::Skip).unwrap();
    let mut rows = harness.store.detach(&listing.rows);
    let count = rows.len();
    let forwards = 0..count;
    let backwards = (0..count).rev();
    let leaps = (0..count).map(|i| i * 37 % count);
    for i in forwards.chain(backwards).chain(leaps).collect::<Vec<_>>() {
        assert_eq!(rows.fetch_next_to(i).unwrap(), rows.fetch(i).unwrap(), "row {i}");
    }
}

#[test]
fn history_takes_whole_revisions_from_memory() {
    let mut harness = Harness::new();
    let bound = crate::limits::HISTORY_PENDING_MAX;
    let many: Vec<_> = (0..bound + 5).map(|i| format!("k{i:05}")).collect();
    let mut txn = harness.store.txn();
    for key in &many {
        txn.put(key.as_bytes(), b"v", types::LeaseId::NONE);
    }
    drop(txn);
    harness.store.txn().put(b"a", b"v", types::LeaseId::NONE);
    let mut history = harness.store.history(1, 3).unwrap();
    assert_eq!(history.to(), 2, "one revision beyond the bound stays whole");
    assert_eq!(history.next_rows(usize::MAX, usize::MAX).unwrap().len(), bound + 5);
    let mut history = harness.store.history(3, 99).unwrap();
    assert_eq!((history.to(), history.next_rows(9, 9).unwrap().len()), (3, 1));
    assert!(history.next_rows(9, 9).unwrap().is_empty());
    for i in 0..bound {
        harness.store.txn().put(format!("s{i}").as_bytes(), b"v", types::LeaseId::NONE);
    }
    let history = harness.store.history(3, i64::MAX).unwrap();
    assert_eq!(history.to(), 2 + bound as i64);
}

#[test]
fn maintenance_hash_covers_all_buckets() {
    let mut db = open_db(&SimDisk::new());
    let ops = [
        (bucket::META, "consistent_index", "ignored"),
        (bucket::META, "term", "ignored"),
        (bucket::META, "storageVersion", "ignored"),
        (bucket::META, "confState", "counted"),
        (bucket::LEASE, "l", "1"),
        (bucket::KEY, "k", "v"),
    ];
    for (bucket, key, value) in ops {
        db.apply(&Op { bucket, key: key.into(), value: Some(value.into()) }).unwrap();
    }
    db.commit().unwrap();
    let mut hash = crate::hash_all(&db.snapshot()).unwrap();
    let result = loop {
        if let Some(result) = hash.step(2).unwrap() {
            break result;
        }
    };
    assert_eq!(result, crc32c::crc32c(b"keykvleasel1metaconfStatecounted"));
}

fn db_with(rows: &BTreeMap<Vec<u8>, Vec<u8>>) -> Db {
    let mut db = open_db(&SimDisk::new());
    put_rows(&mut db, rows);
    db.commit().unwrap();
    db
}

fn put_rows(db: &mut Db, rows: &BTreeMap<Vec<u8>, Vec<u8>>) {
    for (key, row) in rows {
        let op = Op { bucket: bucket::KEY, key: key.clone().into(), value: Some(row.clone().into()) };
        db.apply(&op).unwrap();
    }
}
