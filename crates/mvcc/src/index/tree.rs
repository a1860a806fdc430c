//! An ordered, counted B+tree from key to [`Head`].
//!
//! Leaves and separators are [`Packed`]. Each inner node keeps, per child, sums over the whole subtree
//! ([`Stats`]): that makes counting O(log n) and lets a walk step over subtrees that hold nothing of interest.

use std::ops::ControlFlow;

use super::{
    packed::{Packed, common_len},
    record::Head,
};
use crate::{
    limits::{INNER_CHILDREN_MAX, LEAF_BYTES_MAX, LEAF_ENTRIES_MAX, NODE_ENTRIES_MIN},
    row::framed_len,
};

/// Sums over the entries of a subtree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stats {
    /// Keys whose newest change is a put.
    pub(super) live: u64,
    /// Framed bytes ([`framed_len`]) of the newest rows of live keys.
    pub(super) framed: u64,
    /// Entries with something that compaction may take: older changes, or a tombstone.
    pub(super) aged: u64,
    /// No entry here has a change with a greater main revision than this.
    pub(super) newest: i64,
}

impl Stats {
    #[inline]
    fn of(head: &Head) -> Stats {
        let live = !head.record.tombstone;
        Stats {
            live: u64::from(live),
            framed: if live { framed_len(head.record.row_len) } else { 0 },
            aged: u64::from(!live || head.older.is_some()),
            newest: head.record.rev.main,
        }
    }

    /// Swaps an entry's contribution. `newest` stays an upper bound.
    #[inline]
    fn swap(&mut self, old: &Stats, new: &Stats) {
        self.live = self.live + new.live - old.live;
        self.framed = self.framed + new.framed - old.framed;
        self.aged = self.aged + new.aged - old.aged;
        self.newest = self.newest.max(new.newest);
    }

    fn sum<'a>(parts: impl IntoIterator<Item = &'a Stats>) -> Stats {
        let mut sum = Stats::default();
        for part in parts {
            sum.swap(&Stats::default(), part);
        }
        sum
    }
}

/// An entry met on a walk.
pub(super) struct Entry<'a> {
    leaf: &'a Packed,
    position: usize,
    /// What the leaf says about the key.
    pub(super) head: Head,
}

impl Entry<'_> {
    /// Writes the key into `key`.
    pub(super) fn read_key(&self, key: &mut Vec<u8>) {
        self.leaf.read_key(self.position, key);
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Tree {
    root: Node,
    total: Stats,
}

enum Node {
    Leaf(Packed),
    Inner(Box<Inner>),
}

impl Default for Node {
    fn default() -> Node {
        Node::Leaf(Packed::default())
    }
}

/// At least two children, except while an operation is under way.
struct Inner {
    /// `separators[i]`, with an empty payload, is above every key of child `i` and at or below those of `i + 1`.
    separators: Packed,
    /// One per child.
    stats: Vec<Stats>,
    children: Vec<Node>,
}

/// What an insert tells the parent.
struct Changed {
    old: Stats,
    new: Stats,
    split: Option<Split>,
}

/// A node that became two; the left half stayed in its place.
struct Split {
    separator: Vec<u8>,
    left_stats: Stats,
    right_stats: Stats,
    right: Node,
}

impl Tree {
    /// Sums over all entries.
    pub(super) fn total(&self) -> &Stats {
        &self.total
    }

    /// The entry of `key`.
    pub(super) fn find(&self, key: &[u8]) -> Option<Head> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(inner) => node = &inner.children[inner.child_of(key)],
                Node::Leaf(leaf) => {
                    return leaf.search(key).ok().map(|position| Head::decode(leaf.payload(position)));
                }
            }
        }
    }

    /// Sets the entry of `key` to what `update` makes of the present one.
    pub(super) fn upsert(&mut self, key: &[u8], update: impl FnOnce(Option<Head>) -> Head) {
        let changed = self.root.upsert(key, update);
        self.total.swap(&changed.old, &changed.new);
        if let Some(split) = changed.split {
            let left = std::mem::take(&mut self.root);
            let mut separators = Packed::default();
            separators.insert(0, &split.separator, &[]);
            self.root = Node::Inner(Box::new(Inner {
                separators,
                stats: vec![split.left_stats, split.right_stats],
                children: vec![left, split.right],
            }));
        }
    }

    /// Removes the entry of `key`, which must exist.
    pub(super) fn remove(&mut self, key: &[u8]) {
        let old = self.root.remove(key);
        self.total.swap(&old, &Stats::default());
        if let Node::Inner(inner) = &mut self.root
            && inner.children.len() == 1
        {
            self.root = inner.children.pop().expect("it has one child");
        }
    }

    /// Walks the entries with `low <= key < high` (`None`: no bound) in key order.
    ///
    /// `whole` is asked about each subtree that lies entirely within the bounds; `true` steps over it.
    pub(super) fn walk(
        &self,
        low: Option<&[u8]>,
        high: Option<&[u8]>,
        whole: &mut impl FnMut(&Stats) -> bool,
        each: &mut impl FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if low.is_none() && high.is_none() && whole(&self.total) {
            return ControlFlow::Continue(());
        }
        self.root.walk(low, high, whole, each)
    }

    /// Bytes on the heap, allocator overhead left out.
    pub(super) fn heap_bytes(&self) -> usize {
        self.root.heap_bytes()
    }
}

impl Node {
    fn upsert(&mut self, key: &[u8], update: impl FnOnce(Option<Head>) -> Head) -> Changed {
        match self {
            Node::Leaf(leaf) => {
                let (old, new) = upsert_leaf(leaf, key, update);
                let full =
                    leaf.len() > LEAF_ENTRIES_MAX || (leaf.data_len() > LEAF_BYTES_MAX && leaf.len() > 1);
                Changed { old, new, split: full.then(|| split_leaf(leaf)) }
            }
            Node::Inner(inner) => inner.upsert(key, update),
        }
    }

    /// Returns what the removed entry contributed.
    fn remove(&mut self, key: &[u8]) -> Stats {
        match self {
            Node::Leaf(leaf) => {
                let position = leaf.search(key).expect("only keys that exist are removed");
                let old = Stats::of(&Head::decode(leaf.payload(position)));
                leaf.remove(position);
                old
            }
            Node::Inner(inner) => inner.remove(key),
        }
    }

    fn walk(
        &self,
        low: Option<&[u8]>,
        high: Option<&[u8]>,
        whole: &mut impl FnMut(&Stats) -> bool,
        each: &mut impl FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            Node::Leaf(leaf) => {
                let place = |bound: &[u8]| leaf.search(bound).unwrap_or_else(|place| place);
                let last = high.map_or(leaf.len(), place);
                for position in low.map_or(0, place)..last {
                    each(Entry { leaf, position, head: Head::decode(leaf.payload(position)) })?;
                }
                ControlFlow::Continue(())
            }
            Node::Inner(inner) => inner.walk(low, high, whole, each),
        }
    }

    fn stats(&self) -> Stats {
        match self {
            Node::Leaf(leaf) => leaf_stats(leaf),
            Node::Inner(inner) => Stats::sum(&inner.stats),
        }
    }

    /// Entries of a leaf, or children.
    fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Inner(inner) => inner.children.len(),
        }
    }

    /// Joins `right`, whose keys start at `separator`, onto this node. Both are of the same kind.
    fn append(&mut self, separator: &[u8], right: Node) {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) => left.append(&right),
            (Node::Inner(left), Node::Inner(right)) => {
                left.separators.insert(left.separators.len(), separator, &[]);
                left.separators.append(&right.separators);
                left.stats.extend(right.stats);
                left.children.extend(right.children);
            }
            _ => unreachable!("all leaves are equally deep"),
        }
    }

    /// Whether this and `right` fit into one node.
    fn fits_with(&self, right: &Node) -> bool {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                left.len() + right.len() <= LEAF_ENTRIES_MAX * 3 / 4
                    && left.data_len() + right.data_len() <= LEAF_BYTES_MAX / 2
            }
            _ => self.len() + right.len() <= INNER_CHILDREN_MAX * 3 / 4,
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.heap_bytes(),
            Node::Inner(inner) => {
                size_of::<Inner>()
                    + inner.separators.heap_bytes()
                    + inner.stats.capacity() * size_of::<Stats>()
                    + inner.children.capacity() * size_of::<Node>()
                    + inner.children.iter().map(Node::heap_bytes).sum::<usize>()
            }
        }
    }
}

impl Inner {
    /// The child that `key` belongs to.
    fn child_of(&self, key: &[u8]) -> usize {
        match self.separators.search(key) {
            Ok(position) => position + 1,
            Err(position) => position,
        }
    }

    fn upsert(&mut self, key: &[u8], update: impl FnOnce(Option<Head>) -> Head) -> Changed {
        let child = self.child_of(key);
        let mut changed = self.children[child].upsert(key, update);
        self.stats[child].swap(&changed.old, &changed.new);
        if let Some(split) = changed.split.take() {
            self.stats[child] = split.left_stats;
            self.stats.insert(child + 1, split.right_stats);
            self.children.insert(child + 1, split.right);
            self.separators.insert(child, &split.separator, &[]);
        }
        if self.children.len() > INNER_CHILDREN_MAX {
            changed.split = Some(self.split());
        }
        changed
    }

    fn split(&mut self) -> Split {
        let at = self.children.len() / 2;
        let separators = self.separators.split_off(at);
        let separator = self.separators.key(at - 1);
        self.separators.remove(at - 1);
        let (stats, children) = (self.stats.split_off(at), self.children.split_off(at));
        let right_stats = Stats::sum(&stats);
        let right = Node::Inner(Box::new(Inner { separators, stats, children }));
        Split { separator, left_stats: Stats::sum(&self.stats), right_stats, right }
    }

    fn remove(&mut self, key: &[u8]) -> Stats {
        let child = self.child_of(key);
        let old = self.children[child].remove(key);
        self.stats[child].swap(&old, &Stats::default());
        if self.children[child].len() < NODE_ENTRIES_MIN {
            self.join_around(child);
        }
        old
    }

    /// Joins a small child with a neighbour when both fit into one node; drops it when it is empty.
    fn join_around(&mut self, child: usize) {
        if self.children.len() == 1 {
            return;
        }
        let left = if child == 0 { 0 } else { child - 1 };
        let right = left + 1;
        if !self.children[left].fits_with(&self.children[right]) && self.children[child].len() > 0 {
            return;
        }
        let separator = self.separators.key(left);
        self.separators.remove(left);
        self.stats.remove(right);
        let right = self.children.remove(right);
        if self.children[left].len() == 0 {
            self.children[left] = right;
        } else if right.len() > 0 {
            self.children[left].append(&separator, right);
        }
        self.stats[left] = self.children[left].stats();
    }

    fn walk(
        &self,
        low: Option<&[u8]>,
        high: Option<&[u8]>,
        whole: &mut impl FnMut(&Stats) -> bool,
        each: &mut impl FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let first = low.map_or(0, |low| self.child_of(low));
        let last = high.map_or(self.children.len() - 1, |high| self.child_of(high));
        for child in first..=last {
            let low = low.filter(|_| child == first);
            let high = high.filter(|_| child == last);
            if low.is_none() && high.is_none() && whole(&self.stats[child]) {
                continue;
            }
            self.children[child].walk(low, high, whole, each)?;
        }
        ControlFlow::Continue(())
    }
}

fn upsert_leaf(leaf: &mut Packed, key: &[u8], update: impl FnOnce(Option<Head>) -> Head) -> (Stats, Stats) {
    match leaf.search(key) {
        Ok(position) => {
            let old = Head::decode(leaf.payload(position));
            let new = update(Some(old));
            leaf.set_payload(position, &new.encode());
            (Stats::of(&old), Stats::of(&new))
        }
        Err(position) => {
            let new = update(None);
            leaf.insert(position, key, &new.encode());
            (Stats::default(), Stats::of(&new))
        }
    }
}

fn split_leaf(leaf: &mut Packed) -> Split {
    let right = leaf.split_off(leaf.middle());
    let (below, mut separator) = (leaf.key(leaf.len() - 1), right.key(0));
    // The shortest that is above `below`; never longer than the right half's first key.
    separator.truncate(common_len(&below, &separator) + 1);
    Split {
        separator,
        left_stats: leaf_stats(leaf),
        right_stats: leaf_stats(&right),
        right: Node::Leaf(right),
    }
}

fn leaf_stats(leaf: &Packed) -> Stats {
    let mut sum = Stats::default();
    for position in 0..leaf.len() {
        sum.swap(&Stats::default(), &Stats::of(&Head::decode(leaf.payload(position))));
    }
    sum
}

#[cfg(test)]
mod tests;
