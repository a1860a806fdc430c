//! The tables of all messages, enums and methods, made at build time by `build/fields.rs`.

/// What values of a field are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Bool,
    Int64,
    Uint32,
    Uint64,
    /// Index in [`ENUMS`].
    Enum(u16),
    Bytes,
    /// UTF-8.
    Text,
    /// Index in [`MESSAGES`].
    Message(u16),
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// As declared.
    pub(crate) name: &'static str,
    /// In lower camel case.
    pub(crate) json_name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) repeated: bool,
    /// Full name of the choice that the field belongs to.
    pub(crate) oneof: Option<&'static str>,
}

/// The fields of a message.
#[derive(Debug)]
pub(crate) struct Schema {
    /// With its package.
    pub(crate) name: &'static str,
    /// A number that no field has; its key takes one byte.
    pub(crate) spare: u8,
    /// Sorted by number.
    pub(crate) fields: &'static [Field],
}

include!(concat!(env!("OUT_DIR"), "/fields.rs"));

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const DELIMITED: u8 = 2;
pub(crate) const GROUP: u8 = 3;
pub(crate) const GROUP_END: u8 = 4;
pub(crate) const FIXED32: u8 = 5;

impl Field {
    /// The wire type of one value.
    pub(crate) fn wire(&self) -> u8 {
        match self.kind {
            Kind::Bool | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Enum(_) => VARINT,
            Kind::Bytes | Kind::Text | Kind::Message(_) => DELIMITED,
        }
    }

    /// Whether a value may come like that: by itself, or as many packed into one.
    pub(crate) fn takes(&self, wire: u8) -> bool {
        wire == self.wire() || self.repeated && wire == DELIMITED
    }
}

impl Schema {
    pub(crate) fn field(&self, number: u32) -> Option<&'static Field> {
        let index = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        Some(&self.fields[index])
    }
}

/// The message of a full name.
pub(crate) fn schema(name: &str) -> Option<&'static Schema> {
    MESSAGES.binary_search_by(|schema| schema.name.cmp(name)).ok().map(|index| &MESSAGES[index])
}

/// Request and reply of the method at `/SERVICE/METHOD`.
pub(crate) fn method(path: &str) -> Option<(&'static Schema, &'static Schema)> {
    let index = METHODS.binary_search_by(|(known, ..)| (*known).cmp(path)).ok()?;
    let (_, request, reply) = METHODS[index];
    Some((&MESSAGES[usize::from(request)], &MESSAGES[usize::from(reply)]))
}

/// The values of an enum: names and numbers.
pub(crate) fn values(index: u16) -> &'static [(&'static str, i32)] {
    ENUMS[usize::from(index)]
}
