//! Random requests, reads, commits, crashes and compactions.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use types::KeyRange;

use super::harness::{Harness, TxnOp};
use crate::{Keys, MvccError, Pin, Walk};

#[derive(Clone, Debug)]
pub(super) enum Act {
    Txn(Vec<TxnOp>),
    /// Parts of 256 of the way from the compacted revision to two above the newest.
    Compact(u8),
    Step(usize),
    RunJob,
    Commit,
    CommitTellLate(u64),
    Crash,
    Read(KeyRange, u8, usize),
    /// Begins a walk or a pin that lives until `Release`.
    Hold(KeyRange, u8),
    Release,
    HashAt(u8),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => "[a-f]", 2 => "[a-c][ab]"].prop_map(String::into_bytes)
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        4 => key().prop_map(KeyRange::single),
        3 => (key(), key()).prop_map(|(key, end)| KeyRange::new(key, end)),
        1 => key().prop_map(|key| KeyRange::new(key, "\0")),
        1 => Just(KeyRange::all()),
    ]
}

fn txn_op() -> impl Strategy<Value = TxnOp> {
    let put = (key(), "[xyz]{0,3}", prop_oneof![3 => Just(0), 1 => -1_i64..3])
        .prop_map(|(key, value, lease)| TxnOp::Put { key, value: value.into_bytes(), lease });
    prop_oneof![3 => put, 1 => range().prop_map(TxnOp::Delete)]
}

/// Any order of puts and deletes, but no key put twice: requests that do are refused (contract/semantics.md 1.7).
fn txn(ops: std::ops::Range<usize>) -> impl Strategy<Value = Act> {
    proptest::collection::vec(txn_op(), ops).prop_map(|mut ops| {
        let mut put = BTreeSet::new();
        ops.retain(|op| match op {
            TxnOp::Put { key, .. } => put.insert(key.clone()),
            TxnOp::Delete(_) => true,
        });
        Act::Txn(ops)
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => txn(1..2),
        6 => txn(2..9),
        3 => any::<u8>().prop_map(Act::Compact),
        10 => (1..6_usize).prop_map(Act::Step),
        2 => Just(Act::RunJob),
        4 => Just(Act::Commit),
        2 => (0..6_u64).prop_map(Act::CommitTellLate),
        1 => Just(Act::Crash),
        6 => (range(), any::<u8>(), 0..4_usize).prop_map(|(range, at, limit)| Act::Read(range, at, limit)),
        2 => (range(), any::<u8>()).prop_map(|(range, at)| Act::Hold(range, at)),
        2 => Just(Act::Release),
        1 => any::<u8>().prop_map(Act::HashAt),
    ]
}

pub(super) fn acts() -> impl Strategy<Value = Vec<Act>> {
    proptest::collection::vec(act(), 1..120)
}

/// Reads that are under way, with what they must still find.
#[derive(Default)]
pub(super) struct Held {
    walks: Vec<(Walk, Vec<types::Revision>)>,
    pins: Vec<Pin>,
}

impl Held {
    /// Takes a slice of each walk.
    fn go_on(&mut self, harness: &Harness) {
        for (walk, expected) in &mut self.walks {
            let rows = harness.store.walk_on(walk, 1, 2, Keys::Include).unwrap();
            for row in rows {
                assert_eq!(row.rev, expected.remove(0));
                assert!(harness.store.fetch(&row).is_ok(), "a pinned row is there");
            }
            assert!(!walk.is_done() || expected.is_empty());
        }
    }
}

/// A revision around what can be read.
fn pick(harness: &Harness, part: u8) -> i64 {
    let low = (harness.model.compacted() - 1).max(0);
    let high = harness.model.revision + 2;
    low + (high - low) * i64::from(part) / 256
}

pub(super) fn run(harness: &mut Harness, held: &mut Held, act: Act) {
    match act {
        Act::Txn(ops) => {
            harness.txn(&ops);
        }
        Act::Compact(part) => {
            let at = pick(harness, part);
            let (compacted, revision) = (harness.model.compacted(), harness.model.revision);
            match harness.compact(at) {
                Ok(()) => assert!(at > compacted && at <= revision),
                Err(MvccError::Compacted { .. }) => assert!(at <= compacted),
                Err(MvccError::FutureRevision { .. }) => assert!(at > revision),
                Err(error) => panic!("{error}"),
            }
        }
        Act::Step(max) => {
            harness.step(max);
        }
        Act::RunJob => harness.run_job(),
        Act::Commit => harness.commit(),
        Act::CommitTellLate(untold) => harness.commit_and_tell_late(untold),
        Act::Crash => {
            *held = Held::default();
            harness.crash();
            harness.check_all();
        }
        Act::Read(range, at, limit) => {
            let at = pick(harness, at);
            harness.check_range(&range, at, limit);
        }
        Act::Hold(range, at) => {
            let at = pick(harness, at);
            if at % 3 == 0 {
                held.pins.extend(harness.store.pin(at));
            } else if let Ok(walk) = harness.store.walk(range.clone(), at) {
                let rows = harness.model.list(&range, walk.revision());
                let expected = rows.into_iter().map(|(rev, _)| rev).collect();
                held.walks.push((walk, expected));
            }
        }
        Act::Release => *held = Held::default(),
        Act::HashAt(part) => {
            // With compaction under way it would wait for pins to go.
            let at = pick(harness, part);
            if (harness.model.compacted()..=harness.model.revision).contains(&at) && at > 0 {
                *held = Held::default();
                harness.settle();
                let expected =
                    harness.store.compaction_hashes().iter().find(|hash| hash.revision == at).copied();
                let hash = harness.hash(at);
                assert_eq!(hash, expected.map_or_else(|| harness.model.hash(at), |stored| stored.hash));
            }
        }
    }
    held.go_on(harness);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]
    #[test]
    fn behaves_as_the_model(acts in acts()) {
        let mut harness = Harness::new();
        let mut held = Held::default();
        for act in acts {
            run(&mut harness, &mut held, act);
        }
        harness.check_all();
        drop(held);
        harness.settle();
        harness.check_all();
        harness.check_settled();
        harness.crash();
        harness.check_all();
        harness.check_settled();
    }
}

/// `MAINSTAY_CASES` makes a longer sweep.
fn cases() -> u32 {
    std::env::var("MAINSTAY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(150)
}

#[test]
fn a_wide_key_space_splits_and_joins_nodes() {
    let mut harness = Harness::new();
    let key = |i: u64| format!("/registry/pods/ns-{}/pod-{:04}", i % 7, i * 7919 % 2003);
    for i in 0..2003 {
        harness.store.txn().put(key(i).as_bytes(), b"v", types::LeaseId::NONE);
    }
    assert_eq!(harness.store.key_count(), 2003);
    harness.store.index.check();
    let prefix = |n| KeyRange::new(format!("/registry/pods/ns-{n}/"), format!("/registry/pods/ns-{n}0"));
    let loaded = harness.store.revision();
    for n in 0..7 {
        let count = (0..2003).filter(|i| i % 7 == n).count() as u64;
        assert_eq!(harness.store.count(&prefix(n), 0).unwrap(), count);
    }
    for n in 0..6 {
        harness.store.txn().delete_range(&prefix(n));
    }
    harness.store.index.check();
    let listed = harness.store.range(&KeyRange::all(), loaded, 10, Keys::Include).unwrap();
    assert_eq!((listed.rows.len(), listed.count), (10, 2003));
    assert_eq!(listed.rows[0].key, Bytes::from(key(0)));
    let left = harness.store.count(&prefix(6), 0).unwrap();
    assert_eq!(harness.store.key_count(), left);
    harness.store.compact(harness.store.revision()).unwrap();
    while harness.store.compaction_finished() < harness.store.compacted() {
        match harness.store.compact_step(100).unwrap() {
            crate::CompactStep::Hash(job) => {
                let hash = job.run().unwrap();
                harness.store.compaction_hashed(Some(hash));
            }
            step => assert!(!matches!(step, crate::CompactStep::Idle)),
        }
        harness.store.index.check();
    }
    assert_eq!(harness.store.count(&KeyRange::all(), 0).unwrap(), left);
}
