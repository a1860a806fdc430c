//! Replies as they leave: a small head per watcher and a body that many watchers share.

use bytes::Bytes;
use prost::encoding::encoded_len_varint;
use types::{ClusterId, MemberId};

/// What every reply's header says besides the revision (contract/semantics.md 11.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderFacts {
    /// This cluster.
    pub cluster_id: ClusterId,
    /// This member.
    pub member_id: MemberId,
    /// Term of the last entry applied here.
    pub raft_term: u64,
}

/// Longest header: three full varints, one of 9 bytes, their tags, its own tag and length.
const HEADER_LEN_MAX: usize = 2 + 11 + 11 + 10 + 11;
/// Longest head: header, a negative watch id, two flags and a compact revision.
const HEAD_LEN_MAX: usize = HEADER_LEN_MAX + 11 + 2 + 2 + 10;
/// Memory that a queued frame takes besides its bytes.
const FRAME_OVERHEAD: usize = 64;

/// Field tags of `WatchResponse` (number and wire type).
mod tag {
    pub(super) const HEADER: u8 = 1 << 3 | 2;
    pub(super) const WATCH_ID: u8 = 2 << 3;
    pub(super) const CREATED: u8 = 3 << 3;
    pub(super) const CANCELED: u8 = 4 << 3;
    pub(super) const COMPACT_REVISION: u8 = 5 << 3;
    pub(super) const CANCEL_REASON: u8 = 6 << 3 | 2;
    pub(super) const FRAGMENT: u8 = 7 << 3;

    pub(super) const CLUSTER_ID: u8 = 1 << 3;
    pub(super) const MEMBER_ID: u8 = 2 << 3;
    pub(super) const REVISION: u8 = 3 << 3;
    pub(super) const RAFT_TERM: u8 = 4 << 3;
}

/// The encoded fields before the events. Inline, so that a reply to one of many watchers allocates nothing.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    bytes: [u8; HEAD_LEN_MAX],
    /// How many of `bytes` are filled.
    len: u8,
}

impl Head {
    /// Only the header. Revision 0 is left out, as in the reply that tells of a compaction.
    pub(crate) fn new(facts: &HeaderFacts, revision: i64) -> Head {
        let mut head = Head { bytes: [0; HEAD_LEN_MAX], len: 0 };
        head.push(tag::HEADER);
        head.push(0);
        head.field(tag::CLUSTER_ID, facts.cluster_id.0);
        head.field(tag::MEMBER_ID, facts.member_id.0);
        head.field(tag::REVISION, revision.cast_unsigned());
        head.field(tag::RAFT_TERM, facts.raft_term);
        head.bytes[1] = head.len - 2;
        head
    }

    /// Adds the watcher's number.
    pub(crate) fn watch_id(mut self, watch_id: i64) -> Head {
        self.field(tag::WATCH_ID, watch_id.cast_unsigned());
        self
    }

    /// Says that the watcher is there now, or would be.
    pub(crate) fn created(mut self) -> Head {
        self.field(tag::CREATED, 1);
        self
    }

    /// Says that the watcher is gone.
    pub(crate) fn canceled(mut self) -> Head {
        self.field(tag::CANCELED, 1);
        self
    }

    /// Says what the watcher lost.
    pub(crate) fn compact_revision(mut self, revision: i64) -> Head {
        self.field(tag::COMPACT_REVISION, revision.cast_unsigned());
        self
    }

    /// Says that more parts follow.
    pub(crate) fn fragment(mut self) -> Head {
        self.field(tag::FRAGMENT, 1);
        self
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// A varint field; left out when 0, as proto3 does.
    fn field(&mut self, tag: u8, mut value: u64) {
        if value == 0 {
            return;
        }
        self.push(tag);
        while value >= 0x80 {
            self.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn push(&mut self, byte: u8) {
        self.bytes[usize::from(self.len)] = byte;
        self.len += 1;
    }
}

/// One encoded `WatchResponse`: the concatenation of [`Frame::head`] and [`Frame::body`].
#[derive(Clone)]
pub struct Frame {
    head: Head,
    body: Bytes,
    events: u32,
}

impl Frame {
    /// A reply without events.
    pub(crate) fn control(head: Head) -> Frame {
        Frame { head, body: Bytes::new(), events: 0 }
    }

    /// A reply without events, with a reason for the cancellation.
    pub(crate) fn with_reason(head: Head, reason: &str) -> Frame {
        let mut body = Vec::with_capacity(1 + encoded_len_varint(reason.len() as u64) + reason.len());
        body.push(tag::CANCEL_REASON);
        prost::encoding::encode_varint(reason.len() as u64, &mut body);
        body.extend_from_slice(reason.as_bytes());
        Frame { head, body: body.into(), events: 0 }
    }

    /// A reply with `events` encoded events.
    pub(crate) fn with_events(head: Head, body: Bytes, events: u32) -> Frame {
        Frame { head, body, events }
    }

    /// The encoded fields 1 to 5 and 7.
    pub fn head(&self) -> &[u8] {
        &self.head.bytes[..self.head.len()]
    }

    /// The encoded events (field 11), shared with other frames; or the encoded cancel reason (field 6).
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// How many events the body holds.
    pub fn events(&self) -> usize {
        self.events as usize
    }

    /// Length of the encoded message.
    pub fn encoded_len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// What the frame counts for in its stream's budget, in bytes.
    pub(crate) fn charge(&self) -> usize {
        self.encoded_len() + FRAME_OVERHEAD
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame").field("bytes", &self.encoded_len()).field("events", &self.events).finish()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::etcdserverpb::{ResponseHeader, WatchResponse};

    use super::*;

    #[test]
    fn encodes_what_prost_encodes() {
        let cases = [(0, 0, 0, 0, 0), (1, 2, 3, 4, 5), (u64::MAX, u64::MAX, u64::MAX, i64::MAX, -1)];
        for (cluster_id, member_id, raft_term, revision, watch_id) in cases {
            let facts =
                HeaderFacts { cluster_id: ClusterId(cluster_id), member_id: MemberId(member_id), raft_term };
            let head = Head::new(&facts, revision).watch_id(watch_id);
            let mut expected = WatchResponse {
                header: Some(ResponseHeader { cluster_id, member_id, revision, raft_term }),
                watch_id,
                ..WatchResponse::default()
            };
            let bytes = |frame: &Frame| [frame.head(), frame.body()].concat();
            assert_eq!(bytes(&Frame::control(head)), expected.encode_to_vec());

            let full = Frame::control(head.created().canceled().compact_revision(i64::MAX));
            (expected.created, expected.canceled, expected.compact_revision) = (true, true, i64::MAX);
            assert_eq!(bytes(&full), expected.encode_to_vec());
            assert_eq!(full.encoded_len(), expected.encoded_len());

            expected.compact_revision = 0;
            expected.cancel_reason = "why".repeat(60);
            let refused = Frame::with_reason(head.created().canceled(), &expected.cancel_reason);
            assert_eq!(bytes(&refused), expected.encode_to_vec());
        }
        let part = Frame::control(Head::new(&HeaderFacts::default(), 9).fragment());
        assert!(WatchResponse::decode(part.head()).unwrap().fragment);
    }
}
