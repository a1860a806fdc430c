//! crc32c of every page, in memory: what the file must return.
//!
//! Four bytes a page, a thousandth of the file. [`SideFile`](crate::side::SideFile) makes it durable.

use std::sync::{
    RwLock, RwLockReadGuard,
    atomic::{AtomicU32, Ordering},
};

use crate::format::PageId;

/// Pages that one block of the side file covers.
pub(crate) const PAGES_PER_BLOCK: usize = 1016;

/// Means "unknown"; a crc that is 0 is kept as 1.
const UNKNOWN: u32 = 0;

type Block = Box<[AtomicU32]>;

/// Checksums by page number. Any thread; entries of pages that a snapshot can reach never change but from
/// unknown to known, because the writer does not touch such pages.
#[derive(Debug, Default)]
pub(crate) struct SumTable {
    blocks: RwLock<Vec<Block>>,
}

/// What a comparison with the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    Differs,
    Unknown,
}

/// The checksum of one page, as the table and the side file keep it.
pub(crate) fn sum_of(page: &[u8]) -> u32 {
    crc32c::crc32c(page).max(1)
}

impl SumTable {
    fn blocks(&self) -> RwLockReadGuard<'_, Vec<Block>> {
        self.blocks.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Compares the contents of one page with what was written.
    pub(crate) fn verify(&self, id: PageId, page: &[u8]) -> Verdict {
        match self.load(id) {
            UNKNOWN => Verdict::Unknown,
            sum if sum == sum_of(page) => Verdict::Same,
            _ => Verdict::Differs,
        }
    }

    /// Trusts what was just read for a page whose checksum was unknown.
    pub(crate) fn learn(&self, id: PageId, page: &[u8]) {
        if self.load(id) == UNKNOWN {
            self.set(id, sum_of(page));
        }
    }

    fn load(&self, id: PageId) -> u32 {
        let (block, index) = place(id);
        self.blocks().get(block).map_or(UNKNOWN, |b| b[index].load(Ordering::Acquire))
    }

    /// Records a checksum from [`sum_of`]. Pages beyond [`SumTable::reserve`] are not kept.
    pub(crate) fn set(&self, id: PageId, sum: u32) {
        let (block, index) = place(id);
        if let Some(block) = self.blocks().get(block) {
            block[index].store(sum, Ordering::Release);
        }
    }

    /// Makes room for pages below `high_water`; new entries are unknown.
    pub(crate) fn reserve(&self, high_water: PageId) {
        let needed = block_count(high_water);
        if self.blocks().len() < needed {
            let mut blocks = self.blocks.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            blocks.resize_with(needed, || (0..PAGES_PER_BLOCK).map(|_| AtomicU32::new(UNKNOWN)).collect());
        }
    }

    /// Calls `each` with the entries of block `block`, in page order.
    pub(crate) fn for_block(&self, block: usize, mut each: impl FnMut(usize, u32)) {
        if let Some(block) = self.blocks().get(block) {
            block.iter().enumerate().for_each(|(index, sum)| each(index, sum.load(Ordering::Acquire)));
        }
    }

    /// Sets the entries of block `block` from the side file.
    pub(crate) fn fill_block(&self, block: usize, mut sum_at: impl FnMut(usize) -> u32) {
        if let Some(block) = self.blocks().get(block) {
            block.iter().enumerate().for_each(|(index, sum)| sum.store(sum_at(index), Ordering::Release));
        }
    }
}

/// How many blocks cover the pages below `high_water`.
pub(crate) fn block_count(high_water: PageId) -> usize {
    // A page table of more than 2^32 blocks does not fit into memory anyway.
    (high_water as usize).div_ceil(PAGES_PER_BLOCK)
}

/// The block of a page, and its place in it.
pub(crate) fn place(id: PageId) -> (usize, usize) {
    (id as usize / PAGES_PER_BLOCK, id as usize % PAGES_PER_BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_then_known() {
        let table = SumTable::default();
        table.reserve(1017);
        for id in [0, 1015, 1016] {
            assert_eq!(table.verify(id, b"a"), Verdict::Unknown);
            table.learn(id, b"a");
            table.learn(id, b"b");
            assert_eq!(table.verify(id, b"a"), Verdict::Same);
            assert_eq!(table.verify(id, b"b"), Verdict::Differs);
        }
        table.set(5000, 1);
        assert_eq!(table.verify(5000, b"a"), Verdict::Unknown);
    }
}
