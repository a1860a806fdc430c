//! Decodes messages the way Go's protobuf library does: a known field that comes with another wire type is an unknown
//! field. `prost` refuses such a message.
//!
//! A message that `prost` takes costs nothing more. One that it refuses is walked along the table of all fields, made
//! by `build/fields.rs`: each mistyped field gets a number that its message does not use. No length changes, so one
//! pass over a copy is enough, and `prost` skips these fields then.

use bytes::Bytes;
use prost::{Message, Name};

/// Messages and groups lie within each other to this depth, as in `prost`.
const DEPTH_MAX: usize = 100;
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
    M::decode(bytes.clone()).or_else(|_| decode_mended(&bytes))
}

#[cold]
fn decode_mended<M: Message + Name + Default>(bytes: &[u8]) -> Result<M, Malformed> {
    let mut mended = bytes.to_vec();
    mend(schema(&M::full_name()).ok_or(Malformed::Wire)?, &mut mended, DEPTH_MAX)?;
    M::decode(Bytes::from(mended)).map_err(|_| Malformed::Wire)
}

/// What values of a field look like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Varint,
    Bytes,
    /// UTF-8.
    Text,
    /// Index in [`MESSAGES`].
    Message(u16),
}

#[derive(Debug)]
struct Field {
    number: u32,
    kind: Kind,
    /// Many values may come in one length-delimited field.
    packable: bool,
}

/// The fields of a message.
#[derive(Debug)]
struct Schema {
    name: &'static str,
    /// A number that no field has; its key takes one byte.
    spare: u8,
    /// Sorted by number.
    fields: &'static [Field],
}

include!(concat!(env!("OUT_DIR"), "/fields.rs"));

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const DELIMITED: u8 = 2;
const GROUP: u8 = 3;
const GROUP_END: u8 = 4;
const FIXED32: u8 = 5;

impl Field {
    fn takes(&self, wire: u8) -> bool {
        let natural = match self.kind {
            Kind::Varint => VARINT,
            Kind::Bytes | Kind::Text | Kind::Message(_) => DELIMITED,
        };
        wire == natural || self.packable && wire == DELIMITED
    }
}

fn schema(name: &str) -> Option<&'static Schema> {
    MESSAGES.binary_search_by(|schema| schema.name.cmp(name)).ok().map(|index| &MESSAGES[index])
}

/// Gives mistyped fields of a message, and of the messages in it, a number that is not in use.
fn mend(schema: &Schema, bytes: &mut [u8], depth: usize) -> Result<(), Malformed> {
    let mut at = 0;
    while at < bytes.len() {
        let key = Key::read(bytes, &mut at)?;
        let value = Value::read(bytes, &mut at, &key, depth)?;
        let Ok(index) = schema.fields.binary_search_by_key(&key.number, |field| field.number) else {
            continue;
        };
        let field = &schema.fields[index];
        if !field.takes(key.wire) {
            key.renumber(bytes, schema.spare);
            if let Some(end) = value.group_end {
                end.renumber(bytes, schema.spare);
            }
            continue;
        }
        let value = &mut bytes[value.start..value.end];
        match field.kind {
            Kind::Message(inner) => {
                let left = depth.checked_sub(1).ok_or(Malformed::Depth)?;
                mend(&MESSAGES[usize::from(inner)], value, left)?;
            }
            Kind::Text => drop(std::str::from_utf8(value).map_err(|_| Malformed::Text)?),
            Kind::Varint | Kind::Bytes => {}
        }
    }
    Ok(())
}

/// Number and wire type in front of a value.
#[derive(Debug)]
struct Key {
    number: u32,
    wire: u8,
    /// Where it stands.
    start: usize,
    /// Exclusive.
    end: usize,
}

impl Key {
    fn read(bytes: &[u8], at: &mut usize) -> Result<Key, Malformed> {
        let start = *at;
        let key = varint(bytes, at)?;
        match key >> 3 {
            number @ 1..=NUMBER_MAX => {
                Ok(Key { number: number as u32, wire: (key & 7) as u8, start, end: *at })
            }
            _ => Err(Malformed::Wire),
        }
    }

    /// Writes another number in its place, with as many bytes.
    fn renumber(&self, bytes: &mut [u8], number: u8) {
        let key = &mut bytes[self.start..self.end];
        let last = key.len() - 1;
        key.fill(0x80);
        key[last] = 0;
        key[0] |= number << 3 | self.wire;
    }
}

/// Where a value is.
#[derive(Debug)]
struct Value {
    /// Behind the length.
    start: usize,
    /// Exclusive.
    end: usize,
    /// What closes a group.
    group_end: Option<Key>,
}

impl Value {
    fn read(bytes: &[u8], at: &mut usize, key: &Key, depth: usize) -> Result<Value, Malformed> {
        let (mut start, mut group_end) = (*at, None);
        match key.wire {
            VARINT => drop(varint(bytes, at)?),
            FIXED64 => skip(bytes, at, 8)?,
            FIXED32 => skip(bytes, at, 4)?,
            DELIMITED => {
                let len = varint(bytes, at)?;
                start = *at;
                skip(bytes, at, len)?;
            }
            GROUP => group_end = Some(skip_group(bytes, at, key.number, depth)?),
            _ => return Err(Malformed::Wire),
        }
        Ok(Value { start, end: *at, group_end })
    }
}

/// Goes to the end of a group, and gives the key that closes it.
fn skip_group(bytes: &[u8], at: &mut usize, number: u32, depth: usize) -> Result<Key, Malformed> {
    let left = depth.checked_sub(1).ok_or(Malformed::Depth)?;
    loop {
        let key = Key::read(bytes, at)?;
        if key.wire != GROUP_END {
            Value::read(bytes, at, &key, left)?;
        } else if key.number == number {
            return Ok(key);
        } else {
            return Err(Malformed::Wire);
        }
    }
}

fn skip(bytes: &[u8], at: &mut usize, len: u64) -> Result<(), Malformed> {
    if len > (bytes.len() - *at) as u64 {
        return Err(Malformed::Wire);
    }
    *at += len as usize;
    Ok(())
}

fn varint(bytes: &[u8], at: &mut usize) -> Result<u64, Malformed> {
    let mut rest = bytes.get(*at..).unwrap_or_default();
    let before = rest.len();
    let value = prost::encoding::decode_varint(&mut rest).map_err(|_| Malformed::Wire)?;
    *at += before - rest.len();
    Ok(value)
}

#[cfg(test)]
mod tests;
