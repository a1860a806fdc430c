//! The bytes of one simulated file.

use std::{collections::BTreeMap, sync::Arc};

/// Granularity of storage and of sharing between a disk and its crash images, in bytes.
const CHUNK_LEN: usize = 4096;
/// Unit in which power loss tears a write, in bytes: what a disk writes as a whole.
pub(super) const SECTOR_LEN: u64 = 512;

type Chunk = [u8; CHUNK_LEN];

/// Sparse bytes: a missing chunk is zeros, so pre-written segments and preallocated databases cost nothing.
/// Chunks are shared by clones until written, so a crash image of each I/O of a trace is cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    len: u64,
    /// By offset / `CHUNK_LEN`. Invariant: bytes at or beyond `len` are zero.
    chunks: BTreeMap<u64, Arc<Chunk>>,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The end of the last chunk that was stored, within the file.
    pub(super) fn stored_end(&self) -> u64 {
        let end = self.chunks.last_key_value().map_or(0, |(number, _)| (number + 1) * CHUNK_LEN as u64);
        end.min(self.len)
    }

    /// Fills as much of `buf` as there is, and says how much.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let wanted = (buf.len() as u64).min(self.len.saturating_sub(offset)) as usize;
        for (number, within, range) in pieces(offset, wanted) {
            match self.chunks.get(&number) {
                Some(chunk) => buf[range.clone()].copy_from_slice(&chunk[within..within + range.len()]),
                None => buf[range].fill(0),
            }
        }
        wanted
    }

    /// Stores `data`, growing with zeros where needed.
    pub(super) fn write(&mut self, data: &[u8], offset: u64) {
        for (number, within, range) in pieces(offset, data.len()) {
            let part = &data[range];
            if is_zero(part) && !self.chunks.contains_key(&number) {
                continue;
            }
            let chunk = self.chunks.entry(number).or_insert_with(|| Arc::new([0; CHUNK_LEN]));
            Arc::make_mut(chunk)[within..within + part.len()].copy_from_slice(part);
        }
        if !data.is_empty() {
            self.len = self.len.max(offset + data.len() as u64);
        }
    }

    /// Stores so many zeros: what was there goes, and nothing takes its place.
    pub(super) fn write_zeros(&mut self, len: u64, offset: u64) {
        let end = offset + len;
        let numbers = offset / CHUNK_LEN as u64..end.div_ceil(CHUNK_LEN as u64);
        let there: Vec<u64> = self.chunks.range(numbers).map(|(number, _)| *number).collect();
        for number in there {
            let first = number * CHUNK_LEN as u64;
            let (from, to) = (offset.max(first), end.min(first + CHUNK_LEN as u64));
            self.write(&[0; CHUNK_LEN][..(to - from) as usize], from);
        }
        if len > 0 {
            self.len = self.len.max(end);
        }
    }

    /// Cuts, or grows with zeros.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let last = len / CHUNK_LEN as u64;
            self.chunks.split_off(&(last + 1));
            if let Some(chunk) = self.chunks.get_mut(&last) {
                Arc::make_mut(chunk)[(len % CHUNK_LEN as u64) as usize..].fill(0);
            }
        }
        self.len = len;
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut all = vec![0; self.len as usize];
        self.read(&mut all, 0);
        all
    }
}

/// Whether there are only zeros; compared a chunk at a time, since files are made of them before use.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: Chunk = [0; CHUNK_LEN];
    bytes.chunks(CHUNK_LEN).all(|part| *part == ZEROS[..part.len()])
}

/// Cuts `[offset, offset + len)` at chunk borders: chunk number, offset within it, range of the buffer.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % CHUNK_LEN as u64) as usize;
        let count = (CHUNK_LEN - within).min(len - done);
        let piece = (at / CHUNK_LEN as u64, within, done..done + count);
        done += count;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Write(u64, Vec<u8>),
        SetLen(u64),
        Zeros(u64, u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (0..20_000u64, proptest::collection::vec(any::<u8>(), 0..6000)).prop_map(|(o, d)| Op::Write(o, d)),
            1 => (0..20_000u64, 0..9000usize).prop_map(|(o, n)| Op::Write(o, vec![0; n])),
            1 => (0..20_000u64).prop_map(Op::SetLen),
            1 => (0..20_000u64, 0..20_000u64).prop_map(|(o, n)| Op::Zeros(o, n)),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_vector(ops in proptest::collection::vec(op(), 0..12)) {
            let (mut content, mut model) = (Content::default(), Vec::new());
            for op in ops {
                match op {
                    Op::Write(offset, data) => {
                        let end = offset as usize + data.len();
                        if !data.is_empty() && model.len() < end {
                            model.resize(end, 0);
                        }
                        if !data.is_empty() {
                            model[offset as usize..end].copy_from_slice(&data);
                        }
                        content.write(&data, offset);
                    }
                    Op::Zeros(offset, len) => {
                        let end = (offset + len) as usize;
                        if len > 0 {
                            let size = model.len().max(end);
                            model.resize(size, 0);
                            model[offset as usize..end].fill(0);
                        }
                        content.write_zeros(len, offset);
                    }
                    Op::SetLen(len) => {
                        model.resize(len as usize, 0);
                        content.set_len(len);
                    }
                }
                prop_assert_eq!(content.to_vec(), model.clone());
            }
            let mut buf = [7; 100];
            let n = content.read(&mut buf, 3000);
            prop_assert_eq!(&buf[..n], model.get(3000..).map_or(&[][..], |m| &m[..m.len().min(100)]));
        }
    }
}
