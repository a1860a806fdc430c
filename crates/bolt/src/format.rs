//! Numbers and offsets of the bbolt file format (docs/format/bolt.md; upstream: internal/common).
//!
//! bbolt writes integers in the machine's byte order; all machines that we and etcd run on are little-endian,
//! and so is this.

/// A page's number: its byte offset divided by the page size.
pub(crate) type PageId = u64;
/// The number of a commit; each one is higher by one.
pub(crate) type Txid = u64;

pub(crate) const MAGIC: u32 = 0xED0C_DAED;
pub(crate) const VERSION: u32 = 2;

/// `id u64, flags u16, count u16, overflow u32`.
pub(crate) const PAGE_HEADER_LEN: usize = 16;
/// Leaf: `flags u32, pos u32, key_len u32, value_len u32`. Branch: `pos u32, key_len u32, page u64`.
pub(crate) const ELEMENT_LEN: usize = 16;
/// `root page u64, sequence u64`: the value of a bucket's entry, followed by its only page when inline.
pub(crate) const BUCKET_HEADER_LEN: usize = 16;

pub(crate) const BRANCH_FLAG: u16 = 0x01;
pub(crate) const LEAF_FLAG: u16 = 0x02;
pub(crate) const META_FLAG: u16 = 0x04;
pub(crate) const FREELIST_FLAG: u16 = 0x10;

/// On a leaf element: the value is a bucket, not data.
pub(crate) const BUCKET_ELEMENT_FLAG: u32 = 0x01;

/// In the meta page: no freelist was written, walk the tree instead.
pub(crate) const NO_FREELIST: PageId = u64::MAX;

/// Pages 0 and 1 are the meta pages.
pub(crate) const FIRST_DATA_PAGE: PageId = 2;

pub(crate) const PAGE_SIZE_MIN: usize = 1 << 10;
pub(crate) const PAGE_SIZE_MAX: usize = 1 << 16;

/// bbolt's `MaxKeySize`, in bytes.
pub(crate) const KEY_LEN_MAX: usize = 32768;
/// bbolt's `MaxValueSize`, in bytes.
pub(crate) const VALUE_LEN_MAX: usize = (1 << 31) - 2;

/// Deeper than any tree of 2^64 pages with two or more children a page that a sane writer makes; a loop of page
/// references ends here.
pub(crate) const TREE_DEPTH_MAX: usize = 64;

/// A bucket whose only leaf has at most this many bytes is written inline (bbolt: a quarter of a page).
pub(crate) fn inline_len_max(page_size: usize) -> usize {
    page_size / 4
}

/// Pages needed for `len` bytes; at least one.
pub(crate) fn pages_for(len: usize, page_size: usize) -> u64 {
    (len.max(1)).div_ceil(page_size) as u64
}

pub(crate) fn u16_at(buf: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(buf[at..at + 2].try_into().expect("two bytes were sliced"))
}

pub(crate) fn u32_at(buf: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(buf[at..at + 4].try_into().expect("four bytes were sliced"))
}

pub(crate) fn u64_at(buf: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(buf[at..at + 8].try_into().expect("eight bytes were sliced"))
}

pub(crate) fn put_u16(buf: &mut [u8], at: usize, value: u16) {
    buf[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_u32(buf: &mut [u8], at: usize, value: u32) {
    buf[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_u64(buf: &mut [u8], at: usize, value: u64) {
    buf[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// The first 16 bytes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageHeader {
    pub(crate) id: PageId,
    pub(crate) flags: u16,
    pub(crate) count: u16,
    /// How many pages follow that belong to this one.
    pub(crate) overflow: u32,
}

impl PageHeader {
    /// `buf` has at least [`PAGE_HEADER_LEN`] bytes.
    pub(crate) fn read(buf: &[u8]) -> PageHeader {
        PageHeader {
            id: u64_at(buf, 0),
            flags: u16_at(buf, 8),
            count: u16_at(buf, 10),
            overflow: u32_at(buf, 12),
        }
    }

    pub(crate) fn write(self, buf: &mut [u8]) {
        put_u64(buf, 0, self.id);
        put_u16(buf, 8, self.flags);
        put_u16(buf, 10, self.count);
        put_u32(buf, 12, self.overflow);
    }
}

/// Neighbouring pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    /// The first page.
    pub(crate) start: PageId,
    /// How many; not 0.
    pub(crate) len: u64,
}

impl Run {
    /// One past the last page. The numbers may be a damaged page's: a run that has no end lies beyond any file.
    pub(crate) fn end(self) -> PageId {
        self.start.saturating_add(self.len)
    }
}

/// FNV-1a, 64 bits: the checksum of meta pages, and a cheap deterministic mixer.
pub(crate) fn fnv1a(parts: &[&[u8]]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    parts
        .iter()
        .flat_map(|part| part.iter())
        .fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_known_answers() {
        assert_eq!(fnv1a(&[b""]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(&[b"a"]), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(&[b"foo", b"bar"]), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_run_without_an_end_lies_beyond_any_file() {
        assert_eq!(Run { start: 7, len: 2 }.end(), 9);
        assert_eq!(Run { start: PageId::MAX, len: 1 }.end(), PageId::MAX);
    }

    #[test]
    fn header_comes_back() {
        let header = PageHeader { id: 0x0102_0304_0506_0708, flags: LEAF_FLAG, count: 515, overflow: 77 };
        let mut buf = [0; PAGE_HEADER_LEN];
        header.write(&mut buf);
        assert_eq!(buf[..2], [8, 7]);
        assert_eq!(PageHeader::read(&buf), header);
    }
}
