//! The payloads of conf change entries: `raftpb.ConfChange` and `raftpb.ConfChangeV2` in protobuf.
//!
//! Written by hand because it is all of protobuf that this crate needs. Type and member are always written,
//! as etcd 3.7 does; everything else only when it is not zero. Unknown fields are skipped.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Change, ChangeKind, ConfChange, ConfChangeV2, Transition};

/// Why bytes are no conf change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end inside a field.
    #[error("unexpected end")]
    Truncated,
    /// A number has more than 64 bits, or a field has a number or wire type that protobuf does not know.
    #[error("invalid field")]
    InvalidField,
    /// A known field has the wrong wire type.
    #[error("field {0} has the wrong wire type")]
    WrongType(u64),
    /// A change or transition type that does not exist.
    #[error("unknown conf change type {0}")]
    UnknownType(u64),
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

impl ConfChange {
    /// The `raftpb.ConfChange`.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        if self.id != 0 {
            put_number(&mut out, 1, self.id);
        }
        put_number(&mut out, 2, self.change.kind as u64);
        put_number(&mut out, 3, self.change.id);
        if !self.context.is_empty() {
            put_bytes(&mut out, 4, &self.context);
        }
        out.freeze()
    }

    /// Reads a `raftpb.ConfChange`; the context shares `data`.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(data: &Bytes) -> Result<ConfChange, CodecError> {
        let mut change = ConfChange::default();
        each_field(data, |number, value| {
            match number {
                1 => change.id = value.number(number)?,
                2 => change.change.kind = change_kind(value.number(number)?)?,
                3 => change.change.id = value.number(number)?,
                4 => change.context = value.bytes(number)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(change)
    }
}

impl ConfChangeV2 {
    /// The `raftpb.ConfChangeV2`; nothing at all for the change that leaves a joint configuration.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        if self.transition != Transition::Auto {
            put_number(&mut out, 1, self.transition as u64);
        }
        for change in &self.changes {
            let mut inner = BytesMut::new();
            put_number(&mut inner, 1, change.kind as u64);
            put_number(&mut inner, 2, change.id);
            put_bytes(&mut out, 2, &inner);
        }
        if !self.context.is_empty() {
            put_bytes(&mut out, 3, &self.context);
        }
        out.freeze()
    }

    /// Reads a `raftpb.ConfChangeV2`; the context shares `data`.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(data: &Bytes) -> Result<ConfChangeV2, CodecError> {
        let mut change = ConfChangeV2::default();
        each_field(data, |number, value| {
            match number {
                1 => change.transition = transition(value.number(number)?)?,
                2 => change.changes.push(decode_change(&value.bytes(number)?)?),
                3 => change.context = value.bytes(number)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(change)
    }
}

fn decode_change(data: &Bytes) -> Result<Change, CodecError> {
    let mut change = Change::default();
    each_field(data, |number, value| {
        match number {
            1 => change.kind = change_kind(value.number(number)?)?,
            2 => change.id = value.number(number)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(change)
}

fn change_kind(number: u64) -> Result<ChangeKind, CodecError> {
    Ok(match number {
        0 => ChangeKind::AddVoter,
        1 => ChangeKind::Remove,
        2 => ChangeKind::Update,
        3 => ChangeKind::AddLearner,
        _ => return Err(CodecError::UnknownType(number)),
    })
}

fn transition(number: u64) -> Result<Transition, CodecError> {
    Ok(match number {
        0 => Transition::Auto,
        1 => Transition::JointImplicit,
        2 => Transition::JointExplicit,
        _ => return Err(CodecError::UnknownType(number)),
    })
}

enum Value {
    Number(u64),
    Bytes(Bytes),
    Other,
}

impl Value {
    fn number(self, field: u64) -> Result<u64, CodecError> {
        match self {
            Value::Number(number) => Ok(number),
            Value::Bytes(_) | Value::Other => Err(CodecError::WrongType(field)),
        }
    }

    fn bytes(self, field: u64) -> Result<Bytes, CodecError> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Number(_) | Value::Other => Err(CodecError::WrongType(field)),
        }
    }
}

fn each_field(
    data: &Bytes,
    mut take: impl FnMut(u64, Value) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let mut rest = data.clone();
    while !rest.is_empty() {
        let key = take_varint(&mut rest)?;
        let value = match key & 7 {
            VARINT => Value::Number(take_varint(&mut rest)?),
            BYTES => {
                let len = take_varint(&mut rest)?;
                Value::Bytes(take_bytes(&mut rest, len)?)
            }
            FIXED64 => take_bytes(&mut rest, 8).map(|_| Value::Other)?,
            FIXED32 => take_bytes(&mut rest, 4).map(|_| Value::Other)?,
            _ => return Err(CodecError::InvalidField),
        };
        match key >> 3 {
            0 => return Err(CodecError::InvalidField),
            number => take(number, value)?,
        }
    }
    Ok(())
}

fn take_bytes(rest: &mut Bytes, len: u64) -> Result<Bytes, CodecError> {
    let len = usize::try_from(len).map_err(|_| CodecError::Truncated)?;
    if len > rest.len() {
        return Err(CodecError::Truncated);
    }
    Ok(rest.split_to(len))
}

fn take_varint(rest: &mut Bytes) -> Result<u64, CodecError> {
    let mut value = 0;
    for (position, &byte) in rest.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * position as u32;
        if shift == 63 && bits > 1 {
            return Err(CodecError::InvalidField);
        }
        value |= bits << shift;
        if byte < 0x80 {
            let _ = rest.split_to(position + 1);
            return Ok(value);
        }
    }
    Err(if rest.len() < 10 { CodecError::Truncated } else { CodecError::InvalidField })
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn put_number(out: &mut BytesMut, field: u64, value: u64) {
    put_varint(out, field << 3 | VARINT);
    put_varint(out, value);
}

fn put_bytes(out: &mut BytesMut, field: u64, value: &[u8]) {
    put_varint(out, field << 3 | BYTES);
    put_varint(out, value.len() as u64);
    out.put_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_change() -> impl Strategy<Value = Change> {
        (0u64..4, any::<u64>()).prop_map(|(kind, id)| Change { kind: change_kind(kind).unwrap(), id })
    }

    fn any_context() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            id in any::<u64>(),
            change in any_change(),
            changes in proptest::collection::vec(any_change(), 0..5),
            transition in (0u64..3).prop_map(|n| transition(n).unwrap()),
            context in any_context(),
        ) {
            let v1 = ConfChange { id, change, context: context.clone() };
            prop_assert_eq!(ConfChange::decode(&v1.encode()).unwrap(), v1);
            let v2 = ConfChangeV2 { transition, changes, context };
            prop_assert_eq!(ConfChangeV2::decode(&v2.encode()).unwrap(), v2);
        }

        #[test]
        fn any_bytes_are_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..40)) {
            let data = Bytes::from(data);
            let _ = ConfChange::decode(&data);
            let _ = ConfChangeV2::decode(&data);
        }
    }

    #[test]
    fn bytes_are_those_of_etcd() {
        // As etcd 3.7 marshals the first entry of a new cluster: no id, the type although it is zero.
        let add = ConfChange {
            id: 0,
            change: Change { kind: ChangeKind::AddVoter, id: 0x8e9e_05c5_2164_694d },
            context: Bytes::from_static(b"{}"),
        };
        let expected = b"\x10\x00\x18\xcd\xd2\x91\x8b\xd2\xb8\x81\xcf\x8e\x01\x22\x02{}";
        assert_eq!(add.encode(), &expected[..]);
        assert!(ConfChangeV2::default().encode().is_empty());
        let v2 = ConfChangeV2 {
            transition: Transition::JointExplicit,
            changes: vec![Change { kind: ChangeKind::Remove, id: 5 }],
            context: Bytes::new(),
        };
        assert_eq!(v2.encode(), &b"\x08\x02\x12\x04\x08\x01\x10\x05"[..]);
    }

    #[test]
    fn refuses_what_is_none_and_skips_what_is_unknown() {
        let decode = |bytes: &'static [u8]| ConfChange::decode(&Bytes::from_static(bytes));
        assert_eq!(decode(b"\x10\x09"), Err(CodecError::UnknownType(9)));
        assert_eq!(decode(b"\x12\x01x"), Err(CodecError::WrongType(2)));
        assert_eq!(decode(b"\x22\x05ab"), Err(CodecError::Truncated));
        assert_eq!(decode(b"\x18"), Err(CodecError::Truncated));
        assert_eq!(decode(b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), Err(CodecError::InvalidField));
        assert_eq!(decode(b"\x1f"), Err(CodecError::InvalidField));
        let skipped = decode(b"\x31\0\0\0\0\0\0\0\0\x3d\0\0\0\0\x42\x01z\x18\x07").unwrap();
        assert_eq!(skipped.change.id, 7);
    }
}
