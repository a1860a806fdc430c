//! Reading a segment in large pieces, at any place.

use std::{io, sync::Arc};

use vfs::File;

use crate::limits::READ_BYTES;

/// A file with one buffered stretch of it. Its length is fixed when it is opened.
pub(crate) struct Window {
    file: Arc<dyn File>,
    len: u64,
    /// The bytes from `start` on.
    buffer: Vec<u8>,
    start: u64,
}

impl Window {
    pub(crate) fn new(file: Arc<dyn File>) -> io::Result<Window> {
        let len = file.len()?;
        Ok(Window { file, len, buffer: Vec::new(), start: 0 })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes `[offset, offset + count)`, as far as the file has them. Allocates no more than that, or a
    /// reading unit.
    pub(crate) fn bytes(&mut self, offset: u64, count: u64) -> io::Result<&[u8]> {
        let count = count.min(self.len.saturating_sub(offset));
        if count == 0 {
            return Ok(&[]);
        }
        let end = offset + count;
        if offset < self.start || end > self.start + self.buffer.len() as u64 {
            self.fill(offset, count)?;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.buffer[from..from + count as usize])
    }

    fn fill(&mut self, offset: u64, count: u64) -> io::Result<()> {
        let wanted = count.max(READ_BYTES as u64).min(self.len - offset);
        // Not believed until the read has succeeded.
        self.buffer.clear();
        self.start = offset;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(wanted as usize, 0);
        self.file.read_exact_at(&mut buffer, offset)?;
        self.buffer = buffer;
        Ok(())
    }

    /// Some bytes from `offset` on, as many as are at hand; none at the end of the file.
    fn some(&mut self, offset: u64) -> io::Result<&[u8]> {
        let buffered_end = self.start + self.buffer.len() as u64;
        let at_hand = if (self.start..buffered_end).contains(&offset) {
            buffered_end - offset
        } else {
            READ_BYTES as u64
        };
        self.bytes(offset, at_hand)
    }

    /// The little-endian number at `offset`; `None` when the file ends first.
    pub(crate) fn number(&mut self, offset: u64) -> io::Result<Option<u64>> {
        let bytes = self.bytes(offset, 8)?;
        Ok(bytes.try_into().ok().map(u64::from_le_bytes))
    }

    /// Whether `[from, to)` is zeros, as far as the file has it.
    pub(crate) fn is_zero(&mut self, from: u64, to: u64) -> io::Result<bool> {
        Ok(self.first_nonzero(from, to)?.is_none())
    }

    /// The first place in `[from, to)` that is not zero.
    pub(crate) fn first_nonzero(&mut self, mut from: u64, to: u64) -> io::Result<Option<u64>> {
        let to = to.min(self.len);
        while from < to {
            let bytes = self.some(from)?;
            let bytes = &bytes[..bytes.len().min((to - from) as usize)];
            let count = bytes.len() as u64;
            if bytes[0] != 0 || !all_zero(bytes) {
                return Ok(bytes.iter().position(|b| *b != 0).map(|at| from + at as u64));
            }
            from += count;
        }
        Ok(None)
    }

    /// One past the last byte at or after `from` that is not zero; `from` when there is none.
    pub(crate) fn used_end(&mut self, from: u64) -> io::Result<u64> {
        let mut used = from;
        let mut at = from;
        while at < self.len {
            let bytes = self.some(at)?;
            let count = bytes.len() as u64;
            if !all_zero(bytes)
                && let Some(last) = bytes.iter().rposition(|b| *b != 0)
            {
                used = at + last as u64 + 1;
            }
            at += count;
        }
        Ok(used)
    }
}

/// Compares a slice with itself shifted by one, which is as fast as memory.
fn all_zero(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [first, ..] => *first == 0 && bytes[1..] == bytes[..bytes.len() - 1],
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vfs::{Disk, OpenMode, SimDisk};

    use super::*;

    #[test]
    fn reads_across_pieces_and_finds_what_is_not_zero() {
        let disk = SimDisk::new();
        let file = disk.open(Path::new("/f"), OpenMode::Create).unwrap();
        let len = 3 * READ_BYTES as u64 + 5;
        file.set_len(len).unwrap();
        file.write_all_at(&[7; 4], READ_BYTES as u64 - 2).unwrap();
        let mut window = Window::new(file).unwrap();
        assert_eq!(window.bytes(len - 2, 8).unwrap(), [0; 2]);
        assert_eq!(window.bytes(READ_BYTES as u64 - 3, 6).unwrap(), [0, 7, 7, 7, 7, 0]);
        assert_eq!(window.bytes(len + 9, 6).unwrap(), [0; 0]);
        assert_eq!(window.number(len - 7).unwrap(), None);
        assert_eq!(window.first_nonzero(5, len).unwrap(), Some(READ_BYTES as u64 - 2));
        assert!(window.is_zero(0, READ_BYTES as u64 - 2).unwrap());
        assert!(!window.is_zero(0, READ_BYTES as u64 - 1).unwrap());
        assert_eq!(window.used_end(8).unwrap(), READ_BYTES as u64 + 2);
        assert_eq!(window.used_end(READ_BYTES as u64 + 2).unwrap(), READ_BYTES as u64 + 2);
    }
}
