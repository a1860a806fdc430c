//! The index against all changes of all keys in a map, with enough keys for several levels.

use std::{collections::BTreeMap, ops::Bound};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Every `stride`-th of `count` keys from `start` on, in one revision each.
    Put { start: u16, count: u16, stride: u16 },
    /// The same, in one revision together, those that live.
    Delete { start: u16, count: u16, stride: u16 },
    /// Up to a part of 256 of the way to the newest revision, in slices.
    Sweep { part: u8, slice: usize },
}

/// All changes of all keys that are not compacted.
#[derive(Default)]
struct Naive {
    changes: BTreeMap<Vec<u8>, Vec<Record>>,
    revision: i64,
    compacted: i64,
}

impl Naive {
    fn list(&self, low: &[u8], high: &[u8], at: i64) -> Vec<(Vec<u8>, Record)> {
        if low >= high {
            return Vec::new();
        }
        let keys = self.changes.range::<[u8], _>((Bound::Included(low), Bound::Excluded(high)));
        keys.filter_map(|(key, changes)| {
            let newest = changes.iter().rev().find(|record| record.rev.main <= at)?;
            (!newest.tombstone).then(|| (key.clone(), *newest))
        })
        .collect()
    }

    /// Takes away what compaction takes.
    fn sweep(&mut self, target: i64) -> Vec<(Revision, bool)> {
        let mut victims = Vec::new();
        self.changes.retain(|_, changes| {
            let covered = changes.iter().filter(|record| record.rev.main <= target).count();
            let mut position = 0;
            changes.retain(|record| {
                position += 1;
                let at_target = record.tombstone && record.rev.main == target;
                let kept = position > covered || at_target || (position == covered && !record.tombstone);
                if !kept {
                    victims.push((record.rev, record.tombstone));
                }
                kept
            });
            !changes.is_empty()
        });
        self.compacted = target;
        victims
    }
}

fn key(number: u16) -> Vec<u8> {
    format!("/registry/{}/{:04}{}", number % 5, number / 5, "x".repeat(usize::from(number % 3) * 20)).into()
}

fn push(index: &mut KeyIndex, naive: &mut Naive, key: Vec<u8>, rev: Revision, tombstone: bool) {
    let row_len = (key.len() as i64 * 31 + rev.main) as u32 % 1000;
    let (old, new) = index.push(&key, |old| {
        let alive = old.filter(|record| !record.tombstone);
        Record {
            rev,
            create_revision: if tombstone {
                0
            } else {
                alive.map_or(rev.main, |record| record.create_revision)
            },
            version: if tombstone { 0 } else { alive.map_or(0, |record| record.version) + 1 },
            row_len,
            tombstone,
        }
    });
    let changes = naive.changes.entry(key).or_default();
    assert_eq!(old, changes.last().copied());
    changes.push(new);
}

fn run(index: &mut KeyIndex, naive: &mut Naive, step: &Step) {
    let keys =
        |start: u16, count: u16, stride: u16| (start..start + count).step_by(usize::from(stride)).map(key);
    match *step {
        Step::Put { start, count, stride } => {
            for key in keys(start, count, stride) {
                naive.revision += 1;
                push(index, naive, key, Revision { main: naive.revision, sub: 0 }, false);
            }
        }
        Step::Delete { start, count, stride } => {
            naive.revision += 1;
            let mut rev = Revision { main: naive.revision, sub: 0 };
            for key in keys(start, count, stride) {
                let lives = naive.changes.get(&key).and_then(|changes| changes.last());
                if lives.is_some_and(|record| !record.tombstone) {
                    push(index, naive, key, rev, true);
                    rev.sub += 1;
                }
            }
        }
        Step::Sweep { part, slice } => {
            let target = naive.compacted + (naive.revision - naive.compacted) * i64::from(part) / 255;
            let mut found = Vec::new();
            let mut from = Vec::new();
            loop {
                let swept = index.sweep(target, &from, slice);
                assert!(swept.victims.len() <= slice + 4, "a slice is bounded");
                found.extend(swept.victims);
                let Some(next) = swept.next else { break };
                assert!(next >= from);
                from = next;
            }
            found.sort_unstable();
            let mut expected = naive.sweep(target);
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
    }
}

fn check(index: &KeyIndex, naive: &Naive, low: u16, high: u16) {
    index.check();
    let (low, high) = (key(low), key(high));
    let range = KeyRange::new(low.clone(), high.clone());
    for at in [naive.compacted, naive.revision - 300, naive.revision - 2, naive.revision] {
        if at < naive.compacted {
            continue;
        }
        let expected = naive.list(&low, &high, at);
        let mut found = Vec::new();
        let mut rest = range.clone();
        loop {
            let next = index.visit(&rest, at, 100, &mut |key, record| {
                found.push((key.to_vec(), *record));
                ControlFlow::Continue(())
            });
            let Some(next) = next else { break };
            rest = KeyRange::new(next, range.end.clone());
        }
        assert!(found == expected, "{range:?} at {at} of {}..={}", naive.compacted, naive.revision);
        let totals = Totals {
            count: expected.len() as u64,
            framed_bytes: expected.iter().map(|(_, record)| framed_len(record.row_len)).sum(),
        };
        assert_eq!(index.totals(&range, at), totals);
    }
    let live =
        naive.changes.values().filter(|changes| changes.last().is_some_and(|record| !record.tombstone));
    assert_eq!(index.live(), live.count() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn behaves_as_a_map_of_histories(
        steps in proptest::collection::vec(prop_oneof![
            4 => (0..3000_u16, 1..1500_u16, 1..9_u16)
                .prop_map(|(start, count, stride)| Step::Put { start, count, stride }),
            2 => (0..3000_u16, 1..1500_u16, 1..9_u16)
                .prop_map(|(start, count, stride)| Step::Delete { start, count, stride }),
            1 => (any::<u8>(), 1..200_usize).prop_map(|(part, slice)| Step::Sweep { part, slice }),
        ], 1..40),
        ranges in proptest::collection::vec((0..4500_u16, 0..4500_u16), 1..4),
    ) {
        let mut index = KeyIndex::default();
        let mut naive = Naive::default();
        for step in &steps {
            run(&mut index, &mut naive, step);
            for (low, high) in &ranges {
                check(&index, &naive, *low, *high);
            }
        }
        // Everything goes once everything is deleted and compacted.
        run(&mut index, &mut naive, &Step::Delete { start: 0, count: 4500, stride: 1 });
        naive.revision += 1;
        run(&mut index, &mut naive, &Step::Sweep { part: 255, slice: 64 });
        prop_assert!(naive.changes.is_empty());
        check(&index, &naive, 0, 4500);
        prop_assert!(index.heap_bytes() < 4096, "{} bytes", index.heap_bytes());
    }
}
