//! Before a commit: small nodes are merged, large ones split, and branch keys made exact.

use crate::{
    error::BoltError,
    format::{PAGE_HEADER_LEN, Run},
    node::{BRANCH_CHILDREN_MIN, Body, Child, Edge, Node},
    snapshot::Snapshot,
    tree::{Tree, dirty},
};

/// A changed node with less than this part of a page is merged even with a neighbour that has to be read
/// (bbolt: 25 % at its default fill).
const SMALL_PART: usize = 4;

/// Brings a changed tree into the shape in which it can be written.
///
/// # Errors
/// What loading a neighbour gives, when a branch must be merged with it. The tree stays valid and complete.
pub(crate) fn settle(tree: &mut Tree, base: &Snapshot) -> Result<(), BoltError> {
    let page_size = base.store().page_size;
    let Child::Dirty(root) = &mut tree.root else { return Ok(()) };
    let mut settler = Settler { base, page_size, orphans: &mut tree.orphans };
    let settled = settler.node(root);
    if !root.is_leaf() {
        let more = root.split(page_size);
        if !more.is_empty() {
            tree.grow_root(more.into_iter().map(Node::into_edge).collect());
        }
    }
    collapse_root(tree);
    settled
}

/// A root branch with one child is replaced by that child.
fn collapse_root(tree: &mut Tree) {
    loop {
        let Child::Dirty(root) = &mut tree.root else { return };
        let Body::Branch(edges) = &mut root.body else { return };
        if edges.len() > 1 {
            return;
        }
        let only = edges.pop().expect("a branch has a child");
        tree.orphans.extend(root.replaces);
        tree.root = only.child;
    }
}

struct Settler<'a> {
    base: &'a Snapshot,
    page_size: usize,
    orphans: &'a mut Vec<Run>,
}

impl Settler<'_> {
    /// Settles everything below `node`; the node itself may still be too large or too small for its parent.
    fn node(&mut self, node: &mut Node) -> Result<(), BoltError> {
        let Body::Branch(edges) = &mut node.body else { return Ok(()) };
        let mut result = Ok(());
        for edge in edges.iter_mut() {
            if let Child::Dirty(child) = &mut edge.child {
                result = result.and(self.node(child));
                edge.key = child.first_key().cloned().expect("only the root of a tree may be empty");
            }
        }
        self.merge_changed(edges);
        result = result.and(self.merge_small(edges));
        split_large(edges, self.page_size);
        // Also after an error: sizes must be right whatever happens next.
        node.size = PAGE_HEADER_LEN + edges.iter().map(Edge::size).sum::<usize>();
        result
    }

    /// Joins neighbouring leaves that are both changed and fit on one page together, when either lost something.
    fn merge_changed(&mut self, edges: &mut Vec<Edge>) {
        let mut kept: Vec<Edge> = Vec::with_capacity(edges.len());
        for edge in edges.drain(..) {
            match (kept.last_mut().map(|left| &mut left.child), edge.child) {
                (Some(Child::Dirty(left)), Child::Dirty(right)) if self.worth_merging(left, &right) => {
                    self.orphans.extend(right.replaces);
                    left.absorb(*right);
                }
                (_, child) => kept.push(Edge { key: edge.key, child }),
            }
        }
        *edges = kept;
    }

    fn worth_merging(&self, left: &Node, right: &Node) -> bool {
        (left.shrunk || right.shrunk)
            && left.is_leaf()
            && right.is_leaf()
            && left.size + right.size - PAGE_HEADER_LEN <= self.page_size
    }

    /// Joins what is very small with a neighbour even when that has to be read for it.
    fn merge_small(&mut self, edges: &mut Vec<Edge>) -> Result<(), BoltError> {
        let mut index = 0;
        while index < edges.len() && edges.len() > 1 {
            let need = self.need(&edges[index].child);
            let left = if index > 0 { index - 1 } else { index };
            let merged = match need {
                Need::None => false,
                Need::Wish => self.merge_if_fits(edges, left).unwrap_or(false),
                Need::Must => {
                    self.merge(edges, left)?;
                    true
                }
            };
            // After a merge the joined node is looked at again.
            index = if merged { left } else { index + 1 };
        }
        Ok(())
    }

    fn need(&self, child: &Child) -> Need {
        match child {
            Child::Dirty(node) if !node.is_leaf() && node.count() < BRANCH_CHILDREN_MIN => Need::Must,
            Child::Dirty(node) if node.shrunk && node.size * SMALL_PART < self.page_size => Need::Wish,
            _ => Need::None,
        }
    }

    /// Merges edges `left` and `left + 1` when both fit on one page. Not done when one cannot be read.
    fn merge_if_fits(&mut self, edges: &mut Vec<Edge>, left: usize) -> Result<bool, BoltError> {
        let (a, b) = (self.size_of(&edges[left].child)?, self.size_of(&edges[left + 1].child)?);
        let fits = a.0 == b.0 && a.1 + b.1 - PAGE_HEADER_LEN <= self.page_size;
        if fits {
            self.merge(edges, left)?;
        }
        Ok(fits)
    }

    /// Whether it is a leaf, and its length when written.
    fn size_of(&self, child: &Child) -> Result<(bool, usize), BoltError> {
        Ok(match child {
            Child::Dirty(node) => (node.is_leaf(), node.size),
            Child::Clean(id) => {
                let page = self.base.page(*id)?;
                (page.is_leaf(), page.used_len())
            }
        })
    }

    /// Merges edges `left` and `left + 1`; a joined branch is settled again, because its children may now have
    /// neighbours that they lacked before. May exceed a page: the caller splits.
    fn merge(&mut self, edges: &mut Vec<Edge>, left: usize) -> Result<(), BoltError> {
        let right_is_leaf = dirty(&mut edges[left + 1].child, self.base)?.is_leaf();
        let node = dirty(&mut edges[left].child, self.base)?;
        if node.is_leaf() != right_is_leaf {
            let page = node.replaces.map_or(0, |run| run.start);
            return Err(BoltError::corrupt(page, "leaves of one bucket are at different depths"));
        }
        let Child::Dirty(right) = edges.remove(left + 1).child else {
            unreachable!("it was just made dirty")
        };
        let Child::Dirty(node) = &mut edges[left].child else { unreachable!("it was just made dirty") };
        self.orphans.extend(right.replaces);
        node.absorb(*right);
        if let Body::Branch(below) = &mut node.body {
            let merged = self.merge_small(below);
            split_large(below, self.page_size);
            node.size = PAGE_HEADER_LEN + below.iter().map(Edge::size).sum::<usize>();
            merged?;
        }
        Ok(())
    }
}

enum Need {
    None,
    /// Nicer when merged.
    Wish,
    /// bbolt cannot work with it otherwise.
    Must,
}

/// Splits changed children that outgrew their page.
fn split_large(edges: &mut Vec<Edge>, page_size: usize) {
    let mut index = 0;
    while index < edges.len() {
        let more = match &mut edges[index].child {
            // Leaves are split when they grow, and may be longer than a page on purpose.
            Child::Dirty(node) if !node.is_leaf() => node.split(page_size),
            _ => Vec::new(),
        };
        let count = more.len();
        edges.splice(index + 1..index + 1, more.into_iter().map(Node::into_edge));
        index += 1 + count;
    }
}
