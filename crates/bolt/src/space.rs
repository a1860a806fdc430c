//! Which pages are free, and which will be: pages that a commit replaced stay untouched while any snapshot, or the
//! meta page before, can still reach them.

mod runs;

use std::collections::BTreeMap;

use crate::format::{PageId, Run, Txid};
pub(crate) use runs::FreeRuns;

/// Page allocation of the one writer.
///
/// Every page below `end` is in use, free, or waiting in `fresh` or `blocked`; never in two of them.
#[derive(Debug, Default)]
pub(crate) struct Space {
    free: FreeRuns,
    /// Freed by the newest commit. The meta page before it still refers to them, and a power cut during the next
    /// meta write may bring that one back; so they are looked at when the next commit begins, not earlier.
    fresh: Vec<Freed>,
    /// By the newest snapshot that can reach them.
    blocked: BTreeMap<Txid, Vec<Freed>>,
    /// Pages in `fresh` and `blocked`.
    waiting_pages: u64,
    /// Which commit allocated a run, kept only while old snapshots live: a page both allocated and freed after a
    /// snapshot was taken need not wait for that snapshot.
    allocated: BTreeMap<PageId, Txid>,
    track_allocations: bool,
    /// A run from which the commit in progress is served first, so that its pages are neighbours.
    batch: Option<Run>,
    /// A free run that the commit in progress must not touch: neighbours are being moved away from it.
    spared: Option<Run>,
    /// One past the last page that is in use, free or waiting.
    end: PageId,
}

#[derive(Clone, Copy, Debug)]
struct Freed {
    run: Run,
    /// The commit that allocated it; 0 when not known.
    allocated: Txid,
    /// The commit that freed it: snapshots from `allocated` (inclusive) to `freed` (exclusive) can reach it.
    freed: Txid,
}

impl Space {
    /// `free` lists the unused runs below `end`.
    pub(crate) fn new(free: impl IntoIterator<Item = Run>, end: PageId) -> Space {
        let mut space = Space { end, ..Space::default() };
        free.into_iter().for_each(|run| space.free.insert(run));
        space
    }

    /// Starts a commit: what no live snapshot can reach becomes free. `live` is ascending and includes the newest
    /// durable state.
    pub(crate) fn begin(&mut self, live: &[Txid]) {
        let done: Vec<Txid> =
            self.blocked.keys().copied().filter(|r| live.binary_search(r).is_err()).collect();
        let mut candidates = std::mem::take(&mut self.fresh);
        for reader in done {
            candidates.extend(self.blocked.remove(&reader).unwrap_or_default());
        }
        for freed in candidates {
            let older = live.partition_point(|reader| *reader < freed.freed);
            match live[..older].last() {
                Some(reader) if *reader >= freed.allocated => {
                    self.blocked.entry(*reader).or_default().push(freed);
                }
                _ => {
                    self.waiting_pages -= freed.run.len;
                    self.free.insert(freed.run);
                }
            }
        }
        self.track_allocations = live.len() > 1;
        if !self.track_allocations {
            self.allocated.clear();
        }
    }

    /// Announces that the commit will need `pages` in all, so that one neighbouring run can be set aside.
    pub(crate) fn prepare_batch(&mut self, pages: u64) {
        self.batch = self.free.take(pages).map(|start| Run { start, len: pages });
    }

    /// Keeps a free run free until the commit is over.
    pub(crate) fn spare(&mut self, run: Run) {
        self.finish_batch();
        self.free.remove(run);
        self.spared = Some(run);
    }

    /// Returns what the batch did not use, and what was spared.
    pub(crate) fn finish_batch(&mut self) {
        if let Some(run) = self.spared.take() {
            self.free.insert(run);
        }
        if let Some(rest) = self.batch.take().filter(|rest| rest.len > 0) {
            self.free.insert(rest);
        }
    }

    /// `len` neighbouring pages for commit `txid`: from the batch, else the lowest free run that fits, else at the
    /// end of the file.
    pub(crate) fn allocate(&mut self, len: u64, txid: Txid) -> Run {
        let start = match &mut self.batch {
            Some(batch) if batch.len >= len => {
                let start = batch.start;
                *batch = Run { start: start + len, len: batch.len - len };
                start
            }
            _ => self.free.take(len).unwrap_or_else(|| self.extend(len)),
        };
        if self.track_allocations {
            self.allocated.insert(start, txid);
        }
        Run { start, len }
    }

    fn extend(&mut self, len: u64) -> PageId {
        let tail_start = self.free.tail(self.end).map_or(self.end, |tail| tail.start);
        if tail_start < self.end {
            self.free.remove_from(tail_start);
        }
        self.end = tail_start + len;
        tail_start
    }

    /// Commit `txid` no longer refers to `run`.
    pub(crate) fn release(&mut self, run: Run, txid: Txid) {
        let allocated = self.allocated.remove(&run.start).unwrap_or(0);
        self.waiting_pages += run.len;
        self.fresh.push(Freed { run, allocated, freed: txid });
    }

    /// One past the highest page that is not free: what a meta page must call the high-water mark.
    pub(crate) fn high_water(&self) -> PageId {
        self.free.tail(self.end).map_or(self.end, |tail| tail.start)
    }

    /// Forgets the pages from `end` on, all of them free.
    pub(crate) fn cut(&mut self, end: PageId) {
        assert!(self.high_water() <= end, "pages beyond the cut are in use");
        if end < self.end {
            self.free.remove_from(end);
            self.end = end;
        }
    }

    /// Free and waiting pages.
    pub(crate) fn unused_pages(&self) -> u64 {
        self.free.pages() + self.waiting_pages + self.spared.map_or(0, |run| run.len)
    }

    /// Pages freed by the commit in progress, or by the newest one.
    pub(crate) fn fresh_pages(&self) -> u64 {
        self.fresh.iter().map(|freed| freed.run.len).sum()
    }

    #[cfg(test)]
    fn free_pages(&self) -> u64 {
        self.free.pages()
    }

    /// One past the last page of any kind.
    pub(crate) fn end(&self) -> PageId {
        self.end
    }

    /// Where the lowest free run of at least `len` pages starts.
    pub(crate) fn lowest_fit(&self, len: u64) -> Option<PageId> {
        self.free.lowest_fit(len)
    }

    /// The free pages below `limit`.
    pub(crate) fn free_pages_below(&self, limit: PageId) -> u64 {
        self.free.pages_below(limit)
    }

    /// The longest free run that ends at or below `limit`.
    pub(crate) fn longest_below(&self, limit: PageId) -> Option<Run> {
        self.free.longest_below(limit)
    }

    /// The free or waiting run that starts at `start`, if one does.
    pub(crate) fn unused_run_starting_at(&self, start: PageId) -> Option<Run> {
        let waiting = self.fresh.iter().chain(self.blocked.values().flatten()).map(|freed| freed.run);
        self.free.starting_at(start).or_else(|| waiting.into_iter().find(|run| run.start == start))
    }

    /// The free or waiting run that ends at `end`, if one does.
    pub(crate) fn unused_run_ending_at(&self, end: PageId) -> Option<Run> {
        let waiting = self.fresh.iter().chain(self.blocked.values().flatten()).map(|freed| freed.run);
        self.free.tail(end).or_else(|| waiting.into_iter().find(|run| run.end() == end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: PageId, len: u64) -> Run {
        Run { start, len }
    }

    #[test]
    fn a_freed_page_waits_one_commit() {
        let mut space = Space::new([], 10);
        space.begin(&[5]);
        space.release(run(4, 1), 6);
        assert_eq!(space.allocate(1, 6).start, 10);
        space.begin(&[6]);
        assert_eq!(space.allocate(1, 7).start, 4);
    }

    #[test]
    fn a_snapshot_keeps_only_what_it_can_reach() {
        let mut space = Space::new([], 10);
        space.begin(&[5]);
        space.release(run(4, 1), 6);
        space.begin(&[5, 6]);
        let young = space.allocate(1, 7);
        assert_eq!(young.start, 10, "5 can reach page 4");
        space.begin(&[5, 7]);
        space.release(young, 8);
        space.begin(&[5, 8]);
        assert_eq!(space.allocate(1, 9), young, "allocated after 5 was taken");
        space.begin(&[9]);
        assert_eq!(space.allocate(1, 10).start, 4);
        assert_eq!(space.unused_pages(), 0);
    }

    #[test]
    fn extending_uses_the_free_tail() {
        let mut space = Space::new([run(3, 1), run(7, 3)], 10);
        assert_eq!(space.high_water(), 7);
        assert_eq!(space.allocate(5, 1).start, 7);
        assert_eq!((space.end(), space.high_water()), (12, 12));
        assert_eq!(space.allocate(1, 1).start, 3);
    }

    #[test]
    fn batches_are_neighbours_and_their_rest_returns() {
        let mut space = Space::new([run(3, 2), run(10, 8)], 30);
        space.prepare_batch(5);
        assert_eq!(space.allocate(2, 1).start, 10);
        assert_eq!(space.allocate(2, 1).start, 12);
        space.finish_batch();
        assert_eq!(space.free_pages(), 2 + 4);
        assert_eq!(space.allocate(4, 1).start, 14);
    }

    #[test]
    fn cutting_forgets_the_tail() {
        let mut space = Space::new([run(3, 2), run(20, 10)], 30);
        space.cut(25);
        assert_eq!((space.end(), space.high_water(), space.free_pages()), (25, 20, 7));
        space.cut(20);
        assert_eq!((space.end(), space.high_water(), space.free_pages()), (20, 20, 2));
    }
}
