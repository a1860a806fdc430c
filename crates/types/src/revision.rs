//! Revisions and their storage encoding (contract/semantics.md 1.1–1.4).

use std::fmt;

/// Length of an encoded revision: `main_be64 '_' sub_be64`.
pub const REVISION_KEY_LEN: usize = 17;
/// Length of an encoded revision that marks a tombstone: a `t` follows.
pub const TOMBSTONE_KEY_LEN: usize = REVISION_KEY_LEN + 1;

const SEPARATOR: u8 = b'_';
const TOMBSTONE_MARK: u8 = b't';

/// One change: the write transaction's number and the position inside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Cluster-wide number of the write transaction, from 1 (the empty store) on.
    pub main: i64,
    /// Position inside the transaction, from 0 on.
    pub sub: i64,
}

impl Revision {
    /// The first change of a transaction.
    pub fn new(main: i64, sub: i64) -> Revision {
        Revision { main, sub }
    }

    /// The 17-byte storage key. Byte order of encodings equals the order of revisions that are not negative.
    pub fn encode(self) -> [u8; REVISION_KEY_LEN] {
        let mut key = [SEPARATOR; REVISION_KEY_LEN];
        key[..8].copy_from_slice(&self.main.to_be_bytes());
        key[9..].copy_from_slice(&self.sub.to_be_bytes());
        key
    }

    /// The 18-byte storage key of a tombstone at this revision.
    pub fn encode_tombstone(self) -> [u8; TOMBSTONE_KEY_LEN] {
        let mut key = [TOMBSTONE_MARK; TOMBSTONE_KEY_LEN];
        key[..REVISION_KEY_LEN].copy_from_slice(&self.encode());
        key
    }

    /// Reads a storage key: the revision, and whether it marks a tombstone. `None` when it is not one.
    pub fn decode(key: &[u8]) -> Option<(Revision, bool)> {
        let tombstone = match key.len() {
            REVISION_KEY_LEN => false,
            TOMBSTONE_KEY_LEN if key[REVISION_KEY_LEN] == TOMBSTONE_MARK => true,
            _ => return None,
        };
        if key[8] != SEPARATOR {
            return None;
        }
        let main = i64::from_be_bytes(key[..8].try_into().ok()?);
        let sub = i64::from_be_bytes(key[9..REVISION_KEY_LEN].try_into().ok()?);
        (main >= 0 && sub >= 0).then_some((Revision { main, sub }, tombstone))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.main, self.sub)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_keeps_order_and_comes_back() {
        let revisions = [(1, 0), (1, 1), (1, 256), (2, 0), (255, 3), (256, 0), (i64::MAX, i64::MAX)];
        for pair in revisions.windows(2) {
            let (a, b) = (Revision::new(pair[0].0, pair[0].1), Revision::new(pair[1].0, pair[1].1));
            assert!(a.encode() < b.encode(), "{a} {b}");
            assert!(a.encode()[..] < a.encode_tombstone()[..] && a.encode_tombstone()[..] < b.encode()[..]);
            assert_eq!(Revision::decode(&a.encode()), Some((a, false)));
            assert_eq!(Revision::decode(&a.encode_tombstone()), Some((a, true)));
        }
    }

    #[test]
    fn refuses_what_is_no_revision() {
        let good = Revision::new(7, 1).encode();
        let mut no_separator = good;
        no_separator[8] = b'-';
        let mut negative = good;
        negative[0] = 0x80;
        let mut wrong_mark = Revision::new(7, 1).encode_tombstone();
        wrong_mark[17] = b'x';
        for bad in [&good[..16], &no_separator, &negative, &wrong_mark, b""] {
            assert_eq!(Revision::decode(bad), None);
        }
    }
}
