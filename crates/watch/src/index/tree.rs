//! Which ranges hold a key: a balanced tree of ranges, each node knowing how far its subtree reaches.
//!
//! An AVL tree in one array, ordered by (start, end). Worst cases, for `n` ranges of which `m` hold the key:
//! insert and remove O(log n), `stab` O((m + 1) log n); no input order makes it worse.

use std::cmp::Ordering;

use bytes::Bytes;
use types::KeyRange;

use crate::slab::{Slab, Slot};

/// No node.
const NIL: Slot = Slot::MAX;

#[derive(Debug)]
struct Node {
    /// First key, inclusive.
    start: Bytes,
    /// Exclusive; `None`: no end.
    end: Option<Bytes>,
    value: u32,
    left: Slot,
    right: Slot,
    /// Levels of the subtree with this node on top; a leaf has 1.
    height: u32,
    /// The node of this subtree with the furthest end.
    reach: Slot,
}

/// Ranges with more than one key, each with a number.
#[derive(Debug)]
pub(crate) struct IntervalTree {
    nodes: Slab<Node>,
    root: Slot,
}

impl Default for IntervalTree {
    fn default() -> IntervalTree {
        IntervalTree { nodes: Slab::default(), root: NIL }
    }
}

/// Orders ends; no end is the largest.
fn compare_ends(a: &Option<Bytes>, b: &Option<Bytes>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => a.cmp(b),
    }
}

fn end_of(range: &KeyRange) -> Option<Bytes> {
    (!range.is_open()).then(|| range.end.clone())
}

impl IntervalTree {
    /// The number of exactly this range.
    pub(crate) fn find(&self, range: &KeyRange) -> Option<u32> {
        let end = end_of(range);
        let mut at = self.root;
        while at != NIL {
            let node = &self.nodes[at];
            at = match self.compare(&range.key, &end, at) {
                Ordering::Less => node.left,
                Ordering::Greater => node.right,
                Ordering::Equal => return Some(node.value),
            };
        }
        None
    }

    /// Adds a range that is not there, is not empty and is not a single key in etcd's sense.
    pub(crate) fn insert(&mut self, range: &KeyRange, value: u32) {
        assert!(!range.is_single() && !range.is_empty(), "{range:?} belongs elsewhere");
        let (start, end) = (range.key.clone(), end_of(range));
        let new = self.nodes.insert(Node { start, end, value, left: NIL, right: NIL, height: 1, reach: NIL });
        self.nodes[new].reach = new;
        self.root = self.insert_below(self.root, new);
    }

    /// Removes a range that is there.
    pub(crate) fn remove(&mut self, range: &KeyRange) {
        self.root = self.remove_below(self.root, &range.key, &end_of(range));
    }

    /// Calls `found` with the number of each range that holds `key`, in order of (start, end).
    pub(crate) fn stab(&self, key: &[u8], found: &mut impl FnMut(u32)) {
        self.stab_below(self.root, key, found);
    }

    fn stab_below(&self, mut at: Slot, key: &[u8], found: &mut impl FnMut(u32)) {
        while at != NIL && self.ends_after(self.nodes[at].reach, key) {
            let node = &self.nodes[at];
            self.stab_below(node.left, key, found);
            if &node.start[..] > key {
                return;
            }
            if self.ends_after(at, key) {
                found(node.value);
            }
            at = node.right;
        }
    }

    fn ends_after(&self, at: Slot, key: &[u8]) -> bool {
        self.nodes[at].end.as_ref().is_none_or(|end| key < &end[..])
    }

    fn compare(&self, start: &Bytes, end: &Option<Bytes>, at: Slot) -> Ordering {
        let node = &self.nodes[at];
        start.cmp(&node.start).then_with(|| compare_ends(end, &node.end))
    }

    fn insert_below(&mut self, at: Slot, new: Slot) -> Slot {
        if at == NIL {
            return new;
        }
        let added = &self.nodes[new];
        match self.compare(&added.start, &added.end, at) {
            Ordering::Less => self.nodes[at].left = self.insert_below(self.nodes[at].left, new),
            Ordering::Greater => self.nodes[at].right = self.insert_below(self.nodes[at].right, new),
            Ordering::Equal => unreachable!("callers look a range up before they add it"),
        }
        self.rebalance(at)
    }

    /// Removes the node of `(start, end)` and returns the new top of the subtree.
    fn remove_below(&mut self, at: Slot, start: &Bytes, end: &Option<Bytes>) -> Slot {
        assert!(at != NIL, "only ranges that were added are removed");
        match self.compare(start, end, at) {
            Ordering::Less => self.nodes[at].left = self.remove_below(self.nodes[at].left, start, end),
            Ordering::Greater => self.nodes[at].right = self.remove_below(self.nodes[at].right, start, end),
            Ordering::Equal => {
                let node = self.nodes.remove(at);
                if node.right == NIL {
                    return node.left;
                }
                let (first, rest) = self.take_first(node.right);
                self.nodes[first].left = node.left;
                self.nodes[first].right = rest;
                return self.rebalance(first);
            }
        }
        self.rebalance(at)
    }

    /// Unlinks the leftmost node: (it, what remains).
    fn take_first(&mut self, at: Slot) -> (Slot, Slot) {
        if self.nodes[at].left == NIL {
            return (at, self.nodes[at].right);
        }
        let (first, rest) = self.take_first(self.nodes[at].left);
        self.nodes[at].left = rest;
        (first, self.rebalance(at))
    }

    fn height(&self, at: Slot) -> u32 {
        if at == NIL { 0 } else { self.nodes[at].height }
    }

    /// Recomputes what `at` knows about its subtree from its children.
    fn refresh(&mut self, at: Slot) {
        let (left, right) = (self.nodes[at].left, self.nodes[at].right);
        let height = 1 + self.height(left).max(self.height(right));
        let mut reach = at;
        for child in [left, right] {
            if child != NIL {
                let candidate = self.nodes[child].reach;
                if compare_ends(&self.nodes[candidate].end, &self.nodes[reach].end) == Ordering::Greater {
                    reach = candidate;
                }
            }
        }
        let node = &mut self.nodes[at];
        node.height = height;
        node.reach = reach;
    }

    /// Restores balance at `at`, whose subtrees are balanced and differ by at most two levels.
    fn rebalance(&mut self, at: Slot) -> Slot {
        self.refresh(at);
        let (left, right) = (self.nodes[at].left, self.nodes[at].right);
        if self.height(left) > self.height(right) + 1 {
            if self.height(self.nodes[left].right) > self.height(self.nodes[left].left) {
                self.nodes[at].left = self.rotate_left(left);
            }
            return self.rotate_right(at);
        }
        if self.height(right) > self.height(left) + 1 {
            if self.height(self.nodes[right].left) > self.height(self.nodes[right].right) {
                self.nodes[at].right = self.rotate_right(right);
            }
            return self.rotate_left(at);
        }
        at
    }

    fn rotate_left(&mut self, at: Slot) -> Slot {
        let top = self.nodes[at].right;
        self.nodes[at].right = self.nodes[top].left;
        self.nodes[top].left = at;
        self.refresh(at);
        self.refresh(top);
        top
    }

    fn rotate_right(&mut self, at: Slot) -> Slot {
        let top = self.nodes[at].left;
        self.nodes[at].left = self.nodes[top].right;
        self.nodes[top].right = at;
        self.refresh(at);
        self.refresh(top);
        top
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn check_below(tree: &IntervalTree, at: Slot) -> u32 {
        if at == NIL {
            return 0;
        }
        let node = &tree.nodes[at];
        let (left, right) = (check_below(tree, node.left), check_below(tree, node.right));
        assert!(left.abs_diff(right) <= 1, "out of balance");
        assert_eq!(node.height, 1 + left.max(right));
        node.height
    }

    fn stabbed(tree: &IntervalTree, key: &[u8]) -> Vec<u32> {
        let mut found = Vec::new();
        tree.stab(key, &mut |value| found.push(value));
        found
    }

    fn range() -> impl Strategy<Value = KeyRange> {
        ("[a-d]{1,3}", prop_oneof![Just("\0".to_owned()), "[a-e]{1,3}"])
            .prop_map(|(start, end)| KeyRange::new(start, end))
            .prop_filter("not empty", |range| !range.is_empty())
    }

    proptest! {
        #[test]
        fn agrees_with_a_list(steps in prop::collection::vec((any::<bool>(), range(), "[a-e]{1,3}"), 1..200)) {
            let mut tree = IntervalTree::default();
            let mut model = BTreeMap::new();
            for (number, (insert, range, key)) in (0..).zip(steps) {
                let known = model.contains_key(&range);
                prop_assert_eq!(tree.find(&range), model.get(&range).copied());
                if insert && !known {
                    tree.insert(&range, number);
                    model.insert(range, number);
                } else if !insert && known {
                    tree.remove(&range);
                    model.remove(&range);
                }
                check_below(&tree, tree.root);
                let mut found = stabbed(&tree, key.as_bytes());
                found.sort_unstable();
                let mut expected: Vec<u32> =
                    model.iter().filter(|(range, _)| range.contains(key.as_bytes())).map(|(_, n)| *n).collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn stays_shallow_in_order() {
        let mut tree = IntervalTree::default();
        let range = |n: u32| KeyRange::new(format!("{n:06}/"), format!("{n:06}0"));
        for n in 0..10_000 {
            tree.insert(&range(n), n);
        }
        assert!(check_below(&tree, tree.root) <= 19, "1.44 log2(n)");
        assert_eq!(stabbed(&tree, b"004711/x"), [4711]);
        for n in 0..9_999 {
            tree.remove(&range(n));
        }
        assert_eq!((check_below(&tree, tree.root), tree.nodes.len()), (1, 1));
    }
}
