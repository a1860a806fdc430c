//! Between the records of [`types::raft`] and their protobuf form.
//!
//! Written the way etcd 3.7 writes them (contract/semantics.md 14.23): an entry's type is left out when
//! normal; term, index, vote and commit are always present. Absent reads as zero.

use bytes::{BufMut, Bytes, BytesMut};
use prost::{Message, encoding};
use types::raft::{ConfState, Entry, EntryKind, HardState, Snapshot, SnapshotMeta};

use crate::raftpb;

/// Why bytes are no log record.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not protobuf, or not of that message.
    #[error("not a raftpb record: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// An entry type that etcd does not define.
    #[error("unknown raftpb entry type {0}")]
    UnknownEntryType(i32),
}

impl From<EntryKind> for raftpb::EntryType {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::Normal => raftpb::EntryType::EntryNormal,
            EntryKind::ConfChange => raftpb::EntryType::EntryConfChange,
            EntryKind::ConfChangeV2 => raftpb::EntryType::EntryConfChangeV2,
        }
    }
}

impl From<raftpb::EntryType> for EntryKind {
    fn from(kind: raftpb::EntryType) -> Self {
        match kind {
            raftpb::EntryType::EntryNormal => EntryKind::Normal,
            raftpb::EntryType::EntryConfChange => EntryKind::ConfChange,
            raftpb::EntryType::EntryConfChangeV2 => EntryKind::ConfChangeV2,
        }
    }
}

/// Bytes that [`encode_entry`] will write.
pub fn entry_len(entry: &Entry) -> usize {
    let kind = if entry.kind == EntryKind::Normal { 0 } else { 2 };
    let data = if entry.data.is_empty() {
        0
    } else {
        1 + encoding::encoded_len_varint(entry.data.len() as u64) + entry.data.len()
    };
    kind + 2 + encoding::encoded_len_varint(entry.term) + encoding::encoded_len_varint(entry.index) + data
}

/// Appends the `raftpb.Entry` of `entry` without an intermediate message: this is the hot path of the WAL.
pub fn encode_entry(entry: &Entry, out: &mut BytesMut) {
    out.reserve(entry_len(entry));
    if entry.kind != EntryKind::Normal {
        out.put_u8(0x08);
        out.put_u8(raftpb::EntryType::from(entry.kind) as u8);
    }
    out.put_u8(0x10);
    encoding::encode_varint(entry.term, out);
    out.put_u8(0x18);
    encoding::encode_varint(entry.index, out);
    if !entry.data.is_empty() {
        out.put_u8(0x22);
        encoding::encode_varint(entry.data.len() as u64, out);
        out.extend_from_slice(&entry.data);
    }
}

/// Reads a `raftpb.Entry`; its data shares `bytes`.
///
/// # Errors
/// When `bytes` is no such message, or names an entry type that does not exist.
pub fn decode_entry(bytes: Bytes) -> Result<Entry, WireError> {
    let wire = raftpb::Entry::decode(bytes)?;
    entry_from_wire(wire)
}

/// The entry of a decoded message.
///
/// # Errors
/// When it names an entry type that does not exist.
pub fn entry_from_wire(wire: raftpb::Entry) -> Result<Entry, WireError> {
    let number = wire.r#type.unwrap_or(0);
    let kind = raftpb::EntryType::try_from(number).map_err(|_| WireError::UnknownEntryType(number))?;
    Ok(Entry {
        term: wire.term.unwrap_or(0),
        index: wire.index.unwrap_or(0),
        kind: kind.into(),
        data: wire.data.unwrap_or_default(),
    })
}

impl From<&Entry> for raftpb::Entry {
    fn from(entry: &Entry) -> Self {
        raftpb::Entry {
            term: Some(entry.term),
            index: Some(entry.index),
            r#type: (entry.kind != EntryKind::Normal).then(|| raftpb::EntryType::from(entry.kind) as i32),
            data: (!entry.data.is_empty()).then(|| entry.data.clone()),
        }
    }
}

impl From<HardState> for raftpb::HardState {
    fn from(state: HardState) -> Self {
        raftpb::HardState { term: Some(state.term), vote: Some(state.vote), commit: Some(state.commit) }
    }
}

impl From<raftpb::HardState> for HardState {
    fn from(wire: raftpb::HardState) -> Self {
        HardState {
            term: wire.term.unwrap_or(0),
            vote: wire.vote.unwrap_or(0),
            commit: wire.commit.unwrap_or(0),
        }
    }
}

impl From<&ConfState> for raftpb::ConfState {
    fn from(state: &ConfState) -> Self {
        raftpb::ConfState {
            voters: state.voters.clone(),
            learners: state.learners.clone(),
            voters_outgoing: state.voters_outgoing.clone(),
            learners_next: state.learners_next.clone(),
            auto_leave: Some(state.auto_leave),
        }
    }
}

impl From<raftpb::ConfState> for ConfState {
    fn from(wire: raftpb::ConfState) -> Self {
        ConfState {
            voters: wire.voters,
            learners: wire.learners,
            voters_outgoing: wire.voters_outgoing,
            learners_next: wire.learners_next,
            auto_leave: wire.auto_leave.unwrap_or(false),
        }
    }
}

impl From<&Snapshot> for raftpb::Snapshot {
    fn from(snapshot: &Snapshot) -> Self {
        raftpb::Snapshot {
            data: Some(snapshot.data.clone()),
            metadata: Some(raftpb::SnapshotMetadata {
                conf_state: Some((&snapshot.meta.conf_state).into()),
                index: Some(snapshot.meta.index),
                term: Some(snapshot.meta.term),
            }),
        }
    }
}

impl From<raftpb::Snapshot> for Snapshot {
    fn from(wire: raftpb::Snapshot) -> Self {
        let meta = wire.metadata.unwrap_or_default();
        Snapshot {
            meta: SnapshotMeta {
                index: meta.index.unwrap_or(0),
                term: meta.term.unwrap_or(0),
                conf_state: meta.conf_state.unwrap_or_default().into(),
            },
            data: wire.data.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_encodes_like_the_generated_message() {
        for (term, index, kind, data) in [
            (1, 1, EntryKind::Normal, &b""[..]),
            (300, 1 << 40, EntryKind::ConfChange, b"context"),
            (u64::MAX, u64::MAX, EntryKind::ConfChangeV2, &[7; 200]),
        ] {
            let entry = Entry { term, index, kind, data: Bytes::copy_from_slice(data) };
            let mut ours = BytesMut::new();
            encode_entry(&entry, &mut ours);
            assert_eq!(ours.len(), entry_len(&entry));
            assert_eq!(ours, raftpb::Entry::from(&entry).encode_to_vec());
            assert_eq!(decode_entry(ours.freeze()).unwrap(), entry);
        }
    }

    #[test]
    fn unknown_entry_type_is_an_error() {
        assert!(decode_entry(Bytes::from_static(&[0x08, 9])).is_err());
    }
}
