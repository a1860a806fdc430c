//! One event: from a change that apply reports, or from a row of history, to the bytes that clients get.

use bytes::{BufMut, Bytes, BytesMut};
use mvcc::{Change, ChangeKind, HistoryRow, KeyValue, MvccError, RowRef};
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::rows::PrevRows;

/// `WatchResponse.events`.
const EVENTS_TAG: u8 = 11 << 3 | 2;
/// `Event.type` = DELETE; PUT is 0 and left out.
const TYPE_DELETE: [u8; 2] = [1 << 3, 1];
/// `Event.kv`.
const KV_TAG: u8 = 2 << 3 | 2;
/// `Event.prev_kv`.
const PREV_KV_TAG: u8 = 3 << 3 | 2;
/// `KeyValue.mod_revision`.
const MOD_REVISION_TAG: u8 = 3 << 3;

/// What happened to the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A put that made the key: it has no previous pair (contract/semantics.md 5.10).
    Create,
    /// A put on a key that was there.
    Update,
    /// A delete.
    Delete,
}

/// The pair from before the change's revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Prev {
    /// Nobody has looked yet.
    Unknown,
    /// There is none, or it is compacted.
    Absent,
    /// Its encoded `KeyValue`.
    Row(Bytes),
}

impl Prev {
    /// Lets a row go; it can be read again.
    pub(crate) fn forget(&mut self) {
        if let Prev::Row(_) = self {
            *self = Prev::Unknown;
        }
    }

    /// Reads a previous pair here and now.
    pub(crate) fn fetch(row: &RowRef, rows: &impl PrevRows) -> Result<Prev, MvccError> {
        match rows.fetch(row) {
            Ok(row) => Ok(Prev::Row(row)),
            Err(MvccError::Compacted { .. }) => Ok(Prev::Absent),
            Err(error) => Err(error),
        }
    }
}

/// A change as watchers see it. Its main revision is that of the [`crate::slice::Batch`] it is in.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) key: Bytes,
    pub(crate) kind: Kind,
    /// The stored `KeyValue`. A tombstone's holds only the key; the revision is added when encoding.
    row: Bytes,
    /// `Absent` from the start for `Kind::Create`.
    pub(crate) prev: Prev,
}

impl Event {
    /// An event whose previous pair is still to be found.
    pub(crate) fn new(key: Bytes, kind: Kind, row: Bytes) -> Event {
        let prev = if kind == Kind::Create { Prev::Absent } else { Prev::Unknown };
        Event { key, kind, row, prev }
    }

    /// What apply reports.
    pub(crate) fn from_change(change: &Change) -> Event {
        // Second puts of a key in one revision count as creating when the first did, as clients see it.
        let created_now = |prev: &RowRef| prev.create_revision == change.revision.main;
        let kind = match (change.kind, change.create || change.prev.as_ref().is_some_and(created_now)) {
            (ChangeKind::Delete, _) => Kind::Delete,
            (ChangeKind::Put, true) => Kind::Create,
            (ChangeKind::Put, false) => Kind::Update,
        };
        Event::new(change.key.clone(), kind, change.row.clone())
    }

    /// A row of history. `None` when it is no encoded `KeyValue`.
    pub(crate) fn from_history(row: &HistoryRow) -> Option<Event> {
        let kv = KeyValue::decode(&row.row)?;
        let kind = match row.tombstone {
            true => Kind::Delete,
            false if kv.create_revision == kv.mod_revision => Kind::Create,
            false => Kind::Update,
        };
        Some(Event::new(row.row.slice_ref(kv.key), kind, row.row.clone()))
    }

    /// Says which row holds the previous pair, when that is not known yet and there is one. The event is of the
    /// revision `main`; what is older than `compacted` counts as gone.
    pub(crate) fn find_prev(&mut self, main: i64, compacted: i64, rows: &impl PrevRows) -> Option<RowRef> {
        if self.prev != Prev::Unknown {
            return None;
        }
        // What a read at the revision before the change would have found.
        let found = if main - 1 < compacted { None } else { rows.prev(&self.key, main) };
        if found.is_none() {
            self.prev = Prev::Absent;
        }
        found
    }

    /// Memory that the event keeps alive, roughly; without its previous row.
    pub(crate) fn footprint(&self) -> usize {
        self.key.len() + self.row.len() + size_of::<Event>()
    }

    /// Length of the event as one entry of `WatchResponse.events`, tag included.
    pub(crate) fn entry_len(&self, main: i64, with_prev: bool) -> usize {
        let len = self.message_len(main, with_prev);
        1 + encoded_len_varint(len as u64) + len
    }

    /// Appends the event as one entry of `WatchResponse.events`. A previous pair that is wanted must be known.
    pub(crate) fn encode_entry(&self, main: i64, with_prev: bool, out: &mut BytesMut) {
        out.put_u8(EVENTS_TAG);
        encode_varint(self.message_len(main, with_prev) as u64, out);
        if self.kind == Kind::Delete {
            out.put_slice(&TYPE_DELETE);
        }
        out.put_u8(KV_TAG);
        encode_varint(self.kv_len(main) as u64, out);
        out.put_slice(&self.row);
        if self.kind == Kind::Delete {
            out.put_u8(MOD_REVISION_TAG);
            encode_varint(main.cast_unsigned(), out);
        }
        if let Some(prev) = self.prev_wanted(with_prev) {
            out.put_u8(PREV_KV_TAG);
            encode_varint(prev.len() as u64, out);
            out.put_slice(prev);
        }
    }

    fn prev_wanted(&self, with_prev: bool) -> Option<&Bytes> {
        match &self.prev {
            Prev::Row(row) if with_prev => Some(row),
            Prev::Unknown if with_prev => unreachable!("previous pairs are looked up before encoding"),
            _ => None,
        }
    }

    fn kv_len(&self, main: i64) -> usize {
        let mod_revision =
            if self.kind == Kind::Delete { 1 + encoded_len_varint(main.cast_unsigned()) } else { 0 };
        self.row.len() + mod_revision
    }

    fn message_len(&self, main: i64, with_prev: bool) -> usize {
        let kind = if self.kind == Kind::Delete { TYPE_DELETE.len() } else { 0 };
        let field = |len: usize| 1 + encoded_len_varint(len as u64) + len;
        kind + field(self.kv_len(main)) + self.prev_wanted(with_prev).map_or(0, |prev| field(prev.len()))
    }
}

/// Cuts encoded entries into parts that, with `head_len` bytes before each, stay below `limit`; a part holds at
/// least one entry. Returns each part and the number of its entries.
pub(crate) fn split(body: &Bytes, head_len: usize, limit: usize) -> Vec<(Bytes, u32)> {
    let mut parts = Vec::new();
    let (mut start, mut count, mut at) = (0, 0, 0);
    while at < body.len() {
        let next = at + entry_len_at(&body[at..]);
        if count > 0 && head_len + next - start >= limit {
            parts.push((body.slice(start..at), count));
            (start, count) = (at, 0);
        }
        count += 1;
        at = next;
    }
    parts.push((body.slice(start..), count));
    parts
}

/// Length of the entry, tag included, at the start of `entries`, which this crate has encoded.
fn entry_len_at(entries: &[u8]) -> usize {
    let mut rest = &entries[1..];
    let len = prost::encoding::decode_varint(&mut rest).expect("an entry that was encoded here");
    entries.len() - rest.len() + usize::try_from(len).expect("an entry that fits in memory")
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::{
        etcdserverpb::WatchResponse,
        mvccpb::{self, KeyValue, event::EventType},
    };
    use types::Revision;

    use super::*;

    fn from_row(tombstone: bool, row: impl Into<Bytes>) -> Option<Event> {
        Event::from_history(&HistoryRow { revision: Revision::new(300, 0), tombstone, row: row.into() })
    }

    fn key_value(key: &str, create: i64, modified: i64, value: &str) -> KeyValue {
        KeyValue {
            key: Bytes::copy_from_slice(key.as_bytes()),
            create_revision: create,
            mod_revision: modified,
            version: 1,
            value: Bytes::copy_from_slice(value.as_bytes()),
            lease: 0,
        }
    }

    fn entry(event: &Event, main: i64, with_prev: bool) -> Bytes {
        let mut out = BytesMut::new();
        event.encode_entry(main, with_prev, &mut out);
        assert_eq!(out.len(), event.entry_len(main, with_prev));
        out.freeze()
    }

    #[test]
    fn encodes_what_prost_encodes() {
        let old = key_value("k", 3, 4, "old");
        let new = key_value("k", 3, 300, &"new".repeat(100));
        let mut put = from_row(false, new.encode_to_vec()).unwrap();
        let grave = KeyValue { key: "k".into(), ..KeyValue::default() };
        let mut delete = from_row(true, grave.encode_to_vec()).unwrap();
        assert_eq!((put.kind, delete.kind), (Kind::Update, Kind::Delete));
        put.prev = Prev::Row(old.encode_to_vec().into());
        delete.prev = Prev::Row(old.encode_to_vec().into());
        let message = |kind: EventType, kv: &KeyValue, prev: Option<&KeyValue>| WatchResponse {
            events: vec![mvccpb::Event { r#type: kind.into(), kv: Some(kv.clone()), prev_kv: prev.cloned() }],
            ..WatchResponse::default()
        };
        let deleted = KeyValue { mod_revision: 300, ..grave };
        for (event, kind, kv) in [(&put, EventType::Put, &new), (&delete, EventType::Delete, &deleted)] {
            assert_eq!(entry(event, 300, false), message(kind, kv, None).encode_to_vec());
            assert_eq!(entry(event, 300, true), message(kind, kv, Some(&old)).encode_to_vec());
        }
    }

    #[test]
    fn a_put_that_creates_has_no_previous_pair() {
        let event = from_row(false, key_value("k", 7, 7, "v").encode_to_vec()).unwrap();
        assert_eq!((event.kind, event.prev.clone()), (Kind::Create, Prev::Absent));
        assert_eq!(entry(&event, 7, true), entry(&event, 7, false));
    }

    #[test]
    fn refuses_rows_that_are_no_key_value() {
        assert!(from_row(false, &b"\x0a\x7f"[..]).is_none());
    }

    #[test]
    fn split_keeps_parts_below_the_limit() {
        let event = Event::new("k".into(), Kind::Create, Bytes::from(vec![0; 96]));
        let len = event.entry_len(2, false);
        let mut body = BytesMut::new();
        for _ in 0..5 {
            event.encode_entry(2, false, &mut body);
        }
        let body = body.freeze();
        let counts = |head, limit| split(&body, head, limit).iter().map(|(_, n)| *n).collect::<Vec<_>>();
        assert_eq!(counts(0, usize::MAX), [5]);
        assert_eq!(counts(10, 10 + 2 * len), [1, 1, 1, 1, 1], "a part of exactly the limit is too large");
        assert_eq!(counts(10, 11 + 2 * len), [2, 2, 1]);
        assert_eq!(counts(10, 1), [1, 1, 1, 1, 1], "one entry always fits");
        let whole: Vec<u8> =
            split(&body, 10, 11 + 2 * len).iter().flat_map(|(part, _)| part.to_vec()).collect();
        assert_eq!(whole, body);
    }
}
