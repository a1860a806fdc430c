//! Tree nodes in memory: what was changed since the last commit.

use bytes::Bytes;

use crate::{
    format::{BUCKET_ELEMENT_FLAG, ELEMENT_LEN, PAGE_HEADER_LEN, PageId, Run, pages_for},
    page::Page,
};

/// A run of leaves filled by appending is at most this many pages long when it has more than one entry.
const APPENDED_PAGES_MAX: usize = 4;
/// Fewest children of a branch; bbolt's rebalancing relies on it.
pub(crate) const BRANCH_CHILDREN_MIN: usize = 2;

/// An entry of a leaf. Keys and values are shared with the caller of `apply`, or with the page they came from.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
    pub(crate) flags: u32,
}

impl Item {
    pub(crate) fn is_bucket(&self) -> bool {
        self.flags & BUCKET_ELEMENT_FLAG != 0
    }

    /// Bytes that it takes on a page.
    pub(crate) fn size(&self) -> usize {
        ELEMENT_LEN + self.key.len() + self.value.len()
    }
}

/// A child of a branch.
#[derive(Debug)]
pub(crate) struct Edge {
    /// At most every key under `child`, and above every key under the edge before. When a branch is written it is
    /// exactly the first key under `child`, as bbolt expects.
    pub(crate) key: Bytes,
    pub(crate) child: Child,
}

impl Edge {
    pub(crate) fn size(&self) -> usize {
        ELEMENT_LEN + self.key.len()
    }
}

/// A subtree: as it stands in the file, or changed.
#[derive(Debug)]
pub(crate) enum Child {
    Clean(PageId),
    Dirty(Box<Node>),
}

#[derive(Debug)]
pub(crate) enum Body {
    Leaf(Vec<Item>),
    Branch(Vec<Edge>),
}

/// A changed page.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) body: Body,
    /// Length when written. Invariant: page header + sizes of all entries.
    pub(crate) size: usize,
    /// The pages that this node takes the place of, to be freed when it is written.
    pub(crate) replaces: Option<Run>,
    /// Something was removed, so that it may be worth merging.
    pub(crate) shrunk: bool,
}

impl Node {
    pub(crate) fn leaf(items: Vec<Item>) -> Node {
        let size = PAGE_HEADER_LEN + items.iter().map(Item::size).sum::<usize>();
        Node { body: Body::Leaf(items), size, replaces: None, shrunk: false }
    }

    pub(crate) fn branch(edges: Vec<Edge>) -> Node {
        let size = PAGE_HEADER_LEN + edges.iter().map(Edge::size).sum::<usize>();
        Node { body: Body::Branch(edges), size, replaces: None, shrunk: false }
    }

    /// A copy to change of a page that lies in the file.
    pub(crate) fn from_page(page: &Page, page_size: usize) -> Node {
        Node { replaces: Some(page.run(page_size)), ..Node::from_inline_page(page) }
    }

    /// A copy to change of a page that is part of a bucket's entry.
    pub(crate) fn from_inline_page(page: &Page) -> Node {
        let all = 0..page.count();
        if page.is_leaf() {
            let item = |index| Item {
                key: page.key_bytes(index),
                value: page.value_bytes(index),
                flags: page.flags(index),
            };
            Node::leaf(all.map(item).collect())
        } else {
            let edge = |index| Edge { key: page.key_bytes(index), child: Child::Clean(page.child(index)) };
            Node::branch(all.map(edge).collect())
        }
    }

    pub(crate) fn is_leaf(&self) -> bool {
        matches!(self.body, Body::Leaf(_))
    }

    pub(crate) fn count(&self) -> usize {
        match &self.body {
            Body::Leaf(items) => items.len(),
            Body::Branch(edges) => edges.len(),
        }
    }

    /// The first key on the page; `None` on an empty leaf.
    pub(crate) fn first_key(&self) -> Option<&Bytes> {
        match &self.body {
            Body::Leaf(items) => items.first().map(|item| &item.key),
            Body::Branch(edges) => edges.first().map(|edge| &edge.key),
        }
    }

    /// Wraps it as an edge of a parent. Not for an empty node.
    pub(crate) fn into_edge(self) -> Edge {
        let key = self.first_key().cloned().expect("only the root of a tree may be empty");
        Edge { key, child: Child::Dirty(Box::new(self)) }
    }

    /// Whether `item` may be appended to this leaf, or should start the next one.
    ///
    /// Within a page: while it fits. Beyond: large entries leave much of a page unused, so up to
    /// [`APPENDED_PAGES_MAX`] pages are filled until at most an eighth is wasted.
    pub(crate) fn takes_appended(&self, item: &Item, page_size: usize) -> bool {
        let grown = self.size + item.size();
        if grown <= page_size || self.count() == 0 {
            return true;
        }
        let reserved = pages_for(self.size, page_size) as usize * page_size;
        let wasted = reserved - self.size;
        wasted * 8 > reserved && grown <= APPENDED_PAGES_MAX * page_size
    }

    /// Cuts off everything from entry `at` on, as a new node.
    fn split_off(&mut self, at: usize) -> Node {
        let right = match &mut self.body {
            Body::Leaf(items) => Node::leaf(items.split_off(at)),
            Body::Branch(edges) => Node::branch(edges.split_off(at)),
        };
        self.size -= right.size - PAGE_HEADER_LEN;
        Node { shrunk: self.shrunk, ..right }
    }

    /// Splits a node that outgrew its page into halves, until each fits or cannot be split. Returns the nodes to the
    /// right of this one, in order.
    pub(crate) fn split(&mut self, page_size: usize) -> Vec<Node> {
        let entries_min = if self.is_leaf() { 1 } else { BRANCH_CHILDREN_MIN };
        if self.size <= page_size || self.count() < 2 * entries_min {
            return Vec::new();
        }
        let at = self.middle().clamp(entries_min, self.count() - entries_min);
        let mut right = self.split_off(at);
        let mut nodes = self.split(page_size);
        let further = right.split(page_size);
        nodes.push(right);
        nodes.extend(further);
        nodes
    }

    /// The entry at which the larger part of half the bytes is reached.
    fn middle(&self) -> usize {
        let mut left = PAGE_HEADER_LEN;
        let half = self.size / 2;
        let mut before_half = |size: usize| {
            left += size;
            left <= half
        };
        match &self.body {
            Body::Leaf(items) => items.iter().take_while(|item| before_half(item.size())).count(),
            Body::Branch(edges) => edges.iter().take_while(|edge| before_half(edge.size())).count(),
        }
    }

    /// Appends the entries of `right`, a node of the same kind whose keys are all greater.
    pub(crate) fn absorb(&mut self, right: Node) {
        self.size += right.size - PAGE_HEADER_LEN;
        self.shrunk |= right.shrunk;
        match (&mut self.body, right.body) {
            (Body::Leaf(items), Body::Leaf(more)) => items.extend(more),
            (Body::Branch(edges), Body::Branch(more)) => edges.extend(more),
            _ => unreachable!("a leaf and a branch were merged"),
        }
    }
}

/// The child under which `key` belongs.
pub(crate) fn child_index(edges: &[Edge], key: &[u8]) -> usize {
    edges.partition_point(|edge| edge.key[..] <= *key).saturating_sub(1)
}
