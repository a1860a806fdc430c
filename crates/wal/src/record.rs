//! What records mean.

use bytes::{Bytes, BytesMut};
use prost::Message;
use proto::{etcdserverpb, raftpb, walpb};
use types::{
    ClusterId, MemberId,
    raft::{ConfState, Entry, EntryKind, HardState},
};

use crate::frame::RecordKind;

/// Who the log belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The local member.
    pub node_id: MemberId,
    /// Its cluster.
    pub cluster_id: ClusterId,
}

impl Metadata {
    pub(crate) fn encode(self) -> Bytes {
        let message =
            etcdserverpb::Metadata { node_id: Some(self.node_id.0), cluster_id: Some(self.cluster_id.0) };
        message.encode_to_vec().into()
    }

    fn decode(data: &[u8]) -> Option<Metadata> {
        let message = etcdserverpb::Metadata::decode(data).ok()?;
        Some(Metadata {
            node_id: MemberId(message.node_id.unwrap_or(0)),
            cluster_id: ClusterId(message.cluster_id.unwrap_or(0)),
        })
    }
}

/// A point that raft can start from: the state up to `index` is in the db.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotRecord {
    /// Last index the db includes.
    pub index: u64,
    /// Term of that index.
    pub term: u64,
    /// The configuration at that index; empty for index 0.
    pub conf_state: ConfState,
}

impl SnapshotRecord {
    /// Index and term are always written, the conf state when the index is above 0 (contract/semantics.md 14.23).
    pub(crate) fn encode(&self) -> Bytes {
        let message = walpb::Snapshot {
            index: Some(self.index),
            term: Some(self.term),
            conf_state: (self.index > 0).then(|| raftpb::ConfState::from(&self.conf_state)),
        };
        message.encode_to_vec().into()
    }

    fn decode(data: &[u8]) -> Option<SnapshotRecord> {
        let message = walpb::Snapshot::decode(data).ok()?;
        Some(SnapshotRecord {
            index: message.index.unwrap_or(0),
            term: message.term.unwrap_or(0),
            conf_state: message.conf_state.unwrap_or_default().into(),
        })
    }
}

/// A decoded record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Who wrote the log. The bytes are repeated as they are at the head of each segment.
    Metadata(Metadata, Bytes),
    /// An entry; one with an index that was there before replaces it and all after it.
    Entry(Entry),
    /// The last one counts.
    HardState(HardState),
    /// The checksum so far.
    Crc(u32),
    /// A point to start from.
    Snapshot(SnapshotRecord),
}

impl Record {
    /// Reads the data of a record; `None` when it is not what its type says.
    pub(crate) fn decode(kind: RecordKind, crc: u32, data: &[u8]) -> Option<Record> {
        Some(match kind {
            RecordKind::Metadata => Record::Metadata(Metadata::decode(data)?, Bytes::copy_from_slice(data)),
            RecordKind::Entry => Record::Entry(decode_entry(data)?),
            RecordKind::HardState => Record::HardState(decode_hard_state(data)?),
            RecordKind::Crc => Record::Crc(crc),
            RecordKind::Snapshot => Record::Snapshot(SnapshotRecord::decode(data)?),
        })
    }

    /// Which type of record this is.
    pub fn kind(&self) -> RecordKind {
        match self {
            Record::Metadata(..) => RecordKind::Metadata,
            Record::Entry(_) => RecordKind::Entry,
            Record::HardState(_) => RecordKind::HardState,
            Record::Crc(_) => RecordKind::Crc,
            Record::Snapshot(_) => RecordKind::Snapshot,
        }
    }

    /// The index and term by which the side file names this record.
    pub(crate) fn place(&self) -> (u64, u64) {
        match self {
            Record::Entry(entry) => (entry.index, entry.term),
            Record::HardState(state) => (state.commit, state.term),
            Record::Snapshot(snapshot) => (snapshot.index, snapshot.term),
            Record::Metadata(..) | Record::Crc(_) => (0, 0),
        }
    }
}

/// The type of a record is outside its checksum, and a hard state must not pass for an entry because of one
/// flipped bit: an old-style conf change without a payload, which no member proposes, is one.
fn decode_entry(data: &[u8]) -> Option<Entry> {
    let entry = proto::raft::decode_entry(Bytes::copy_from_slice(data)).ok()?;
    let payload = entry.kind != EntryKind::ConfChange || !entry.data.is_empty();
    (payload && entry.index > 0).then_some(entry)
}

/// The other way round: refuses unknown fields, and a state without a term unless it is empty.
fn decode_hard_state(data: &[u8]) -> Option<HardState> {
    let message = raftpb::HardState::decode(data).ok()?;
    let known = message.encoded_len() == data.len();
    (known && (message.term.is_some() || data.is_empty())).then(|| message.into())
}

/// Bytes that [`encode_hard_state`] writes.
pub(crate) fn hard_state_len(state: HardState) -> usize {
    raftpb::HardState::from(state).encoded_len()
}

pub(crate) fn encode_hard_state(state: HardState, out: &mut BytesMut) {
    raftpb::HardState::from(state).encode(out).expect("a BytesMut grows as needed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_does_not_pass_for_a_hard_state() {
        let entry = Entry { term: 3, index: 7, data: Bytes::from_static(b"x"), ..Entry::default() };
        let mut data = BytesMut::new();
        proto::raft::encode_entry(&entry, &mut data);
        assert_eq!(Record::decode(RecordKind::HardState, 0, &data), None);
        assert_eq!(Record::decode(RecordKind::Entry, 0, &data), Some(Record::Entry(entry)));
        let empty = Entry { term: 3, index: 7, ..Entry::default() };
        data.clear();
        proto::raft::encode_entry(&empty, &mut data);
        assert_eq!(Record::decode(RecordKind::HardState, 0, &data), None);
        data.clear();
        encode_hard_state(HardState { term: 1, vote: 5, commit: 9 }, &mut data);
        assert_eq!(Record::decode(RecordKind::Entry, 0, &data), None);
    }

    #[test]
    fn snapshot_records_always_have_index_and_term() {
        assert_eq!(SnapshotRecord::default().encode()[..], [0x08, 0, 0x10, 0]);
        let conf_state = ConfState { voters: vec![5], ..ConfState::default() };
        let record = SnapshotRecord { index: 300, term: 2, conf_state };
        assert_eq!(SnapshotRecord::decode(&record.encode()), Some(record));
    }
}
