//! Words of a JSON value whose syntax [`super::scan`] has checked. What is left to find wrong are texts.

use std::borrow::Cow;

use super::Refused;

/// Bytes of `\uXXXX`.
const ESCAPE_LEN: usize = 6;

/// A word, and where it stands.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) start: usize,
    /// As written.
    pub(super) raw: &'a [u8],
}

#[derive(Debug)]
pub(super) enum Kind<'a> {
    Null,
    Bool(bool),
    Number,
    Text(Cow<'a, str>),
    /// The text in front of a colon.
    Name(Cow<'a, str>),
    ObjectOpen,
    ObjectClose,
    ArrayOpen,
    ArrayClose,
    End,
}

impl Token<'_> {
    /// The word as it stands in an error.
    pub(super) fn shown(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.raw)
    }
}

/// The words of one value.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(json: &'a [u8]) -> Tokens<'a> {
        Tokens { json, at: 0 }
    }

    /// The first byte of the next word; commas are none.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.json.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b',' => self.at += 1,
                byte => return Some(*byte),
            }
        }
        None
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, Refused> {
        let Some(first) = self.peek() else {
            return Ok(Token { kind: Kind::End, start: self.at, raw: &[] });
        };
        let start = self.at;
        let kind = match first {
            b'{' => self.take(1, Kind::ObjectOpen),
            b'}' => self.take(1, Kind::ObjectClose),
            b'[' => self.take(1, Kind::ArrayOpen),
            b']' => self.take(1, Kind::ArrayClose),
            b'n' => self.take(4, Kind::Null),
            b't' => self.take(4, Kind::Bool(true)),
            b'f' => self.take(5, Kind::Bool(false)),
            b'"' => {
                let (text, len) = self.text(start)?;
                self.at += len;
                let raw = &self.json[start..self.at];
                let kind = match self.colon() {
                    true => Kind::Name(text),
                    false => Kind::Text(text),
                };
                return Ok(Token { kind, start, raw });
            }
            _ => {
                let rest = &self.json[start..];
                let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                // At least the byte that led here, so that whoever reads comes to an end.
                let len = rest.iter().take_while(|byte| is_part(byte)).count().max(1);
                self.take(len, Kind::Number)
            }
        };
        Ok(Token { kind, start, raw: &self.json[start..self.at] })
    }

    fn take(&mut self, len: usize, kind: Kind<'a>) -> Kind<'a> {
        self.at = self.json.len().min(self.at + len);
        kind
    }

    /// Takes a colon, when there is one.
    fn colon(&mut self) -> bool {
        let rest = &self.json[self.at..];
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let found = rest.get(space) == Some(&b':');
        if found {
            self.at += space + 1;
        }
        found
    }

    /// The text that starts at `start`, and its length with quotes.
    fn text(&self, start: usize) -> Result<(Cow<'a, str>, usize), Refused> {
        let from = &self.json[start + 1..];
        let mut len = 0;
        let mut escaped = false;
        loop {
            match from.get(len) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    len += 2;
                }
                Some(_) => len += 1,
                None => return Err(unexpected_end()),
            }
        }
        let text = from.get(..len).unwrap_or_default();
        // Up to the first fault Go's decoder goes from front to back; both faults have the same place.
        let valid = std::str::from_utf8(text);
        let decoded = match (escaped, valid) {
            (false, Ok(text)) => Cow::Borrowed(text),
            (false, Err(_)) => return Err(self.syntax_error(start, "invalid UTF-8 in string")),
            (true, valid) => {
                let whole = match &valid {
                    Ok(text) => text,
                    Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
                };
                let decoded = unescape(whole).map_err(|offset| self.bad_escape(start, offset))?;
                if valid.is_err() {
                    return Err(self.syntax_error(start, "invalid UTF-8 in string"));
                }
                Cow::Owned(decoded)
            }
        };
        Ok((decoded, len + 2))
    }

    /// What Go says of an escape at `offset` in the text at `start`: it looks at six bytes, wherever the text ends.
    fn bad_escape(&self, start: usize, offset: usize) -> Refused {
        match self.json.get(start + 1 + offset..).and_then(<[u8]>::first_chunk::<ESCAPE_LEN>) {
            Some(code) => {
                let code = String::from_utf8_lossy(code);
                self.syntax_error(start, &format!("invalid escape code {code:?} in string"))
            }
            None => unexpected_end(),
        }
    }

    pub(super) fn syntax_error(&self, at: usize, text: &str) -> Refused {
        let (line, column) = self.position(at);
        Refused(format!("proto: syntax error (line {line}:{column}): {text}"))
    }

    pub(super) fn error(&self, at: usize, text: &str) -> Refused {
        let (line, column) = self.position(at);
        Refused(format!("proto: (line {line}:{column}): {text}"))
    }

    pub(super) fn unexpected(&self, token: &Token<'_>) -> Refused {
        self.syntax_error(token.start, &format!("unexpected token {}", token.shown()))
    }

    /// Line and column, from 1, in characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let before = &self.json[..at];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
        (line, String::from_utf8_lossy(&before[start..]).chars().count() + 1)
    }
}

pub(super) fn unexpected_end() -> Refused {
    Refused("proto: unexpected EOF".into())
}

/// A text without its escapes; where it is wrong, otherwise.
fn unescape(text: &str) -> Result<String, usize> {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(plain) = text[at..].find('\\') {
        out.push_str(&text[at..at + plain]);
        at += plain;
        let (code, len) = match text.as_bytes().get(at + 1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(&other @ (b'"' | b'\\' | b'/')) => (char::from(other), 2),
            Some(b'u') => code_point(text, at)?,
            // The syntax was checked.
            _ => return Err(at),
        };
        out.push(code);
        at += len;
    }
    out.push_str(&text[at..]);
    Ok(out)
}

/// The character of `\uXXXX`, or of two of them, and the length of its escape; where it is wrong, otherwise.
fn code_point(text: &str, at: usize) -> Result<(char, usize), usize> {
    let unit = |at: usize| {
        let escape = text.get(at..at + ESCAPE_LEN)?;
        u16::from_str_radix(escape.strip_prefix("\\u")?, 16).ok()
    };
    let first = unit(at).ok_or(at)?;
    if let Some(code) = char::from_u32(first.into()) {
        return Ok((code, ESCAPE_LEN));
    }
    let second = unit(at + ESCAPE_LEN).ok_or(at + ESCAPE_LEN)?;
    match char::decode_utf16([first, second]).next() {
        Some(Ok(code)) => Ok((code, 2 * ESCAPE_LEN)),
        _ => Err(at + ESCAPE_LEN),
    }
}
