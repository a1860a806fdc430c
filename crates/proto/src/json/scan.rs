//! Finds the end of a JSON value byte by byte, with the errors of Go's `encoding/json`.

use super::{DEPTH_MAX, Refused};

/// What a byte was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// In front of the value.
    Space,
    /// Of the value.
    Inside,
    /// The last of the value.
    Last,
    /// The first behind the value.
    Behind,
}

/// Where in a value the next byte stands.
#[derive(Clone, Copy, Debug)]
enum At {
    Value,
    /// Behind `[`.
    ValueOrEnd,
    /// Behind `{`.
    KeyOrEnd,
    Key,
    Text,
    Escape,
    /// So many digits are missing.
    Hex(u8),
    Minus,
    Zero,
    Digits,
    Dot,
    Fraction,
    E,
    ESign,
    Exponent,
    /// So many bytes of the word have come.
    Word(&'static str, u8),
    AfterValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Key,
    Member,
    Array,
}

/// Reads one value.
#[derive(Debug)]
pub(super) struct Scan {
    at: At,
    open: Vec<Open>,
}

impl Scan {
    pub(super) fn new() -> Scan {
        Scan { at: At::Value, open: Vec::new() }
    }

    /// Whether the value is over if nothing follows: true of a number alone.
    pub(super) fn may_end(&self) -> bool {
        self.open.is_empty() && matches!(self.at, At::Zero | At::Digits | At::Fraction | At::Exponent)
    }

    pub(super) fn push(&mut self, byte: u8) -> Result<Seen, Refused> {
        let unexpected = |context: &str| Err(Refused(format!("invalid character {} {context}", shown(byte))));
        let space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        self.at = match (self.at, byte) {
            (At::Value | At::ValueOrEnd | At::KeyOrEnd | At::Key, _) if space => {
                return Ok(if self.open.is_empty() { Seen::Space } else { Seen::Inside });
            }
            (At::ValueOrEnd, b']') => return Ok(self.close()),
            (At::Value | At::ValueOrEnd, _) => match byte {
                b'{' | b'[' if self.open.len() == DEPTH_MAX => return unexpected("exceeded max depth"),
                b'{' => self.descend(Open::Key, At::KeyOrEnd),
                b'[' => self.descend(Open::Array, At::ValueOrEnd),
                b'"' => At::Text,
                b'-' => At::Minus,
                b'0' => At::Zero,
                b'1'..=b'9' => At::Digits,
                b't' => At::Word("true", 1),
                b'f' => At::Word("false", 1),
                b'n' => At::Word("null", 1),
                _ => return unexpected("looking for beginning of value"),
            },
            (At::KeyOrEnd, b'}') => return Ok(self.close()),
            (At::KeyOrEnd | At::Key, b'"') => At::Text,
            (At::KeyOrEnd | At::Key, _) => return unexpected("looking for beginning of object key string"),
            (At::Text, b'"') => return Ok(self.end_value()),
            (At::Text, b'\\') => At::Escape,
            (At::Text, 0..0x20) => return unexpected("in string literal"),
            (At::Text, _) => At::Text,
            (At::Escape, b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => At::Text,
            (At::Escape, b'u') => At::Hex(4),
            (At::Escape, _) => return unexpected("in string escape code"),
            (At::Hex(left), _) if byte.is_ascii_hexdigit() => match left {
                1 => At::Text,
                _ => At::Hex(left - 1),
            },
            (At::Hex(_), _) => return unexpected("in \\u hexadecimal character escape"),
            (At::Minus, b'0') => At::Zero,
            (At::Minus, b'1'..=b'9') => At::Digits,
            (At::Minus, _) => return unexpected("in numeric literal"),
            (At::Digits, b'0'..=b'9') => At::Digits,
            (At::Zero | At::Digits, b'.') => At::Dot,
            (At::Dot | At::Fraction, b'0'..=b'9') => At::Fraction,
            (At::Dot, _) => return unexpected("after decimal point in numeric literal"),
            (At::Zero | At::Digits | At::Fraction, b'e' | b'E') => At::E,
            (At::E, b'+' | b'-') => At::ESign,
            (At::E | At::ESign | At::Exponent, b'0'..=b'9') => At::Exponent,
            (At::E | At::ESign, _) => return unexpected("in exponent of numeric literal"),
            (At::Word(word, come), _) => {
                let expected = word.as_bytes()[usize::from(come)];
                if byte != expected {
                    let expected = char::from(expected);
                    return unexpected(&format!("in literal {word} (expecting '{expected}')"));
                }
                if usize::from(come) + 1 == word.len() {
                    return Ok(self.end_value());
                }
                At::Word(word, come + 1)
            }
            (At::Zero | At::Digits | At::Fraction | At::Exponent | At::AfterValue, _) => {
                return self.after_value(byte, space);
            }
        };
        Ok(Seen::Inside)
    }

    /// A byte that does not belong to the value before it.
    fn after_value(&mut self, byte: u8, space: bool) -> Result<Seen, Refused> {
        let Some(open) = self.open.last_mut() else { return Ok(Seen::Behind) };
        self.at = At::AfterValue;
        if space {
            return Ok(Seen::Inside);
        }
        let context = match (*open, byte) {
            (Open::Key, b':') => {
                *open = Open::Member;
                self.at = At::Value;
                return Ok(Seen::Inside);
            }
            (Open::Member, b',') => {
                *open = Open::Key;
                self.at = At::Key;
                return Ok(Seen::Inside);
            }
            (Open::Array, b',') => {
                self.at = At::Value;
                return Ok(Seen::Inside);
            }
            (Open::Member, b'}') | (Open::Array, b']') => return Ok(self.close()),
            (Open::Key, _) => "after object key",
            (Open::Member, _) => "after object key:value pair",
            (Open::Array, _) => "after array element",
        };
        Err(Refused(format!("invalid character {} {context}", shown(byte))))
    }

    fn descend(&mut self, open: Open, at: At) -> At {
        self.open.push(open);
        at
    }

    fn close(&mut self) -> Seen {
        self.open.pop();
        self.end_value()
    }

    fn end_value(&mut self) -> Seen {
        self.at = At::AfterValue;
        if self.open.is_empty() { Seen::Last } else { Seen::Inside }
    }
}

/// A byte as Go quotes a character.
fn shown(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".into(),
        b'"' => "'\"'".into(),
        b'\\' => r"'\\'".into(),
        0x07 => r"'\a'".into(),
        0x08 => r"'\b'".into(),
        0x0c => r"'\f'".into(),
        b'\n' => r"'\n'".into(),
        b'\r' => r"'\r'".into(),
        b'\t' => r"'\t'".into(),
        0x0b => r"'\v'".into(),
        b' '..=b'~' | 0xa1..=0xac | 0xae..=0xff => format!("'{}'", char::from(byte)),
        0x80..=0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        _ => format!("'\\x{byte:02x}'"),
    }
}
