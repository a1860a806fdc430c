//! Decodes messages the way Go's protobuf library does: a known field that comes with another wire type is an unknown
//! field. `prost` refuses such a message.
//!
//! A message that `prost` takes costs nothing more. One that it refuses is walked along the table of all fields, made
//! by `build/fields.rs`: each mistyped field gets a number that its message does not use. No length changes, so one
//! pass over a copy is enough, and `prost` skips these fields then. Groups, which no message of etcd has, become such
//! fields too, as `prost` descends into them.
//!
//! Depth: transactions lie within each other as deep as Go's library allows. What could be deeper is measured before
//! `prost` sees it.

use bytes::Bytes;
use prost::{Message, Name};

use crate::schema::{
    DELIMITED, FIXED32, FIXED64, Field, GROUP, GROUP_END, Kind, MESSAGES, Schema, VARINT, schema,
};

/// Messages lie within each other to this depth, the outermost included, as in Go's library: 4,999 transactions in a
/// log entry.
pub const DEPTH_MAX: usize = 10_000;
/// The stack of a thread that handles messages. Enough to decode, check, execute, encode and drop one of [`DEPTH_MAX`]
/// in a debug build, where frames are largest; what is not used is not in memory.
pub const STACK_BYTES: usize = 64 << 20;
/// Groups lie within each other to this depth, as in Go's library.
const GROUPS_MAX: usize = 10_002;
/// A message or group within another takes two bytes or more.
const LEVEL_BYTES_MIN: usize = 2;
/// Highest number of a field.
const NUMBER_MAX: u64 = (1 << 29) - 1;

/// Why bytes are no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not protobuf.
    #[error("proto: cannot parse invalid wire-format data")]
    Wire,
    /// Text that is not UTF-8.
    #[error("string field contains invalid UTF-8")]
    Text,
    /// Messages within messages, too many of them.
    #[error("proto: exceeded maximum recursion depth")]
    Depth,
}

/// Reads a message; its `bytes` fields share `bytes`. Mistyped fields are left out like unknown ones.
///
/// # Errors
/// When `bytes` is no such message.
pub fn decode<M: Message + Name + Default>(bytes: Bytes) -> Result<M, Malformed> {
    if may_exceed(&bytes, DEPTH_MAX) {
        measure(schema_of::<M>()?, &bytes, DEPTH_MAX)?;
    }
    M::decode(bytes.clone()).or_else(|_| decode_mended(&bytes))
}

#[cold]
fn decode_mended<M: Message + Name + Default>(bytes: &[u8]) -> Result<M, Malformed> {
    let mut mended = bytes.to_vec();
    mend(schema_of::<M>()?, &mut mended, DEPTH_MAX)?;
    M::decode(Bytes::from(mended)).map_err(|_| Malformed::Wire)
}

fn schema_of<M: Name>() -> Result<&'static Schema, Malformed> {
    schema(&M::full_name()).ok_or(Malformed::Wire)
}

/// Whether a message of so many bytes can be deeper than that.
fn may_exceed(bytes: &[u8], depth: usize) -> bool {
    bytes.len() / LEVEL_BYTES_MIN >= depth
}

/// Refuses a message that is deeper than `depth`. Each byte is looked at once at most.
fn measure(schema: &Schema, bytes: &[u8], depth: usize) -> Result<(), Malformed> {
    if !may_exceed(bytes, depth) {
        return Ok(());
    }
    let left = depth.checked_sub(1).ok_or(Malformed::Depth)?;
    let mut at = 0;
    while at < bytes.len() {
        let key = Key::read(bytes, &mut at)?;
        let start = value_start(bytes, &mut at, &key)?;
        if let Some(Field { kind: Kind::Message(inner), .. }) = schema.field(key.number)
            && key.wire == DELIMITED
        {
            measure(&MESSAGES[usize::from(*inner)], &bytes[start..at], left)?;
        }
    }
    Ok(())
}

/// Gives mistyped fields of a message, and of the messages in it, a number that is not in use.
fn mend(schema: &Schema, bytes: &mut [u8], depth: usize) -> Result<(), Malformed> {
    let left = depth.checked_sub(1).ok_or(Malformed::Depth)?;
    let mut at = 0;
    while at < bytes.len() {
        let key = Key::read(bytes, &mut at)?;
        let start = value_start(bytes, &mut at, &key)?;
        if key.wire == GROUP {
            key.rewrite(bytes, schema.spare, DELIMITED);
            fill_with_delimited(&mut bytes[key.end..at]);
            continue;
        }
        let Some(field) = schema.field(key.number) else { continue };
        if !field.takes(key.wire) {
            key.rewrite(bytes, schema.spare, key.wire);
            continue;
        }
        let value = &mut bytes[start..at];
        match field.kind {
            Kind::Message(inner) => mend(&MESSAGES[usize::from(inner)], value, left)?,
            Kind::Text => drop(std::str::from_utf8(value).map_err(|_| Malformed::Text)?),
            _ => {}
        }
    }
    Ok(())
}

/// Makes a length and as many bytes of what was a group; the content does not matter.
fn fill_with_delimited(bytes: &mut [u8]) {
    // Five bytes hold any length here, and a length may be written longer than it need be.
    let (length, content) = bytes.split_at_mut(bytes.len().min(5));
    let mut left = content.len();
    let last = length.len() - 1;
    for (index, byte) in length.iter_mut().enumerate() {
        *byte = (left & 0x7f) as u8 | if index == last { 0 } else { 0x80 };
        left >>= 7;
    }
}

/// Number and wire type in front of a value.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) number: u32,
    pub(crate) wire: u8,
    /// Where it stands.
    start: usize,
    /// Exclusive.
    end: usize,
}

impl Key {
    pub(crate) fn read(bytes: &[u8], at: &mut usize) -> Result<Key, Malformed> {
        let start = *at;
        let key = varint(bytes, at)?;
        match key >> 3 {
            number @ 1..=NUMBER_MAX => {
                Ok(Key { number: number as u32, wire: (key & 7) as u8, start, end: *at })
            }
            _ => Err(Malformed::Wire),
        }
    }

    /// Writes another number and wire type in its place, with as many bytes.
    fn rewrite(&self, bytes: &mut [u8], number: u8, wire: u8) {
        let key = &mut bytes[self.start..self.end];
        let last = key.len() - 1;
        key.fill(0x80);
        key[last] = 0;
        key[0] |= number << 3 | wire;
    }
}

/// Goes to the end of a value, and gives its start: behind the length, when it has one.
pub(crate) fn value_start(bytes: &[u8], at: &mut usize, key: &Key) -> Result<usize, Malformed> {
    let mut start = *at;
    match key.wire {
        VARINT => drop(varint(bytes, at)?),
        FIXED64 => skip(bytes, at, 8)?,
        FIXED32 => skip(bytes, at, 4)?,
        DELIMITED => {
            let len = varint(bytes, at)?;
            start = *at;
            skip(bytes, at, len)?;
        }
        GROUP => skip_group(bytes, at, key.number)?,
        _ => return Err(Malformed::Wire),
    }
    Ok(start)
}

/// Goes to the end of a group. No recursion: nobody needs groups, so nobody's stack is spent on them.
fn skip_group(bytes: &[u8], at: &mut usize, number: u32) -> Result<(), Malformed> {
    let mut open = vec![number];
    while let Some(innermost) = open.last() {
        let key = Key::read(bytes, at)?;
        match key.wire {
            GROUP if open.len() == GROUPS_MAX => return Err(Malformed::Wire),
            GROUP => open.push(key.number),
            GROUP_END if key.number == *innermost => drop(open.pop()),
            GROUP_END => return Err(Malformed::Wire),
            _ => drop(value_start(bytes, at, &key)?),
        }
    }
    Ok(())
}

fn skip(bytes: &[u8], at: &mut usize, len: u64) -> Result<(), Malformed> {
    if len > (bytes.len() - *at) as u64 {
        return Err(Malformed::Wire);
    }
    *at += len as usize;
    Ok(())
}

pub(crate) fn varint(bytes: &[u8], at: &mut usize) -> Result<u64, Malformed> {
    let mut rest = bytes.get(*at..).unwrap_or_default();
    let before = rest.len();
    let value = prost::encoding::decode_varint(&mut rest).map_err(|_| Malformed::Wire)?;
    *at += before - rest.len();
    Ok(value)
}

#[cfg(test)]
mod tests;
