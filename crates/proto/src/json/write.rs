//! From an encoded message, which may come in pieces, to JSON.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    Malformed,
    decode::{Key, value_start, varint},
    schema::{self, DELIMITED, Field, Kind, MESSAGES, Schema, VARINT},
};

use super::Type;

/// How texts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As Go's protobuf library does: for an answer that is one message.
    Message,
    /// As `encoding/json` does, which shields HTML: for a message within other JSON.
    Within,
    /// As `encoding/json` writes the generated Go struct itself: numbers without quotes, enums as numbers.
    Struct,
}

/// Writes one message. Its fields must come in the order of their numbers, as encoders write them.
#[derive(Debug)]
pub struct Writer {
    schema: &'static Schema,
    style: Style,
    /// The beginning of a field that has not come whole.
    partial: Vec<u8>,
    object: Object,
}

/// An object half-way.
#[derive(Debug, Default)]
struct Object {
    /// Something stands behind the brace.
    begun: bool,
    /// The field whose array is open.
    array: Option<u32>,
}

impl Writer {
    /// Begins a message of that type.
    pub fn new(kind: Type, style: Style) -> Writer {
        Writer { schema: kind.0, style, partial: Vec::new(), object: Object::default() }
    }

    /// Takes the next piece of the message, and appends what JSON it gives.
    ///
    /// # Errors
    /// When it is no such message.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        if self.partial.is_empty() {
            let taken = self.fields(piece, out)?;
            self.partial.extend_from_slice(&piece[taken..]);
            return Ok(());
        }
        self.partial.extend_from_slice(piece);
        let partial = std::mem::take(&mut self.partial);
        let taken = self.fields(&partial, out)?;
        self.partial = partial;
        self.partial.drain(..taken);
        Ok(())
    }

    /// Bytes that wait for more.
    pub fn held(&self) -> usize {
        self.partial.len()
    }

    /// Ends the message.
    ///
    /// # Errors
    /// When it ends within a field.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        if !self.partial.is_empty() {
            return Err(Malformed::Wire);
        }
        self.object.end(out);
        Ok(())
    }

    /// Writes the whole fields at the start of `bytes`; how many bytes they were.
    fn fields(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
        let mut at = 0;
        while is_whole(&bytes[at..]) {
            at += field(self.schema, &mut self.object, self.style, &bytes[at..], out)?;
        }
        Ok(at)
    }
}

/// Whether a whole field stands at the start; bytes that can never be one count as whole.
fn is_whole(bytes: &[u8]) -> bool {
    const VARINT_BYTES_MAX: usize = 10;
    let mut at = 0;
    let faulty_or_cut = |left: usize| left >= 2 * VARINT_BYTES_MAX;
    let Ok(key) = Key::read(bytes, &mut at) else { return faulty_or_cut(bytes.len()) };
    if key.wire != DELIMITED {
        return value_start(bytes, &mut at, &key).is_ok() || faulty_or_cut(bytes.len());
    }
    match varint(bytes, &mut at) {
        Ok(len) => len <= (bytes.len() - at) as u64,
        Err(_) => faulty_or_cut(bytes.len()),
    }
}

/// Writes a message that is there whole.
fn message(schema: &'static Schema, style: Style, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut object = Object::default();
    let mut at = 0;
    while at < bytes.len() {
        at += field(schema, &mut object, style, &bytes[at..], out)?;
    }
    object.end(out);
    Ok(())
}

/// Writes the field at the start of `bytes`; how long it was.
fn field(
    schema: &'static Schema,
    object: &mut Object,
    style: Style,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<usize, Malformed> {
    let mut at = 0;
    let key = Key::read(bytes, &mut at)?;
    let start = value_start(bytes, &mut at, &key)?;
    let value = &bytes[start..at];
    // What is unknown, or mistyped, is not for this side.
    let Some(field) = schema.field(key.number).filter(|field| field.takes(key.wire)) else { return Ok(at) };
    if key.wire != field.wire() {
        // Many values, packed.
        let mut end = 0;
        while end < value.len() {
            let begin = end;
            varint(value, &mut end)?;
            object.key(field, out);
            scalar_or_message(field, style, &value[begin..end], out)?;
        }
    } else if field.repeated || field.oneof.is_some() || !is_zero(field, value)? {
        object.key(field, out);
        scalar_or_message(field, style, value, out)?;
    }
    Ok(at)
}

/// Whether a field that is not there says the same.
fn is_zero(field: &Field, value: &[u8]) -> Result<bool, Malformed> {
    Ok(match field.kind {
        Kind::Message(_) => false,
        _ if field.wire() == VARINT => varint(value, &mut 0)? == 0,
        _ => value.is_empty(),
    })
}

impl Object {
    /// Writes what stands in front of a value of the field.
    fn key(&mut self, field: &Field, out: &mut Vec<u8>) {
        if self.array == Some(field.number) {
            out.push(b',');
            return;
        }
        self.end_array(out);
        out.push(if self.begun { b',' } else { b'{' });
        self.begun = true;
        out.push(b'"');
        out.extend_from_slice(field.name.as_bytes());
        out.extend_from_slice(b"\":");
        if field.repeated {
            out.push(b'[');
            self.array = Some(field.number);
        }
    }

    fn end_array(&mut self, out: &mut Vec<u8>) {
        if self.array.take().is_some() {
            out.push(b']');
        }
    }

    fn end(mut self, out: &mut Vec<u8>) {
        self.end_array(out);
        out.extend_from_slice(if self.begun { b"}" } else { b"{}" });
    }
}

fn scalar_or_message(field: &Field, style: Style, value: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let number = || varint(value, &mut 0);
    match field.kind {
        Kind::Message(inner) => return message(&MESSAGES[usize::from(inner)], style, value, out),
        Kind::Bool => append(out, format_args!("{}", number()? != 0)),
        Kind::Uint32 => append(out, format_args!("{}", number()? as u32)),
        Kind::Int64 if style == Style::Struct => append(out, format_args!("{}", number()? as i64)),
        Kind::Uint64 if style == Style::Struct => append(out, format_args!("{}", number()?)),
        Kind::Enum(_) if style == Style::Struct => append(out, format_args!("{}", number()? as i32)),
        Kind::Int64 => append(out, format_args!("\"{}\"", number()? as i64)),
        Kind::Uint64 => append(out, format_args!("\"{}\"", number()?)),
        Kind::Enum(index) => {
            let number = number()? as i32;
            match schema::values(index).iter().find(|(_, value)| *value == number) {
                Some((name, _)) => append(out, format_args!("\"{name}\"")),
                None => append(out, format_args!("{number}")),
            }
        }
        Kind::Text => quote(std::str::from_utf8(value).map_err(|_| Malformed::Text)?, style, out),
        Kind::Bytes => {
            out.push(b'"');
            let start = out.len();
            out.resize(start + value.len().div_ceil(3) * 4, 0);
            STANDARD.encode_slice(value, &mut out[start..]).expect("there is room for it");
            out.push(b'"');
        }
    }
    Ok(())
}

fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    std::io::Write::write_fmt(out, text).expect("writing to memory");
}

/// Appends a JSON string.
pub(super) fn quote(text: &str, style: Style, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..' ' => append(out, format_args!("\\u{:04x}", c as u32)),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if style != Style::Message => {
                append(out, format_args!("\\u{:04x}", c as u32));
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}
