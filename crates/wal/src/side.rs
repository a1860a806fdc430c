//! The side file: an independent witness of every synced record (docs/format/wal.md, "Side file").
//!
//! etcd's checksums chain over the data of records only, and a zero length word means "end": without a second
//! witness, a lost tail cannot be told from one that never was. So a file per segment in `member/mainstay/wal/`
//! names each record: where, how long, which index and term, and a checksum of the whole frame.
//!
//! A row is written only after the sync of its record returned. So a row that survives a power loss names a
//! record that survives too, and one that names a missing record proves damage. The reverse proves nothing:
//! rows may be missing, and losing all of them loses protection, never data.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use vfs::{Disk, File, OpenMode};

use crate::{
    error::LostRecord,
    frame::RecordKind,
    limits::{SIDE_BLOCK_ROWS_MAX, SIDE_FILE_BYTES_MAX},
    name::SegmentName,
};

/// First bytes of a block; the last is the version of the format.
const MAGIC: [u8; 8] = *b"mstwal\0\x01";
/// Bytes of a block's head, and of a row: blocks are found again on multiples of this after a bad one.
const UNIT: usize = 32;
/// Suffix of side files.
const SUFFIX: &str = ".rows";

/// Names one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Where its frame starts in the segment, in bytes; below 2^56.
    pub(crate) offset: u64,
    pub(crate) kind: RecordKind,
    /// Length of the frame, in bytes.
    pub(crate) length: u32,
    /// CRC32C of the frame.
    pub(crate) crc: u32,
    pub(crate) index: u64,
    pub(crate) term: u64,
}

impl Row {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&((self.kind as u64) << 56 | self.offset).to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.term.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Row> {
        let first = u64_at(bytes, 0)?;
        Some(Row {
            offset: first & (u64::MAX >> 8),
            kind: RecordKind::from_number((first >> 56) as u8)?,
            length: u32_at(bytes, 8)?,
            crc: u32_at(bytes, 12)?,
            index: u64_at(bytes, 16)?,
            term: u64_at(bytes, 24)?,
        })
    }

    pub(crate) fn lost(&self, sequence: u64) -> LostRecord {
        LostRecord {
            sequence,
            offset: self.offset,
            length: self.length,
            kind: self.kind as u8,
            index: self.index,
            term: self.term,
            crc: self.crc,
        }
    }
}

/// Ties a side file to the log it was written for, so that one left over from another log is not believed: a
/// checksum of the segment's name, the member's metadata record, and the checksum that its first record carries.
pub(crate) fn binding(name: SegmentName, metadata: &[u8], head_crc: u32) -> u32 {
    let mut crc = crc32c::crc32c(name.file_name().as_bytes());
    crc = crc32c::crc32c_append(crc, metadata);
    crc32c::crc32c_append(crc, &head_crc.to_le_bytes())
}

/// What a side file says about its segment.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// By offset, ascending, one per offset.
    pub(crate) rows: Vec<Row>,
    /// Bytes that belong to no readable block: unknown, not damage.
    pub(crate) unreadable: u64,
    /// Whether there are blocks that were written for another log.
    pub(crate) foreign: bool,
}

/// Where the side file of a segment is.
pub(crate) fn path(dir: &Path, name: SegmentName) -> PathBuf {
    dir.join(name.file_name() + SUFFIX)
}

/// Reads a side file; an absent one has no rows.
pub(crate) fn load(disk: &dyn Disk, dir: &Path, name: SegmentName, binding: u32) -> io::Result<Rows> {
    let file = match disk.open(&path(dir, name), OpenMode::Read) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Rows::default()),
        opened => opened?,
    };
    let len = file.len()?;
    if len > SIDE_FILE_BYTES_MAX {
        return Ok(Rows { unreadable: len, ..Rows::default() });
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(parse(&bytes, name, binding))
}

fn parse(bytes: &[u8], name: SegmentName, wanted: u32) -> Rows {
    let mut found = Rows::default();
    let mut at = 0;
    while at < bytes.len() {
        match Block::parse(&bytes[at..], name) {
            Some(block) => {
                if block.binding == wanted {
                    found.rows.extend(block.rows.chunks_exact(UNIT).filter_map(Row::decode));
                } else {
                    found.foreign = true;
                }
                at += UNIT + block.rows.len();
            }
            None => {
                let step = UNIT.min(bytes.len() - at);
                found.unreadable += step as u64;
                at += step;
            }
        }
    }
    // A record that was read before its row became durable is named again: the later row counts.
    found.rows.reverse();
    found.rows.sort_by_key(|row| row.offset);
    found.rows.dedup_by_key(|row| row.offset);
    found
}

struct Block<'a> {
    binding: u32,
    rows: &'a [u8],
}

impl<'a> Block<'a> {
    /// Reads the block at the start of `bytes`, if there is a sound one of this segment.
    fn parse(bytes: &'a [u8], name: SegmentName) -> Option<Block<'a>> {
        let head = bytes.get(..UNIT)?;
        if head[..8] != MAGIC || u64_at(head, 8)? != name.sequence {
            return None;
        }
        let count = u32_at(head, 20)? as usize;
        if !(1..=SIDE_BLOCK_ROWS_MAX).contains(&count) {
            return None;
        }
        let rows = bytes.get(UNIT..UNIT + count * UNIT)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..28]), rows);
        (u32_at(head, 28)? == crc).then_some(Block { binding: u32_at(head, 16)?, rows })
    }
}

fn append_block(out: &mut Vec<u8>, sequence: u64, binding: u32, rows: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&binding.to_le_bytes());
    out.extend_from_slice(&((rows.len() / UNIT) as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start..]), rows);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(rows);
}

/// Appends rows to the side file of one segment.
pub(crate) struct SideWriter {
    file: Arc<dyn File>,
    name: SegmentName,
    binding: u32,
    /// Where the next block goes, a multiple of the unit.
    end: u64,
    /// Rows that are not written yet: their records may not be synced.
    waiting: Vec<u8>,
    blocks: Vec<u8>,
    unsynced: bool,
}

impl SideWriter {
    /// Opens or creates the side file of a segment. The caller syncs the directory.
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        name: SegmentName,
        binding: u32,
    ) -> io::Result<SideWriter> {
        let file = disk.open(&path(dir, name), OpenMode::Create)?;
        // Bytes of a torn block stay where they are, and are passed over by readers.
        let end = file.len()?.next_multiple_of(UNIT as u64);
        Ok(SideWriter { file, name, binding, end, waiting: Vec::new(), blocks: Vec::new(), unsynced: false })
    }

    /// Takes a row; it is written by the next `flush`.
    pub(crate) fn push(&mut self, row: &Row) {
        row.encode(&mut self.waiting);
    }

    /// Writes the waiting rows. Only to be called after their records were synced.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.blocks.clear();
        for rows in self.waiting.chunks(SIDE_BLOCK_ROWS_MAX * UNIT) {
            append_block(&mut self.blocks, self.name.sequence, self.binding, rows);
        }
        self.waiting.clear();
        self.unsynced = true;
        self.file.write_all_at(&self.blocks, self.end)?;
        self.end += self.blocks.len() as u64;
        Ok(())
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.file.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }
}

/// Segments that side files are there for, with the path of each.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<(SegmentName, PathBuf)>> {
    let entries = match disk.list(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?,
    };
    let named = |name: &str| SegmentName::parse(name.strip_suffix(SUFFIX)?);
    Ok(entries.iter().filter_map(|e| Some((named(&e.name)?, dir.join(&e.name)))).collect())
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use vfs::SimDisk;

    use super::*;

    const NAME: SegmentName = SegmentName { sequence: 3, index: 17 };

    fn row(n: u64) -> Row {
        Row {
            offset: n * 8,
            kind: RecordKind::Entry,
            length: n as u32,
            crc: !(n as u32),
            index: n,
            term: n / 2,
        }
    }

    fn disk_with(blocks: &[&[u64]], binding: u32) -> SimDisk {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/s")).unwrap();
        let mut writer = SideWriter::open(&disk, Path::new("/s"), NAME, binding).unwrap();
        for block in blocks {
            block.iter().for_each(|n| writer.push(&row(*n)));
            writer.flush().unwrap();
        }
        writer.sync().unwrap();
        disk
    }

    fn offsets(disk: &SimDisk, binding: u32) -> (Vec<u64>, u64, bool) {
        let rows = load(disk, Path::new("/s"), NAME, binding).unwrap();
        assert!(rows.rows.iter().all(|r| *r == row(r.offset / 8)));
        (rows.rows.iter().map(|r| r.offset / 8).collect(), rows.unreadable, rows.foreign)
    }

    #[test]
    fn rows_round_trip_sorted() {
        let disk = disk_with(&[&[4, 5], &[1, 2, 3], &[5]], 9);
        assert_eq!(offsets(&disk, 9), (vec![1, 2, 3, 4, 5], 0, false));
        assert_eq!(list(&disk, Path::new("/s")).unwrap(), [(NAME, path(Path::new("/s"), NAME))]);
        assert!(list(&disk, Path::new("/none")).unwrap().is_empty());
    }

    #[test]
    fn rows_of_another_log_are_not_believed() {
        let disk = disk_with(&[&[1, 2]], 9);
        assert_eq!(offsets(&disk, 8), (vec![], 0, true));
        assert_ne!(binding(NAME, b"m", 1), binding(NAME, b"n", 1));
        assert_ne!(binding(NAME, b"m", 1), binding(NAME, b"m", 2));
    }

    #[test]
    fn a_bad_block_is_unknown_and_the_next_is_found_again() {
        let len = 32 * 7;
        for bit in 0..32 * 8 * 3 {
            let disk = disk_with(&[&[1, 2], &[3, 4, 5]], 9);
            let path = path(Path::new("/s"), NAME);
            assert_eq!(disk.contents(&path).unwrap().len(), len);
            disk.flip_bit(&path, bit).unwrap();
            assert_eq!(offsets(&disk, 9), (vec![3, 4, 5], 96, false), "bit {bit}");
        }
    }

    #[test]
    fn a_torn_tail_is_passed_over_and_written_after() {
        // The last bytes of the last row are zeros, which a file that grows again has too.
        for cut in 0..89 {
            let disk = disk_with(&[&[1, 2], &[3, 4]], 9);
            let path = path(Path::new("/s"), NAME);
            disk.truncate(&path, 96 + cut).unwrap();
            let mut writer = SideWriter::open(&disk, Path::new("/s"), NAME, 9).unwrap();
            writer.push(&row(7));
            writer.flush().unwrap();
            assert_eq!(offsets(&disk, 9).0, [1, 2, 7], "cut at {cut}");
        }
    }

    #[test]
    fn many_rows_become_several_blocks() {
        let many: Vec<u64> = (0..SIDE_BLOCK_ROWS_MAX as u64 * 2 + 1).collect();
        assert_eq!(offsets(&disk_with(&[&many], 9), 9).0, many);
    }
}
