//! What of a damaged file cannot be read, by keys: for whoever has to decide what to do about it.

use bytes::Bytes;

use crate::{
    error::BoltError,
    format::{PageId, TREE_DEPTH_MAX},
    page::Page,
    snapshot::{BucketRoot, Snapshot, bucket_root},
    store::Store,
};

/// More are not looked for.
const GAPS_MAX: usize = 10_000;

/// Keys of a bucket that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Which; `None` when the list of buckets itself is hurt: then any bucket may be.
    pub bucket: Option<String>,
    /// The first key that may be lost; `None` = from the first one of the bucket.
    pub from: Option<Bytes>,
    /// The first key after it that is not; `None` = up to the last one of the bucket.
    pub to: Option<Bytes>,
    /// The page.
    pub page: PageId,
    /// What is wrong with it.
    pub what: String,
}

/// Reads all pages that the snapshot refers to, and lists the keys whose pages cannot be read, in order; at most 10,000
/// stretches of them. Empty when everything can be read.
pub fn gaps(snapshot: &Snapshot) -> Vec<Gap> {
    let meta = snapshot.meta();
    let mut walk = Walk {
        store: snapshot.store(),
        high_water: meta.high_water,
        bucket: None,
        roots: Vec::new(),
        gaps: Vec::new(),
    };
    walk.subtree(meta.root, None, None, 0);
    for (name, root) in std::mem::take(&mut walk.roots) {
        walk.bucket = Some(name);
        walk.subtree(root, None, None, 0);
    }
    walk.gaps
}

struct Walk<'a> {
    store: &'a Store,
    high_water: PageId,
    /// `None` in the bucket of buckets.
    bucket: Option<String>,
    roots: Vec<(String, PageId)>,
    gaps: Vec<Gap>,
}

impl Walk<'_> {
    fn subtree(&mut self, id: PageId, from: Option<&Bytes>, to: Option<&Bytes>, level: usize) {
        if self.gaps.len() >= GAPS_MAX {
            return;
        }
        let loaded = self.store.load(id, self.high_water).and_then(|page| {
            if level > TREE_DEPTH_MAX { Err(BoltError::corrupt(id, "tree is too deep")) } else { Ok(page) }
        });
        let page = match loaded {
            Ok(page) => page,
            Err(error) => return self.note(id, from, to, error.to_string()),
        };
        if page.is_leaf() {
            return self.buckets(&page);
        }
        let keys: Vec<Bytes> = (0..page.count()).map(|index| page.key_bytes(index)).collect();
        for (index, key) in keys.iter().enumerate() {
            self.subtree(page.child(index), Some(key), keys.get(index + 1).or(to), level + 1);
        }
    }

    fn note(&mut self, page: PageId, from: Option<&Bytes>, to: Option<&Bytes>, what: String) {
        let bucket = self.bucket.clone();
        self.gaps.push(Gap { bucket, from: from.cloned(), to: to.cloned(), page, what });
    }

    /// The buckets that a leaf of the bucket of buckets names.
    fn buckets(&mut self, leaf: &Page) {
        if self.bucket.is_some() {
            return;
        }
        for index in 0..leaf.count() {
            if !leaf.leaf_entry(index).is_bucket() {
                continue;
            }
            let key = leaf.key_bytes(index);
            let name = String::from_utf8_lossy(&key).into_owned();
            match bucket_root(leaf.id(), &leaf.value_bytes(index)) {
                Ok(BucketRoot::Page(root)) => self.roots.push((name, root)),
                // On this very page.
                Ok(BucketRoot::Inline(_)) => {}
                Err(error) => {
                    let bucket = Some(name);
                    let what = error.to_string();
                    self.gaps.push(Gap { bucket, from: None, to: None, page: leaf.id(), what });
                }
            }
        }
    }
}
