//! Single pages of a file, as they stand there: for looking at files, damaged ones too. Nothing is locked, and nothing
//! is taken for granted.

use std::{path::Path, sync::Arc};

use vfs::{Disk, File, OpenMode};

use crate::{
    error::BoltError,
    format::{
        BRANCH_FLAG, BUCKET_ELEMENT_FLAG, ELEMENT_LEN, FREELIST_FLAG, LEAF_FLAG, MAGIC, META_FLAG,
        PAGE_HEADER_LEN, PAGE_SIZE_MAX, PAGE_SIZE_MIN, PageHeader, PageId, u32_at, u64_at,
    },
    meta::META_LEN,
};

/// As the count of a freelist page: the count proper is its first element.
const FREELIST_COUNT_FOLLOWS: u16 = 0xFFFF;

/// What a page says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// A branch.
    Branch,
    /// A leaf.
    Leaf,
    /// A meta page.
    Meta,
    /// The list of free pages that bbolt may keep.
    Freelist,
    /// Flags that no page has.
    Unknown(u16),
}

/// The fields of a meta page, checked in no way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaFields {
    /// Version of the format: 2.
    pub version: u32,
    /// Bytes of a page.
    pub page_size: u32,
    /// Unused.
    pub flags: u32,
    /// Root page of the bucket of buckets.
    pub root: PageId,
    /// First page of the freelist, or all ones.
    pub freelist: PageId,
    /// One past the highest page in use.
    pub high_water: PageId,
    /// Number of the commit.
    pub txid: u64,
    /// FNV-1a of the fields before.
    pub checksum: u64,
}

/// An element of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafItem<'a> {
    /// The value is a bucket: its root page, its sequence, and its only page when it is inline.
    pub is_bucket: bool,
    /// Key, or name of the bucket.
    pub key: &'a [u8],
    /// Value.
    pub value: &'a [u8],
}

/// An element of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchItem<'a> {
    /// The first key below it.
    pub key: &'a [u8],
    /// The page below.
    pub child: PageId,
}

/// A file, page by page.
pub struct Pages {
    file: Arc<dyn File>,
    page_size: u64,
    high_water: PageId,
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages").field("page_size", &self.page_size).finish_non_exhaustive()
    }
}

/// A page with its overflow pages.
#[derive(Debug)]
pub struct RawPage {
    header: PageHeader,
    bytes: Vec<u8>,
}

impl Pages {
    /// Opens the file; page size and length are those of its first meta page, as bbolt's tools take them.
    ///
    /// # Errors
    /// `Io`; `Invalid` when it does not begin with a meta page.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Pages, BoltError> {
        let file = disk.open(path, OpenMode::Read).map_err(BoltError::io("opening the database"))?;
        let mut head = [0; META_LEN];
        file.read_exact_at(&mut head, 0).map_err(BoltError::io("reading the first meta page"))?;
        let meta = meta_fields(&head);
        let page_size = meta.page_size as usize;
        if u32_at(&head, 16) != MAGIC {
            return Err(BoltError::Invalid { what: "the Meta Page has wrong (unexpected) magic" });
        }
        if !page_size.is_power_of_two() || !(PAGE_SIZE_MIN..=PAGE_SIZE_MAX).contains(&page_size) {
            return Err(BoltError::Invalid { what: "page size is no power of two from 1 KiB to 64 KiB" });
        }
        Ok(Pages { file, page_size: u64::from(meta.page_size), high_water: meta.high_water })
    }

    /// Bytes of a page.
    pub fn page_size(&self) -> u64 {
        self.page_size
    }

    /// One past the highest page in use.
    pub fn page_count(&self) -> u64 {
        self.high_water
    }

    /// The bytes of one page, without those that follow; `None` beyond the end of the file.
    ///
    /// # Errors
    /// `Io`.
    pub fn bytes(&self, id: PageId) -> Result<Option<Vec<u8>>, BoltError> {
        self.read(id, 1)
    }

    /// A page with its overflow pages; `None` beyond the end of the file.
    ///
    /// # Errors
    /// `Io`; `Corrupt` when it names another page, or has more overflow pages than the file has pages.
    pub fn page(&self, id: PageId) -> Result<Option<RawPage>, BoltError> {
        let Some(bytes) = self.read(id, 1)? else { return Ok(None) };
        let header = PageHeader::read(&bytes);
        if header.id != id {
            return Err(BoltError::corrupt(id, "page names another page in its header"));
        }
        if header.overflow == 0 {
            return Ok(Some(RawPage { header, bytes }));
        }
        let pages = u64::from(header.overflow) + 1;
        let len = self.file.len().map_err(BoltError::io("looking at the length of the database"))?;
        // Before memory is taken for them.
        if pages > len / self.page_size {
            return Err(BoltError::corrupt(id, "page has more overflow pages than the file has pages"));
        }
        Ok(self.read(id, pages)?.map(|bytes| RawPage { header, bytes }))
    }

    fn read(&self, id: PageId, pages: u64) -> Result<Option<Vec<u8>>, BoltError> {
        let Some(offset) = id.checked_mul(self.page_size).filter(|at| *at <= i64::MAX as u64) else {
            return Ok(None);
        };
        // At most the length of the file, which fits.
        let mut bytes = vec![0; (pages * self.page_size) as usize];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(BoltError::io("reading the database")(e)),
        }
    }
}

impl RawPage {
    /// Its number.
    pub fn id(&self) -> PageId {
        self.header.id
    }

    /// What it says it is.
    pub fn kind(&self) -> PageKind {
        match self.header.flags {
            BRANCH_FLAG => PageKind::Branch,
            LEAF_FLAG => PageKind::Leaf,
            META_FLAG => PageKind::Meta,
            FREELIST_FLAG => PageKind::Freelist,
            flags => PageKind::Unknown(flags),
        }
    }

    /// Number of elements, as its header has it.
    pub fn count(&self) -> u16 {
        self.header.count
    }

    /// How many pages follow that belong to it.
    pub fn overflow(&self) -> u32 {
        self.header.overflow
    }

    /// All its bytes.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// As a meta page.
    pub fn meta(&self) -> MetaFields {
        meta_fields(&self.bytes)
    }

    /// Element `index` as a leaf's.
    ///
    /// # Errors
    /// `Corrupt` when it lies outside the page.
    pub fn leaf_item(&self, index: u16) -> Result<LeafItem<'_>, BoltError> {
        let at = self.element_at(index)?;
        let [pos, key_len, value_len] = [4, 8, 12].map(|field| u64::from(u32_at(&self.bytes, at + field)));
        let key = self.slice(at as u64 + pos, key_len)?;
        let value = self.slice(at as u64 + pos + key_len, value_len)?;
        Ok(LeafItem { is_bucket: u32_at(&self.bytes, at) & BUCKET_ELEMENT_FLAG != 0, key, value })
    }

    /// Element `index` as a branch's.
    ///
    /// # Errors
    /// `Corrupt` when it lies outside the page.
    pub fn branch_item(&self, index: u16) -> Result<BranchItem<'_>, BoltError> {
        let at = self.element_at(index)?;
        let [pos, key_len] = [0, 4].map(|field| u64::from(u32_at(&self.bytes, at + field)));
        Ok(BranchItem { key: self.slice(at as u64 + pos, key_len)?, child: u64_at(&self.bytes, at + 8) })
    }

    /// The page numbers on it, as a freelist.
    ///
    /// # Errors
    /// `Corrupt` when they reach beyond the page.
    pub fn free_ids(&self) -> Result<Vec<PageId>, BoltError> {
        let numbers = self.bytes[PAGE_HEADER_LEN..].chunks_exact(8).map(|bytes| u64_at(bytes, 0));
        let (skip, count) = match self.header.count {
            FREELIST_COUNT_FOLLOWS => (1, numbers.clone().next().unwrap_or(0)),
            count => (0, u64::from(count)),
        };
        if count > (self.bytes.len() / 8) as u64 {
            return Err(BoltError::corrupt(self.header.id, "freelist reaches beyond its pages"));
        }
        let ids: Vec<PageId> = numbers.skip(skip).take(count as usize).collect();
        match ids.len() as u64 == count {
            true => Ok(ids),
            false => Err(BoltError::corrupt(self.header.id, "freelist reaches beyond its pages")),
        }
    }

    fn element_at(&self, index: u16) -> Result<usize, BoltError> {
        let at = PAGE_HEADER_LEN + usize::from(index) * ELEMENT_LEN;
        match at + ELEMENT_LEN <= self.bytes.len() {
            true => Ok(at),
            false => Err(BoltError::corrupt(self.header.id, "elements reach beyond the page")),
        }
    }

    fn slice(&self, start: u64, len: u64) -> Result<&[u8], BoltError> {
        // Sums of 32-bit numbers: no overflow.
        match start + len <= self.bytes.len() as u64 {
            true => Ok(&self.bytes[start as usize..(start + len) as usize]),
            false => Err(BoltError::corrupt(self.header.id, "element lies outside its page")),
        }
    }
}

/// `page` has at least [`META_LEN`] bytes.
fn meta_fields(page: &[u8]) -> MetaFields {
    MetaFields {
        version: u32_at(page, 20),
        page_size: u32_at(page, 24),
        flags: u32_at(page, 28),
        root: u64_at(page, 32),
        freelist: u64_at(page, 48),
        high_water: u64_at(page, 56),
        txid: u64_at(page, 64),
        checksum: u64_at(page, 72),
    }
}
