use std::collections::BTreeMap;

use proptest::prelude::*;
use types::Revision;

use super::*;
use crate::index::record::Record;

impl Tree {
    /// Checks every invariant of the structure.
    pub(crate) fn check(&self) {
        let mut depth = None;
        let mut keys = Vec::new();
        let stats = check_node(&self.root, None, None, 0, &mut depth, &mut keys);
        assert!(keys.is_sorted_by(|a, b| a < b));
        let newest = self.total.newest.max(stats.newest);
        assert_eq!(self.total, Stats { newest, ..stats });
    }
}

fn check_node(
    node: &Node,
    low: Option<&[u8]>,
    high: Option<&[u8]>,
    level: usize,
    depth: &mut Option<usize>,
    keys: &mut Vec<Vec<u8>>,
) -> Stats {
    match node {
        Node::Leaf(leaf) => {
            assert_eq!(*depth.get_or_insert(level), level, "all leaves are equally deep");
            for position in 0..leaf.len() {
                let key = leaf.key(position);
                assert!(low.is_none_or(|low| &key[..] >= low) && high.is_none_or(|high| &key[..] < high));
                keys.push(key);
            }
            leaf_stats(leaf)
        }
        Node::Inner(inner) => {
            assert_eq!(inner.children.len(), inner.separators.len() + 1);
            assert_eq!(inner.children.len(), inner.stats.len());
            assert!(inner.children.len() <= INNER_CHILDREN_MAX);
            let mut sum = Stats::default();
            for (i, child) in inner.children.iter().enumerate() {
                let child_low = (i > 0).then(|| inner.separators.key(i - 1));
                let child_high = (i + 1 < inner.children.len()).then(|| inner.separators.key(i));
                let (low, high) = (child_low.as_deref().or(low), child_high.as_deref().or(high));
                let stats = check_node(child, low, high, level + 1, depth, keys);
                let newest = inner.stats[i].newest;
                assert!(newest >= stats.newest);
                assert_eq!(inner.stats[i], Stats { newest, ..stats });
                sum.swap(&Stats::default(), &inner.stats[i]);
            }
            sum
        }
    }
}

fn head(main: i64, tombstone: bool) -> Head {
    let record =
        Record { rev: Revision { main, sub: 0 }, create_revision: 1, version: 1, row_len: 9, tombstone };
    Head { record, older: None }
}

fn key(number: u16) -> Vec<u8> {
    // Some neighbours with a long common prefix, some keys that extend others.
    format!("/k/{:0width$}", number / 3, width = 1 + usize::from(number % 3) * 40).into_bytes()
}

fn check(tree: &Tree, model: &BTreeMap<Vec<u8>, i64>, bounds: &[(u16, u16)]) {
    tree.check();
    assert_eq!(tree.total().live, model.len() as u64);
    for (low, high) in bounds {
        let (low, high) = (key(*low), key(*high));
        let mut found = Vec::new();
        let _ = tree.walk(Some(&low), Some(&high), &mut |_| false, &mut |entry| {
            let mut key = Vec::new();
            entry.read_key(&mut key);
            found.push((key, entry.head.record.rev.main));
            ControlFlow::Continue(())
        });
        let expected: Vec<_> = if low < high {
            model.range(low.clone()..high.clone()).map(|(k, v)| (k.clone(), *v)).collect()
        } else {
            Vec::new()
        };
        assert_eq!(found, expected);
        let mut counted = 0;
        let mut singly = 0;
        let _ = tree.walk(
            Some(&low),
            Some(&high),
            &mut |stats| {
                counted += stats.live;
                true
            },
            &mut |_| {
                singly += 1;
                ControlFlow::Continue(())
            },
        );
        assert_eq!(counted + singly, expected.len() as u64);
        assert!(singly <= 2 * LEAF_ENTRIES_MAX as u64, "two leaves at most are counted one by one");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn behaves_as_a_sorted_map(
        steps in proptest::collection::vec((any::<bool>(), 0_u16..3000, 1_u16..400), 1..40),
        bounds in proptest::collection::vec((0_u16..3000, 0_u16..3000), 1..5),
    ) {
        let mut tree = Tree::default();
        let mut model = BTreeMap::new();
        for (round, (insert, start, count)) in steps.into_iter().enumerate() {
            let main = round as i64 + 1;
            for number in start..start + count {
                let key = key(number);
                if insert {
                    tree.upsert(&key, |old| {
                        assert_eq!(old.map(|old| old.record.rev.main), model.get(&key).copied());
                        head(main, false)
                    });
                    model.insert(key, main);
                } else if model.remove(&key).is_some() {
                    tree.upsert(&key, |_| head(main, true));
                    assert!(tree.find(&key).is_some_and(|head| head.record.tombstone));
                    tree.remove(&key);
                    assert!(tree.find(&key).is_none());
                }
            }
            check(&tree, &model, &bounds);
        }
    }
}

#[test]
fn huge_keys_split_early_and_stay_correct() {
    let mut tree = Tree::default();
    for number in 0..200_u32 {
        let mut key = vec![b'k'; 100_000];
        key.extend_from_slice(&(number * 7919 % 200).to_be_bytes());
        tree.upsert(&key, |_| head(1, false));
        let small = number.to_be_bytes();
        tree.upsert(&small, |_| head(1, false));
    }
    tree.check();
    assert_eq!(tree.total().live, 400);
}
