//! The union of key ranges that a user was granted.

use bytes::Bytes;
use types::KeyRange;

/// Keys, as a union of ranges. Overlapping and adjacent ranges are one, so a request may span two grants
/// (contract/semantics.md 7.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// By start; neither overlapping nor adjacent, none empty.
    spans: Vec<Span>,
}

/// `[start, end)`; no end means all keys from `start` on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    start: Bytes,
    end: Option<Bytes>,
}

impl Span {
    fn of(range: &KeyRange) -> Span {
        let end = if range.is_open() {
            None
        } else if range.is_single() {
            // The next key after `key` is `key` with a zero byte behind.
            Some([&range.key[..], &[0]].concat().into())
        } else {
            Some(range.end.clone())
        };
        Span { start: range.key.clone(), end }
    }

    /// Whether it goes on to `end` at least.
    fn reaches(&self, end: &[u8]) -> bool {
        self.end.as_ref().is_none_or(|own| end <= &own[..])
    }
}

impl RangeSet {
    /// No keys.
    pub const EMPTY: RangeSet = RangeSet { spans: Vec::new() };

    /// The union of `ranges`; ranges that no key can be in add nothing.
    pub fn union(ranges: impl IntoIterator<Item = KeyRange>) -> RangeSet {
        let mut sorted: Vec<Span> =
            ranges.into_iter().filter(|range| !range.is_empty()).map(|range| Span::of(&range)).collect();
        sorted.sort_unstable_by(|a, b| a.start.cmp(&b.start));
        let mut spans: Vec<Span> = Vec::with_capacity(sorted.len());
        for span in sorted {
            match spans.last_mut() {
                Some(last) if last.reaches(&span.start) => {
                    let further = span.end.as_ref().is_none_or(|end| !last.reaches(end));
                    if further {
                        last.end = span.end;
                    }
                }
                _ => spans.push(span),
            }
        }
        RangeSet { spans }
    }

    /// Whether `key` is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.span_of(key).is_some()
    }

    /// Whether every key that `range` names is in it.
    ///
    /// A range whose end is not above its start names no key, yet needs its start granted. Upstream grants
    /// nothing without that either, but its interval tree may miss the grant, depending on the tree's shape.
    pub fn covers(&self, range: &KeyRange) -> bool {
        self.span_of(&range.key).is_some_and(|span| {
            if range.is_single() || range.is_empty() {
                true
            } else if range.is_open() {
                span.end.is_none()
            } else {
                span.reaches(&range.end)
            }
        })
    }

    fn span_of(&self, key: &[u8]) -> Option<&Span> {
        let after = self.spans.partition_point(|span| &span.start[..] <= key);
        let span = &self.spans[after.checked_sub(1)?];
        span.end.as_ref().is_none_or(|end| key < &end[..]).then_some(span)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(key: &str, end: &str) -> KeyRange {
        KeyRange::new(key.to_owned(), end.to_owned())
    }

    fn set(ranges: &[(&str, &str)]) -> RangeSet {
        RangeSet::union(ranges.iter().map(|&(key, end)| range(key, end)))
    }

    #[test]
    fn adjacent_and_overlapping_grants_merge() {
        for (grants, asked, covered) in [
            (&[("a", "c"), ("c", "e")][..], ("a", "e"), true),
            (&[("a", "d"), ("b", "e")], ("a", "e"), true),
            (&[("a", "c"), ("d", "e")], ("a", "e"), false),
            (&[("a", "z"), ("b", "c")], ("d", "y"), true),
            (&[("a", ""), ("a\0", "b")], ("a", "b"), true),
            (&[("a", "")], ("a", "a\0"), true),
            (&[("a", "")], ("a", "a\0\0"), false),
            (&[("a", "b"), ("b", "")], ("a", "b\0"), true),
        ] {
            assert_eq!(set(grants).covers(&range(asked.0, asked.1)), covered, "{grants:?} {asked:?}");
        }
    }

    #[test]
    fn open_ends_need_open_grants() {
        for (grants, asked, covered) in [
            (&[("b", "\0")][..], ("b", "\0"), true),
            (&[("b", "\0")], ("c", "\0"), true),
            (&[("b", "\0")], ("a", "\0"), false),
            (&[("b", "\0")], ("\u{10ffff}", ""), true),
            (&[("b", "\u{10ffff}")], ("b", "\0"), false),
            (&[("a", "b"), ("b", "\0")], ("a", "\0"), true),
            (&[("\0", "\0")], ("\0", "\0"), true),
            (&[("\0", "\0")], ("", "\0"), false),
            (&[("\0", "\0")], ("", ""), false),
            (&[], ("a", ""), false),
        ] {
            assert_eq!(set(grants).covers(&range(asked.0, asked.1)), covered, "{grants:?} {asked:?}");
        }
    }

    #[test]
    fn a_range_without_keys_needs_its_start() {
        let set = set(&[("b", "d")]);
        assert!(set.covers(&range("c", "a")) && set.covers(&range("b", "b")));
        assert!(!set.covers(&range("d", "a")) && !set.covers(&range("a", "a")));
        assert_eq!(RangeSet::union([range("d", "b"), range("d", "d")]), RangeSet::default());
    }

    /// Keys of up to two letters out of `\0`, `a`, `b`: every boundary between neighbours is among them.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(b"\0ab".to_vec()), 1..=2)
    }

    fn any_range() -> impl Strategy<Value = KeyRange> {
        let end = prop_oneof![Just(vec![]), Just(vec![0]), key()];
        (key(), end).prop_map(|(key, end)| KeyRange::new(key, end))
    }

    fn all_keys() -> Vec<Vec<u8>> {
        let letters = b"\0abc";
        let mut keys: Vec<Vec<u8>> = letters.iter().map(|&letter| vec![letter]).collect();
        for _ in 0..2 {
            let longer: Vec<Vec<u8>> = keys
                .iter()
                .flat_map(|key| letters.iter().map(|&letter| [&key[..], &[letter]].concat()))
                .collect();
            keys.extend(longer);
        }
        keys
    }

    proptest! {
        /// A range is covered exactly when each key in it is in some grant. Keys go one letter beyond the
        /// boundaries in length and in value, so a gap or an open end always shows.
        #[test]
        fn agrees_with_asking_key_by_key(
            grants in prop::collection::vec(any_range(), 0..6),
            asked in any_range(),
        ) {
            let set = RangeSet::union(grants.clone());
            let granted = |key: &[u8]| grants.iter().any(|grant| grant.contains(key));
            let naive = if asked.is_empty() {
                granted(&asked.key)
            } else {
                all_keys().iter().filter(|key| asked.contains(key)).all(|key| granted(key))
            };
            // Keys above every boundary stand for the open end; a grant that ends below them is not open.
            prop_assert_eq!(set.covers(&asked), naive, "{:?} {:?}", grants, asked);
        }
    }
}
