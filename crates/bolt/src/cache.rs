//! A bounded cache of checked pages, by page number.
//!
//! A page number alone is a good key although pages are rewritten: the writer reuses a page only when no snapshot
//! can reach its old contents, and replaces or removes the cached copy before the new state is published.

mod index;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{format::PageId, page::Page};
use index::PageIndex;

const SHARDS: usize = 16;

/// Sharded second-chance (CLOCK) cache. Any thread.
#[derive(Debug)]
pub(crate) struct Cache {
    shards: Vec<Mutex<Shard>>,
}

#[derive(Debug, Default)]
struct Shard {
    slot_by_page: PageIndex,
    slots: Vec<Slot>,
    vacant: Vec<usize>,
    /// Where the clock's hand stands in `slots`.
    hand: usize,
    /// Sum of the lengths of the pages in `slots`. Invariant: at most `bytes_max`.
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Slot {
    page: Option<Arc<Page>>,
    /// Set by a hit; cleared when the hand passes.
    used: bool,
}

impl Cache {
    /// Holds at most `bytes_max` bytes of pages (bookkeeping not counted); 0 caches nothing.
    pub(crate) fn new(bytes_max: usize) -> Cache {
        let shard = || Mutex::new(Shard { bytes_max: bytes_max / SHARDS, ..Shard::default() });
        Cache { shards: std::iter::repeat_with(shard).take(SHARDS).collect() }
    }

    pub(crate) fn find(&self, id: PageId) -> Option<Arc<Page>> {
        self.shard(id).find(id)
    }

    /// Adds or replaces. A page too large for its share is not kept, and then no older copy is either.
    pub(crate) fn insert(&self, page: Arc<Page>) {
        self.shard(page.id()).insert(page);
    }

    fn shard(&self, id: PageId) -> MutexGuard<'_, Shard> {
        // Neighbours go to different shards; a panic elsewhere leaves a shard in order.
        let index = (id % SHARDS as u64) as usize;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn find(&mut self, id: PageId) -> Option<Arc<Page>> {
        let slot = &mut self.slots[self.slot_by_page.find(id)?];
        slot.used = true;
        slot.page.clone()
    }

    fn insert(&mut self, page: Arc<Page>) {
        self.remove(page.id());
        let len = page.bytes().len();
        if len > self.bytes_max / 2 {
            return;
        }
        while self.bytes + len > self.bytes_max {
            self.evict_one();
        }
        self.bytes += len;
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        self.slot_by_page.insert(page.id(), index);
        self.slots[index] = Slot { page: Some(page), used: false };
    }

    fn remove(&mut self, id: PageId) {
        if let Some(index) = self.slot_by_page.remove(id) {
            self.vacate(index);
        }
    }

    fn vacate(&mut self, index: usize) {
        let page = self.slots[index].page.take().expect("an indexed slot holds a page");
        self.bytes -= page.bytes().len();
        self.vacant.push(index);
    }

    /// Drops the first page at or behind the hand that was not used since the hand last passed. Ends within two
    /// rounds; there is a page, since `bytes` is above 0 when called.
    fn evict_one(&mut self) {
        loop {
            let index = self.hand % self.slots.len();
            self.hand = index + 1;
            let slot = &mut self.slots[index];
            if let Some(page) = &slot.page
                && !std::mem::take(&mut slot.used)
            {
                let id = page.id();
                self.remove(id);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::format::{LEAF_FLAG, PageHeader};

    fn page(id: PageId, pages: usize) -> Arc<Page> {
        let mut buf = vec![0; 1024 * pages];
        PageHeader { id, flags: LEAF_FLAG, count: 0, overflow: pages as u32 - 1 }.write(&mut buf);
        Arc::new(Page::trusted(id, Bytes::from(buf)))
    }

    fn bytes_held(cache: &Cache) -> usize {
        cache.shards.iter().map(|s| s.lock().unwrap().bytes).sum()
    }

    #[test]
    fn stays_within_its_bound_and_keeps_what_is_used() {
        let cache = Cache::new(16 * 4 * 1024);
        let hot = 5;
        cache.insert(page(hot, 1));
        for id in 16..1000 {
            assert!(cache.find(hot).is_some(), "evicted before {id}");
            cache.insert(page(id, 1));
            assert!(bytes_held(&cache) <= 16 * 4 * 1024);
        }
        assert!(cache.find(999).is_some() && cache.find(16).is_none());
    }

    #[test]
    fn replacing_by_a_page_that_is_too_large_removes() {
        let cache = Cache::new(16 * 4 * 1024);
        cache.insert(page(3, 2));
        assert_eq!(cache.find(3).unwrap().bytes().len(), 2048);
        cache.insert(page(3, 3));
        assert!(cache.find(3).is_none());
        assert_eq!(bytes_held(&cache), 0);
    }

    #[test]
    fn zero_bytes_caches_nothing() {
        let cache = Cache::new(0);
        cache.insert(page(3, 1));
        assert!(cache.find(3).is_none());
    }
}
