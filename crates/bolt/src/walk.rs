//! Finding the free pages: what no tree refers to. etcd writes no freelist, and neither do we.

use std::collections::VecDeque;

use crate::{
    error::BoltError,
    format::{
        FIRST_DATA_PAGE, FREELIST_FLAG, LEAF_FLAG, NO_FREELIST, PageHeader, PageId, Run, TREE_DEPTH_MAX,
    },
    meta::Meta,
    page::Page,
    snapshot::{BucketRoot, bucket_root},
    store::Store,
};

/// How much of the file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Every page, fully checked; needed when a stranger wrote the file, or when checksums must be learnt.
    All,
    /// Branches, and only those leaves that could have overflow pages. Right for files whose branches carry known
    /// checksums and which were found plain before.
    Branches,
}

/// Which pages a state refers to.
#[derive(Debug)]
pub(crate) struct Usage {
    used: Bitmap,
    /// All leaves of a bucket are equally deep and no bucket is nested. Only known after [`Depth::All`].
    pub(crate) plain: bool,
}

impl Usage {
    /// The runs that nothing refers to.
    pub(crate) fn free_runs(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut id = FIRST_DATA_PAGE;
        while id < self.used.len {
            let end = (id..self.used.len).find(|p| self.used.has(*p)).unwrap_or(self.used.len);
            if end > id {
                runs.push(Run { start: id, len: end - id });
            }
            id = end.max(id) + 1;
        }
        runs
    }

    /// Whether a tree (or a meta page) refers to the page.
    pub(crate) fn is_used(&self, id: PageId) -> bool {
        self.used.has(id)
    }
}

/// Walks the trees of `meta`.
///
/// # Errors
/// `Corrupt` or `Damaged` when a page is bad or referred to twice, `Io`.
pub(crate) fn usage(store: &Store, meta: &Meta, depth: Depth) -> Result<Usage, BoltError> {
    let mut walk = Walk {
        store,
        high_water: meta.high_water,
        used: Bitmap::new(meta.high_water),
        leaves: Bitmap::new(meta.high_water),
        plain: true,
        buckets: VecDeque::new(),
    };
    walk.used.set(0);
    walk.used.set(1);
    walk.freelist(meta)?;
    walk.bucket_fully(meta.root, Nesting::Top)?;
    while let Some(root) = walk.buckets.pop_front() {
        match depth {
            Depth::All => walk.bucket_fully(root, Nesting::Below)?,
            Depth::Branches => walk.bucket_branches(root)?,
        }
    }
    walk.overflows()?;
    Ok(Usage { used: walk.used, plain: walk.plain })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    /// The bucket of buckets.
    Top,
    Below,
}

struct Walk<'a> {
    store: &'a Store,
    high_water: PageId,
    used: Bitmap,
    /// First pages of leaves whose length is not known yet; subset of `used`.
    leaves: Bitmap,
    plain: bool,
    /// Root pages of buckets still to be walked.
    buckets: VecDeque<PageId>,
}

impl Walk<'_> {
    fn freelist(&mut self, meta: &Meta) -> Result<(), BoltError> {
        if let Some(run) = freelist_run(self.store, meta)? {
            self.mark(run)?;
        }
        Ok(())
    }

    fn bucket_fully(&mut self, root: PageId, nesting: Nesting) -> Result<(), BoltError> {
        let mut stack = vec![(root, 0)];
        let mut leaf_level = None;
        while let Some((id, level)) = stack.pop() {
            let page = self.store.load(id, self.high_water)?;
            self.mark(page.run(self.store.page_size))?;
            if !page.is_leaf() {
                if level >= TREE_DEPTH_MAX {
                    return Err(BoltError::corrupt(id, "tree is too deep"));
                }
                // In reverse, so that leaves are read in the order in which they were most likely written.
                stack.extend((0..page.count()).rev().map(|index| (page.child(index), level + 1)));
                continue;
            }
            self.plain &= *leaf_level.get_or_insert(level) == level;
            self.nested(&page, nesting)?;
        }
        Ok(())
    }

    fn nested(&mut self, leaf: &Page, nesting: Nesting) -> Result<(), BoltError> {
        for index in 0..leaf.count() {
            if !leaf.leaf_entry(index).is_bucket() {
                continue;
            }
            self.plain &= nesting == Nesting::Top;
            // An inline bucket has no pages of its own and holds no buckets.
            if let BucketRoot::Page(root) = bucket_root(leaf.id(), &leaf.value_bytes(index))? {
                self.buckets.push_back(root);
            }
        }
        Ok(())
    }

    /// As `bucket_fully` for a bucket whose leaves are all equally deep, without reading leaves.
    fn bucket_branches(&mut self, root: PageId) -> Result<(), BoltError> {
        let leaf_level = self.leaf_level(root)?;
        let mut stack = vec![(root, 0)];
        while let Some((id, level)) = stack.pop() {
            if level == leaf_level {
                self.mark(Run { start: id, len: 1 })?;
                self.leaves.set(id);
                continue;
            }
            let page = self.store.page(id, self.high_water)?;
            if page.is_leaf() {
                return Err(BoltError::corrupt(id, "leaves of one bucket are at different depths"));
            }
            self.mark(page.run(self.store.page_size))?;
            stack.extend((0..page.count()).rev().map(|index| (page.child(index), level + 1)));
        }
        Ok(())
    }

    fn leaf_level(&self, root: PageId) -> Result<usize, BoltError> {
        let mut id = root;
        for level in 0..TREE_DEPTH_MAX {
            let page = self.store.page(id, self.high_water)?;
            if page.is_leaf() {
                return Ok(level);
            }
            id = page.child(0);
        }
        Err(BoltError::corrupt(root, "tree is too deep"))
    }

    /// Finds the overflow pages of `leaves`. A leaf whose next page is used by another has none, so in a densely
    /// filled file hardly any leaf is read; ascending page numbers make it one sweep over the file.
    fn overflows(&mut self) -> Result<(), BoltError> {
        for id in FIRST_DATA_PAGE..self.high_water {
            if !self.leaves.has(id) || id + 1 == self.high_water || self.used.has(id + 1) {
                continue;
            }
            let head = self.store.read_verified(Run { start: id, len: 1 }, self.high_water)?;
            if PageHeader::read(&head).flags != LEAF_FLAG {
                return Err(BoltError::corrupt(id, "leaves of one bucket are at different depths"));
            }
            let len = self.store.run_len(id, &head, self.high_water)?;
            if len > 1 {
                self.mark(Run { start: id + 1, len: len - 1 })?;
            }
        }
        Ok(())
    }

    fn mark(&mut self, run: Run) -> Result<(), BoltError> {
        if run.start < FIRST_DATA_PAGE || run.end() > self.high_water {
            return Err(BoltError::corrupt(run.start, "page lies out of bounds"));
        }
        for id in run.start..run.end() {
            if self.used.has(id) {
                return Err(BoltError::corrupt(id, "page is referred to twice"));
            }
            self.used.set(id);
        }
        Ok(())
    }
}

/// Where the freelist that bbolt wrote lies; its contents are not used, the walk finds the same. An unreadable one
/// counts as one page.
pub(crate) fn freelist_run(store: &Store, meta: &Meta) -> Result<Option<Run>, BoltError> {
    if meta.freelist == NO_FREELIST {
        return Ok(None);
    }
    let start = meta.freelist;
    let header = store.peek_header(start)?;
    let pages = u64::from(header.overflow) + 1;
    let good = header.id == start && header.flags == FREELIST_FLAG && start + pages <= meta.high_water;
    Ok(Some(Run { start, len: if good { pages } else { 1 } }))
}

#[derive(Debug)]
struct Bitmap {
    words: Vec<u64>,
    len: u64,
}

impl Bitmap {
    /// `len` is at most the number of pages of an existing file.
    fn new(len: u64) -> Bitmap {
        Bitmap { words: vec![0; (len as usize).div_ceil(64)], len }
    }

    fn has(&self, bit: u64) -> bool {
        self.words[bit as usize / 64] & (1 << (bit % 64)) != 0
    }

    fn set(&mut self, bit: u64) {
        self.words[bit as usize / 64] |= 1 << (bit % 64);
    }
}
