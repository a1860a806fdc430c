//! Small things that Go's libraries read and print.

use std::time::{Duration, Instant};

use cmdline::golang::quote;

/// A number as `strconv.ParseInt` reads it.
///
/// # Errors
/// In its words.
pub(crate) fn parse_int(text: &str, radix: u32) -> Result<i64, String> {
    i64::from_str_radix(text, radix).map_err(|error| number_error("ParseInt", text, &error))
}

/// A number as `strconv.ParseUint` reads it.
///
/// # Errors
/// In its words.
pub(crate) fn parse_uint(text: &str, radix: u32) -> Result<u64, String> {
    if text.starts_with('+') {
        return Err(format!("strconv.ParseUint: parsing {}: invalid syntax", quote(text)));
    }
    u64::from_str_radix(text, radix).map_err(|error| number_error("ParseUint", text, &error))
}

fn number_error(function: &str, text: &str, error: &std::num::ParseIntError) -> String {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let reason = match error.kind() {
        PosOverflow | NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {}: {reason}", quote(text))
}

/// How long something took, as Go prints it.
pub(crate) fn took(since: Instant) -> String {
    config::duration::format(i64::try_from(since.elapsed().as_nanos()).unwrap_or(i64::MAX))
}

/// Nanoseconds as a wait: none when negative.
pub(crate) fn wait(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// Bytes as `\x61\x62`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// Cuts a line into words; quotes keep blanks together.
///
/// # Errors
/// When a word in double quotes has a wrong escape.
pub(crate) fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}');
        let len = match first {
            '"' => quoted_len(rest),
            '\'' => rest[1..].find('\'').map(|at| at + 2),
            c if blank(c) => None,
            _ => Some(rest.find(blank).unwrap_or(rest.len())),
        };
        let Some(len) = len else {
            // A blank, or a quote that nothing ends.
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let word = &rest[..len];
        words.push(match first {
            '\'' => word[1..len - 1].to_owned(),
            '"' => {
                let (bytes, _) = unquote(word).ok_or("invalid syntax")?;
                String::from_utf8(bytes).map_err(|_| "arguments must be valid UTF-8")?
            }
            _ => word.to_owned(),
        });
        rest = &rest[len..];
    }
    Ok(words)
}

/// Up to the quote that ends what a quote begins; a backslash takes the next letter along.
fn quoted_len(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = c == '\n' && return None,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Reads a quoted text at the start as Go does, and gives what follows it.
pub(crate) fn unquote(text: &str) -> Option<(Vec<u8>, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let (inner, rest) = raw.split_once('`')?;
        return Some((inner.replace('\r', "").into_bytes(), rest));
    }
    let mut rest = text.strip_prefix('"')?;
    let mut bytes = Vec::new();
    loop {
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => return Some((bytes, rest)),
            '\n' => return None,
            '\\' => {
                let escape = rest.chars().next()?;
                rest = unescape(escape, &rest[escape.len_utf8()..], &mut bytes)?;
            }
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Adds what an escape stands for, and gives what follows it.
fn unescape<'a>(escape: char, rest: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let digits = |count: usize, radix: u32, from: &'a str| {
        let digits = from.get(..count).filter(|digits| digits.chars().all(|c| c.is_digit(radix)))?;
        Some((u32::from_str_radix(digits, radix).ok()?, &from[count..]))
    };
    let plain = match escape {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' | '"' => escape as u8,
        'x' => {
            let (value, rest) = digits(2, 16, rest)?;
            bytes.push(u8::try_from(value).ok()?);
            return Some(rest);
        }
        'u' | 'U' => {
            let (value, rest) = digits(if escape == 'u' { 4 } else { 8 }, 16, rest)?;
            bytes.extend_from_slice(char::from_u32(value)?.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(rest);
        }
        '0'..='7' => {
            let (high, rest) = (escape.to_digit(8)?, rest);
            let (low, rest) = digits(2, 8, rest)?;
            bytes.push(u8::try_from(high * 64 + low).ok()?);
            return Some(rest);
        }
        _ => return None,
    };
    bytes.push(plain);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_as_by_etcdctl() {
        for (line, expected) in [
            ("put a b", vec!["put", "a", "b"]),
            ("put \"a b\" 'c d'\te", vec!["put", "a b", "c d", "e"]),
            (r#"put "a\"b\n" ''"#, vec!["put", "a\"b\n", ""]),
            ("put a\"b c", vec!["put", "a\"b", "c"]),
            ("put \"a b", vec!["put", "a", "b"]),
            ("", vec![]),
        ] {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
        assert!(words(r#"put "\q""#).is_err());
    }

    #[test]
    fn quoted_texts_are_read_as_by_go() {
        for (text, bytes, rest) in [
            (r#""a\x00\101\u00e9\\" x"#, &b"a\0A\xc3\xa9\\"[..], " x"),
            ("`a\\n`)", b"a\\n", ")"),
            ("\"\"", b"", ""),
        ] {
            assert_eq!(unquote(text), Some((bytes.to_vec(), rest)), "{text}");
        }
        for text in ["a", "\"a", r#""\x0""#, r#""\400""#, "\"\n\"", r#""\ud800""#, r#""\'""#] {
            assert_eq!(unquote(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_refused_in_gos_words() {
        assert_eq!(parse_int("-7f", 16), Ok(-0x7f));
        assert_eq!(parse_int("xyz", 16).unwrap_err(), "strconv.ParseInt: parsing \"xyz\": invalid syntax");
        assert_eq!(parse_uint("-1", 16).unwrap_err(), "strconv.ParseUint: parsing \"-1\": invalid syntax");
        assert_eq!(
            parse_uint("10000000000000000", 16).unwrap_err(),
            "strconv.ParseUint: parsing \"10000000000000000\": value out of range"
        );
        assert!(parse_uint("+1", 16).is_err());
    }
}
