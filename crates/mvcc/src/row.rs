//! Rows: the encoded `mvccpb.KeyValue` that a revision stands for.
//!
//! All members must write the same bytes, because `HashKV` hashes them (contract/semantics.md 1.12): fields in
//! number order, zero and empty fields left out. A tombstone's row holds the key alone.

use bytes::Bytes;

use crate::varint;

const TAG_KEY: u8 = 1 << 3 | WIRE_BYTES;
const TAG_CREATE_REVISION: u8 = 2 << 3;
const TAG_MOD_REVISION: u8 = 3 << 3;
const TAG_VERSION: u8 = 4 << 3;
const TAG_VALUE: u8 = 5 << 3 | WIRE_BYTES;
const TAG_LEASE: u8 = 6 << 3;

const WIRE_VARINT: u8 = 0;
const WIRE_FIXED64: u8 = 1;
const WIRE_BYTES: u8 = 2;
const WIRE_FIXED32: u8 = 5;

/// The fields of a row, borrowed from its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyValue<'a> {
    /// The key; empty only in the row that `etcdutl snapshot restore --bump-revision` adds.
    pub key: &'a [u8],
    /// Revision of the put that (re)created the key; 0 in a tombstone.
    pub create_revision: i64,
    /// Revision of this change; 0 in a tombstone.
    pub mod_revision: i64,
    /// Puts since the key was created, this one included; 0 in a tombstone.
    pub version: i64,
    /// The value.
    pub value: &'a [u8],
    /// The lease it is attached to; 0 is none.
    pub lease: i64,
}

impl<'a> KeyValue<'a> {
    /// Reads a row. Unknown fields are skipped and the last of a repeated field wins, as in protobuf. `None` when
    /// it is no protobuf message or a known field has another wire type.
    pub fn decode(mut row: &'a [u8]) -> Option<KeyValue<'a>> {
        let mut fields = KeyValue::default();
        while !row.is_empty() {
            let tag = varint::take(&mut row)?;
            match u8::try_from(tag).unwrap_or(0) {
                TAG_KEY => fields.key = take_bytes(&mut row)?,
                TAG_CREATE_REVISION => fields.create_revision = varint::take(&mut row)? as i64,
                TAG_MOD_REVISION => fields.mod_revision = varint::take(&mut row)? as i64,
                TAG_VERSION => fields.version = varint::take(&mut row)? as i64,
                TAG_VALUE => fields.value = take_bytes(&mut row)?,
                TAG_LEASE => fields.lease = varint::take(&mut row)? as i64,
                _ => skip_unknown(tag, &mut row)?,
            }
        }
        Some(fields)
    }

    /// Bytes of the encoded row.
    pub fn encoded_len(&self) -> usize {
        bytes_field_len(self.key)
            + number_field_len(self.create_revision)
            + number_field_len(self.mod_revision)
            + number_field_len(self.version)
            + bytes_field_len(self.value)
            + number_field_len(self.lease)
    }

    /// Appends the encoded row.
    pub fn encode(&self, out: &mut Vec<u8>) {
        push_bytes(out, TAG_KEY, self.key);
        push_number(out, TAG_CREATE_REVISION, self.create_revision);
        push_number(out, TAG_MOD_REVISION, self.mod_revision);
        push_number(out, TAG_VERSION, self.version);
        push_bytes(out, TAG_VALUE, self.value);
        push_number(out, TAG_LEASE, self.lease);
    }
}

/// A storage key and its row in one buffer, so that a change costs one allocation and one copy of key and value.
pub(crate) struct StoredRow {
    /// The encoded revision.
    pub(crate) storage_key: Bytes,
    /// The encoded [`KeyValue`].
    pub(crate) row: Bytes,
    /// The key inside `row`.
    pub(crate) key: Bytes,
}

impl StoredRow {
    /// Writes both, into a buffer of exactly their size.
    pub(crate) fn new(storage_key: &[u8], fields: &KeyValue<'_>) -> StoredRow {
        let row_at = storage_key.len();
        let mut buffer = Vec::with_capacity(row_at + fields.encoded_len());
        buffer.extend_from_slice(storage_key);
        fields.encode(&mut buffer);
        let key_end = row_at + bytes_field_len(fields.key);
        let buffer = Bytes::from(buffer);
        StoredRow {
            storage_key: buffer.slice(..row_at),
            row: buffer.slice(row_at..),
            key: buffer.slice(key_end - fields.key.len()..key_end),
        }
    }
}

/// Bytes that a row of `row_len` bytes takes as an element of a repeated field with a one-byte tag, such as
/// `RangeResponse.kvs`.
pub fn framed_len(row_len: u32) -> u64 {
    1 + varint::len(u64::from(row_len)) as u64 + u64::from(row_len)
}

fn bytes_field_len(bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { 1 + varint::len(bytes.len() as u64) + bytes.len() }
}

fn number_field_len(number: i64) -> usize {
    if number == 0 { 0 } else { 1 + varint::len(number as u64) }
}

fn push_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.push(tag);
        varint::push(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
}

fn push_number(out: &mut Vec<u8>, tag: u8, number: i64) {
    if number != 0 {
        out.push(tag);
        varint::push(out, number as u64);
    }
}

fn take_bytes<'a>(row: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(varint::take(row)?).ok()?;
    let (bytes, rest) = row.split_at_checked(len)?;
    *row = rest;
    Some(bytes)
}

/// Steps over a field that `KeyValue` does not have. A known field number (1 to 6) with another wire type is an
/// error, and so are field number 0 and the deprecated groups, which nothing ever wrote.
fn skip_unknown(tag: u64, row: &mut &[u8]) -> Option<()> {
    if tag >> 3 <= 6 || tag > u64::from(u32::MAX) {
        return None;
    }
    match (tag & 7) as u8 {
        WIRE_VARINT => varint::take(row).map(drop),
        WIRE_BYTES => take_bytes(row).map(drop),
        WIRE_FIXED64 => row.split_at_checked(8).map(|(_, rest)| *row = rest),
        WIRE_FIXED32 => row.split_at_checked(4).map(|(_, rest)| *row = rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    fn numbers() -> impl Strategy<Value = i64> {
        prop_oneof![Just(0), 1_i64..300, any::<i64>()]
    }

    fn blobs() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![Just(Vec::new()), proptest::collection::vec(any::<u8>(), 1..200)]
    }

    proptest! {
        #[test]
        fn bytes_are_those_of_protobuf(
            key in blobs(), value in blobs(),
            create_revision in numbers(), mod_revision in numbers(), version in numbers(), lease in numbers(),
        ) {
            let fields =
                KeyValue { key: &key, create_revision, mod_revision, version, value: &value, lease };
            let mut row = Vec::new();
            fields.encode(&mut row);
            prop_assert_eq!(row.len(), fields.encoded_len());
            prop_assert_eq!(KeyValue::decode(&row), Some(fields));
            let message = proto::mvccpb::KeyValue {
                key: key.clone().into(), create_revision, mod_revision, version, value: value.clone().into(), lease,
            };
            prop_assert_eq!(&row, &message.encode_to_vec());
            prop_assert_eq!(framed_len(row.len() as u32), prost::encoding::message::encoded_len(2, &message) as u64);
        }

        #[test]
        fn damage_never_panics(row in proptest::collection::vec(any::<u8>(), 0..64)) {
            let ours = KeyValue::decode(&row).is_some();
            // Whatever we take, the reference decoder takes too.
            prop_assert!(!ours || proto::mvccpb::KeyValue::decode(&row[..]).is_ok());
        }
    }

    #[test]
    fn a_stored_row_is_one_buffer() {
        let stored =
            StoredRow::new(b"revision", &KeyValue { key: b"k", value: b"vv", ..KeyValue::default() });
        assert_eq!(&stored.storage_key[..], b"revision");
        assert_eq!(&stored.row[..], [0x0a, 1, b'k', 0x2a, 2, b'v', b'v']);
        assert_eq!(&stored.key[..], b"k");
        let base = stored.storage_key.as_ptr() as usize;
        assert_eq!(stored.row.as_ptr() as usize, base + 8);
        assert_eq!(stored.key.as_ptr() as usize, base + 10);
    }
}
