//! A full check of the structure, as `bbolt check` does it.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use vfs::Disk;

use crate::{
    db::{Db, Options},
    error::BoltError,
    format::{
        FIRST_DATA_PAGE, FREELIST_FLAG, META_FLAG, NO_FREELIST, PAGE_HEADER_LEN, PageHeader, PageId, Run,
        TREE_DEPTH_MAX, u64_at,
    },
    meta::Meta,
    page::Page,
    snapshot::{BucketRoot, Snapshot, bucket_root},
    store::Store,
};

/// The check ends early when it found this many problems.
const PROBLEMS_MAX: usize = 1000;
/// As the count of a freelist page: the count proper is its first element.
const FREELIST_COUNT_FOLLOWS: u16 = 0xFFFF;

/// Something that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The page's number.
    pub page: PageId,
    /// What is wrong with it.
    pub what: String,
}

/// Reads every page that the snapshot refers to, from disk, and lists what is wrong: pages referred to twice or out
/// of bounds, bad elements, keys out of order or outside the range that the parent gives them, checksums that differ,
/// free pages that are in use.
pub fn check(snapshot: &Snapshot) -> Vec<Problem> {
    let meta = snapshot.meta();
    let mut check = Check {
        store: snapshot.store(),
        high_water: meta.high_water,
        seen: vec![false; meta.high_water as usize],
        buckets: vec![meta.root],
        problems: Vec::new(),
    };
    while let Some(root) = check.buckets.pop() {
        check.subtree(root, None, None, 0);
    }
    check.freelist(meta.freelist);
    check.problems
}

/// Lists which of the two meta pages cannot be read: a file needs one, and a file that was closed in order has both.
pub fn check_metas(snapshot: &Snapshot) -> Vec<Problem> {
    let store = snapshot.store();
    let mut problems = Vec::new();
    for id in 0..FIRST_DATA_PAGE {
        let mut page = vec![0; store.page_size];
        let what = match store.file.read_exact_at(&mut page, id * store.page_size as u64) {
            Err(error) => Some(error.to_string()),
            Ok(()) if PageHeader::read(&page).id != id => {
                Some("page names another page in its header".to_owned())
            }
            Ok(()) if PageHeader::read(&page).flags != META_FLAG => Some("page is no meta page".to_owned()),
            Ok(()) => Meta::decode(&page).err().map(str::to_owned),
        };
        problems.extend(what.map(|what| Problem { page: id, what }));
    }
    problems
}

/// As [`check`], of the page `from` and what lies below it only; a freelist is not looked at.
pub fn check_from(snapshot: &Snapshot, from: PageId) -> Vec<Problem> {
    let high_water = snapshot.meta().high_water;
    let mut check = Check {
        store: snapshot.store(),
        high_water,
        seen: vec![false; high_water as usize],
        buckets: Vec::new(),
        problems: Vec::new(),
    };
    if (FIRST_DATA_PAGE..high_water).contains(&from) {
        check.subtree(from, None, None, 0);
        while let Some(root) = check.buckets.pop() {
            check.subtree(root, None, None, 0);
        }
    } else {
        let what = format!("page ID ({from}) out of range [{FIRST_DATA_PAGE}, {high_water})");
        check.report(from, what);
    }
    check.problems
}

/// As [`check`], on a file that nobody has open.
///
/// # Errors
/// As [`Db::open`]: when there is no state to check.
pub fn check_file(disk: Arc<dyn Disk>, path: &Path, options: Options) -> Result<Vec<Problem>, BoltError> {
    let db = Db::open(disk, path, Options { read_only: true, ..options })?;
    Ok(check(&db.snapshot()))
}

struct Check<'a> {
    store: &'a Store,
    high_water: PageId,
    /// By page number: some tree refers to it.
    seen: Vec<bool>,
    /// Roots still to be visited.
    buckets: Vec<PageId>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn report(&mut self, page: PageId, what: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { page, what: what.into() });
        }
    }

    /// Checks what lies below `id`: all keys `>= low` and `< high`.
    fn subtree(&mut self, id: PageId, low: Option<&Bytes>, high: Option<&Bytes>, level: usize) {
        let page = match self.store.load(id, self.high_water) {
            Ok(page) => page,
            Err(error) => return self.report(id, error.to_string()),
        };
        if !self.mark(page.run(self.store.page_size)) {
            return;
        }
        if level > TREE_DEPTH_MAX {
            return self.report(id, "tree is too deep");
        }
        self.key_range(&page, low, high);
        if page.is_leaf() {
            return self.nested(&page);
        }
        if page.count() < 2 {
            self.report(id, "branch has fewer than two children");
        }
        let keys: Vec<Bytes> = (0..page.count()).map(|index| page.key_bytes(index)).collect();
        for (index, key) in keys.iter().enumerate() {
            self.subtree(page.child(index), Some(key), keys.get(index + 1).or(high), level + 1);
        }
    }

    fn mark(&mut self, run: Run) -> bool {
        let pages = run.start as usize..run.end() as usize;
        if self.seen[pages.clone()].iter().any(|seen| *seen) {
            self.report(run.start, "page is referred to twice");
            return false;
        }
        self.seen[pages].fill(true);
        true
    }

    fn key_range(&mut self, page: &Page, low: Option<&Bytes>, high: Option<&Bytes>) {
        let Some(last) = page.count().checked_sub(1) else {
            if low.is_some() {
                self.report(page.id(), "leaf below a branch is empty");
            }
            return;
        };
        if low.is_some_and(|low| page.key(0) != low) {
            self.report(page.id(), "first key differs from the key in the parent");
        }
        if high.is_some_and(|high| page.key(last) >= &high[..]) {
            self.report(page.id(), "last key belongs to a later page");
        }
    }

    fn nested(&mut self, leaf: &Page) {
        for index in 0..leaf.count() {
            if !leaf.leaf_entry(index).is_bucket() {
                continue;
            }
            match bucket_root(leaf.id(), &leaf.value_bytes(index)) {
                Ok(BucketRoot::Page(root)) => self.buckets.push(root),
                Ok(BucketRoot::Inline(_)) => {}
                Err(error) => self.report(leaf.id(), error.to_string()),
            }
        }
    }

    /// A freelist that bbolt wrote must list exactly the pages that nothing refers to.
    fn freelist(&mut self, start: PageId) {
        if start == NO_FREELIST {
            return;
        }
        let ids = match self.freelist_ids(start) {
            Ok(ids) => ids,
            Err(error) => return self.report(start, error.to_string()),
        };
        let mut free = vec![false; self.seen.len()];
        for id in ids {
            match free.get_mut(id as usize) {
                Some(free) if id >= FIRST_DATA_PAGE => {
                    if std::mem::replace(free, true) {
                        self.report(id, "page is free twice");
                    }
                }
                _ => self.report(id, "free page lies out of bounds"),
            }
        }
        for id in FIRST_DATA_PAGE..self.high_water {
            match (self.seen[id as usize], free[id as usize]) {
                (true, true) => self.report(id, "page is free and in use"),
                (false, false) => self.report(id, "page is neither free nor in use"),
                _ => {}
            }
        }
    }

    fn freelist_ids(&mut self, start: PageId) -> Result<Vec<PageId>, BoltError> {
        let head = self.store.read_verified(Run { start, len: 1 }, self.high_water)?;
        let header = PageHeader::read(&head);
        if header.id != start || header.flags != FREELIST_FLAG {
            return Err(BoltError::corrupt(start, "page is not a freelist"));
        }
        let run = Run { start, len: u64::from(header.overflow) + 1 };
        let bytes = self.store.read_verified(run, self.high_water)?;
        self.mark(run);
        let entry = |index: usize| {
            let at = PAGE_HEADER_LEN.checked_add(index.checked_mul(8)?)?;
            (at + 8 <= bytes.len()).then(|| u64_at(&bytes, at))
        };
        let (first, count) = match header.count {
            FREELIST_COUNT_FOLLOWS => (1, entry(0).unwrap_or(0)),
            count => (0, u64::from(count)),
        };
        let ids: Option<Vec<PageId>> = (count <= bytes.len() as u64)
            .then(|| (first..first + count as usize).map(entry).collect())
            .flatten();
        ids.ok_or(BoltError::corrupt(start, "freelist reaches beyond its pages"))
    }
}
