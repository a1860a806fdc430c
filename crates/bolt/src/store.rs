//! What the writer and all readers share: the file, the cache, the checksums, and who reads what.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use vfs::File;

use types::mutant::{self, Mutant};

use crate::{
    cache::Cache,
    error::BoltError,
    format::{FIRST_DATA_PAGE, PAGE_HEADER_LEN, PageHeader, PageId, Run, Txid},
    page::{Page, plausible_pages},
    sums::{SumTable, Verdict},
};

/// Positioned reads of checked pages. Any thread; nothing here waits for the writer.
pub(crate) struct Store {
    pub(crate) file: Arc<dyn File>,
    pub(crate) page_size: usize,
    pub(crate) cache: Cache,
    /// `None` when opened without a side directory: then nothing is verified.
    pub(crate) sums: Option<SumTable>,
    /// The free pages of any state can be found without reading leaves (see `walk`). Set while opening.
    pub(crate) plain: bool,
    readers: Mutex<BTreeMap<Txid, Readers>>,
}

/// Live snapshots of one state.
#[derive(Clone, Copy, Debug)]
struct Readers {
    count: u64,
    high_water: PageId,
}

impl Store {
    pub(crate) fn new(
        file: Arc<dyn File>,
        page_size: usize,
        cache_bytes: usize,
        sums: Option<SumTable>,
    ) -> Store {
        Store {
            file,
            page_size,
            cache: Cache::new(cache_bytes),
            sums,
            plain: false,
            readers: Mutex::default(),
        }
    }

    /// Page `id`, from the cache or from disk. `high_water` is the reader's own: nothing beyond it is a page.
    ///
    /// # Errors
    /// `Damaged` when a checksum differs, `Corrupt` when the page breaks the format, `Io`.
    pub(crate) fn page(&self, id: PageId, high_water: PageId) -> Result<Arc<Page>, BoltError> {
        if let Some(page) = self.cache.find(id) {
            return Ok(page);
        }
        let page = Arc::new(self.load(id, high_water)?);
        self.cache.insert(Arc::clone(&page));
        Ok(page)
    }

    /// Page `id` from disk, past the cache. Errors as [`Store::page`].
    pub(crate) fn load(&self, id: PageId, high_water: PageId) -> Result<Page, BoltError> {
        let head = self.read_verified(Run { start: id, len: 1 }, high_water)?;
        let pages = self.run_len(id, &head, high_water)?;
        let mut bytes = head;
        if pages > 1 {
            // Two reads, since the first says how long the second is; the second takes the whole rest.
            let rest = self.read_verified(Run { start: id + 1, len: pages - 1 }, high_water)?;
            bytes.reserve_exact(rest.len());
            bytes.extend_from_slice(&rest);
        }
        let page = Page::parse(id, Bytes::from(bytes), high_water)?;
        self.learn(&page);
        Ok(page)
    }

    /// Pages without overflow that stand in a row, read at once, as slices of one buffer, past the cache. Ends before
    /// the first that is not as expected: whoever loads that one by itself learns why.
    pub(crate) fn load_neighbours(&self, run: Run, high_water: PageId) -> VecDeque<Arc<Page>> {
        let Ok(bytes) = self.read_verified(run, high_water) else { return VecDeque::new() };
        let bytes = Bytes::from(bytes);
        let page = |id: PageId| {
            let start = (id - run.start) as usize * self.page_size;
            let bytes = bytes.slice(start..start + self.page_size);
            let single = PageHeader::read(&bytes).overflow == 0;
            let page = single.then(|| Page::parse(id, bytes, high_water).ok()).flatten()?;
            self.learn(&page);
            Some(Arc::new(page))
        };
        (run.start..run.end()).map_while(page).collect()
    }

    /// Length in pages of the run that starts with `head`, verified page `id`.
    pub(crate) fn run_len(&self, id: PageId, head: &[u8], high_water: PageId) -> Result<u64, BoltError> {
        let header = PageHeader::read(head);
        if header.id != id {
            return Err(BoltError::corrupt(id, "page names another page in its header"));
        }
        let pages = u64::from(header.overflow) + 1;
        let plausible = plausible_pages(head, self.page_size).unwrap_or(u64::from(u32::MAX));
        if id + pages > high_water || pages > plausible.max(1) {
            return Err(BoltError::corrupt(id, "overflow reaches too far"));
        }
        Ok(pages)
    }

    /// Reads whole pages and compares those whose checksum is known.
    pub(crate) fn read_verified(&self, run: Run, high_water: PageId) -> Result<Vec<u8>, BoltError> {
        if run.start < FIRST_DATA_PAGE || run.end() > high_water {
            return Err(BoltError::corrupt(run.start, "page lies out of bounds"));
        }
        let mut bytes = vec![0; run.len as usize * self.page_size];
        match self.file.read_exact_at(&mut bytes, run.start * self.page_size as u64) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(BoltError::Damaged { page: run.start, what: "the file ends before this page" });
            }
            Err(e) => return Err(BoltError::io("reading the database")(e)),
        }
        if let Some(sums) = &self.sums {
            for (page, id) in bytes.chunks_exact(self.page_size).zip(run.start..) {
                if sums.verify(id, page) == Verdict::Differs && !mutant::is_on(Mutant::SumsIgnored) {
                    return Err(BoltError::Damaged { page: id, what: "checksum differs" });
                }
            }
        }
        Ok(bytes)
    }

    /// Records checksums that were unknown, now that the page turned out to be a good one.
    fn learn(&self, page: &Page) {
        if let Some(sums) = &self.sums {
            let pages = page.bytes().chunks_exact(self.page_size);
            pages.zip(page.id()..).for_each(|(bytes, id)| sums.learn(id, bytes));
        }
    }

    /// Only the header of page `id`, unverified: a hint for the search for movable pages.
    pub(crate) fn peek_header(&self, id: PageId) -> Result<PageHeader, BoltError> {
        let mut head = [0; PAGE_HEADER_LEN];
        self.file
            .read_exact_at(&mut head, id * self.page_size as u64)
            .map_err(BoltError::io("reading a page header"))?;
        Ok(PageHeader::read(&head))
    }

    fn readers(&self) -> MutexGuard<'_, BTreeMap<Txid, Readers>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, pages of state `txid` are not reused.
    pub(crate) fn add_reader(&self, txid: Txid, high_water: PageId) {
        self.readers().entry(txid).or_insert(Readers { count: 0, high_water }).count += 1;
    }

    pub(crate) fn remove_reader(&self, txid: Txid) {
        let mut readers = self.readers();
        let entry = readers.get_mut(&txid).expect("a reader is removed once, after it was added");
        entry.count -= 1;
        if entry.count == 0 {
            readers.remove(&txid);
        }
    }

    /// Live snapshots; clones of one count once.
    pub(crate) fn reader_count(&self) -> u64 {
        self.readers().values().map(|readers| readers.count).sum()
    }

    /// The states that are being read, ascending.
    pub(crate) fn live_txids(&self) -> Vec<Txid> {
        self.readers().keys().copied().collect()
    }

    /// The highest high-water mark of any live snapshot.
    pub(crate) fn readers_high_water(&self) -> PageId {
        self.readers().values().map(|r| r.high_water).max().unwrap_or(0)
    }
}
