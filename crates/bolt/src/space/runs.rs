//! A set of free pages, as runs of neighbours, that finds the lowest run of a given length quickly.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::{PageId, Run};

/// One class for each bit length of a run's length.
const CLASSES: usize = 64;
/// How many runs of the one class that holds both shorter and longer runs than asked for are looked at.
const CLASS_SCAN_MAX: usize = 64;

/// Disjoint runs, none touching another.
#[derive(Debug)]
pub(crate) struct FreeRuns {
    len_by_start: BTreeMap<PageId, u64>,
    /// `classes[c]`: starts of the runs with lengths from `2^c` (inclusive) to `2^(c+1)` (exclusive).
    classes: Vec<BTreeSet<PageId>>,
    pages: u64,
}

impl Default for FreeRuns {
    fn default() -> FreeRuns {
        FreeRuns { len_by_start: BTreeMap::new(), classes: vec![BTreeSet::new(); CLASSES], pages: 0 }
    }
}

impl FreeRuns {
    /// Adds pages that are not in the set, joining neighbours.
    pub(crate) fn insert(&mut self, run: Run) {
        let Run { mut start, mut len } = run;
        if let Some((&before, &before_len)) = self.len_by_start.range(..start).next_back() {
            assert!(before + before_len <= start, "page {start} is freed twice");
            if before + before_len == start {
                self.unlink(before, before_len);
                (start, len) = (before, before_len + len);
            }
        }
        if let Some((&after, &after_len)) = self.len_by_start.range(start..).next() {
            assert!(after >= start + len, "page {after} is freed twice");
            if after == start + len {
                self.unlink(after, after_len);
                len += after_len;
            }
        }
        self.link(start, len);
    }

    /// Removes and returns `len` pages from the lowest run that is long enough.
    pub(crate) fn take(&mut self, len: u64) -> Option<PageId> {
        let start = self.lowest_fit(len)?;
        let found = self.len_by_start[&start];
        self.unlink(start, found);
        if found > len {
            self.link(start + len, found - len);
        }
        Some(start)
    }

    /// The start of the lowest run of at least `len` pages. In the one class of lengths that holds shorter runs
    /// too only the lowest few are looked at, so a higher run may be found in rare cases.
    pub(crate) fn lowest_fit(&self, len: u64) -> Option<PageId> {
        if len == 0 {
            return None;
        }
        let mixed = class_of(len);
        let fits = |start: &&PageId| self.len_by_start[*start] >= len;
        let in_mixed = self.classes[mixed].iter().take(CLASS_SCAN_MAX).find(fits).copied();
        let above = self.classes[mixed + 1..].iter().filter_map(|class| class.first().copied()).min();
        match (in_mixed, above) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The longest run that ends at or below `limit`; the lowest of equals.
    pub(crate) fn longest_below(&self, limit: PageId) -> Option<Run> {
        let below = self.len_by_start.range(..limit).map(|(start, len)| Run { start: *start, len: *len });
        below.filter(|run| run.end() <= limit).rev().max_by_key(|run| run.len)
    }

    /// The run that starts at `start`.
    pub(crate) fn starting_at(&self, start: PageId) -> Option<Run> {
        self.len_by_start.get(&start).map(|len| Run { start, len: *len })
    }

    /// Removes a run that is in the set.
    pub(crate) fn remove(&mut self, run: Run) {
        assert_eq!(self.len_by_start.get(&run.start), Some(&run.len), "no such free run");
        self.unlink(run.start, run.len);
    }

    /// The run that ends at `end`.
    pub(crate) fn tail(&self, end: PageId) -> Option<Run> {
        let (&start, &len) = self.len_by_start.range(..end).next_back()?;
        (start + len == end).then_some(Run { start, len })
    }

    /// Removes all pages from `start` on.
    pub(crate) fn remove_from(&mut self, start: PageId) {
        if let Some((&before, &len)) = self.len_by_start.range(..start).next_back()
            && before + len > start
        {
            self.unlink(before, len);
            self.link(before, start - before);
        }
        let beyond: Vec<(PageId, u64)> = self.len_by_start.range(start..).map(|(s, l)| (*s, *l)).collect();
        beyond.into_iter().for_each(|(start, len)| self.unlink(start, len));
    }

    /// How many pages are in the set.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    pub(crate) fn pages_below(&self, limit: PageId) -> u64 {
        self.len_by_start.range(..limit).map(|(start, len)| (*len).min(limit - start)).sum()
    }

    fn link(&mut self, start: PageId, len: u64) {
        self.len_by_start.insert(start, len);
        self.classes[class_of(len)].insert(start);
        self.pages += len;
    }

    fn unlink(&mut self, start: PageId, len: u64) {
        self.len_by_start.remove(&start);
        self.classes[class_of(len)].remove(&start);
        self.pages -= len;
    }
}

fn class_of(len: u64) -> usize {
    len.ilog2() as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_set_of_pages(ops in proptest::collection::vec((any::<bool>(), 0u64..60, 1u64..9), 1..80)) {
            let mut runs = FreeRuns::default();
            let mut model: BTreeSet<PageId> = BTreeSet::new();
            for (insert, at, len) in ops {
                if insert {
                    if (at..at + len).any(|p| model.contains(&p)) {
                        continue;
                    }
                    runs.insert(Run { start: at, len });
                    model.extend(at..at + len);
                } else {
                    let expected = (0..80).find(|s| (*s..*s + len).all(|p| model.contains(&p)));
                    prop_assert_eq!(runs.lowest_fit(len), expected);
                    prop_assert_eq!(runs.take(len), expected);
                    (0..len).for_each(|i| { model.remove(&(expected.unwrap_or(1000) + i)); });
                }
                prop_assert_eq!(runs.pages(), model.len() as u64);
                prop_assert_eq!(runs.pages_below(30), model.range(..30).count() as u64);
            }
            runs.remove_from(25);
            model.retain(|p| *p < 25);
            prop_assert_eq!(runs.pages(), model.len() as u64);
            let tail = runs.tail(25).map_or(0, |run| run.len);
            prop_assert_eq!(tail, (0..25).rev().take_while(|p| model.contains(p)).count() as u64);
        }
    }
}
