//! Commits: the order of writes and syncs on which everything rests.
//!
//! 1. The side file gets the new checksums and the number of this commit, and is synced.
//! 2. The pages are written to places that neither meta page and no snapshot refers to, and synced.
//! 3. The meta page is written over the older of the two, and synced.
//! 4. Only now the new state is handed to readers; the file is cut where neither meta page needs it.
//!
//! A power cut before 3 ended leaves the old state, afterwards the new one. Any failed write or sync poisons the
//! writer: what the disk holds then is known only after a restart (reliability.md G).

use std::sync::Arc;

use bytes::Bytes;

use types::mutant::{self, Mutant};

use crate::{
    db::{CommitStats, Db},
    error::BoltError,
    format::{BUCKET_ELEMENT_FLAG, NO_FREELIST, PageId},
    meta::{Meta, Stamp},
    node::Item,
    page::Page,
    settle::settle,
    side::CommitId,
    snapshot::Snapshot,
    spill::{NewPage, Spill, dirty_pages},
    sums::sum_of,
};

/// Neighbouring pages go to the disk in writes of at most this many bytes (or one page run, if longer).
const WRITE_LEN_MAX: usize = 1 << 20;

impl Db {
    /// Makes all applied changes durable, as one state. Without changes nothing is written.
    ///
    /// # Errors
    /// `Io` after a failed write or sync: the database is then poisoned. `Damaged` or `Corrupt` when a page that had
    /// to be merged with is bad: nothing was written, the changes are kept (only when that page holds the list of
    /// buckets, the database is poisoned).
    pub fn commit(&mut self) -> Result<CommitStats, BoltError> {
        self.check_writable()?;
        if !self.changed {
            return Ok(CommitStats { txid: self.txid(), ..CommitStats::default() });
        }
        for bucket in self.buckets.iter_mut().filter(|bucket| bucket.changed) {
            settle(&mut bucket.tree, &self.current)?;
        }
        let written = self.write_state();
        self.poisoned |= written.is_err();
        written
    }

    fn write_state(&mut self) -> Result<CommitStats, BoltError> {
        let (meta, slot) = self.next_meta();
        self.space.begin(&self.store.live_txids());
        let (meta, mut pages) = self.spill(meta)?;
        pages.sort_unstable_by_key(|page| page.run);

        let stamp = self.write_side(&meta, &pages)?;
        let pages_freed = self.space.fresh_pages();
        let mut stats = CommitStats { txid: meta.txid, pages_freed, ..CommitStats::default() };
        self.write_pages(&pages, &mut stats)?;
        self.extend_file(&meta)?;
        if !mutant::is_on(Mutant::MetaBeforePages) {
            self.store.file.sync_data().map_err(BoltError::io("syncing pages"))?;
        }
        self.write_meta(&meta, slot, stamp, &mut stats)?;
        self.publish(meta, slot, stamp, pages);
        stats.truncated_pages = self.truncate()?;
        Ok(stats)
    }

    /// The next state's number, and the meta page that it goes to: the one that `current` is not in. A file made by
    /// `WriteTo` may have its newest meta in the other page than its txid says; then a number is skipped, since
    /// bbolt derives the page from the number.
    fn next_meta(&self) -> (Meta, PageId) {
        let mut meta = self.current.meta().clone();
        meta.freelist = NO_FREELIST;
        meta.txid += 1;
        if meta.txid % 2 == self.current_slot {
            meta.txid += 1;
        }
        let slot = meta.txid % 2;
        (meta, slot)
    }

    /// Gives every changed node a place, and turns all into bytes.
    fn spill(&mut self, mut meta: Meta) -> Result<(Meta, Vec<NewPage>), BoltError> {
        let page_size = self.store.page_size;
        let changed = self.buckets.iter().filter(|bucket| bucket.changed);
        let expected: u64 = changed.map(|bucket| dirty_pages(&bucket.tree.root, page_size)).sum();
        if !self.packing {
            // One more for the leaf with the buckets.
            self.space.prepare_batch(expected + 1);
        }
        let mut spill = Spill::new(&mut self.space, meta.txid, page_size);
        for bucket in self.buckets.iter_mut().filter(|bucket| bucket.changed) {
            bucket.changed = false;
            let value = spill.bucket_entry(&mut bucket.tree);
            bucket.tree.release_buffers();
            let item = Item { key: bucket.name.clone(), value, flags: BUCKET_ELEMENT_FLAG };
            self.top.put(&self.current, item)?;
        }
        settle(&mut self.top, &self.current)?;
        meta.root = spill.tree(&mut self.top);
        let pages = spill.pages;
        if let Some(run) = self.foreign_freelist.take() {
            self.space.release(run, meta.txid);
        }
        self.space.finish_batch();
        meta.high_water = self.space.high_water();
        Ok((meta, pages))
    }

    fn write_side(&mut self, meta: &Meta, pages: &[NewPage]) -> Result<Option<Stamp>, BoltError> {
        let (Some(side), Some(table)) = (&mut self.side, &self.store.sums) else { return Ok(None) };
        table.reserve(meta.high_water);
        let mut sums = Vec::new();
        for NewPage { run, bytes } in pages {
            side.touch(run.start, run.len);
            sums.extend((run.start..).zip(bytes.chunks_exact(self.store.page_size).map(sum_of)));
        }
        sums.iter().for_each(|(page, sum)| table.set(*page, *sum));
        let nonce = side.nonce(meta, sums.into_iter());
        side.begin(CommitId { txid: meta.txid, nonce }, table)?;
        Ok(Some(side.stamp(nonce)))
    }

    /// `pages` are in the order of the file.
    fn write_pages(&self, pages: &[NewPage], stats: &mut CommitStats) -> Result<(), BoltError> {
        let mut chunk: Vec<u8> = Vec::new();
        let mut chunk_start = 0;
        let mut chunk_end = 0;
        for NewPage { run, bytes } in pages {
            if run.start != chunk_end || chunk.len() + bytes.len() > WRITE_LEN_MAX {
                self.write_at(chunk_start, &chunk)?;
                chunk.clear();
                chunk_start = run.start;
            }
            chunk.extend_from_slice(bytes);
            chunk_end = run.end();
            stats.pages_written += run.len;
            stats.bytes_written += bytes.len() as u64;
        }
        self.write_at(chunk_start, &chunk)
    }

    fn write_at(&self, page: PageId, bytes: &[u8]) -> Result<(), BoltError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let offset = page * self.store.page_size as u64;
        self.store.file.write_all_at(bytes, offset).map_err(BoltError::io("writing pages"))
    }

    /// The file must reach to the high-water mark even where nothing was written, or bbolt faults on its mapping.
    fn extend_file(&mut self, meta: &Meta) -> Result<(), BoltError> {
        let len = self.store.file.len().map_err(BoltError::io("looking at the length of the database"))?;
        self.file_len = len.max(meta.file_len());
        if self.file_len > len {
            self.store.file.set_len(self.file_len).map_err(BoltError::io("extending the database"))?;
        }
        Ok(())
    }

    fn write_meta(
        &self,
        meta: &Meta,
        slot: PageId,
        stamp: Option<Stamp>,
        stats: &mut CommitStats,
    ) -> Result<(), BoltError> {
        let page = meta.encode(slot, stamp);
        self.write_at(slot, &page)?;
        self.store.file.sync_data().map_err(BoltError::io("syncing the meta page"))?;
        stats.bytes_written += page.len() as u64;
        Ok(())
    }

    /// Hands the durable state to readers: pages into the cache first, since an older copy may be there.
    fn publish(&mut self, meta: Meta, slot: PageId, stamp: Option<Stamp>, pages: Vec<NewPage>) {
        if let (Some(side), Some(stamp)) = (&mut self.side, stamp) {
            side.finish(CommitId { txid: meta.txid, nonce: stamp.nonce });
        }
        for NewPage { run, bytes } in pages {
            self.store.cache.insert(Arc::new(Page::trusted(run.start, Bytes::from(bytes))));
        }
        self.shrink.previous_high_water = self.current.meta().high_water;
        self.current = Snapshot::new(Arc::clone(&self.store), meta);
        self.current_slot = slot;
        self.changed = false;
        self.packing = false;
    }

    /// Cuts the file where neither meta page and no reader needs it; returns by how many pages.
    fn truncate(&mut self) -> Result<u64, BoltError> {
        let page_size = self.store.page_size as u64;
        let needed = self
            .current
            .meta()
            .high_water
            .max(self.shrink.previous_high_water)
            .max(self.store.readers_high_water());
        let cut = (self.file_len / page_size).saturating_sub(needed);
        if cut > 0 {
            self.store.file.set_len(needed * page_size).map_err(BoltError::io("truncating the database"))?;
            self.file_len = needed * page_size;
        }
        self.space.cut(needed);
        Ok(cut)
    }
}
