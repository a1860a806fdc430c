//! A committed state, pinned: reads that the writer never disturbs.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use crate::{
    cursor::Cursor,
    error::BoltError,
    format::{BUCKET_HEADER_LEN, PageId, Run, TREE_DEPTH_MAX, Txid, u64_at},
    image::Image,
    meta::Meta,
    page::Page,
    store::Store,
};

/// One committed state of the database.
///
/// Cloning is cheap. As long as a clone lives, none of the pages of this state is reused, so a snapshot that is kept
/// for long makes the file grow. Readers and the writer never wait for each other.
#[derive(Clone)]
pub struct Snapshot {
    pinned: Arc<Pinned>,
}

struct Pinned {
    store: Arc<Store>,
    meta: Meta,
    /// All buckets, when they fit on one page, as in any file of etcd. Filled at first use.
    buckets: OnceLock<Vec<(Bytes, BucketRoot)>>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.store.remove_reader(self.meta.txid);
    }
}

/// Where a bucket's tree begins.
#[derive(Clone, Debug)]
pub(crate) enum BucketRoot {
    Page(PageId),
    /// The bucket's only leaf, part of its entry.
    Inline(Arc<Page>),
}

impl Snapshot {
    /// Pins the state `meta` of `store`.
    pub(crate) fn new(store: Arc<Store>, meta: Meta) -> Snapshot {
        store.add_reader(meta.txid, meta.high_water);
        Snapshot { pinned: Arc::new(Pinned { store, meta, buckets: OnceLock::new() }) }
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.pinned.store
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.pinned.meta
    }

    /// The number of the commit that made this state.
    pub fn txid(&self) -> Txid {
        self.pinned.meta.txid
    }

    /// Snapshots of the database that are alive, of any state; clones of one count once.
    pub fn readers(&self) -> u64 {
        self.pinned.store.reader_count()
    }

    /// Bytes of the file that this state spans, free pages included (bbolt: `Tx.Size`).
    pub fn size(&self) -> u64 {
        self.pinned.meta.file_len()
    }

    /// The value of `key`, or `None` when the bucket or the key is absent.
    ///
    /// The value is a slice of a page buffer: keeping it keeps that page (at least 4 KiB) in memory.
    ///
    /// # Errors
    /// `Damaged` or `Corrupt` when a page on the way is bad, `Io`.
    pub fn get(&self, bucket: &str, key: &[u8]) -> Result<Option<Bytes>, BoltError> {
        let Some(root) = self.bucket(bucket.as_bytes())? else { return Ok(None) };
        let leaf = self.leaf_of(&root, key)?;
        let found = leaf.search(key).ok().filter(|index| !leaf.leaf_entry(*index).is_bucket());
        Ok(found.map(|index| leaf.value_bytes(index)))
    }

    /// A cursor over `bucket`, before its first key. A missing bucket reads as an empty one.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn cursor(&self, bucket: &str) -> Result<Cursor, BoltError> {
        let root = self.bucket(bucket.as_bytes())?;
        Ok(Cursor::new(self.clone(), root))
    }

    /// The names of all top-level buckets, in order. Bytes that are not UTF-8 are shown as replacement characters.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn buckets(&self) -> Result<Vec<String>, BoltError> {
        let mut names = Vec::new();
        let mut cursor = Cursor::new(self.clone(), Some(BucketRoot::Page(self.meta().root)));
        while let Some((page, index)) = cursor.next_element()? {
            if page.leaf_entry(index).is_bucket() {
                names.push(String::from_utf8_lossy(page.key(index)).into_owned());
            }
        }
        Ok(names)
    }

    /// This state as a file of its own, for backups; see [`Image`].
    ///
    /// # Errors
    /// As [`Snapshot::get`]: the branch pages are read to know which pages are free.
    pub fn image(&self) -> Result<Image, BoltError> {
        Image::new(self.clone())
    }

    pub(crate) fn page(&self, id: PageId) -> Result<Arc<Page>, BoltError> {
        self.pinned.store.page(id, self.pinned.meta.high_water)
    }

    /// See [`Store::load_neighbours`]; nothing when the first page is in the cache anyway.
    pub(crate) fn pages_ahead(&self, id: PageId, count: u64) -> VecDeque<Arc<Page>> {
        let store = &self.pinned.store;
        if count < 2 || store.cache.find(id).is_some() {
            return VecDeque::new();
        }
        store.load_neighbours(Run { start: id, len: count }, self.pinned.meta.high_water)
    }

    pub(crate) fn root_page(&self, root: &BucketRoot) -> Result<Arc<Page>, BoltError> {
        match root {
            BucketRoot::Page(id) => self.page(*id),
            BucketRoot::Inline(page) => Ok(Arc::clone(page)),
        }
    }

    /// The leaf under `root` where `key` belongs.
    pub(crate) fn leaf_of(&self, root: &BucketRoot, key: &[u8]) -> Result<Arc<Page>, BoltError> {
        let mut page = self.root_page(root)?;
        for _ in 0..TREE_DEPTH_MAX {
            if page.is_leaf() {
                return Ok(page);
            }
            page = self.page(page.child(page.child_index(key)))?;
        }
        Err(BoltError::corrupt(page.id(), "tree is too deep"))
    }

    /// Where the top-level bucket `name` begins.
    pub(crate) fn bucket(&self, name: &[u8]) -> Result<Option<BucketRoot>, BoltError> {
        if let Some(all) = self.pinned.buckets.get() {
            return Ok(all.iter().find(|(n, _)| n == name).map(|(_, root)| root.clone()));
        }
        let top = self.page(self.pinned.meta.root)?;
        if top.is_leaf() {
            let all = (0..top.count())
                .filter(|index| top.leaf_entry(*index).is_bucket())
                .map(|index| Ok((top.key_bytes(index), bucket_root(top.id(), &top.value_bytes(index))?)))
                .collect::<Result<Vec<_>, BoltError>>()?;
            let found = all.iter().find(|(n, _)| n == name).map(|(_, root)| root.clone());
            // Another thread may have been first, with the same result.
            let _ = self.pinned.buckets.set(all);
            return Ok(found);
        }
        let leaf = self.leaf_of(&BucketRoot::Page(self.pinned.meta.root), name)?;
        let found = leaf.search(name).ok().filter(|index| leaf.leaf_entry(*index).is_bucket());
        found.map(|index| bucket_root(leaf.id(), &leaf.value_bytes(index))).transpose()
    }
}

/// Reads the value of a bucket's entry on page `holder`.
pub(crate) fn bucket_root(holder: PageId, value: &Bytes) -> Result<BucketRoot, BoltError> {
    if value.len() < BUCKET_HEADER_LEN {
        return Err(BoltError::corrupt(holder, "bucket entry is cut off"));
    }
    match u64_at(value, 0) {
        0 => Ok(BucketRoot::Inline(Arc::new(Page::parse_inline(holder, value)?))),
        root => Ok(BucketRoot::Page(root)),
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("meta", self.meta()).finish_non_exhaustive()
    }
}
