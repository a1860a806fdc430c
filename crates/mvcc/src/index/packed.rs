//! A sorted run of keys with a small payload each, packed into one buffer: what tree nodes are made of.
//!
//! Keys of one node share most of their first bytes (`/registry/pods/...`), so the common prefix is kept once. An
//! entry is `suffix_len (varint) | suffix | payload`; a slot beside tells where it ends and how its suffix begins, so
//! that a search stays within a few cache lines. Buffers grow by an eighth, not by doubling: with millions of keys,
//! slack is the largest cost after the keys themselves.

use std::{cmp::Ordering, ops::Range};

use crate::varint;

/// See the module.
#[derive(Default)]
pub(super) struct Packed {
    /// What all keys begin with; not always the longest such.
    prefix: Box<[u8]>,
    /// One per entry, in the same order.
    slots: Vec<Slot>,
    /// The entries, in key order.
    data: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Slot {
    /// [`beginning`] of the suffix.
    beginning: u32,
    /// End of the entry in `data`, exclusive; an entry begins where the one before ends.
    end: u32,
}

/// The first four bytes as a number, zeros appended: smaller for smaller suffixes, or equal.
#[inline]
fn beginning(suffix: &[u8]) -> u32 {
    if let Some(first) = suffix.first_chunk() {
        return u32::from_be_bytes(*first);
    }
    let mut padded = [0; 4];
    padded[..suffix.len()].copy_from_slice(suffix);
    u32::from_be_bytes(padded)
}

impl Packed {
    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of all entries.
    pub(super) fn data_len(&self) -> usize {
        self.data.len()
    }

    /// Bytes on the heap, allocator overhead left out.
    pub(super) fn heap_bytes(&self) -> usize {
        self.prefix.len() + self.slots.capacity() * size_of::<Slot>() + self.data.capacity()
    }

    /// `Ok` with the place of `key`, or `Err` with the place where it would go.
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let Some(rest) = key.strip_prefix(&*self.prefix) else {
            return Err(if key < &*self.prefix { 0 } else { self.len() });
        };
        let begins = beginning(rest);
        let mut low = self.slots.partition_point(|slot| slot.beginning < begins);
        let mut high = low + self.slots[low..].partition_point(|slot| slot.beginning == begins);
        while low < high {
            let middle = low.midpoint(high);
            match self.entry(middle).0.cmp(rest) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Writes the key at `position` into `key`.
    pub(super) fn read_key(&self, position: usize, key: &mut Vec<u8>) {
        key.clear();
        key.extend_from_slice(&self.prefix);
        key.extend_from_slice(self.entry(position).0);
    }

    /// The key at `position`.
    pub(super) fn key(&self, position: usize) -> Vec<u8> {
        let mut key = Vec::new();
        self.read_key(position, &mut key);
        key
    }

    /// The payload at `position`.
    pub(super) fn payload(&self, position: usize) -> &[u8] {
        self.entry(position).1
    }

    /// Adds an entry. `position` comes from [`search`](Packed::search) for the same key.
    pub(super) fn insert(&mut self, position: usize, key: &[u8], payload: &[u8]) {
        let shared = common_len(&self.prefix, key);
        if shared < self.prefix.len() {
            self.shorten_prefix(shared);
        }
        let suffix = &key[self.prefix.len()..];
        let start = self.start(position);
        let payload_at = start + varint::len(suffix.len() as u64) + suffix.len();
        let end = payload_at + payload.len();
        self.resize(start..start, end - start);
        varint::write(&mut self.data[start..payload_at - suffix.len()], suffix.len() as u64);
        self.data[payload_at - suffix.len()..payload_at].copy_from_slice(suffix);
        self.data[payload_at..end].copy_from_slice(payload);
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(8);
        }
        self.slots.insert(position, Slot { beginning: beginning(suffix), end: to_end(end) });
        self.shift_ends(position + 1, end - start, 0);
    }

    /// Replaces the payload at `position`.
    pub(super) fn set_payload(&mut self, position: usize, payload: &[u8]) {
        let end = self.end(position);
        let old_len = self.payload(position).len();
        let start = end - old_len;
        self.resize(start..end, payload.len());
        self.data[start..start + payload.len()].copy_from_slice(payload);
        self.shift_ends(position, payload.len(), old_len);
    }

    /// Removes the entry at `position`.
    pub(super) fn remove(&mut self, position: usize) {
        let (start, end) = (self.start(position), self.end(position));
        self.resize(start..end, 0);
        self.slots.remove(position);
        self.shift_ends(position, 0, end - start);
        if self.data.capacity() > 2 * self.data.len() + 128 {
            self.data.shrink_to(self.data.len() + self.data.len() / 8);
        }
    }

    /// Takes the entries from `at` on. Both halves get the longest prefix that their keys have in common.
    pub(super) fn split_off(&mut self, at: usize) -> Packed {
        let right = self.copy(at..self.len());
        *self = self.copy(0..at);
        right
    }

    /// Appends the entries of `right`, whose keys are all greater.
    pub(super) fn append(&mut self, right: &Packed) {
        let mut key = Vec::new();
        for position in 0..right.len() {
            right.read_key(position, &mut key);
            self.insert(self.len(), &key, right.payload(position));
        }
    }

    /// The first position whose entry ends beyond half of all bytes, at least 1 and below `len`.
    pub(super) fn middle(&self) -> usize {
        let half = self.data.len() / 2;
        self.slots.partition_point(|slot| (slot.end as usize) < half).clamp(1, self.len() - 1)
    }

    #[inline]
    fn start(&self, position: usize) -> usize {
        if position == 0 { 0 } else { self.end(position - 1) }
    }

    #[inline]
    fn end(&self, position: usize) -> usize {
        self.slots[position].end as usize
    }

    /// Suffix and payload.
    #[inline]
    fn entry(&self, position: usize) -> (&[u8], &[u8]) {
        let mut bytes = &self.data[self.start(position)..self.end(position)];
        let suffix_len = varint::take(&mut bytes).expect("every entry begins with a length");
        bytes.split_at(suffix_len as usize)
    }

    /// Copies some entries with a prefix of their own.
    fn copy(&self, range: Range<usize>) -> Packed {
        let more = if range.len() > 1 {
            // Sorted: what the first and the last begin with, all between begin with.
            common_len(self.entry(range.start).0, self.entry(range.end - 1).0)
        } else {
            0
        };
        let mut copy = Packed {
            prefix: [&self.prefix, &self.entry(range.start).0[..more]].concat().into(),
            slots: Vec::with_capacity(range.len() + 8),
            data: Vec::with_capacity(self.end(range.end - 1) - self.start(range.start)),
        };
        for position in range {
            let (suffix, payload) = self.entry(position);
            copy.push(&[], &suffix[more..], payload);
        }
        copy.data.shrink_to(copy.data.len() + copy.data.len() / 8);
        copy
    }

    /// Cuts the prefix to its first `len` bytes; the rest moves into the entries.
    fn shorten_prefix(&mut self, len: usize) {
        let (shared, moved) = self.prefix.split_at(len);
        let mut longer = Packed {
            prefix: shared.into(),
            slots: Vec::with_capacity(self.slots.capacity()),
            data: Vec::with_capacity(self.data.len() + (moved.len() + 1) * self.len()),
        };
        for position in 0..self.len() {
            let (suffix, payload) = self.entry(position);
            longer.push(moved, suffix, payload);
        }
        *self = longer;
    }

    /// Appends an entry whose suffix comes in two parts.
    fn push(&mut self, start: &[u8], rest: &[u8], payload: &[u8]) {
        varint::push(&mut self.data, (start.len() + rest.len()) as u64);
        let suffix_at = self.data.len();
        self.data.extend_from_slice(start);
        self.data.extend_from_slice(rest);
        let beginning = beginning(&self.data[suffix_at..]);
        self.data.extend_from_slice(payload);
        self.slots.push(Slot { beginning, end: to_end(self.data.len()) });
    }

    /// Makes `range` of the data `new_len` bytes long, for the caller to fill.
    fn resize(&mut self, range: Range<usize>, new_len: usize) {
        let old_data_len = self.data.len();
        let data_len = old_data_len - range.len() + new_len;
        if data_len > self.data.capacity() {
            self.data.reserve_exact(data_len - old_data_len + data_len / 8 + 16);
        }
        if data_len > old_data_len {
            self.data.resize(data_len, 0);
        }
        if new_len != range.len() {
            self.data.copy_within(range.end..old_data_len, range.start + new_len);
        }
        self.data.truncate(data_len);
    }

    /// Moves the ends from `first` on, after an entry grew from `old_len` to `new_len` bytes.
    fn shift_ends(&mut self, first: usize, new_len: usize, old_len: usize) {
        if new_len == old_len {
            return;
        }
        for slot in &mut self.slots[first..] {
            slot.end = to_end(slot.end as usize + new_len - old_len);
        }
    }
}

/// How many bytes `a` and `b` both begin with.
pub(super) fn common_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

fn to_end(end: usize) -> u32 {
    u32::try_from(end).expect("64 keys, each far below the 64 MiB that a request may ever have")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Set(Vec<u8>, Vec<u8>),
        Remove(usize),
        SplitAndJoin(usize),
    }

    fn keys() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            3 => "[ab]{0,6}".prop_map(|tail| [b"/registry/".to_vec(), tail.into_bytes()].concat()),
            1 => "[/a]{0,3}".prop_map(String::into_bytes),
            1 => Just(vec![b'x'; 300]),
        ]
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let payload = proptest::collection::vec(any::<u8>(), 0..12);
        let step = prop_oneof![
            6 => (keys(), payload).prop_map(|(key, payload)| Step::Set(key, payload)),
            2 => any::<usize>().prop_map(Step::Remove),
            1 => any::<usize>().prop_map(Step::SplitAndJoin),
        ];
        proptest::collection::vec(step, 0..80)
    }

    fn contents(packed: &Packed) -> Vec<(Vec<u8>, Vec<u8>)> {
        (0..packed.len()).map(|i| (packed.key(i), packed.payload(i).to_vec())).collect()
    }

    proptest! {
        #[test]
        fn behaves_as_a_sorted_map(steps in steps()) {
            let mut packed = Packed::default();
            let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Set(key, payload) => {
                        match packed.search(&key) {
                            Ok(at) => packed.set_payload(at, &payload),
                            Err(at) => packed.insert(at, &key, &payload),
                        }
                        model.insert(key, payload);
                    }
                    Step::Remove(at) if packed.len() > 0 => {
                        let at = at % packed.len();
                        model.remove(&packed.key(at));
                        packed.remove(at);
                    }
                    Step::SplitAndJoin(at) if packed.len() > 1 => {
                        let right = packed.split_off(1 + at % (packed.len() - 1));
                        let middle = packed.len();
                        packed.append(&right);
                        prop_assert!(middle > 0 && right.len() > 0);
                    }
                    Step::Remove(_) | Step::SplitAndJoin(_) => {}
                }
                let expected: Vec<_> = model.clone().into_iter().collect();
                prop_assert_eq!(contents(&packed), expected);
                for (at, key) in model.keys().enumerate() {
                    prop_assert_eq!(packed.search(key), Ok(at));
                    let between = [&key[..], b"\0"].concat();
                    if !model.contains_key(&between) {
                        prop_assert_eq!(packed.search(&between), Err(at + 1));
                    }
                }
            }
        }
    }
}
