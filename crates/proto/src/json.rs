//! The JSON form of messages, as etcd's JSON gateway speaks it: what Go's protobuf library writes and reads with proto
//! names, unknown fields left out (contract/http.tsv). Works along the tables of `schema`; errors are worded as
//! there, so that clients see the same text.
//!
//! [`Values`] cuts a body into JSON values, [`Type::read`] makes a message of one, [`Writer`] makes JSON of a message
//! that comes in pieces. Nothing here is larger than what was put in, times a small factor.

mod number;
mod read;
mod scan;
mod token;
mod values;
mod write;

#[cfg(test)]
mod tests;

pub use values::Values;
pub use write::{Style, Writer};

use crate::{
    Malformed,
    schema::{self, Schema},
};

/// JSON values lie within each other to this depth, as in Go's library.
pub const DEPTH_MAX: usize = 10_000;

/// A message type.
#[derive(Clone, Copy, Debug)]
pub struct Type(&'static Schema);

impl Type {
    /// Full name of the message.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Encodes the message that a JSON value stands for.
    ///
    /// # Errors
    /// When it stands for none.
    pub fn read(self, json: &[u8]) -> Result<Vec<u8>, Refused> {
        read::message(self.0, json)
    }
}

/// Request and reply of the method at `/SERVICE/METHOD`.
pub fn method(path: &str) -> Option<(Type, Type)> {
    schema::method(path).map(|(request, reply)| (Type(request), Type(reply)))
}

/// A message as Go's `encoding/json` writes the generated struct: what etcd's own tools print.
///
/// # Errors
/// When there is no such message, or a text in it is none.
pub fn as_struct<M: prost::Message + prost::Name>(message: &M) -> Result<String, Malformed> {
    let schema = schema::schema(&M::full_name()).ok_or(Malformed::Wire)?;
    let mut out = Vec::new();
    let mut writer = Writer::new(Type(schema), Style::Struct);
    writer.push(&message.encode_to_vec(), &mut out)?;
    writer.finish(&mut out)?;
    String::from_utf8(out).map_err(|_| Malformed::Text)
}

/// Why some JSON is refused, in the words of Go's libraries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub(crate) String);

/// Appends a JSON string.
pub fn quote(text: &str, style: Style, out: &mut Vec<u8>) {
    write::quote(text, style, out);
}
