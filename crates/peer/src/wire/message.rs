//! `raftpb.Message`, read by hand: nesting and repetition cost a sender as much as they cost us.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use consensus::{Message, MessageKind};
use prost::{
    DecodeError, Message as _,
    encoding::{
        DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint,
        skip_field,
    },
};
use proto::{
    raft::{decode_entry, encode_entry, entry_len},
    raftpb,
};
use types::raft::Snapshot;

use super::{CodecError, ENTRY_COST, charge};

/// Most bytes of a snapshot's place and configuration: some ten thousand members.
const SNAPSHOT_META_BYTES_MAX: usize = 256 << 10;

const TYPE: u32 = 1;
const TO: u32 = 2;
const FROM: u32 = 3;
const TERM: u32 = 4;
const LOG_TERM: u32 = 5;
const INDEX: u32 = 6;
const ENTRIES: u32 = 7;
const COMMIT: u32 = 8;
const SNAPSHOT: u32 = 9;
const REJECT: u32 = 10;
const REJECT_HINT: u32 = 11;
const CONTEXT: u32 = 12;

/// What a frame says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decoded {
    /// A message for raft.
    Message(Message),
    /// The sender's sign that the connection lives; raft knows nothing of it.
    LinkHeartbeat,
    /// Of a kind that no member sends to another.
    Ignored {
        /// `raftpb.MessageType`.
        kind: i32,
        /// Who sent it.
        from: u64,
    },
}

fn numbers(message: &Message) -> [(u32, u64); 9] {
    [
        (TYPE, message.kind.number() as u64),
        (TO, message.to),
        (FROM, message.from),
        (TERM, message.term),
        (LOG_TERM, message.log_term),
        (INDEX, message.index),
        (COMMIT, message.commit),
        (REJECT, u64::from(message.reject)),
        (REJECT_HINT, message.reject_hint),
    ]
}

fn delimited_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn snapshot_wire(message: &Message) -> Option<raftpb::Snapshot> {
    message.snapshot.as_deref().map(Into::into)
}

/// Bytes that [`encode_message`] will write.
pub(crate) fn message_len(message: &Message) -> usize {
    let numbers: usize = numbers(message).iter().map(|(_, value)| 1 + encoded_len_varint(*value)).sum();
    let entries: usize = message.entries.iter().map(|entry| delimited_len(entry_len(entry))).sum();
    let snapshot = snapshot_wire(message).map_or(0, |wire| delimited_len(wire.encoded_len()));
    let context = if message.context.is_empty() { 0 } else { delimited_len(message.context.len()) };
    numbers + entries + snapshot + context
}

/// Appends the `raftpb.Message`. Numbers are written even when they are 0, as members before 3.7 do.
pub(crate) fn encode_message(message: &Message, out: &mut BytesMut) {
    for (tag, value) in numbers(message) {
        encode_key(tag, WireType::Varint, out);
        encode_varint(value, out);
    }
    for entry in &message.entries {
        encode_key(ENTRIES, WireType::LengthDelimited, out);
        encode_varint(entry_len(entry) as u64, out);
        encode_entry(entry, out);
    }
    if let Some(wire) = snapshot_wire(message) {
        encode_key(SNAPSHOT, WireType::LengthDelimited, out);
        encode_varint(wire.encoded_len() as u64, out);
        out.put_slice(&wire.encode_to_vec());
    }
    if !message.context.is_empty() {
        encode_key(CONTEXT, WireType::LengthDelimited, out);
        encode_varint(message.context.len() as u64, out);
        out.put_slice(&message.context);
    }
}

fn number(wire_type: WireType, buf: &mut Bytes) -> Result<u64, DecodeError> {
    prost::encoding::check_wire_type(WireType::Varint, wire_type)?;
    decode_varint(buf)
}

fn delimited(wire_type: WireType, buf: &mut Bytes) -> Result<Bytes, DecodeError> {
    let mut value = Bytes::new();
    prost::encoding::bytes::merge(wire_type, &mut value, buf, DecodeContext::default())?;
    Ok(value)
}

/// Reads a `raftpb.Message` that may take `bytes_max` once decoded; its data shares `buf`.
pub(crate) fn decode_message(mut buf: Bytes, bytes_max: u64) -> Result<Decoded, CodecError> {
    let mut left = bytes_max;
    charge(&mut left, buf.len() as u64)?;
    let mut kind = 0;
    let mut message = Message::default();
    while buf.has_remaining() {
        let (tag, wire_type) = decode_key(&mut buf)?;
        match tag {
            TYPE => kind = number(wire_type, &mut buf)? as i32,
            TO => message.to = number(wire_type, &mut buf)?,
            FROM => message.from = number(wire_type, &mut buf)?,
            TERM => message.term = number(wire_type, &mut buf)?,
            LOG_TERM => message.log_term = number(wire_type, &mut buf)?,
            INDEX => message.index = number(wire_type, &mut buf)?,
            COMMIT => message.commit = number(wire_type, &mut buf)?,
            REJECT => message.reject = number(wire_type, &mut buf)? != 0,
            REJECT_HINT => message.reject_hint = number(wire_type, &mut buf)?,
            ENTRIES => {
                charge(&mut left, ENTRY_COST)?;
                message.entries.push(decode_entry(delimited(wire_type, &mut buf)?)?);
            }
            SNAPSHOT => message.snapshot = Some(Box::new(decode_snapshot(delimited(wire_type, &mut buf)?)?)),
            CONTEXT => message.context = delimited(wire_type, &mut buf)?,
            // Votes and stored responses never travel between members of etcd.
            _ => skip_field(wire_type, tag, &mut buf, DecodeContext::default())?,
        }
    }
    let Some(known) = MessageKind::from_number(kind) else {
        return Ok(Decoded::Ignored { kind, from: message.from });
    };
    if known == MessageKind::Heartbeat && message.from == 0 && message.to == 0 {
        return Ok(Decoded::LinkHeartbeat);
    }
    message.kind = known;
    // Members before 3.6 send an empty one with every message.
    if known != MessageKind::Snapshot {
        message.snapshot = None;
    }
    Ok(Decoded::Message(message))
}

fn decode_snapshot(mut buf: Bytes) -> Result<Snapshot, CodecError> {
    const DATA: u32 = 1;
    const META: u32 = 2;
    let mut wire = raftpb::Snapshot::default();
    while buf.has_remaining() {
        let (tag, wire_type) = decode_key(&mut buf)?;
        match tag {
            DATA => wire.data = Some(delimited(wire_type, &mut buf)?),
            META => {
                let meta = delimited(wire_type, &mut buf)?;
                if meta.len() > SNAPSHOT_META_BYTES_MAX {
                    return Err(CodecError::TooLong);
                }
                wire.metadata = Some(raftpb::SnapshotMetadata::decode(meta)?);
            }
            _ => skip_field(wire_type, tag, &mut buf, DecodeContext::default())?,
        }
    }
    Ok(wire.into())
}
