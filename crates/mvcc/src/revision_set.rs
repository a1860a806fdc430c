//! A set of rows that fits many millions, filled in any order and read in revision order without one long sort.

use std::collections::BTreeMap;

use types::Revision;

/// Main revisions per chunk, as a power of two.
const CHUNK_BITS: u32 = 12;
const CHUNK_MASK: i64 = (1 << CHUNK_BITS) - 1;

/// Revisions and whether each is a tombstone's; 8 bytes apiece. Subs are below 2^32 (checked when a row comes in).
#[derive(Debug, Default)]
pub(crate) struct RevisionSet {
    /// By `main >> CHUNK_BITS`; never an empty chunk.
    chunks: BTreeMap<i64, Chunk>,
}

#[derive(Clone, Debug, Default)]
struct Chunk {
    /// `(main & CHUNK_MASK) << 33 | sub << 1 | tombstone`.
    codes: Vec<u64>,
    /// Whether `codes` ascend.
    sorted: bool,
    /// Codes before this place are taken already; only in a sorted chunk.
    taken: usize,
}

impl RevisionSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Adds a row that is not in it.
    pub(crate) fn insert(&mut self, revision: Revision, tombstone: bool) {
        let (chunk, code) = encode(revision, tombstone);
        let chunk = self.chunks.entry(chunk).or_default();
        chunk.codes.push(code);
        chunk.sorted = false;
    }

    /// A copy of the rows with main `<= to`.
    pub(crate) fn up_to(&self, to: i64) -> RevisionSet {
        let last = to >> CHUNK_BITS;
        let mut chunks: BTreeMap<i64, Chunk> =
            self.chunks.range(..=last).map(|(id, chunk)| (*id, chunk.clone())).collect();
        if let Some(chunk) = chunks.get_mut(&last) {
            chunk.codes.retain(|code| decode(last, *code).0.main <= to);
            if chunk.codes.is_empty() {
                chunks.remove(&last);
            }
        }
        RevisionSet { chunks }
    }

    /// Takes the lowest row.
    pub(crate) fn pop_first(&mut self) -> Option<(Revision, bool)> {
        let mut entry = self.chunks.first_entry()?;
        let id = *entry.key();
        let chunk = entry.get_mut();
        chunk.sort();
        let code = chunk.codes[chunk.taken];
        chunk.taken += 1;
        if chunk.taken == chunk.codes.len() {
            entry.remove();
        }
        Some(decode(id, code))
    }

    /// Whether `revision` is in it. Questions must ascend: lower rows are dropped on the way.
    pub(crate) fn take_if_contains(&mut self, revision: Revision) -> bool {
        let (id, code) = encode(revision, false);
        while let Some(mut entry) = self.chunks.first_entry() {
            if *entry.key() > id {
                return false;
            }
            if *entry.key() == id {
                let chunk = entry.get_mut();
                chunk.sort();
                while chunk.codes.get(chunk.taken).is_some_and(|taken| *taken < code) {
                    chunk.taken += 1;
                }
                if let Some(next) = chunk.codes.get(chunk.taken) {
                    return next | 1 == code | 1;
                }
            }
            entry.remove();
        }
        false
    }
}

impl Chunk {
    fn sort(&mut self) {
        if !self.sorted {
            self.codes.drain(..self.taken);
            self.taken = 0;
            self.codes.sort_unstable();
            self.sorted = true;
        }
    }
}

fn encode(revision: Revision, tombstone: bool) -> (i64, u64) {
    let offset = (revision.main & CHUNK_MASK) as u64;
    (revision.main >> CHUNK_BITS, offset << 33 | (revision.sub as u64) << 1 | u64::from(tombstone))
}

fn decode(chunk: i64, code: u64) -> (Revision, bool) {
    let main = chunk << CHUNK_BITS | (code >> 33) as i64;
    (Revision { main, sub: (code >> 1 & u64::from(u32::MAX)) as i64 }, code & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn rows() -> impl Strategy<Value = BTreeSet<(Revision, bool)>> {
        let main = prop_oneof![0..20_i64, 4090..4100_i64, 1_000_000..1_020_000_i64];
        let row = (main, prop_oneof![0..4_i64, Just(i64::from(u32::MAX))], any::<bool>());
        proptest::collection::btree_map((row.0, row.1), row.2, 0..60)
            .prop_map(|rows| rows.into_iter().map(|((main, sub), t)| (Revision { main, sub }, t)).collect())
    }

    proptest! {
        #[test]
        fn comes_out_in_order(rows in rows(), to in 0..1_010_000_i64) {
            let mut shuffled: Vec<_> = rows.iter().copied().collect();
            shuffled.sort_by_key(|(revision, _)| (revision.sub, std::cmp::Reverse(revision.main)));
            let mut set = RevisionSet::default();
            for (revision, tombstone) in shuffled {
                set.insert(revision, tombstone);
            }
            let mut low = set.up_to(to);
            for main in rows.iter().map(|(revision, _)| revision.main).collect::<BTreeSet<_>>() {
                for sub in [0, 1, 2, 3, i64::from(u32::MAX)] {
                    let revision = Revision { main, sub };
                    let expected = main <= to && rows.iter().any(|row| row.0 == revision);
                    prop_assert_eq!(low.take_if_contains(revision), expected);
                }
            }
            let drained: Vec<_> = std::iter::from_fn(|| set.pop_first()).collect();
            prop_assert!(set.is_empty());
            prop_assert_eq!(drained, rows.into_iter().collect::<Vec<_>>());
        }
    }
}
