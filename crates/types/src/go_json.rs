//! JSON as Go's `encoding/json` writes it, byte for byte: what is stored and logged must not depend on which
//! implementation wrote it, and pages are compared as text.

/// One JSON object under construction: fields in the order of the calls.
#[derive(Debug, Default)]
pub struct Object {
    text: String,
}

impl Object {
    /// An object without fields.
    #[must_use]
    pub fn new() -> Object {
        Object::default()
    }

    /// An integer.
    #[must_use]
    pub fn number(self, name: &str, value: u64) -> Object {
        self.raw(name, &value.to_string())
    }

    /// A truth value.
    #[must_use]
    pub fn bool(self, name: &str, value: bool) -> Object {
        self.raw(name, if value { "true" } else { "false" })
    }

    /// A text.
    #[must_use]
    pub fn string(self, name: &str, value: &str) -> Object {
        self.raw(name, &quote(value))
    }

    /// A list of texts.
    #[must_use]
    pub fn strings(self, name: &str, values: &[String]) -> Object {
        let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
        self.raw(name, &format!("[{}]", quoted.join(",")))
    }

    /// A list of integers.
    #[must_use]
    pub fn numbers(self, name: &str, values: &[u64]) -> Object {
        let texts: Vec<String> = values.iter().map(u64::to_string).collect();
        self.raw(name, &format!("[{}]", texts.join(",")))
    }

    /// A field whose value is JSON already.
    #[must_use]
    pub fn raw(mut self, name: &str, json: &str) -> Object {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        self.text.push_str(&quote(name));
        self.text.push(':');
        self.text.push_str(json);
        self
    }

    /// The whole text.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.text.is_empty() {
            self.text.push('{');
        }
        self.text.push('}');
        self.text
    }
}

/// A string with Go's escapes: beside what JSON demands also `<`, `>`, `&` and the two separators that
/// JavaScript takes for line ends.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from Go 1.26.
    #[test]
    fn escapes_as_go_does() {
        let text = "a<b>&\"\\/\u{8}\u{c}\n\r\t\u{1}\u{7f}\u{2028}\u{2029}é日😀";
        let expected = "\"a\\u003cb\\u003e\\u0026\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\u{7f}\\u2028\\u2029é日😀\"";
        assert_eq!(quote(text), expected);
    }
}
