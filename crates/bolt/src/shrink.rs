//! Giving space back: the pages at the end of the file are moved into holes further down, a few with each commit.
//!
//! Moving a page means marking it (and its ancestors) as changed: the next commit writes it elsewhere, into the
//! lowest holes, and the file is cut as soon as neither meta page refers to its end (see `commit`).

use crate::{
    db::Db,
    error::BoltError,
    format::{BRANCH_FLAG, FIRST_DATA_PAGE, LEAF_FLAG, PageId, Run},
    page::Page,
    spill::{dirty_pages, replaced_runs},
};

/// Headers that are looked at in search of the start of one run of overflow pages.
const HEAD_SEARCH_MAX: u64 = 1 << 16;
/// Free pages that must remain below for branches that split while pages are moved.
const SPARE_PAGES: u64 = 8;
/// Steps in a row that did not lower the end of the file before it counts as packed.
const STALLS_MAX: u32 = 8;
/// Runs that are moved to widen one hole.
const WIDENING_RUNS_MAX: usize = 64;

/// Where shrinking stands.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// High-water mark of the meta page before the current one; 0 when not known.
    pub(crate) previous_high_water: PageId,
    /// High-water mark at the last step that moved pages.
    last_high_water: Option<PageId>,
    stalls: u32,
}

/// What a step prepared for the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shrink {
    /// Pages at the end of the file that the next commit moves down.
    pub pages_to_move: u64,
    /// Nothing is left to do: the file is as short as moving pages can make it, or what is missing waits for
    /// readers. Otherwise commit, and call again.
    pub done: bool,
}

impl Db {
    /// Prepares up to `max_pages` pages (a little more when a long run is at the end) at the end of the file to be
    /// moved into holes further down by the next [`Db::commit`], which also cuts the file where the rules allow.
    ///
    /// Defragmentation is this, each step followed by a commit, until `done`: readers and writers go on meanwhile.
    ///
    /// # Errors
    /// `ReadOnly`, `Poisoned`; `Damaged`, `Corrupt` or `Io` when a page to be moved cannot be read.
    pub fn shrink_step(&mut self, max_pages: u64) -> Result<Shrink, BoltError> {
        self.check_writable()?;
        self.space.finish_batch();
        self.space.begin(&self.store.live_txids());
        let mut plan = self.plan();
        while plan.moved < max_pages {
            plan.skip_unused(self);
            match self.movable_run(&plan)? {
                Tail::Moves { run, dirtied } => {
                    plan.moved += run.len;
                    plan.dirty += dirtied;
                    plan.end = run.start;
                }
                Tail::LacksHole { run } if plan.moved == 0 => {
                    plan.moved = self.widen_hole(&plan, run)?;
                    break;
                }
                Tail::LacksHole { .. } | Tail::Stays => break,
            }
        }
        let stalled = self.note_progress(plan.moved);
        let pages_to_move = if stalled { 0 } else { plan.moved };
        let tail_waits = self.is_longer_than_needed();
        if pages_to_move > 0 || tail_waits {
            self.changed = true;
            self.packing = true;
        }
        Ok(Shrink { pages_to_move, done: pages_to_move == 0 && !tail_waits })
    }

    fn plan(&self) -> Plan {
        let mut replaced = Vec::new();
        let mut dirty = 1;
        let trees = self.buckets.iter().filter(|b| b.changed).map(|b| &b.tree).chain([&self.top]);
        for tree in trees {
            replaced_runs(&tree.root, &mut replaced);
            replaced.extend(&tree.orphans);
            dirty += dirty_pages(&tree.root, self.store.page_size);
        }
        Plan { end: self.space.end(), moved: 0, dirty, replaced }
    }

    /// Another commit would lower the high-water mark, or cut the file, without moving anything.
    fn is_longer_than_needed(&self) -> bool {
        let high_water = self.space.high_water();
        let wanted = high_water.max(self.store.readers_high_water());
        let file_pages = self.file_len / self.store.page_size as u64;
        let mark_falls = high_water < self.current.meta().high_water;
        let readers_allow = self.store.live_txids().len() == 1;
        readers_allow && (mark_falls || file_pages > wanted)
    }

    /// Whether step after step moved pages and the file did not become shorter.
    fn note_progress(&mut self, moved: u64) -> bool {
        let high_water = self.current.meta().high_water;
        let progress = &mut self.shrink;
        if moved == 0 || progress.last_high_water.is_none_or(|last| high_water < last) {
            progress.stalls = 0;
        } else {
            progress.stalls += 1;
        }
        progress.last_high_water = (moved > 0).then_some(high_water);
        progress.stalls >= STALLS_MAX
    }

    /// Looks for the run of pages that ends at `plan.end`, and marks it as changed when there is room below.
    fn movable_run(&mut self, plan: &Plan) -> Result<Tail, BoltError> {
        let last = plan.end.saturating_sub(1);
        let lowest = FIRST_DATA_PAGE.max(last.saturating_sub(HEAD_SEARCH_MAX));
        for start in (lowest..=last).rev() {
            let run = Run { start, len: plan.end - start };
            let header = self.store.peek_header(start)?;
            let is_head = header.id == start
                && (header.flags == LEAF_FLAG || header.flags == BRANCH_FLAG)
                && u64::from(header.overflow) + 1 == run.len;
            if !is_head {
                continue;
            }
            if self.space.free_pages_below(run.start) < plan.dirty + run.len + SPARE_PAGES {
                return Ok(Tail::Stays);
            }
            if self.space.lowest_fit(run.len).is_none_or(|hole| hole + run.len > run.start) {
                return Ok(Tail::LacksHole { run });
            }
            // The middle of a long value may look like a page; then no bucket leads to it.
            let Ok(page) = self.store.load(start, self.current.meta().high_water) else { continue };
            if let Some(dirtied) = self.touch(&page)? {
                return Ok(Tail::Moves { run, dirtied });
            }
        }
        Ok(Tail::Stays)
    }

    /// Moves what stands behind the longest hole below `tail`, until the hole can take `tail`. Returns how many
    /// pages move; the hole itself is spared by the commit that moves them.
    fn widen_hole(&mut self, plan: &Plan, tail: Run) -> Result<u64, BoltError> {
        // Not the one right before `tail`, which would have to be moved over itself.
        let Some(hole) = self.space.longest_below(tail.start - 1) else { return Ok(0) };
        let mut room =
            self.space.free_pages_below(tail.start).saturating_sub(hole.len + plan.dirty + SPARE_PAGES);
        let mut end = hole.end();
        let mut moved = 0;
        for _ in 0..WIDENING_RUNS_MAX {
            if end - hole.start >= tail.len {
                break;
            }
            if let Some(next) = self.space.unused_run_starting_at(end) {
                end = next.end();
                continue;
            }
            // Behind unused pages, a run begins.
            let run = Run { start: end, len: u64::from(self.store.peek_header(end)?.overflow) + 1 };
            if run.end() > tail.start || run.len > room {
                break;
            }
            let Ok(page) = self.store.load(end, self.current.meta().high_water) else { break };
            let Some(dirtied) = self.touch(&page)? else { break };
            room = room.saturating_sub(dirtied.max(run.len));
            moved += run.len;
            end = run.end();
        }
        if moved > 0 {
            self.space.spare(hole);
        }
        Ok(moved)
    }

    /// Marks a page as changed in the bucket that it belongs to.
    fn touch(&mut self, page: &Page) -> Result<Option<u64>, BoltError> {
        if page.count() == 0 {
            return Ok(None);
        }
        let dirtied = self.top.touch(&self.current, page.key(0), page.id())?;
        if dirtied > 0 {
            return Ok(Some(dirtied));
        }
        for name in self.current.buckets()? {
            let Some(at) = self.open_bucket(name.as_bytes())? else { continue };
            let bucket = &mut self.buckets[at];
            let dirtied = bucket.tree.touch(&self.current, page.key(0), page.id())?;
            if dirtied > 0 {
                bucket.changed = true;
                return Ok(Some(dirtied));
            }
        }
        Ok(None)
    }
}

/// What stands at the end of the file.
enum Tail {
    /// It is marked as changed, which made `dirtied` pages dirty.
    Moves { run: Run, dirtied: u64 },
    /// There are enough free pages below, but not as neighbours.
    LacksHole { run: Run },
    /// No room, or nothing that can be moved.
    Stays,
}

struct Plan {
    /// Everything from here on is free, waiting, or about to be replaced.
    end: PageId,
    moved: u64,
    /// Pages that the commit will write.
    dirty: u64,
    /// Runs that the commit will free anyway.
    replaced: Vec<Run>,
}

impl Plan {
    fn skip_unused(&mut self, db: &Db) {
        loop {
            let replaced = self.replaced.iter().copied().find(|run| run.end() == self.end);
            match db.space.unused_run_ending_at(self.end).or(replaced) {
                Some(run) => self.end = run.start,
                None => return,
            }
        }
    }
}
