//! The `grpc-timeout` header: up to eight digits and a unit (upstream: grpc-go internal/transport/http_util.go).

use std::time::Duration;

/// Parses a `grpc-timeout`.
///
/// # Errors
/// The text that grpc-go puts after `malformed grpc-timeout: `.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if text.len() < 2 {
        return Err(format!("transport: timeout string is too short: {text:?}"));
    }
    if text.len() > 9 {
        return Err(format!("transport: timeout string is too long: {text:?}"));
    }
    let nanos: u64 = match text.as_bytes()[text.len() - 1] {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return Err(format!("transport: timeout unit is not recognized: {text:?}")),
    };
    // The last byte is ASCII, so this is a character boundary.
    let digits = &text[..text.len() - 1];
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("strconv.ParseUint: parsing {digits:?}: invalid syntax"));
    }
    // At most eight digits: no overflow.
    let count: u64 =
        digits.parse().map_err(|_| format!("strconv.ParseUint: parsing {digits:?}: value out of range"))?;
    Ok(Duration::from_nanos(count.saturating_mul(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_refusals() {
        let good = [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("0n", Duration::ZERO),
            ("99999999H", Duration::from_nanos(u64::MAX)),
        ];
        for (text, expected) in good {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for bad in ["", "S", "1", "1x", "-1S", "+1S", "123456789S", "1.5S", "éS", "1é"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
