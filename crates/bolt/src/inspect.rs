//! Looking at a state as bbolt's own tools do: buckets in buckets, what they take up, which pages are free.

use bytes::Bytes;

use crate::{
    cursor::Cursor,
    error::BoltError,
    format::{ELEMENT_LEN, PageId, u64_at},
    page::Page,
    snapshot::{BucketRoot, Snapshot, bucket_root},
    walk::{Depth, Usage, usage},
};

/// The pages of a state that nothing refers to.
#[derive(Debug)]
pub struct UnusedPages {
    usage: Usage,
    high_water: PageId,
}

impl UnusedPages {
    /// Whether the page is one of them.
    pub fn contains(&self, page: PageId) -> bool {
        page < self.high_water && !self.usage.is_used(page)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.usage.free_runs().iter().map(|run| run.len).sum()
    }
}

/// A bucket of a state, the bucket of buckets included.
#[derive(Clone, Debug)]
pub struct Bucket {
    snapshot: Snapshot,
    root: BucketRoot,
    sequence: u64,
}

/// What stands under a name in a bucket.
#[derive(Clone, Debug)]
pub enum Element {
    /// A key and its value.
    Key(Bytes, Bytes),
    /// A bucket, by its name.
    Bucket(Bytes, Bucket),
}

/// The elements of a bucket, in order.
#[derive(Debug)]
pub struct Elements {
    cursor: Cursor,
    snapshot: Snapshot,
    /// No file holds more of them. In a damaged one branches may lead in circles.
    left: u64,
}

/// What a bucket takes up; numbers as bbolt's `BucketStats` counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketStats {
    /// Branches, and pages that follow them.
    pub branch_pages: u64,
    /// Overflow pages of branches.
    pub branch_overflows: u64,
    /// Leaves.
    pub leaf_pages: u64,
    /// Overflow pages of leaves.
    pub leaf_overflows: u64,
    /// Keys, buckets among them.
    pub keys: u64,
    /// Levels of the tree, and of the deepest bucket in it.
    pub depth: u64,
    /// Bytes of branch pages.
    pub branch_bytes: u64,
    /// Of those, bytes in use.
    pub branch_bytes_used: u64,
    /// Bytes of leaf pages.
    pub leaf_bytes: u64,
    /// Of those, bytes in use.
    pub leaf_bytes_used: u64,
    /// Buckets, this one and those in it.
    pub buckets: u64,
    /// Of those, the ones that have no page of their own.
    pub inline_buckets: u64,
    /// Bytes in use by those.
    pub inline_bytes_used: u64,
}

impl BucketStats {
    /// Sums up; the depth is the greater one.
    pub fn add(&mut self, other: &BucketStats) {
        self.branch_pages += other.branch_pages;
        self.branch_overflows += other.branch_overflows;
        self.leaf_pages += other.leaf_pages;
        self.leaf_overflows += other.leaf_overflows;
        self.keys += other.keys;
        self.depth = self.depth.max(other.depth);
        self.branch_bytes += other.branch_bytes;
        self.branch_bytes_used += other.branch_bytes_used;
        self.leaf_bytes += other.leaf_bytes;
        self.leaf_bytes_used += other.leaf_bytes_used;
        self.buckets += other.buckets;
        self.inline_buckets += other.inline_buckets;
        self.inline_bytes_used += other.inline_bytes_used;
    }
}

impl Snapshot {
    /// Bytes of a page.
    pub fn page_size(&self) -> u32 {
        self.meta().page_size
    }

    /// One past the highest page in use.
    pub fn page_count(&self) -> u64 {
        self.meta().high_water
    }

    /// Finds the pages that nothing refers to, by reading all others. When this succeeds no page is referred to twice,
    /// so that walks over buckets in buckets come to an end.
    ///
    /// # Errors
    /// `Damaged` or `Corrupt` when a page is bad, `Io`.
    pub fn unused_pages(&self) -> Result<UnusedPages, BoltError> {
        let usage = usage(self.store(), self.meta(), Depth::All)?;
        Ok(UnusedPages { usage, high_water: self.meta().high_water })
    }

    /// The bucket of buckets.
    pub fn top(&self) -> Bucket {
        let meta = self.meta();
        Bucket { snapshot: self.clone(), root: BucketRoot::Page(meta.root), sequence: meta.sequence }
    }
}

impl Bucket {
    /// Number of its root page; 0 when it has no page of its own.
    pub fn root_page(&self) -> PageId {
        match &self.root {
            BucketRoot::Page(id) => *id,
            BucketRoot::Inline(_) => 0,
        }
    }

    /// Its sequence, which etcd does not use.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What stands under `name`.
    ///
    /// # Errors
    /// `Damaged` or `Corrupt` when a page on the way is bad, `Io`.
    pub fn find(&self, name: &[u8]) -> Result<Option<Element>, BoltError> {
        let leaf = self.snapshot.leaf_of(&self.root, name)?;
        leaf.search(name).ok().map(|index| element(&self.snapshot, &leaf, index)).transpose()
    }

    /// All that is in it.
    pub fn elements(&self) -> Elements {
        let cursor = Cursor::new(self.snapshot.clone(), Some(self.root.clone()));
        Elements { cursor, snapshot: self.snapshot.clone(), left: self.snapshot.size() / ELEMENT_LEN as u64 }
    }

    /// What it takes up, with all buckets in it. Ask [`Snapshot::unused_pages`] first: in a damaged file buckets may
    /// hold each other.
    ///
    /// # Errors
    /// As [`Bucket::find`].
    pub fn stats(&self) -> Result<BucketStats, BoltError> {
        let mut stats = BucketStats { buckets: 1, ..BucketStats::default() };
        let mut below = BucketStats::default();
        let page_size = u64::from(self.snapshot.page_size());
        match &self.root {
            BucketRoot::Inline(page) => {
                stats.inline_buckets = 1;
                stats.keys = page.count() as u64;
                stats.inline_bytes_used = page.used_len() as u64;
                stats.depth = 1;
            }
            BucketRoot::Page(root) => {
                let mut stack = vec![(*root, 1)];
                while let Some((id, depth)) = stack.pop() {
                    let page = self.snapshot.page(id)?;
                    stats.depth = stats.depth.max(depth);
                    let overflow = page.run(page_size as usize).len - 1;
                    if page.is_leaf() {
                        stats.keys += page.count() as u64;
                        stats.leaf_pages += 1;
                        stats.leaf_overflows += overflow;
                        stats.leaf_bytes_used += page.used_len() as u64;
                        below.add(&self.nested(&page)?);
                    } else {
                        stats.branch_pages += 1;
                        stats.branch_overflows += overflow;
                        stats.branch_bytes_used += page.used_len() as u64;
                        stack.extend((0..page.count()).map(|index| (page.child(index), depth + 1)));
                    }
                }
            }
        }
        stats.branch_bytes = (stats.branch_pages + stats.branch_overflows) * page_size;
        stats.leaf_bytes = (stats.leaf_pages + stats.leaf_overflows) * page_size;
        stats.depth += below.depth;
        stats.add(&below);
        Ok(stats)
    }

    fn nested(&self, leaf: &Page) -> Result<BucketStats, BoltError> {
        let mut sum = BucketStats::default();
        for index in 0..leaf.count() {
            if let Element::Bucket(_, bucket) = element(&self.snapshot, leaf, index)? {
                sum.add(&bucket.stats()?);
            }
        }
        Ok(sum)
    }
}

impl Elements {
    /// The next element; `None` at the end.
    ///
    /// # Errors
    /// As [`Bucket::find`].
    #[allow(clippy::should_implement_trait, reason = "fails, unlike Iterator::next")]
    pub fn next(&mut self) -> Result<Option<Element>, BoltError> {
        let Some((page, index)) = self.cursor.next_element()? else { return Ok(None) };
        let Some(left) = self.left.checked_sub(1) else {
            return Err(BoltError::corrupt(page.id(), "bucket has more elements than the file has room for"));
        };
        self.left = left;
        element(&self.snapshot, &page, index).map(Some)
    }
}

fn element(snapshot: &Snapshot, leaf: &Page, index: usize) -> Result<Element, BoltError> {
    let (key, value) = (leaf.key_bytes(index), leaf.value_bytes(index));
    if !leaf.leaf_entry(index).is_bucket() {
        return Ok(Element::Key(key, value));
    }
    let root = bucket_root(leaf.id(), &value)?;
    // Long enough, or there would be no root.
    let sequence = u64_at(&value, 8);
    Ok(Element::Bucket(key, Bucket { snapshot: snapshot.clone(), root, sequence }))
}
