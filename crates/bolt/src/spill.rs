//! From changed nodes to pages: each gets its place in the file and its bytes.

use bytes::Bytes;

use crate::{
    format::{
        BRANCH_FLAG, BUCKET_HEADER_LEN, ELEMENT_LEN, LEAF_FLAG, PAGE_HEADER_LEN, PageHeader, PageId, Run,
        Txid, inline_len_max, pages_for, put_u32, put_u64,
    },
    node::{Body, Child, Edge, Item, Node},
    page::Page,
    space::Space,
    tree::Tree,
};

/// A page, overflow included, that a commit writes.
pub(crate) struct NewPage {
    pub(crate) run: Run,
    /// As long as the run.
    pub(crate) bytes: Vec<u8>,
}

/// The pages of one commit.
pub(crate) struct Spill<'a> {
    space: &'a mut Space,
    txid: Txid,
    page_size: usize,
    /// In the order of allocation.
    pub(crate) pages: Vec<NewPage>,
}

impl<'a> Spill<'a> {
    pub(crate) fn new(space: &'a mut Space, txid: Txid, page_size: usize) -> Spill<'a> {
        Spill { space, txid, page_size, pages: Vec::new() }
    }

    /// Encodes the changed nodes below `tree`, children first, and leaves it clean. Returns its root page.
    pub(crate) fn tree(&mut self, tree: &mut Tree) -> PageId {
        self.release_orphans(tree);
        self.child(&mut tree.root)
    }

    fn release_orphans(&mut self, tree: &mut Tree) {
        for run in tree.orphans.drain(..) {
            self.space.release(run, self.txid);
        }
    }

    fn child(&mut self, child: &mut Child) -> PageId {
        let node = match child {
            Child::Clean(id) => return *id,
            Child::Dirty(node) => node,
        };
        if let Body::Branch(edges) = &mut node.body {
            edges.iter_mut().for_each(|edge| {
                self.child(&mut edge.child);
            });
        }
        let run = self.space.allocate(pages_for(node.size, self.page_size), self.txid);
        if let Some(old) = node.replaces.take() {
            self.space.release(old, self.txid);
        }
        let mut bytes = vec![0; run.len as usize * self.page_size];
        encode(node, run, &mut bytes);
        self.pages.push(NewPage { run, bytes });
        *child = Child::Clean(run.start);
        run.start
    }

    /// The value of a bucket's entry, after its pages were spilled: a header, or header and page when the bucket is
    /// small enough to be inline.
    pub(crate) fn bucket_entry(&mut self, tree: &mut Tree) -> Bytes {
        let inline = match &tree.root {
            Child::Dirty(node) if fits_inline(node, self.page_size) => Some(node.size),
            _ => None,
        };
        let Some(size) = inline else {
            let root = self.tree(tree);
            return Bytes::from(bucket_header(root, tree.sequence));
        };
        self.release_orphans(tree);
        let Child::Dirty(node) = &mut tree.root else { unreachable!("it was matched above") };
        if let Some(old) = node.replaces.take() {
            self.space.release(old, self.txid);
        }
        let mut value = bucket_header(0, tree.sequence);
        value.resize(BUCKET_HEADER_LEN + size, 0);
        encode(node, Run { start: 0, len: 1 }, &mut value[BUCKET_HEADER_LEN..]);
        let value = Bytes::from(value);
        // The node is kept, but lets go of the buffers that keys and values came in.
        **node = Node::from_inline_page(&Page::trusted(0, value.slice(BUCKET_HEADER_LEN..)));
        value
    }
}

/// How many pages the changed nodes of a tree will take.
pub(crate) fn dirty_pages(child: &Child, page_size: usize) -> u64 {
    let Child::Dirty(node) = child else { return 0 };
    let below = match &node.body {
        Body::Leaf(_) => 0,
        Body::Branch(edges) => edges.iter().map(|edge| dirty_pages(&edge.child, page_size)).sum(),
    };
    below + pages_for(node.size, page_size)
}

/// The pages that the changed nodes of a tree replace.
pub(crate) fn replaced_runs(child: &Child, runs: &mut Vec<Run>) {
    let Child::Dirty(node) = child else { return };
    runs.extend(node.replaces);
    if let Body::Branch(edges) = &node.body {
        edges.iter().for_each(|edge| replaced_runs(&edge.child, runs));
    }
}

/// bbolt's rule for inline buckets: one leaf, at most a quarter of a page, no nested buckets.
pub(crate) fn fits_inline(node: &Node, page_size: usize) -> bool {
    match &node.body {
        Body::Leaf(items) => node.size <= inline_len_max(page_size) && !items.iter().any(Item::is_bucket),
        Body::Branch(_) => false,
    }
}

fn bucket_header(root: PageId, sequence: u64) -> Vec<u8> {
    let mut value = vec![0; BUCKET_HEADER_LEN];
    put_u64(&mut value, 0, root);
    put_u64(&mut value, 8, sequence);
    value
}

/// Writes a node whose children are all clean into `buf`, zeros of the run's length (or the inline page's).
fn encode(node: &Node, run: Run, buf: &mut [u8]) {
    let count = u16::try_from(node.count()).expect("a node is split long before it has 65,536 entries");
    let flags = if node.is_leaf() { LEAF_FLAG } else { BRANCH_FLAG };
    let overflow = u32::try_from(run.len - 1).expect("a value has at most 2^31 bytes");
    PageHeader { id: run.start, flags, count, overflow }.write(buf);
    let data_start = PAGE_HEADER_LEN + node.count() * ELEMENT_LEN;
    let end = match &node.body {
        Body::Leaf(items) => encode_items(items, data_start, buf),
        Body::Branch(edges) => encode_edges(edges, data_start, buf),
    };
    assert_eq!(end, node.size, "a node's size is kept with every change");
}

fn encode_items(items: &[Item], mut data: usize, buf: &mut [u8]) -> usize {
    for (item, at) in items.iter().zip((PAGE_HEADER_LEN..).step_by(ELEMENT_LEN)) {
        let (key_len, value_len) = (item.key.len(), item.value.len());
        put_u32(buf, at, item.flags);
        put_u32(buf, at + 4, length(data - at));
        put_u32(buf, at + 8, length(key_len));
        put_u32(buf, at + 12, length(value_len));
        buf[data..data + key_len].copy_from_slice(&item.key);
        data += key_len;
        buf[data..data + value_len].copy_from_slice(&item.value);
        data += value_len;
    }
    data
}

fn encode_edges(edges: &[Edge], mut data: usize, buf: &mut [u8]) -> usize {
    for (edge, at) in edges.iter().zip((PAGE_HEADER_LEN..).step_by(ELEMENT_LEN)) {
        let Child::Clean(page) = edge.child else { unreachable!("children are spilled first") };
        put_u32(buf, at, length(data - at));
        put_u32(buf, at + 4, length(edge.key.len()));
        put_u64(buf, at + 8, page);
        buf[data..data + edge.key.len()].copy_from_slice(&edge.key);
        data += edge.key.len();
    }
    data
}

fn length(len: usize) -> u32 {
    u32::try_from(len).expect("keys and values are bounded when applied")
}
