//! Key ranges in etcd's convention (contract/semantics.md 2.1).

use std::ops::Bound;

use bytes::Bytes;

/// The keys that a request names: one key, or `[key, end)`, or all keys from `key` on.
///
/// `end` empty: exactly `key`. `end` one zero byte: every key `>= key`. Else `[key, end)`, which is empty
/// (not an error) when `end <= key`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRange {
    /// First key, inclusive.
    pub key: Bytes,
    /// See the type.
    pub end: Bytes,
}

/// The range end that means "no end".
const OPEN_END: &[u8] = &[0];

impl KeyRange {
    /// Exactly one key.
    pub fn single(key: impl Into<Bytes>) -> KeyRange {
        KeyRange { key: key.into(), end: Bytes::new() }
    }

    /// The range of a request's `key` and `range_end`.
    pub fn new(key: impl Into<Bytes>, end: impl Into<Bytes>) -> KeyRange {
        KeyRange { key: key.into(), end: end.into() }
    }

    /// Every key there is.
    pub fn all() -> KeyRange {
        KeyRange { key: Bytes::from_static(OPEN_END), end: Bytes::from_static(OPEN_END) }
    }

    /// Whether this names exactly one key.
    pub fn is_single(&self) -> bool {
        self.end.is_empty()
    }

    /// Whether this has no upper end.
    pub fn is_open(&self) -> bool {
        self.end == OPEN_END
    }

    /// Whether no key can be in it: an end at or below its start.
    pub fn is_empty(&self) -> bool {
        !self.is_single() && !self.is_open() && self.end <= self.key
    }

    /// Whether `key` lies in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        if self.is_single() {
            return key == self.key;
        }
        key >= &self.key[..] && (self.is_open() || key < &self.end[..])
    }

    /// The bounds for an ordered map; an empty range gives two equal excluded-above bounds that hold nothing.
    pub fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let start = Bound::Included(&self.key[..]);
        if self.is_single() {
            (start, Bound::Included(&self.key[..]))
        } else if self.is_open() {
            (start, Bound::Unbounded)
        } else if self.is_empty() {
            (start, Bound::Excluded(&self.key[..]))
        } else {
            (start, Bound::Excluded(&self.end[..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains_follows_the_convention() {
        let single = KeyRange::single("b");
        assert!(single.contains(b"b") && !single.contains(b"b\0") && !single.contains(b"a"));
        let half_open = KeyRange::new("b", "d");
        assert!(half_open.contains(b"b") && half_open.contains(b"c\xff") && !half_open.contains(b"d"));
        let open = KeyRange::new("b", "\0");
        assert!(open.contains(b"\xff\xff") && !open.contains(b"a"));
        let empty = KeyRange::new("b", "a");
        assert!(empty.is_empty() && !empty.contains(b"b") && !empty.contains(b"a"));
    }

    #[test]
    fn bounds_agree_with_contains() {
        use std::collections::BTreeSet;
        let keys: BTreeSet<Vec<u8>> =
            [&b"a"[..], b"a\0", b"b", b"bb", b"c", b"\xff"].iter().map(|k| k.to_vec()).collect();
        for (key, end) in
            [("a", ""), ("a", "\0"), ("a", "b"), ("b", "a"), ("b", "b"), ("bb", "d"), ("\0", "\0")]
        {
            let range = KeyRange::new(key, end);
            let by_bounds: Vec<_> = keys.range::<[u8], _>(range.bounds()).collect();
            let by_contains: Vec<_> = keys.iter().filter(|k| range.contains(k)).collect();
            assert_eq!(by_bounds, by_contains, "{range:?}");
        }
    }
}
