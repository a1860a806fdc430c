//! Durations as Go reads and prints them. A duration is a signed number of nanoseconds.

use std::time::Duration;

use crate::golang::quote;

/// Units with their nanoseconds.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads `1h30m`, `1.5s`, `-2m`, `0` as nanoseconds.
///
/// # Errors
/// Why it is no duration, in the words of Go's `time.ParseDuration`.
pub fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let (body, negative) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    };
    if body == "0" {
        return Ok(0);
    }
    if body.is_empty() {
        return Err(invalid());
    }
    let mut rest = body;
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        if !is_number(number) {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quote(text)));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("time: unknown unit {} in duration {}", quote(unit), quote(text)));
        };
        nanos = scaled(number, *scale).and_then(|n| nanos.checked_add(n)).ok_or_else(invalid)?;
        rest = tail;
    }
    if negative {
        0i64.checked_sub_unsigned(nanos).ok_or_else(invalid)
    } else {
        i64::try_from(nanos).map_err(|_| invalid())
    }
}

/// Digits with at most one point, and at least one digit.
fn is_number(text: &str) -> bool {
    text.matches('.').count() <= 1 && text.bytes().any(|b| b.is_ascii_digit())
}

/// `number` times `scale`, rounded down; `None` when it does not fit.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(scale)?;
    let mut weight = scale;
    // A nanosecond is the finest weight that counts, so this ends after 13 digits whatever the length.
    for digit in fraction.bytes() {
        let part = u64::from(digit - b'0') * weight;
        weight /= 10;
        if part == 0 && weight == 0 {
            break;
        }
        nanos = nanos.checked_add(part / 10)?;
    }
    Some(nanos)
}

/// Prints nanoseconds as Go does: `0s`, `1.5s`, `100ms`, `2h0m0s`.
pub fn format(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    if size == 0 {
        return "0s".into();
    }
    if size < 1_000_000_000 {
        let (unit, scale) = match size {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("\u{b5}s", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(size, scale));
    }
    let (minutes, rest) = (size / 60_000_000_000, size % 60_000_000_000);
    let seconds = decimal(rest, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / scale` without trailing zeros; `scale` is a power of ten.
fn decimal(value: u64, scale: u64) -> String {
    let (whole, rest) = (value / scale, value % scale);
    if rest == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    format!("{whole}.{}", format!("{rest:0width$}").trim_end_matches('0'))
}

/// What a wait of so many nanoseconds is: none when negative.
pub(crate) fn wait(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, millis) in [
            ("0", 0),
            ("5s", 5_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            (".5s", 500),
            ("100ms", 100),
            ("+2m", 120_000),
            ("-1s", -1_000),
            ("0.25h", 900_000),
        ] {
            assert_eq!(parse(text), Ok(millis * 1_000_000), "{text}");
        }
        assert_eq!(parse("1.0000000019s"), Ok(1_000_000_001));
        assert_eq!(parse("9223372036854775807ns"), Ok(i64::MAX));
        assert_eq!(parse("-9223372036854775808ns"), Ok(i64::MIN));
    }

    #[test]
    fn says_why_not() {
        for (text, reason) in [
            ("", r#"time: invalid duration """#),
            ("s", r#"time: invalid duration "s""#),
            (".s", r#"time: invalid duration ".s""#),
            ("--1s", r#"time: invalid duration "--1s""#),
            ("1.2.3s", r#"time: invalid duration "1.2.3s""#),
            ("99999999h", r#"time: invalid duration "99999999h""#),
            ("-1", r#"time: missing unit in duration "-1""#),
            ("1x", r#"time: unknown unit "x" in duration "1x""#),
            ("1 s", r#"time: unknown unit " s" in duration "1 s""#),
        ] {
            assert_eq!(parse(text), Err(reason.to_string()), "{text}");
        }
    }

    #[test]
    fn prints_as_go() {
        for text in [
            "0s",
            "1ns",
            "1.5\u{b5}s",
            "100ms",
            "5s",
            "1m0s",
            "2h0m0s",
            "1.5s",
            "-1m0.25s",
            "1h0m0.000000001s",
        ] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        assert_eq!(format(i64::MIN), "-2562047h47m16.854775808s");
    }
}
