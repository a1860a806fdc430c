//! From JSON to an encoded message, in one pass.

use std::borrow::Cow;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost::encoding::encode_varint;

use super::{
    DEPTH_MAX, Refused,
    number::whole,
    token::{Kind as Word, Token, Tokens, unexpected_end},
};
use crate::schema::{self, DELIMITED, Field, Kind, MESSAGES, Schema};

/// A length is written behind its message, in a place of this size; lengths may be longer than they need be.
const LENGTH_BYTES: usize = 5;

/// Encodes a message.
pub(super) fn message(schema: &'static Schema, json: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut reader = Reader { tokens: Tokens::new(json), out: Vec::new() };
    reader.message(schema, DEPTH_MAX)?;
    let rest = reader.tokens.next()?;
    match rest.kind {
        Word::End => Ok(reader.out),
        _ => Err(reader.tokens.unexpected(&rest)),
    }
}

struct Reader<'a> {
    tokens: Tokens<'a>,
    out: Vec<u8>,
}

/// What a message has got so far.
#[derive(Default)]
struct Filled {
    /// By number; no message has fields beyond.
    fields: Vec<u32>,
    oneofs: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    fn message(&mut self, schema: &'static Schema, depth: usize) -> Result<(), Refused> {
        let left = depth.checked_sub(1).ok_or_else(too_deep)?;
        let open = self.tokens.next()?;
        if !matches!(open.kind, Word::ObjectOpen) {
            return Err(self.tokens.unexpected(&open));
        }
        let mut filled = Filled::default();
        loop {
            let token = self.tokens.next()?;
            let Word::Name(name) = &token.kind else {
                return match token.kind {
                    Word::ObjectClose => Ok(()),
                    _ => Err(self.tokens.unexpected(&token)),
                };
            };
            let field = schema
                .fields
                .iter()
                .find(|field| field.json_name == name.as_ref())
                .or_else(|| schema.fields.iter().find(|field| field.name == name.as_ref()));
            match field {
                Some(field) => self.field(field, &token, &mut filled, left)?,
                None => self.skip(left)?,
            }
        }
    }

    fn field(
        &mut self,
        field: &'static Field,
        name: &Token<'_>,
        filled: &mut Filled,
        left: usize,
    ) -> Result<(), Refused> {
        if filled.fields.contains(&field.number) {
            return Err(self.tokens.error(name.start, &format!("duplicate field {}", name.shown())));
        }
        filled.fields.push(field.number);
        if self.tokens.peek() == Some(b'n') {
            self.tokens.next()?;
            return Ok(());
        }
        if field.repeated {
            return self.list(field, left);
        }
        if let Some(oneof) = field.oneof {
            if filled.oneofs.contains(&oneof) {
                let text = format!("error parsing {}, oneof {oneof} is already set", name.shown());
                return Err(self.tokens.error(name.start, &text));
            }
            filled.oneofs.push(oneof);
        }
        self.value(field, left)
    }

    fn list(&mut self, field: &'static Field, left: usize) -> Result<(), Refused> {
        let open = self.tokens.next()?;
        if !matches!(open.kind, Word::ArrayOpen) {
            return Err(self.tokens.unexpected(&open));
        }
        loop {
            match self.tokens.peek() {
                Some(b']') => return self.tokens.next().map(drop),
                Some(_) => self.value(field, left)?,
                None => return Err(unexpected_end()),
            }
        }
    }

    fn value(&mut self, field: &'static Field, left: usize) -> Result<(), Refused> {
        let Kind::Message(inner) = field.kind else { return self.scalar(field) };
        self.key(field);
        let start = self.out.len() + LENGTH_BYTES;
        self.out.resize(start, 0);
        self.message(&MESSAGES[usize::from(inner)], left)?;
        let mut len = self.out.len() - start;
        for (index, byte) in self.out[start - LENGTH_BYTES..start].iter_mut().enumerate() {
            *byte = (len & 0x7f) as u8 | if index + 1 < LENGTH_BYTES { 0x80 } else { 0 };
            len >>= 7;
        }
        Ok(())
    }

    fn scalar(&mut self, field: &'static Field) -> Result<(), Refused> {
        let token = self.tokens.next()?;
        match scalar(field.kind, &token) {
            Some(Scalar::Varint(value)) => {
                self.key(field);
                encode_varint(value, &mut self.out);
            }
            Some(Scalar::Delimited(value)) => {
                self.key(field);
                encode_varint(value.len() as u64, &mut self.out);
                self.out.extend_from_slice(&value);
            }
            Some(Scalar::Unknown) => {}
            None => {
                let (kind, name) = (kind_name(field.kind), field.json_name);
                let text = format!("invalid value for {kind} field {name}: {}", token.shown());
                return Err(self.tokens.error(token.start, &text));
            }
        }
        Ok(())
    }

    fn key(&mut self, field: &Field) {
        let wire = match field.kind {
            Kind::Message(_) => DELIMITED,
            _ => field.wire(),
        };
        encode_varint(u64::from(field.number) << 3 | u64::from(wire), &mut self.out);
    }

    /// Passes over a value.
    fn skip(&mut self, left: usize) -> Result<(), Refused> {
        let mut open = 0usize;
        loop {
            match self.tokens.next()?.kind {
                Word::ObjectOpen | Word::ArrayOpen if open == left => return Err(too_deep()),
                Word::ObjectOpen | Word::ArrayOpen => open += 1,
                Word::ObjectClose | Word::ArrayClose => open = open.saturating_sub(1),
                Word::End => return Err(unexpected_end()),
                _ => {}
            }
            if open == 0 {
                return Ok(());
            }
        }
    }
}

/// A value as it is encoded.
enum Scalar<'t> {
    Varint(u64),
    Delimited(Cow<'t, [u8]>),
    /// The name of an enum's value that nobody knows. It is left out like a field that nobody knows.
    Unknown,
}

/// The value of that kind that a word stands for.
fn scalar<'t>(kind: Kind, token: &'t Token<'_>) -> Option<Scalar<'t>> {
    let signed = |value: i64| Scalar::Varint(value as u64);
    match (kind, &token.kind) {
        (Kind::Bool, Word::Bool(value)) => Some(Scalar::Varint((*value).into())),
        (Kind::Int64, _) => number::<i64>(token).map(signed),
        (Kind::Uint32, _) => number::<u32>(token).map(|value| Scalar::Varint(value.into())),
        (Kind::Uint64, _) => number::<u64>(token).map(Scalar::Varint),
        (Kind::Enum(index), Word::Text(name)) => {
            let known = schema::values(index).iter().find(|(known, _)| known == name);
            Some(known.map_or(Scalar::Unknown, |(_, value)| signed((*value).into())))
        }
        (Kind::Enum(_), Word::Number) => number::<i32>(token).map(|value| signed(value.into())),
        (Kind::Text, Word::Text(text)) => Some(Scalar::Delimited(text.as_bytes().into())),
        (Kind::Bytes, Word::Text(text)) => base64(text).map(|bytes| Scalar::Delimited(bytes.into())),
        _ => None,
    }
}

fn too_deep() -> Refused {
    Refused("proto: exceeded max recursion depth".into())
}

/// A number, also one within a text.
fn number<N: TryFrom<i128>>(token: &Token<'_>) -> Option<N> {
    let value = match &token.kind {
        Word::Number => whole(token.raw)?,
        Word::Text(text) => whole(text.as_bytes())?,
        _ => return None,
    };
    N::try_from(value).ok()
}

/// As Go reads base64: line breaks do not count, and what is cut off may be anything.
fn base64(text: &str) -> Option<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    const PADDED: GeneralPurposeConfig = CONFIG.with_decode_padding_mode(DecodePaddingMode::RequireCanonical);
    const BARE: GeneralPurposeConfig = CONFIG.with_decode_padding_mode(DecodePaddingMode::RequireNone);
    let alphabet = if text.contains(['-', '_']) { alphabet::URL_SAFE } else { alphabet::STANDARD };
    let config = if text.len().is_multiple_of(4) { PADDED } else { BARE };
    let engine = GeneralPurpose::new(&alphabet, config);
    if text.contains(['\r', '\n']) {
        return engine.decode(text.replace(['\r', '\n'], "")).ok();
    }
    engine.decode(text).ok()
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "bool",
        Kind::Int64 => "int64",
        Kind::Uint32 => "uint32",
        Kind::Uint64 => "uint64",
        Kind::Enum(_) => "enum",
        Kind::Bytes => "bytes",
        Kind::Text => "string",
        Kind::Message(_) => "message",
    }
}
