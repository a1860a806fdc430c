//! How Go's standard library reads and prints what stands on etcd's command line. Users see these rules in error
//! texts and in what is accepted (`0x10`, `1_000`, `T` for true), so they are kept.

/// A boolean as Go's `strconv.ParseBool` takes it.
#[must_use]
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// Not written like a number.
    Syntax,
    /// A number, but too large.
    Range,
}

/// A number as Go's `strconv.ParseUint` takes it with base 0: decimal, `0x`, `0o`, `0b`, a leading `0` for octal,
/// single underscores between digits and after the prefix.
///
/// # Errors
/// Why it is none.
pub fn parse_unsigned(text: &str) -> Result<u64, NumberError> {
    let (digits, radix) = split_radix(text);
    let prefixed = digits.len() != text.len();
    let bad_start = digits.is_empty() || (digits.starts_with('_') && !prefixed);
    if bad_start || digits.ends_with('_') || digits.contains("__") {
        return Err(NumberError::Syntax);
    }
    let mut value: u64 = 0;
    let mut overflow = false;
    for digit in digits.chars().filter(|c| *c != '_') {
        let digit = digit.to_digit(radix).ok_or(NumberError::Syntax)?;
        match value.checked_mul(u64::from(radix)).and_then(|v| v.checked_add(u64::from(digit))) {
            Some(next) => value = next,
            None => overflow = true,
        }
    }
    if overflow { Err(NumberError::Range) } else { Ok(value) }
}

/// Likewise with a sign.
///
/// # Errors
/// Why it is none.
pub fn parse_signed(text: &str) -> Result<i64, NumberError> {
    let (digits, negative) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    };
    let size = parse_unsigned(digits)?;
    if negative {
        0i64.checked_sub_unsigned(size).ok_or(NumberError::Range)
    } else {
        i64::try_from(size).map_err(|_| NumberError::Range)
    }
}

fn split_radix(text: &str) -> (&str, u32) {
    let lower = text.get(..2).map(str::to_ascii_lowercase);
    match lower.as_deref() {
        Some("0x") => (&text[2..], 16),
        Some("0b") => (&text[2..], 2),
        Some("0o") => (&text[2..], 8),
        _ if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        _ => (text, 10),
    }
}

/// A text in quotes as Go's `%q` prints it.
#[must_use]
pub fn quote(text: &str) -> String {
    quote_bytes(text.as_bytes())
}

/// Likewise bytes, of which some may be no text.
#[must_use]
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_quoted(&mut quoted, c));
        for byte in chunk.invalid() {
            quoted.push_str(&format!("\\x{byte:02x}"));
        }
    }
    quoted.push('"');
    quoted
}

fn push_quoted(quoted: &mut String, c: char) {
    match c {
        '"' => quoted.push_str("\\\""),
        '\\' => quoted.push_str("\\\\"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\u{7}' => quoted.push_str("\\a"),
        '\u{8}' => quoted.push_str("\\b"),
        '\u{b}' => quoted.push_str("\\v"),
        '\u{c}' => quoted.push_str("\\f"),
        c if c < ' ' || c == '\u{7f}' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
        c if c.is_ascii() => quoted.push(c),
        // Rust, like Go, escapes what cannot be seen; marks that join with what stands before them can.
        c if c.is_control() || (c.escape_debug().len() > 1 && !joins(c)) => {
            let code = u32::from(c);
            let escaped = if code < 0x1_0000 { format!("\\u{code:04x}") } else { format!("\\U{code:08x}") };
            quoted.push_str(&escaped);
        }
        c => quoted.push(c),
    }
}

/// Whether a mark is escaped by Rust only where nothing stands before it.
fn joins(c: char) -> bool {
    format!("a{c}").escape_debug().count() == 2
}

/// A list in quotes as Go's `%q` prints a slice.
#[must_use]
pub fn quote_list(texts: &[String]) -> String {
    let quoted: Vec<_> = texts.iter().map(|text| quote(text)).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, value) in [
            ("0", 0),
            ("12", 12),
            ("0x1F", 31),
            ("0b101", 5),
            ("0o17", 15),
            ("017", 15),
            ("0x_1_0", 16),
            ("0_7", 7),
        ] {
            assert_eq!(parse_unsigned(text), Ok(value), "{text}");
        }
        for text in ["", "a", "-1", "1__0", "_1", "1_", "0x", "0x__1", "08", "1.5", " 1"] {
            assert_eq!(parse_unsigned(text), Err(NumberError::Syntax), "{text}");
        }
        assert_eq!(parse_unsigned("18446744073709551616"), Err(NumberError::Range));
        assert_eq!(parse_signed("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse_signed("9223372036854775808"), Err(NumberError::Range));
        assert_eq!(parse_signed("+5"), Ok(5));
        assert_eq!(parse_signed("--5"), Err(NumberError::Syntax));
    }

    #[test]
    fn quotes() {
        assert_eq!(quote("a\"b\\c\nd\u{1}"), r#""a\"b\\c\nd\x01""#);
        assert_eq!(
            quote("é\u{301}\u{200b}\u{85}\u{a0}\u{1f600}\u{e0001}"),
            "\"é\u{301}\\u200b\\u0085\\u00a0\u{1f600}\\U000e0001\""
        );
        assert_eq!(quote_bytes(b"a\xff\xc3"), r#""a\xff\xc3""#);
        assert_eq!(quote_list(&["a".into(), "b".into()]), r#"["a" "b"]"#);
    }
}
