//! Replies in the formats of `--write-out`.

mod auth;
mod cluster;
mod fields;
mod hex;
mod kv;
mod lease;
mod table;

#[cfg(test)]
mod tests;

pub(crate) use cluster::{Health, Told};
pub(crate) use fields::Fields;
pub(crate) use kv::event_name;

use prost::{Message, Name};
use proto::json;

use crate::{
    fail::{BAD_FEATURE, Done, Failed},
    output::say,
};

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Simple,
    Fields,
    Json,
    Protobuf,
    Table,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Simple => "simple",
            Format::Fields => "fields",
            Format::Json => "json",
            Format::Protobuf => "protobuf",
            Format::Table => "table",
        }
    }
}

/// How replies are printed.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    pub(crate) format: Format,
    /// Bytes and ids as hexadecimal numbers.
    pub(crate) hex: bool,
    /// Values without their keys.
    pub(crate) value_only: bool,
}

impl Printer {
    /// By the name of the format.
    pub(crate) fn new(format: &str, hex: bool) -> Option<Printer> {
        use Format::{Fields, Json, Protobuf, Simple, Table};
        let format =
            [Simple, Fields, Json, Protobuf, Table].into_iter().find(|known| known.name() == format)?;
        Some(Printer { format, hex, value_only: false })
    }

    pub(crate) fn is(&self, format: Format) -> bool {
        self.format == format
    }

    /// That this reply has no such form.
    fn unsupported(&self) -> Failed {
        Failed::new(BAD_FEATURE, format!("{} not supported as output format", self.format.name()))
    }

    /// Prints a reply: as text, or as fields if it has them, or as the message that it is.
    fn message<M: Message + Name>(
        &self,
        reply: &M,
        simple: impl FnOnce() -> Vec<u8>,
        fields: Option<impl FnOnce(&mut Fields)>,
    ) -> Done {
        say(self.render(reply, simple, fields)?)
    }

    fn render<M: Message + Name>(
        &self,
        reply: &M,
        simple: impl FnOnce() -> Vec<u8>,
        fields: Option<impl FnOnce(&mut Fields)>,
    ) -> Result<Vec<u8>, Failed> {
        match (self.format, fields) {
            (Format::Simple, _) => Ok(simple()),
            (Format::Json, _) => Ok(line(as_json(reply)?)),
            (Format::Protobuf, _) => Ok(reply.encode_to_vec()),
            (Format::Fields, Some(write)) => Ok(self.fields(write)),
            (Format::Fields | Format::Table, _) => Err(self.unsupported()),
        }
    }

    fn fields(&self, write: impl FnOnce(&mut Fields)) -> Vec<u8> {
        let mut fields = Fields::new(self.hex);
        write(&mut fields);
        fields.finish()
    }
}

/// For replies that have no fields.
const NO_FIELDS: Option<fn(&mut Fields)> = None;

fn as_json<M: Message + Name>(reply: &M) -> Result<String, Failed> {
    json::as_struct(reply).map_err(Failed::error)
}

/// A text as a line.
fn line(text: impl Into<Vec<u8>>) -> Vec<u8> {
    let mut line = text.into();
    line.push(b'\n');
    line
}
