//! Rows in the format that was asked for, to whoever listens.

use std::io::{self, IsTerminal, Write};

use serde_json::{Map, Value};

use crate::{
    fail::{Done, FAILED, Failed},
    yaml,
};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people: what the command finds best.
    Plain,
    Table,
    /// One document.
    Json,
    /// A document a line.
    Jsonl,
    Yaml,
    /// The first column alone.
    Name,
}

impl Format {
    /// The names, for completion and errors.
    pub(crate) const NAMES: &[&str] = &["table", "json", "jsonl", "yaml", "name"];

    pub(crate) fn from_name(name: &str) -> Option<Format> {
        Some(match name {
            "" => Format::Plain,
            "table" => Format::Table,
            "json" => Format::Json,
            "jsonl" => Format::Jsonl,
            "yaml" => Format::Yaml,
            "name" => Format::Name,
            _ => return None,
        })
    }
}

/// One thing: its fields for programs, in order, and its cells for people.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) fields: Map<String, Value>,
    pub(crate) cells: Vec<String>,
}

impl Row {
    pub(crate) fn new<const N: usize>(fields: [(&str, Value); N], cells: Vec<String>) -> Row {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Row { fields, cells }
    }
}

/// Writes rows below their heads.
///
/// # Errors
/// When nobody listens.
pub(crate) fn rows(format: Format, heads: &[&str], rows: Vec<Row>) -> Done {
    let text = match format {
        Format::Plain | Format::Table => table(heads, &rows),
        Format::Json => {
            let all = rows.into_iter().map(|row| Value::Object(row.fields)).collect();
            format!("{:#}\n", Value::Array(all))
        }
        Format::Yaml => {
            yaml::write(&Value::Array(rows.into_iter().map(|row| Value::Object(row.fields)).collect()))
        }
        Format::Jsonl | Format::Name => rows.iter().map(|row| line(format, row)).collect(),
    };
    say(text)
}

/// Writes one thing as it comes: where documents have no end, each is one.
///
/// # Errors
/// When nobody listens.
pub(crate) fn one(format: Format, row: Row, plain: impl AsRef<[u8]>) -> Done {
    match format {
        Format::Plain | Format::Table => say(plain),
        Format::Json => say(format!("{:#}\n", Value::Object(row.fields))),
        Format::Yaml => say(format!("---\n{}", yaml::write(&Value::Object(row.fields)))),
        Format::Jsonl | Format::Name => say(line(format, &row)),
    }
}

fn line(format: Format, row: &Row) -> String {
    match format {
        Format::Name => format!("{}\n", row.cells.first().map_or("", String::as_str)),
        _ => format!("{}\n", Value::Object(row.fields.clone())),
    }
}

/// Columns two blanks apart, as wide as their widest cell; no frames, so that it can be cut with other tools.
fn table(heads: &[&str], rows: &[Row]) -> String {
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = heads
        .iter()
        .enumerate()
        .map(|(column, head)| {
            let cells = rows.iter().filter_map(|row| row.cells.get(column)).map(|cell| width(cell));
            cells.chain([width(head)]).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    let mut add = |cells: Vec<&str>| {
        let padded: Vec<_> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    };
    add(heads.to_vec());
    for row in rows {
        add(row.cells.iter().map(String::as_str).collect());
    }
    text
}

/// Writes to standard output.
///
/// # Errors
/// Quietly, when nobody is listening any more.
pub(crate) fn say(text: impl AsRef<[u8]>) -> Done {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref()).and_then(|()| out.flush()).map_err(|_| Failed::quietly(FAILED))
}

/// Writes to standard error; nothing can be said when that fails.
pub(crate) fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Asks before something is lost: `plan` says what. Without a terminal nobody can answer.
///
/// # Errors
/// When the answer is not yes.
pub(crate) fn confirm(yes: bool, plan: &str) -> Done {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failed::misused(format!("not done: {plan}")).next("the same with --yes"));
    }
    tell(&format!("{plan}\nGo on? [y/N] "));
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failed::new("not done: nobody said yes")),
    }
}

/// Text from bytes: as it is, or with what is no text replaced by escapes.
pub(crate) fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// `1 key`, `2 keys`.
pub(crate) fn count(number: i64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Bytes for people: `412 MB`.
pub(crate) fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut number, mut unit) = (bytes as f64, 0);
    while number >= 999.5 && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && number < 9.95);
    format!("{number:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables() {
        let row = |a: &str, b: &str| Row::new([("a", json!(a))], vec![a.into(), b.into()]);
        let text = table(&["KEY", "VALUE"], &[row("a", "1"), row("longer", "")]);
        assert_eq!(text, "KEY     VALUE\na       1\nlonger\n");
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_600, "1.0 MB"),
            (412_345_678, "412 MB"),
            (16_000_000_000, "16 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_escaped() {
        assert_eq!(shown("grüße".as_bytes()), "grüße");
        assert_eq!(shown(b"a\x00\xff"), "a\\x00\\xff");
    }
}
