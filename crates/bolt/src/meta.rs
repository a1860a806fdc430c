//! The two meta pages: which root is current, how far the file is in use, and who wrote last.
//!
//! bbolt uses bytes 0..80 and writes zeros behind them. We put a stamp (store id, commit nonce, crc) at the end
//! of the first 512-byte sector, so that a meta page whose write was torn between sectors still has the stamp of
//! its own commit. A meta page without a good stamp was written by somebody else.

use crate::format::{
    FIRST_DATA_PAGE, MAGIC, META_FLAG, NO_FREELIST, PAGE_SIZE_MAX, PAGE_SIZE_MIN, PageHeader, PageId, Txid,
    VERSION, fnv1a, put_u32, put_u64, u32_at, u64_at,
};

/// Where bbolt's fields end.
pub(crate) const META_LEN: usize = 80;
const SUMMED: std::ops::Range<usize> = 16..72;
const CHECKSUM_AT: usize = 72;

/// `magic u32, crc32c u32, store id u64, nonce u64`; the crc covers bytes 0..80, store id and nonce.
const STAMP_AT: usize = STAMP_END - 24;
const STAMP_END: usize = 512;
const STAMP_MAGIC: u32 = 0x5941_544D;

const _: () = assert!(STAMP_AT >= META_LEN && STAMP_END <= PAGE_SIZE_MIN);

/// One committed state of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) page_size: u32,
    pub(crate) flags: u32,
    /// Root page of the bucket of buckets.
    pub(crate) root: PageId,
    /// Sequence of the bucket of buckets.
    pub(crate) sequence: u64,
    /// First page of the freelist, or [`NO_FREELIST`].
    pub(crate) freelist: PageId,
    /// One past the highest page in use: bbolt's high-water mark.
    pub(crate) high_water: PageId,
    pub(crate) txid: Txid,
}

/// Binds a meta page to the side file: the same pair stands in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) store_id: u64,
    /// Differs between any two commits that differ in content, even at equal txids.
    pub(crate) nonce: u64,
}

impl Meta {
    /// The whole meta page number `slot`; without a stamp it is what bbolt writes, byte for byte.
    pub(crate) fn encode(&self, slot: PageId, stamp: Option<Stamp>) -> Vec<u8> {
        assert!(self.root < self.high_water, "the root page lies beyond the high-water mark");
        let mut page = vec![0; self.page_size as usize];
        PageHeader { id: slot, flags: META_FLAG, count: 0, overflow: 0 }.write(&mut page);
        put_u32(&mut page, 16, MAGIC);
        put_u32(&mut page, 20, VERSION);
        put_u32(&mut page, 24, self.page_size);
        put_u32(&mut page, 28, self.flags);
        put_u64(&mut page, 32, self.root);
        put_u64(&mut page, 40, self.sequence);
        put_u64(&mut page, 48, self.freelist);
        put_u64(&mut page, 56, self.high_water);
        put_u64(&mut page, 64, self.txid);
        let checksum = fnv1a(&[&page[SUMMED]]);
        put_u64(&mut page, CHECKSUM_AT, checksum);
        if let Some(stamp) = stamp {
            put_u32(&mut page, STAMP_AT, STAMP_MAGIC);
            put_u64(&mut page, STAMP_AT + 8, stamp.store_id);
            put_u64(&mut page, STAMP_AT + 16, stamp.nonce);
            let crc = stamp_crc(&page);
            put_u32(&mut page, STAMP_AT + 4, crc);
        }
        page
    }

    /// Reads a meta page of which at least the first [`META_LEN`] bytes are there.
    ///
    /// # Errors
    /// The broken rule.
    pub(crate) fn decode(page: &[u8]) -> Result<Meta, &'static str> {
        if page.len() < META_LEN {
            return Err("meta page is cut off");
        }
        if u32_at(page, 16) != MAGIC {
            return Err("meta page has no bolt magic number");
        }
        if u32_at(page, 20) != VERSION {
            return Err("meta page has an unknown version");
        }
        if u64_at(page, CHECKSUM_AT) != fnv1a(&[&page[SUMMED]]) {
            return Err("meta page has a wrong checksum");
        }
        let meta = Meta {
            page_size: u32_at(page, 24),
            flags: u32_at(page, 28),
            root: u64_at(page, 32),
            sequence: u64_at(page, 40),
            freelist: u64_at(page, 48),
            high_water: u64_at(page, 56),
            txid: u64_at(page, 64),
        };
        meta.validate().map(|()| meta)
    }

    fn validate(&self) -> Result<(), &'static str> {
        let size = self.page_size as usize;
        if !size.is_power_of_two() || !(PAGE_SIZE_MIN..=PAGE_SIZE_MAX).contains(&size) {
            return Err("page size is no power of two from 1 KiB to 64 KiB");
        }
        let data = FIRST_DATA_PAGE..self.high_water;
        if !data.contains(&self.root) {
            return Err("root page lies out of bounds");
        }
        if self.freelist != NO_FREELIST && !data.contains(&self.freelist) {
            return Err("freelist lies out of bounds");
        }
        if self.high_water.checked_mul(u64::from(self.page_size)).is_none_or(|len| len > i64::MAX as u64) {
            return Err("high-water mark is beyond any file");
        }
        Ok(())
    }

    /// Bytes of the file that this state needs.
    pub(crate) fn file_len(&self) -> u64 {
        self.high_water * u64::from(self.page_size)
    }
}

/// The stamp of a meta page, when there is a good one.
pub(crate) fn stamp_of(page: &[u8]) -> Option<Stamp> {
    let good = page.len() >= STAMP_END
        && u32_at(page, STAMP_AT) == STAMP_MAGIC
        && u32_at(page, STAMP_AT + 4) == stamp_crc(page);
    good.then(|| Stamp { store_id: u64_at(page, STAMP_AT + 8), nonce: u64_at(page, STAMP_AT + 16) })
}

fn stamp_crc(page: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&page[..META_LEN]), &page[STAMP_AT + 8..STAMP_END])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Meta {
        Meta {
            page_size: 1024,
            flags: 0,
            root: 3,
            sequence: 9,
            freelist: NO_FREELIST,
            high_water: 7,
            txid: 5,
        }
    }

    #[test]
    fn comes_back_with_its_stamp() {
        let stamp = Stamp { store_id: 11, nonce: 22 };
        let page = sample().encode(1, Some(stamp));
        assert_eq!(Meta::decode(&page), Ok(sample()));
        assert_eq!(stamp_of(&page), Some(stamp));
        assert_eq!(stamp_of(&sample().encode(1, None)), None);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let page = sample().encode(1, Some(Stamp { store_id: 11, nonce: 22 }));
        for bit in 0..page.len() * 8 {
            let mut bad = page.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let at = bit / 8;
            assert_eq!(Meta::decode(&bad).is_err(), (16..META_LEN).contains(&at), "byte {at}");
            let stamped = at < META_LEN || (STAMP_AT..STAMP_END).contains(&at);
            assert_eq!(stamp_of(&bad).is_none(), stamped, "byte {at}");
        }
    }

    #[test]
    fn a_stamp_does_not_pass_for_another_meta() {
        let ours = sample().encode(1, Some(Stamp { store_id: 11, nonce: 22 }));
        let mut torn = Meta { txid: 7, ..sample() }.encode(1, None);
        torn[STAMP_AT..].copy_from_slice(&ours[STAMP_AT..]);
        assert!(Meta::decode(&torn).is_ok());
        assert_eq!(stamp_of(&torn), None);
    }

    #[test]
    fn refuses_numbers_out_of_bounds() {
        let bad = [
            Meta { page_size: 512, ..sample() },
            Meta { page_size: 3000, ..sample() },
            Meta { page_size: 1 << 17, ..sample() },
            Meta { root: 1, ..sample() },
            Meta { freelist: 7, ..sample() },
            Meta { high_water: 1 << 60, ..sample() },
        ];
        for meta in bad {
            let mut page = vec![0; 1024];
            let encoded = Meta { page_size: 1 << 17, ..meta.clone() }.encode(0, None);
            page[..META_LEN].copy_from_slice(&encoded[..META_LEN]);
            put_u32(&mut page, 24, meta.page_size);
            let checksum = fnv1a(&[&page[SUMMED]]);
            put_u64(&mut page, CHECKSUM_AT, checksum);
            assert!(Meta::decode(&page).is_err(), "{meta:?}");
        }
    }
}
