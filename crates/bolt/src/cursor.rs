//! Ordered reading of one bucket.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use crate::{
    error::BoltError,
    format::TREE_DEPTH_MAX,
    page::Page,
    snapshot::{BucketRoot, Snapshot},
};

/// A key and its value, in a page buffer.
pub type EntryRef<'a> = (&'a [u8], &'a [u8]);

/// A position *between* the entries of a bucket, in one committed state.
///
/// [`next`](Cursor::next) returns the entry behind the position and steps over it, [`prev`](Cursor::prev) the one
/// before it. Nested buckets (etcd has none) are skipped. Owns a clone of its [`Snapshot`].
#[derive(Clone, Debug)]
pub struct Cursor {
    snapshot: Snapshot,
    root: Option<BucketRoot>,
    /// From the root to a leaf. On a branch, `index` is the child that is entered; on the leaf it is the entry that
    /// stands behind the position, or `count` at the leaf's end. Empty: the position is before the first entry.
    path: Vec<Step>,
    /// Leaves that were read together with the current one and come next, in order.
    ahead: VecDeque<Arc<Page>>,
    /// Leaves entered one after the other, forward, since the last seek.
    leaves_in_row: u32,
}

/// From this many leaves in a row on, neighbouring leaves are read together, past the cache.
const READ_AHEAD_AFTER: u32 = 3;
/// At most so many at once: what a value that is kept may keep in memory.
const READ_AHEAD_PAGES: usize = 16;

#[derive(Clone, Debug)]
struct Step {
    page: Arc<Page>,
    index: usize,
}

/// Which end of a subtree to go to.
#[derive(Clone, Copy)]
enum End {
    First,
    Last,
}

impl Cursor {
    pub(crate) fn new(snapshot: Snapshot, root: Option<BucketRoot>) -> Cursor {
        Cursor { snapshot, root, path: Vec::new(), ahead: VecDeque::new(), leaves_in_row: 0 }
    }

    /// Moves to just before the first key that is `>= key`.
    ///
    /// # Errors
    /// `Damaged` or `Corrupt` when a page on the way is bad, `Io`. The position is then before the first entry.
    pub fn seek(&mut self, key: &[u8]) -> Result<(), BoltError> {
        self.forget();
        let Some(root) = &self.root else { return Ok(()) };
        let mut page = self.snapshot.root_page(root)?;
        let mut path = Vec::new();
        while !page.is_leaf() {
            check_depth(&path, &page)?;
            let index = page.child_index(key);
            let child = self.snapshot.page(page.child(index))?;
            path.push(Step { page, index });
            page = child;
        }
        let index = page.search(key).unwrap_or_else(|at| at);
        path.push(Step { page, index });
        self.path = path;
        Ok(())
    }

    /// Moves behind the last entry, so that [`prev`](Cursor::prev) returns it.
    ///
    /// # Errors
    /// As [`Cursor::seek`].
    pub fn seek_last(&mut self) -> Result<(), BoltError> {
        self.forget();
        self.enter_root(End::Last)
    }

    fn forget(&mut self) {
        self.path.clear();
        self.ahead.clear();
        self.leaves_in_row = 0;
    }

    /// The entry behind the position, which moves over it; `None` at the end. Key and value are slices of a page
    /// buffer: keeping them keeps the page in memory, in a long scan its neighbours too (16 pages).
    ///
    /// # Errors
    /// As [`Cursor::seek`]; the position stays.
    #[allow(clippy::should_implement_trait, reason = "fails, unlike Iterator::next, and has a counterpart")]
    pub fn next(&mut self) -> Result<Option<(Bytes, Bytes)>, BoltError> {
        while let Some((page, index)) = self.next_element()? {
            if !page.leaf_entry(index).is_bucket() {
                return Ok(Some((page.key_bytes(index), page.value_bytes(index))));
            }
        }
        Ok(None)
    }

    /// As [`next`](Cursor::next), without counting references: the cheapest way to scan.
    ///
    /// # Errors
    /// As [`Cursor::seek`].
    pub fn next_ref(&mut self) -> Result<Option<EntryRef<'_>>, BoltError> {
        loop {
            if !self.at_entry()? {
                return Ok(None);
            }
            let step = self.path.last_mut().expect("the position is at an entry");
            step.index += 1;
            if !step.page.leaf_entry(step.index - 1).is_bucket() {
                break;
            }
        }
        let step = self.path.last().expect("the position is at an entry");
        let entry = step.page.leaf_entry(step.index - 1);
        Ok(Some((entry.key, entry.value)))
    }

    /// The entry before the position, which moves over it; `None` at the start.
    ///
    /// # Errors
    /// As [`Cursor::seek`]; the position stays.
    pub fn prev(&mut self) -> Result<Option<(Bytes, Bytes)>, BoltError> {
        while let Some((page, index)) = self.prev_element()? {
            if !page.leaf_entry(index).is_bucket() {
                return Ok(Some((page.key_bytes(index), page.value_bytes(index))));
            }
        }
        Ok(None)
    }

    /// As `next`, nested buckets included: the leaf and the place on it.
    pub(crate) fn next_element(&mut self) -> Result<Option<(Arc<Page>, usize)>, BoltError> {
        if !self.at_entry()? {
            return Ok(None);
        }
        let step = self.path.last_mut().expect("the position is at an entry");
        step.index += 1;
        Ok(Some((Arc::clone(&step.page), step.index - 1)))
    }

    fn prev_element(&mut self) -> Result<Option<(Arc<Page>, usize)>, BoltError> {
        loop {
            let Some(step) = self.path.last_mut() else { return Ok(None) };
            if step.index > 0 {
                step.index -= 1;
                return Ok(Some((Arc::clone(&step.page), step.index)));
            }
            let Some(branch) = (0..self.path.len() - 1).rev().find(|at| self.path[*at].index > 0) else {
                return Ok(None);
            };
            let (page, index) = (&self.path[branch].page, self.path[branch].index - 1);
            let child = self.snapshot.page(page.child(index))?;
            self.enter(branch, index, child, End::Last)?;
            self.leaves_in_row = 0;
        }
    }

    /// Makes the leaf step stand at an entry, moving to the next leaf when this one has ended. `false` at the end
    /// of the bucket.
    fn at_entry(&mut self) -> Result<bool, BoltError> {
        if self.path.is_empty() {
            self.enter_root(End::First)?;
        }
        loop {
            let Some(step) = self.path.last() else { return Ok(false) };
            if step.index < step.page.count() {
                return Ok(true);
            }
            let behind = |at: &usize| self.path[*at].index + 1 < self.path[*at].page.count();
            let Some(branch) = (0..self.path.len() - 1).rev().find(behind) else { return Ok(false) };
            let index = self.path[branch].index + 1;
            let child = self.next_child(branch, index)?;
            self.enter(branch, index, child, End::First)?;
            self.leaves_in_row = self.leaves_in_row.saturating_add(1);
        }
    }

    /// Child `index` of step `branch`, the next on the way forward.
    fn next_child(&mut self, branch: usize, index: usize) -> Result<Arc<Page>, BoltError> {
        let parent = &self.path[branch].page;
        let id = parent.child(index);
        while let Some(page) = self.ahead.pop_front() {
            if page.id() == id {
                return Ok(page);
            }
        }
        let above_leaf = branch + 2 == self.path.len();
        if above_leaf && self.leaves_in_row >= READ_AHEAD_AFTER {
            let neighbours = (index..parent.count())
                .take(READ_AHEAD_PAGES)
                .zip(id..)
                .take_while(|(index, neighbour)| parent.child(*index) == *neighbour)
                .count();
            self.ahead = self.snapshot.pages_ahead(id, neighbours as u64);
        }
        match self.ahead.pop_front() {
            Some(page) => Ok(page),
            None => self.snapshot.page(id),
        }
    }

    fn enter_root(&mut self, end: End) -> Result<(), BoltError> {
        let Some(root) = &self.root else { return Ok(()) };
        let page = self.snapshot.root_page(root)?;
        self.path = self.descend(page, end)?;
        Ok(())
    }

    /// Goes from step `branch` of the path into its child `index`, and there to one end.
    fn enter(&mut self, branch: usize, index: usize, child: Arc<Page>, end: End) -> Result<(), BoltError> {
        let below = self.descend(child, end)?;
        self.path.truncate(branch + 1);
        self.path[branch].index = index;
        self.path.extend(below);
        Ok(())
    }

    fn descend(&self, mut page: Arc<Page>, end: End) -> Result<Vec<Step>, BoltError> {
        let mut path = Vec::new();
        while !page.is_leaf() {
            check_depth(&path, &page)?;
            let index = match end {
                End::First => 0,
                End::Last => page.count() - 1,
            };
            let child = self.snapshot.page(page.child(index))?;
            path.push(Step { page, index });
            page = child;
        }
        let index = match end {
            End::First => 0,
            End::Last => page.count(),
        };
        path.push(Step { page, index });
        Ok(path)
    }
}

fn check_depth(path: &[Step], page: &Page) -> Result<(), BoltError> {
    if path.len() >= TREE_DEPTH_MAX {
        return Err(BoltError::corrupt(page.id(), "tree is too deep"));
    }
    Ok(())
}
