//! A tree page as it stands in the file: checked once when it is loaded, then read in place.

use std::{cmp::Ordering, ops::Range};

use bytes::Bytes;

use crate::{
    error::BoltError,
    format::{
        BRANCH_FLAG, BUCKET_ELEMENT_FLAG, BUCKET_HEADER_LEN, ELEMENT_LEN, FIRST_DATA_PAGE, LEAF_FLAG,
        PAGE_HEADER_LEN, PageHeader, PageId, Run, u32_at, u64_at,
    },
};

/// A branch or leaf with its overflow pages, in one buffer.
///
/// Invariant, checked by [`Page::parse`]: every element lies inside the buffer and behind the element array, keys
/// are not empty and strictly ascending, a branch has a child or more and all children lie inside the file.
#[derive(Debug)]
pub(crate) struct Page {
    id: PageId,
    leaf: bool,
    count: usize,
    bytes: Bytes,
    /// How many bytes all keys begin with in common.
    shared_len: usize,
    /// The eight bytes behind those, of each key, as a big-endian number (zeros behind a shorter key): a search
    /// looks at this short array first, instead of jumping about in the page.
    prefixes: Box<[u64]>,
}

/// What a leaf element holds.
pub(crate) struct LeafEntry<'a> {
    pub(crate) flags: u32,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl LeafEntry<'_> {
    pub(crate) fn is_bucket(&self) -> bool {
        self.flags & BUCKET_ELEMENT_FLAG != 0
    }
}

impl Page {
    /// Checks `bytes`, the whole of page `id`, against the rules of the format. `high_water` bounds the children.
    ///
    /// # Errors
    /// `Corrupt` with the broken rule.
    pub(crate) fn parse(id: PageId, bytes: Bytes, high_water: PageId) -> Result<Page, BoltError> {
        let corrupt = |what| BoltError::corrupt(id, what);
        if bytes.len() < PAGE_HEADER_LEN {
            return Err(corrupt("page is shorter than its header"));
        }
        let header = PageHeader::read(&bytes);
        if header.id != id {
            return Err(corrupt("page names another page in its header"));
        }
        let leaf = match header.flags {
            LEAF_FLAG => true,
            BRANCH_FLAG => false,
            _ => return Err(corrupt("page is neither branch nor leaf")),
        };
        let count = usize::from(header.count);
        if !leaf && count == 0 {
            return Err(corrupt("branch page has no children"));
        }
        if PAGE_HEADER_LEN + count * ELEMENT_LEN > bytes.len() {
            return Err(corrupt("elements reach beyond the page"));
        }
        let mut page = Page { id, leaf, count, bytes, shared_len: 0, prefixes: Box::default() };
        page.check_elements(high_water)?;
        page.index_keys();
        Ok(page)
    }

    /// A page that this process just encoded, so that the rules hold by construction.
    pub(crate) fn trusted(id: PageId, bytes: Bytes) -> Page {
        let header = PageHeader::read(&bytes);
        debug_assert_eq!(header.id, id);
        let (leaf, count) = (header.flags == LEAF_FLAG, usize::from(header.count));
        let mut page = Page { id, leaf, count, bytes, shared_len: 0, prefixes: Box::default() };
        page.index_keys();
        page
    }

    fn index_keys(&mut self) {
        let Some(last) = self.count.checked_sub(1) else { return };
        // Keys are in order, so what the first and the last share, all share.
        self.shared_len = self.key(0).iter().zip(self.key(last)).take_while(|(a, b)| a == b).count();
        self.prefixes = (0..self.count).map(|index| prefix(&self.key(index)[self.shared_len..])).collect();
    }

    /// The only page of an inline bucket, from the value of the bucket's entry on page `holder`.
    ///
    /// # Errors
    /// `Corrupt` as for [`Page::parse`]; an inline page is a leaf.
    pub(crate) fn parse_inline(holder: PageId, value: &Bytes) -> Result<Page, BoltError> {
        if value.len() < BUCKET_HEADER_LEN + PAGE_HEADER_LEN {
            return Err(BoltError::corrupt(holder, "inline bucket is cut off"));
        }
        let page = Page::parse(0, value.slice(BUCKET_HEADER_LEN..), 0)
            .map_err(|_| BoltError::corrupt(holder, "inline bucket breaks the rules of a leaf"))?;
        if !page.leaf {
            return Err(BoltError::corrupt(holder, "inline bucket is not a leaf"));
        }
        if (0..page.count).any(|index| page.leaf_entry(index).is_bucket()) {
            return Err(BoltError::corrupt(holder, "inline bucket holds a bucket"));
        }
        Ok(page)
    }

    fn check_elements(&self, high_water: PageId) -> Result<(), BoltError> {
        let corrupt = |what| BoltError::corrupt(self.id, what);
        let data_start = PAGE_HEADER_LEN + self.count * ELEMENT_LEN;
        let mut previous: Range<usize> = 0..0;
        for index in 0..self.count {
            let at = element_at(index);
            let (pos, key_len, value_len) = self.lengths(index);
            let start = at as u64 + u64::from(pos);
            let end = start + u64::from(key_len) + u64::from(value_len);
            if start < data_start as u64 || end > self.bytes.len() as u64 {
                return Err(corrupt("element lies outside its page"));
            }
            if key_len == 0 {
                return Err(corrupt("key is empty"));
            }
            // In bounds of the buffer, so it fits a usize.
            let key = start as usize..start as usize + key_len as usize;
            if index > 0 && self.bytes[previous] >= self.bytes[key.clone()] {
                return Err(corrupt("keys are not in ascending order"));
            }
            previous = key;
            if !self.leaf && !(FIRST_DATA_PAGE..high_water).contains(&self.child(index)) {
                return Err(corrupt("child page lies out of bounds"));
            }
            if self.leaf
                && self.flags(index) & BUCKET_ELEMENT_FLAG != 0
                && (value_len as usize) < BUCKET_HEADER_LEN
            {
                return Err(corrupt("bucket entry is cut off"));
            }
        }
        Ok(())
    }

    pub(crate) fn id(&self) -> PageId {
        self.id
    }

    pub(crate) fn is_leaf(&self) -> bool {
        self.leaf
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The whole buffer, overflow pages included.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where it lies in the file.
    pub(crate) fn run(&self, page_size: usize) -> Run {
        Run { start: self.id, len: (self.bytes.len() / page_size) as u64 }
    }

    /// Bytes in use, from the page's start; what lies behind is padding.
    pub(crate) fn used_len(&self) -> usize {
        match self.count.checked_sub(1) {
            None => PAGE_HEADER_LEN,
            Some(last) if self.leaf => self.value_range(last).end,
            Some(last) => self.key_range(last).end,
        }
    }

    /// `pos`, key length and value length (0 on a branch) of element `index`.
    fn lengths(&self, index: usize) -> (u32, u32, u32) {
        let at = element_at(index);
        if self.leaf {
            (u32_at(&self.bytes, at + 4), u32_at(&self.bytes, at + 8), u32_at(&self.bytes, at + 12))
        } else {
            (u32_at(&self.bytes, at), u32_at(&self.bytes, at + 4), 0)
        }
    }

    fn key_range(&self, index: usize) -> Range<usize> {
        let (pos, key_len, _) = self.lengths(index);
        let start = element_at(index) + pos as usize;
        start..start + key_len as usize
    }

    fn value_range(&self, index: usize) -> Range<usize> {
        let (pos, key_len, value_len) = self.lengths(index);
        let start = element_at(index) + pos as usize + key_len as usize;
        start..start + value_len as usize
    }

    /// Flags of a leaf element.
    pub(crate) fn flags(&self, index: usize) -> u32 {
        debug_assert!(self.leaf);
        u32_at(&self.bytes, element_at(index))
    }

    pub(crate) fn key(&self, index: usize) -> &[u8] {
        &self.bytes[self.key_range(index)]
    }

    /// A slice that keeps the page's buffer alive.
    pub(crate) fn key_bytes(&self, index: usize) -> Bytes {
        self.bytes.slice(self.key_range(index))
    }

    /// A slice that keeps the page's buffer alive.
    pub(crate) fn value_bytes(&self, index: usize) -> Bytes {
        self.bytes.slice(self.value_range(index))
    }

    pub(crate) fn leaf_entry(&self, index: usize) -> LeafEntry<'_> {
        LeafEntry {
            flags: self.flags(index),
            key: self.key(index),
            value: &self.bytes[self.value_range(index)],
        }
    }

    /// Child page of a branch element.
    pub(crate) fn child(&self, index: usize) -> PageId {
        debug_assert!(!self.leaf);
        u64_at(&self.bytes, element_at(index) + 8)
    }

    /// Where `key` stands, or would be inserted.
    pub(crate) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        if self.count == 0 {
            return Err(0);
        }
        let shared = &self.key(0)[..self.shared_len];
        match key[..key.len().min(self.shared_len)].cmp(shared) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.count),
            Ordering::Equal => {}
        }
        let wanted = prefix(&key[self.shared_len..]);
        let mut low = self.prefixes.partition_point(|prefix| *prefix < wanted);
        let mut high = low + self.prefixes[low..].partition_point(|prefix| *prefix == wanted);
        while low < high {
            let middle = low.midpoint(high);
            match self.key(middle).cmp(key) {
                Ordering::Equal => return Ok(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// The child under which `key` belongs.
    pub(crate) fn child_index(&self, key: &[u8]) -> usize {
        match self.search(key) {
            Ok(index) => index,
            Err(index) => index.saturating_sub(1),
        }
    }
}

/// The first eight bytes as a number that sorts as they do.
fn prefix(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => {
            key.iter().enumerate().fold(0, |prefix, (at, byte)| prefix | u64::from(*byte) << (56 - at * 8))
        }
    }
}

fn element_at(index: usize) -> usize {
    PAGE_HEADER_LEN + index * ELEMENT_LEN
}

/// The fewest and most pages that the element array in `head`, the first page of a run, allows; `None` when the
/// array is not wholly in it. Keeps a damaged overflow count from asking for much memory.
pub(crate) fn plausible_pages(head: &[u8], page_size: usize) -> Option<u64> {
    let header = PageHeader::read(head);
    let last = element_at(usize::from(header.count).checked_sub(1)?);
    if last + ELEMENT_LEN > head.len() {
        return None;
    }
    let sizes: u64 = match header.flags {
        LEAF_FLAG => [4, 8, 12].iter().map(|at| u64::from(u32_at(head, last + at))).sum(),
        BRANCH_FLAG => [0, 4].iter().map(|at| u64::from(u32_at(head, last + at))).sum(),
        _ => return None,
    };
    Some((last as u64 + sizes).div_ceil(page_size as u64))
}
