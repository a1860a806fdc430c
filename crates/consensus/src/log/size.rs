//! Sizes of entries, in bytes of their protobuf form: what all bounds on messages count.

use types::raft::{Entry, EntryKind};

/// Bytes of the `raftpb.Entry`: term and index always, a type only when not normal, data only when any.
#[inline]
pub(crate) fn encoded_len(entry: &Entry) -> u64 {
    let kind = if entry.kind == EntryKind::Normal { 0 } else { 2 };
    let data = match entry.data.len() as u64 {
        0 => 0,
        len => 1 + varint_len(len) + len,
    };
    kind + 2 + varint_len(entry.term) + varint_len(entry.index) + data
}

#[inline]
fn varint_len(value: u64) -> u64 {
    u64::from((70 - (value | 1).leading_zeros()) / 7)
}

pub(crate) fn encoded_len_sum(entries: &[Entry]) -> u64 {
    entries.iter().map(encoded_len).fold(0, u64::saturating_add)
}

/// Bytes of the payloads alone. Empty entries, as a new leader appends one, count nothing.
pub(crate) fn payload_len_sum(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.data.len() as u64).sum()
}

/// How many entries from the start fit into `bytes_max`; at least one when there is any.
pub(crate) fn count_within<'a>(entries: impl Iterator<Item = &'a Entry>, bytes_max: u64) -> usize {
    let mut bytes: u64 = 0;
    let mut count = 0;
    for entry in entries {
        bytes = bytes.saturating_add(encoded_len(entry));
        if count > 0 && bytes > bytes_max {
            break;
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn lengths_are_those_of_protobuf() {
        for (value, len) in
            [(0, 1), (127, 1), (128, 2), (16383, 2), (16384, 3), (u64::MAX >> 1, 9), (u64::MAX, 10)]
        {
            assert_eq!(varint_len(value), len, "{value}");
        }
        let entry = |kind, len: usize| Entry { term: 1, index: 200, kind, data: Bytes::from(vec![0; len]) };
        assert_eq!(encoded_len(&entry(EntryKind::Normal, 0)), 5);
        assert_eq!(encoded_len(&entry(EntryKind::ConfChange, 200)), 5 + 2 + 203);
    }

    #[test]
    fn at_least_one_entry_fits() {
        let entries = vec![Entry { data: Bytes::from_static(b"0123456789"), ..Entry::default() }; 4];
        let one = encoded_len(&entries[0]);
        for (bytes, count) in [(0, 1), (one, 1), (2 * one - 1, 1), (2 * one, 2), (u64::MAX, 4)] {
            assert_eq!(count_within(entries.iter(), bytes), count, "{bytes}");
        }
        assert_eq!(count_within([].iter(), 9), 0);
    }
}
