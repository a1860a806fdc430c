//! One bucket being changed: puts and deletes into nodes in memory; nothing is written before the commit.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    error::BoltError,
    format::{PageId, Run, TREE_DEPTH_MAX},
    node::{BRANCH_CHILDREN_MIN, Body, Child, Edge, Item, Node, child_index},
    page::Page,
    snapshot::{BucketRoot, Snapshot},
};

/// A bucket's tree with the changes since the last commit.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: Child,
    /// bbolt's per-bucket counter (`NextSequence`); we only carry it along.
    pub(crate) sequence: u64,
    /// The greatest key, when known: a key above it is appended without a search.
    greatest: Option<Bytes>,
    /// Pages of nodes that are gone, to be freed by the commit.
    pub(crate) orphans: Vec<Run>,
}

/// Whether a delete found its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removed {
    Nothing,
    Entry,
}

impl Tree {
    pub(crate) fn empty() -> Tree {
        Tree::with_root(Child::Dirty(Box::new(Node::leaf(Vec::new()))), 0)
    }

    pub(crate) fn open(root: &BucketRoot, sequence: u64) -> Tree {
        let root = match root {
            BucketRoot::Page(id) => Child::Clean(*id),
            BucketRoot::Inline(page) => Child::Dirty(Box::new(Node::from_inline_page(page))),
        };
        Tree::with_root(root, sequence)
    }

    fn with_root(root: Child, sequence: u64) -> Tree {
        Tree { root, sequence, greatest: None, orphans: Vec::new() }
    }

    /// Sets `item.key`. An error leaves the tree as it was.
    ///
    /// # Errors
    /// `Incompatible` when the key is a bucket and `item` is not, or the other way round; what loading a page gives.
    pub(crate) fn put(&mut self, base: &Snapshot, item: Item) -> Result<(), BoltError> {
        let page_size = base.store().page_size;
        let appends = self.greatest.as_ref().is_some_and(|greatest| item.key > *greatest);
        let key = item.key.clone();
        let root = dirty(&mut self.root, base)?;
        let mut edit = Edit { base, page_size, rightmost: true };
        let more = if appends { edit.append(root, item, 0)? } else { edit.insert(root, item, 0)? };
        if appends || edit.rightmost {
            self.greatest = Some(key);
        }
        if !more.is_empty() {
            self.grow_root(more);
        }
        Ok(())
    }

    /// Puts a new branch above the root and the nodes that were split off it.
    pub(crate) fn grow_root(&mut self, more: Vec<Edge>) {
        let Child::Dirty(old) = std::mem::replace(&mut self.root, Child::Clean(0)) else {
            unreachable!("only a changed root splits");
        };
        let mut edges = vec![old.into_edge()];
        edges.extend(more);
        self.root = Child::Dirty(Box::new(Node::branch(edges)));
    }

    /// Removes `key`; `false` when it is absent. An error leaves the tree as it was.
    ///
    /// # Errors
    /// As [`Tree::put`].
    pub(crate) fn delete(&mut self, base: &Snapshot, key: &[u8]) -> Result<bool, BoltError> {
        if remove_from_child(&mut self.root, base, key, &mut self.orphans, 0)? == Removed::Nothing {
            return Ok(false);
        }
        if self.greatest.as_ref().is_some_and(|greatest| greatest == key) {
            self.greatest = None;
        }
        let root = dirty(&mut self.root, base)?;
        if !root.is_leaf() && root.count() == 0 {
            root.body = Body::Leaf(Vec::new());
        }
        Ok(true)
    }

    /// Lets go of the buffers that ops came in, after the nodes were written.
    pub(crate) fn release_buffers(&mut self) {
        self.greatest = self.greatest.take().map(|key| Bytes::copy_from_slice(&key));
    }

    /// The entry of `key` as applied so far.
    ///
    /// # Errors
    /// What loading a page gives.
    pub(crate) fn find(&self, base: &Snapshot, key: &[u8]) -> Result<Option<Item>, BoltError> {
        let mut child = &self.root;
        loop {
            match child {
                Child::Clean(id) => return find_clean(base, *id, key),
                Child::Dirty(node) => match &node.body {
                    Body::Leaf(items) => {
                        return Ok(search(items, key).ok().map(|index| items[index].clone()));
                    }
                    Body::Branch(edges) => child = &edges[child_index(edges, key)].child,
                },
            }
        }
    }

    /// Marks the page `target` and its ancestors as changed, when the path to `key` leads over it. Returns how many
    /// pages became dirty; 0 when the page is not there or was dirty before.
    ///
    /// # Errors
    /// What loading a page gives.
    pub(crate) fn touch(&mut self, base: &Snapshot, key: &[u8], target: PageId) -> Result<u64, BoltError> {
        if !leads_to(&self.root, base, key, target)? {
            return Ok(0);
        }
        let page_size = base.store().page_size;
        let mut pages = 0;
        let mut child = &mut self.root;
        loop {
            let done = matches!(child, Child::Clean(id) if *id == target);
            if let Child::Clean(id) = child {
                pages += base.page(*id)?.run(page_size).len;
            }
            let node = dirty(child, base)?;
            match &mut node.body {
                Body::Branch(edges) if !done => {
                    let index = child_index(edges, key);
                    child = &mut edges[index].child;
                }
                _ => return Ok(pages),
            }
        }
    }
}

/// Makes `child` a node that can be changed.
pub(crate) fn dirty<'a>(child: &'a mut Child, base: &Snapshot) -> Result<&'a mut Node, BoltError> {
    if let Child::Clean(id) = child {
        let node = Node::from_page(&*base.page(*id)?, base.store().page_size);
        *child = Child::Dirty(Box::new(node));
    }
    match child {
        Child::Dirty(node) => Ok(node),
        Child::Clean(_) => unreachable!("it was just replaced"),
    }
}

fn search(items: &[Item], key: &[u8]) -> Result<usize, usize> {
    items.binary_search_by(|item| item.key[..].cmp(key))
}

fn check_depth(level: usize) -> Result<(), BoltError> {
    if level > TREE_DEPTH_MAX {
        return Err(BoltError::Invalid { what: "tree is too deep" });
    }
    Ok(())
}

fn incompatible(key: &[u8]) -> BoltError {
    BoltError::Incompatible { name: String::from_utf8_lossy(key).into_owned() }
}

/// One put on its way down the tree.
struct Edit<'a> {
    base: &'a Snapshot,
    page_size: usize,
    /// Whether the entry ended up as the last of the tree.
    rightmost: bool,
}

impl Edit<'_> {
    /// Adds an entry above all others. Returns what must follow `node` in its parent. Nodes are filled up rather
    /// than halved.
    fn append(&mut self, node: &mut Node, item: Item, level: usize) -> Result<Vec<Edge>, BoltError> {
        check_depth(level)?;
        match &mut node.body {
            Body::Leaf(_) => Ok(self.append_to_leaf(node, item)),
            Body::Branch(edges) => {
                let last = edges.last_mut().expect("a branch has children");
                let more = self.append(dirty(&mut last.child, self.base)?, item, level + 1)?;
                Ok(if more.is_empty() { more } else { self.append_to_branch(node, more) })
            }
        }
    }

    fn append_to_leaf(&self, node: &mut Node, item: Item) -> Vec<Edge> {
        if !node.takes_appended(&item, self.page_size) {
            return vec![Node::leaf(vec![item]).into_edge()];
        }
        node.size += item.size();
        if let Body::Leaf(items) = &mut node.body {
            items.push(item);
        }
        Vec::new()
    }

    fn append_to_branch(&self, node: &mut Node, more: Vec<Edge>) -> Vec<Edge> {
        let Body::Branch(edges) = &mut node.body else { unreachable!("the caller matched a branch") };
        node.size += more.iter().map(Edge::size).sum::<usize>();
        edges.extend(more);
        if node.size <= self.page_size || edges.len() < 2 * BRANCH_CHILDREN_MIN {
            return Vec::new();
        }
        // Only the newest children move on; the full branch stays full.
        let right = Node::branch(edges.split_off(edges.len() - BRANCH_CHILDREN_MIN));
        node.size -= right.size - crate::format::PAGE_HEADER_LEN;
        vec![right.into_edge()]
    }

    /// Adds or replaces an entry anywhere. Returns what must follow `node` in its parent.
    fn insert(&mut self, node: &mut Node, item: Item, level: usize) -> Result<Vec<Edge>, BoltError> {
        check_depth(level)?;
        match &mut node.body {
            Body::Leaf(_) => self.insert_into_leaf(node, item),
            Body::Branch(edges) => {
                let index = child_index(edges, &item.key);
                self.rightmost &= index + 1 == edges.len();
                let key = item.key.clone();
                let more = self.insert(dirty(&mut edges[index].child, self.base)?, item, level + 1)?;
                if key < edges[index].key {
                    node.size = node.size - edges[index].key.len() + key.len();
                    edges[index].key = key;
                }
                node.size += more.iter().map(Edge::size).sum::<usize>();
                edges.splice(index + 1..index + 1, more);
                Ok(node.split(self.page_size).into_iter().map(Node::into_edge).collect())
            }
        }
    }

    fn insert_into_leaf(&mut self, node: &mut Node, item: Item) -> Result<Vec<Edge>, BoltError> {
        let Body::Leaf(items) = &mut node.body else { unreachable!("the caller matched a leaf") };
        let place = search(items, &item.key);
        let last = items.len();
        self.rightmost &= place == Err(last) || place == Ok(last.wrapping_sub(1));
        match place {
            Ok(index) => {
                let old = &mut items[index];
                if old.is_bucket() != item.is_bucket() {
                    return Err(incompatible(&item.key));
                }
                node.size = node.size - old.size() + item.size();
                // The old key stays: it may be shared with the page, and is equal.
                old.value = item.value;
            }
            Err(index) if index == last && self.rightmost => return Ok(self.append_to_leaf(node, item)),
            Err(index) => {
                node.size += item.size();
                items.insert(index, item);
            }
        }
        Ok(node.split(self.page_size).into_iter().map(Node::into_edge).collect())
    }
}

/// Removes `key` below `child`, which stays clean when the key is not there. A child of `child` that becomes empty is
/// removed from it; `child` itself may become empty.
fn remove_from_child(
    child: &mut Child,
    base: &Snapshot,
    key: &[u8],
    orphans: &mut Vec<Run>,
    level: usize,
) -> Result<Removed, BoltError> {
    check_depth(level)?;
    match child {
        Child::Dirty(node) => remove(node, base, key, orphans, level),
        Child::Clean(id) => {
            let page = base.page(*id)?;
            if page.is_leaf() && page.search(key).is_err() {
                return Ok(Removed::Nothing);
            }
            let mut node = Node::from_page(&page, base.store().page_size);
            let removed = remove(&mut node, base, key, orphans, level)?;
            if removed == Removed::Entry {
                *child = Child::Dirty(Box::new(node));
            }
            Ok(removed)
        }
    }
}

fn remove(
    node: &mut Node,
    base: &Snapshot,
    key: &[u8],
    orphans: &mut Vec<Run>,
    level: usize,
) -> Result<Removed, BoltError> {
    match &mut node.body {
        Body::Leaf(items) => {
            let Ok(index) = search(items, key) else { return Ok(Removed::Nothing) };
            if items[index].is_bucket() {
                return Err(incompatible(key));
            }
            node.size -= items.remove(index).size();
        }
        Body::Branch(edges) => {
            if edges.is_empty() {
                return Ok(Removed::Nothing);
            }
            let index = child_index(edges, key);
            let child = &mut edges[index].child;
            if remove_from_child(child, base, key, orphans, level + 1)? == Removed::Nothing {
                return Ok(Removed::Nothing);
            }
            if let Child::Dirty(below) = child
                && below.count() == 0
            {
                orphans.extend(below.replaces);
                node.size -= edges.remove(index).size();
            }
        }
    }
    node.shrunk = true;
    Ok(Removed::Entry)
}

fn find_clean(base: &Snapshot, id: PageId, key: &[u8]) -> Result<Option<Item>, BoltError> {
    let leaf = base.leaf_of(&BucketRoot::Page(id), key)?;
    Ok(leaf.search(key).ok().map(|index| Item {
        key: leaf.key_bytes(index),
        value: leaf.value_bytes(index),
        flags: leaf.flags(index),
    }))
}

/// Whether the path to `key` leads over clean page `target`.
fn leads_to(root: &Child, base: &Snapshot, key: &[u8], target: PageId) -> Result<bool, BoltError> {
    let mut child = root;
    let mut id = loop {
        match child {
            Child::Clean(id) => break *id,
            Child::Dirty(node) => match &node.body {
                Body::Leaf(_) => return Ok(false),
                Body::Branch(edges) if edges.is_empty() => return Ok(false),
                Body::Branch(edges) => child = &edges[child_index(edges, key)].child,
            },
        }
    };
    for _ in 0..TREE_DEPTH_MAX {
        if id == target {
            return Ok(true);
        }
        let page: Arc<Page> = base.page(id)?;
        if page.is_leaf() {
            return Ok(false);
        }
        id = page.child(page.child_index(key));
    }
    Err(BoltError::corrupt(id, "tree is too deep"))
}
