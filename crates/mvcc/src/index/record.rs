//! What the index knows about one change of a key, and how the newest one is packed into its leaf.

use std::ops::Deref;

use types::Revision;

use crate::varint;

/// One change of a key, without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where its row is.
    pub(crate) rev: Revision,
    /// Revision of the put that began this life of the key; 0 in a tombstone.
    pub(crate) create_revision: i64,
    /// Puts of this life up to here; 0 in a tombstone.
    pub(crate) version: i64,
    /// Bytes of the encoded row; below 2^31.
    pub(crate) row_len: u32,
    /// Whether the change deleted the key.
    pub(crate) tombstone: bool,
}

/// A leaf entry's payload: the newest change, and where the older ones are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) record: Record,
    /// Slot of the changes before `record` that are not compacted yet; `None` when there are none.
    pub(super) older: Option<u32>,
}

/// A packed [`Head`], on the stack.
pub(super) struct Payload {
    bytes: [u8; PAYLOAD_MAX],
    len: usize,
}

/// Six numbers of at most ten bytes.
const PAYLOAD_MAX: usize = 60;

impl Payload {
    #[inline]
    fn push(&mut self, value: u64) {
        let end = self.len + varint::len(value);
        varint::write(&mut self.bytes[self.len..end], value);
        self.len = end;
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

const HAS_OLDER: u64 = 1;
const TOMBSTONE: u64 = 2;

impl Head {
    /// The packed form: 8 to 12 bytes for a key among a billion changes.
    ///
    /// Numbers from disk may be anything, so the difference wraps and `decode` wraps back.
    pub(super) fn encode(&self) -> Payload {
        let record = &self.record;
        let flags =
            if record.tombstone { TOMBSTONE } else { 0 } | if self.older.is_some() { HAS_OLDER } else { 0 };
        let mut payload = Payload { bytes: [0; PAYLOAD_MAX], len: 0 };
        payload.push(u64::from(record.row_len) << 2 | flags);
        payload.push(record.rev.main as u64);
        payload.push(record.rev.sub as u64);
        payload.push(record.rev.main.wrapping_sub(record.create_revision) as u64);
        payload.push(record.version as u64);
        if let Some(slot) = self.older {
            payload.push(u64::from(slot));
        }
        payload
    }

    /// Reads what [`encode`](Head::encode) wrote.
    #[inline]
    pub(super) fn decode(payload: &[u8]) -> Head {
        let mut bytes = payload;
        let mut next = || varint::take(&mut bytes).expect("`encode` wrote all fields");
        let len_and_flags = next();
        let main = next() as i64;
        let sub = next() as i64;
        let record = Record {
            rev: Revision { main, sub },
            create_revision: main.wrapping_sub(next() as i64),
            version: next() as i64,
            row_len: (len_and_flags >> 2) as u32,
            tombstone: len_and_flags & TOMBSTONE != 0,
        };
        Head { record, older: (len_and_flags & HAS_OLDER != 0).then(|| next() as u32) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn comes_back(
            main in 0..=i64::MAX, sub in 0..=i64::MAX, create_revision in any::<i64>(), version in any::<i64>(),
            row_len in 0..1_u32 << 31, tombstone in any::<bool>(), older in proptest::option::of(any::<u32>()),
        ) {
            let rev = Revision { main, sub };
            let head = Head { record: Record { rev, create_revision, version, row_len, tombstone }, older };
            prop_assert_eq!(Head::decode(&head.encode()), head);
        }
    }

    #[test]
    fn the_common_case_is_small() {
        let rev = Revision { main: 1_000_000, sub: 0 };
        let record = Record { rev, create_revision: 900_000, version: 3, row_len: 600, tombstone: false };
        let len = Head { record, older: None }.encode().len();
        assert!(len <= 10, "{len}");
    }
}
