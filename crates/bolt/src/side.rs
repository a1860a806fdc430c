//! The side file `db.sums`: page checksums made durable, and the number of the commit being written.
//!
//! Blocks of 4 KiB, each in two slots that are written in turn, so that a commit which is cut off never harms what
//! the last one left: block `i` slot `s` stands at `(2 i + s) * 4096`. Block 0 is the header; block `b + 1` holds
//! the checksums of pages `1016 b ..`. Every slot carries its own crc, the store id and the txid of the commit that
//! wrote it. A slot of a higher txid than the state that was opened belongs to a commit that never became durable
//! and is overwritten by the next commit; when either slot of a block is unreadable the block is unknown, because
//! the unreadable one may have been the newer. docs/format/bolt.md has the layout byte by byte.

use std::{path::Path, sync::Arc};

use vfs::{Disk, File, OpenMode};

use crate::{
    error::BoltError,
    format::{PageId, Txid, fnv1a, put_u32, put_u64, u32_at, u64_at},
    meta::{Meta, Stamp},
    sums::{PAGES_PER_BLOCK, SumTable, block_count, place},
};

/// Name of the file in the side directory.
pub const FILE_NAME: &str = "db.sums";

const BLOCK_LEN: usize = 4096;
const BLOCK_HEAD_LEN: usize = 32;
const BLOCK_MAGIC: u32 = 0x4D53_424C;
const HEADER_INDEX: u64 = 0;

const _: () = assert!(BLOCK_HEAD_LEN + PAGES_PER_BLOCK * 4 == BLOCK_LEN);

/// Set when every leaf is at the same depth of its bucket and no bucket is nested: then the free pages can be found
/// without reading leaves.
const FLAG_PLAIN: u32 = 1;

/// A commit's number and content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommitId {
    pub(crate) txid: Txid,
    pub(crate) nonce: u64,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    /// The last commit that was durable when `writing` began.
    previous: CommitId,
    /// The commit whose pages may have been partly written.
    writing: CommitId,
    plain: bool,
}

#[derive(Clone, Copy, Debug)]
struct BlockState {
    /// The slot to write next; the other one holds what is current.
    next_slot: u64,
    /// The entries changed, or a slot must be overwritten.
    dirty: bool,
    /// Neither slot holds anything useful: write both.
    both: bool,
}

impl BlockState {
    const NEW: BlockState = BlockState { next_slot: 0, dirty: true, both: true };
}

/// The writer's handle on the side file. Lives in the [`Db`](crate::Db).
pub(crate) struct SideFile {
    file: Arc<dyn File>,
    store_id: u64,
    /// The state that the db file is in, as the next header will name it.
    current: CommitId,
    plain: bool,
    blocks: Vec<BlockState>,
}

/// What the side file can say about a db file.
pub(crate) enum Found {
    /// It belongs to this state; the table is filled. `plain` as in [`FLAG_PLAIN`].
    Ours { plain: bool },
    /// Absent, foreign or unreadable: nothing is known, walk the tree.
    Nothing,
}

impl SideFile {
    /// Whether `dir/db.sums` is there.
    pub(crate) fn exists(disk: &dyn Disk, dir: Option<&Path>) -> Result<bool, BoltError> {
        let exists = dir.map_or(Ok(false), |dir| disk.exists(&dir.join(FILE_NAME)));
        exists.map_err(BoltError::io("looking for the side file"))
    }

    /// Opens or creates `dir/db.sums`; `read_only` creates nothing and may find no file.
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        read_only: bool,
    ) -> Result<Option<Arc<dyn File>>, BoltError> {
        let path = dir.join(FILE_NAME);
        let exists = SideFile::exists(disk, Some(dir))?;
        if read_only {
            let file = exists.then(|| disk.open(&path, OpenMode::Read)).transpose();
            return file.map_err(BoltError::io("opening the side file"));
        }
        disk.create_dir_all(dir).map_err(BoltError::io("creating the side directory"))?;
        let file = disk.open(&path, OpenMode::Create).map_err(BoltError::io("opening the side file"))?;
        if !exists {
            disk.sync_dir(dir).map_err(BoltError::io("syncing the side directory"))?;
            if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
                disk.sync_dir(parent).map_err(BoltError::io("syncing the parent of the side directory"))?;
            }
        }
        Ok(Some(file))
    }

    /// Reads what the side file knows about the state `meta` with its `stamp`, into `table`.
    ///
    /// # Errors
    /// `Damaged` when the side file proves that the db file was newer once: pages of `meta` may have been
    /// overwritten since. `Io` when it cannot be read.
    pub(crate) fn load(
        file: Arc<dyn File>,
        meta: &Meta,
        stamp: Option<Stamp>,
        seed: u64,
        table: &SumTable,
    ) -> Result<(SideFile, Found), BoltError> {
        let blocks = vec![BlockState::NEW; block_count(meta.high_water)];
        let nonce = stamp.map_or(0, |s| s.nonce);
        let current = CommitId { txid: meta.txid, nonce };
        let mut side = SideFile { file, store_id: 0, current, plain: false, blocks };
        let newest = match stamp {
            Some(stamp) => side.newest_header(stamp.store_id)?,
            None => None,
        };
        let (Some(stamp), Some(header)) = (stamp, newest) else {
            side.store_id = side.fresh_store_id(meta, seed)?;
            return Ok((side, Found::Nothing));
        };
        if current == header.previous || current == header.writing {
            side.store_id = stamp.store_id;
            side.plain = header.plain;
            side.load_blocks(table)?;
            return Ok((side, Found::Ours { plain: header.plain }));
        }
        if meta.txid < header.previous.txid {
            return Err(BoltError::Damaged {
                page: meta.txid % 2,
                what: "the newest meta page is older than a state that was made durable",
            });
        }
        side.store_id = side.fresh_store_id(meta, seed)?;
        Ok((side, Found::Nothing))
    }

    /// A store id that no slot in the file has: it depends on the headers that are there now, so that blocks left
    /// by an earlier life of the same db are foreign from here on.
    fn fresh_store_id(&self, meta: &Meta, seed: u64) -> Result<u64, BoltError> {
        let parts = [seed, meta.txid, meta.root, meta.high_water, self.current.nonce];
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_le_bytes()).collect();
        let mut old_headers = vec![0; 2 * BLOCK_LEN];
        let mut filled = 0;
        while filled < old_headers.len() {
            match self.file.read_at(&mut old_headers[filled..], filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) => return Err(BoltError::io("reading the side file")(e)),
            }
        }
        Ok(fnv1a(&[&bytes, &old_headers[..filled]]))
    }

    fn newest_header(&self, store_id: u64) -> Result<Option<Header>, BoltError> {
        let mut newest: Option<Header> = None;
        for slot in 0..2 {
            let Some(block) = self.read_slot(HEADER_INDEX, slot, store_id)? else { continue };
            let header = decode_header(&block);
            if newest.is_none_or(|n| n.writing.txid < header.writing.txid) {
                newest = Some(header);
            }
        }
        Ok(newest)
    }

    fn load_blocks(&mut self, table: &SumTable) -> Result<(), BoltError> {
        for block in 0..self.blocks.len() {
            let index = block as u64 + 1;
            let slots = [self.read_slot(index, 0, self.store_id)?, self.read_slot(index, 1, self.store_id)?];
            let [Some(a), Some(b)] = slots else { continue };
            let ours = |slot: &[u8]| Some(u64_at(slot, 16)).filter(|txid| *txid <= self.current.txid);
            let (live, next_slot) = match (ours(&a), ours(&b)) {
                (Some(of_a), Some(of_b)) if of_a < of_b => (&b, 0),
                (Some(_), Some(_)) => (&a, 1),
                (Some(_), None) => (&a, 1),
                (None, Some(_)) => (&b, 0),
                (None, None) => continue,
            };
            let dead_slot = ours(&a).is_none() || ours(&b).is_none();
            table.fill_block(block, |entry| u32_at(live, BLOCK_HEAD_LEN + entry * 4));
            self.blocks[block] = BlockState { next_slot, dirty: dead_slot, both: false };
        }
        Ok(())
    }

    /// One slot, when it is whole and of this store.
    fn read_slot(&self, index: u64, slot: u64, store_id: u64) -> Result<Option<Vec<u8>>, BoltError> {
        let mut block = vec![0; BLOCK_LEN];
        match self.file.read_exact_at(&mut block, slot_offset(index, slot)) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(BoltError::io("reading the side file")(e)),
        }
        let good = u32_at(&block, 0) == crc32c::crc32c(&block[4..])
            && u32_at(&block, 4) == BLOCK_MAGIC
            && u64_at(&block, 8) == store_id
            && u64_at(&block, 24) == index;
        Ok(good.then_some(block))
    }

    /// Whether the free pages can be found without reading leaves; see [`FLAG_PLAIN`].
    pub(crate) fn set_plain(&mut self, plain: bool) {
        self.plain = plain;
    }

    /// What the meta page of commit `nonce` must carry.
    pub(crate) fn stamp(&self, nonce: u64) -> Stamp {
        Stamp { store_id: self.store_id, nonce }
    }

    /// A number that is the same only for the same content on top of the same history.
    pub(crate) fn nonce(&self, next: &Meta, sums: impl Iterator<Item = (PageId, u32)>) -> u64 {
        let head = [self.store_id, self.current.nonce, next.txid, next.root, next.high_water];
        let mut bytes: Vec<u8> = head.iter().flat_map(|part| part.to_le_bytes()).collect();
        for (page, sum) in sums {
            bytes.extend_from_slice(&page.to_le_bytes());
            bytes.extend_from_slice(&sum.to_le_bytes());
        }
        let crc = u64::from(crc32c::crc32c(&bytes));
        fnv1a(&[&bytes[..head.len() * 8], &crc.to_le_bytes()])
    }

    /// Notes that the checksums of pages `start .. start + len` changed in the table.
    pub(crate) fn touch(&mut self, start: PageId, len: u64) {
        let (first, last) = (place(start).0, place(start + len - 1).0);
        if self.blocks.len() <= last {
            self.blocks.resize(last + 1, BlockState::NEW);
        }
        self.blocks[first..=last].iter_mut().for_each(|block| block.dirty = true);
    }

    /// Makes the changed blocks and the intention to write `next` durable. After this, and not before, pages of
    /// the db may be written.
    pub(crate) fn begin(&mut self, next: CommitId, table: &SumTable) -> Result<(), BoltError> {
        for block in 0..self.blocks.len() {
            let state = self.blocks[block];
            if !state.dirty {
                continue;
            }
            let mut buf = vec![0; BLOCK_LEN];
            table.for_block(block, |entry, sum| put_u32(&mut buf, BLOCK_HEAD_LEN + entry * 4, sum));
            let index = block as u64 + 1;
            self.write_slot(&mut buf, index, state.next_slot, next.txid)?;
            if state.both {
                self.write_slot(&mut buf, index, 1 - state.next_slot, next.txid)?;
            }
            self.blocks[block] = BlockState { next_slot: 1 - state.next_slot, dirty: false, both: false };
        }
        let header = Header { previous: self.current, writing: next, plain: self.plain };
        self.write_slot(&mut encode_header(header), HEADER_INDEX, next.txid % 2, next.txid)?;
        self.file.sync_data().map_err(BoltError::io("syncing the side file"))
    }

    /// The commit that was begun is durable.
    pub(crate) fn finish(&mut self, committed: CommitId) {
        self.current = committed;
    }

    fn write_slot(&self, buf: &mut [u8], index: u64, slot: u64, txid: Txid) -> Result<(), BoltError> {
        put_u32(buf, 4, BLOCK_MAGIC);
        put_u64(buf, 8, self.store_id);
        put_u64(buf, 16, txid);
        put_u64(buf, 24, index);
        let crc = crc32c::crc32c(&buf[4..]);
        put_u32(buf, 0, crc);
        self.file.write_all_at(buf, slot_offset(index, slot)).map_err(BoltError::io("writing the side file"))
    }
}

fn slot_offset(index: u64, slot: u64) -> u64 {
    (2 * index + slot) * BLOCK_LEN as u64
}

fn encode_header(header: Header) -> Vec<u8> {
    let mut buf = vec![0; BLOCK_LEN];
    put_u64(&mut buf, 32, header.previous.txid);
    put_u64(&mut buf, 40, header.previous.nonce);
    put_u64(&mut buf, 48, header.writing.txid);
    put_u64(&mut buf, 56, header.writing.nonce);
    put_u32(&mut buf, 64, if header.plain { FLAG_PLAIN } else { 0 });
    buf
}

fn decode_header(block: &[u8]) -> Header {
    Header {
        previous: CommitId { txid: u64_at(block, 32), nonce: u64_at(block, 40) },
        writing: CommitId { txid: u64_at(block, 48), nonce: u64_at(block, 56) },
        plain: u32_at(block, 64) & FLAG_PLAIN != 0,
    }
}
