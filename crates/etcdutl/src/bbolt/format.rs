//! Bytes for the eye, in bbolt's formats.

use sha2::{Digest, Sha256};

use crate::{
    failure::Failure,
    golang::{hex, quote_bytes},
};

/// Bytes in a format; the result is bytes as one format leaves them as they are.
pub(super) fn format_bytes(bytes: &[u8], format: &str) -> Result<Vec<u8>, Failure> {
    Ok(match format {
        "ascii-encoded" => quote_bytes(bytes).into_bytes(),
        "hex" => hex(bytes).into_bytes(),
        "bytes" => bytes.to_vec(),
        "auto" if is_printable(bytes) => bytes.to_vec(),
        "auto" => hex(bytes).into_bytes(),
        "redacted" => {
            let digest = Sha256::digest(bytes);
            format!("<redacted len:{} sha256:{}>", bytes.len(), hex(&digest)).into_bytes()
        }
        _ => return Err(Failure::new(format!("formatBytes: unsupported format: {format}"))),
    })
}

/// Bytes from the command line.
pub(super) fn parse_bytes(text: &str, format: &str) -> Result<Vec<u8>, Failure> {
    match format {
        "ascii-encoded" => Ok(text.as_bytes().to_vec()),
        "hex" => parse_hex(text).map_err(Failure::new),
        _ => Err(Failure::new(format!("parseBytes: unsupported format: {format}"))),
    }
}

fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let digit = |byte: &u8| {
        char::from(*byte).to_digit(16).map(|digit| digit as u8).ok_or_else(|| {
            let shown = char::from(*byte);
            format!("encoding/hex: invalid byte: U+{:04X} '{shown}'", u32::from(*byte))
        })
    };
    let digits = text.as_bytes().iter().map(digit).collect::<Result<Vec<u8>, String>>()?;
    match digits.len() % 2 {
        0 => Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()),
        _ => Err("encoding/hex: odd length hex string".to_owned()),
    }
}

/// Whether the bytes are text that shows as it is.
pub(super) fn is_printable(bytes: &[u8]) -> bool {
    let shows = |c: char| {
        matches!(c, '"' | '\\') || !cmdline::golang::quote(c.encode_utf8(&mut [0; 4])).starts_with("\"\\")
    };
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(shows))
}

/// A key on a page: in quotes when it is text.
pub(super) fn page_key(key: &[u8]) -> String {
    if is_printable(key) { quote_bytes(key) } else { hex(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from bbolt 1.5.0.
    #[test]
    fn formats() {
        let of = |bytes: &[u8], format| String::from_utf8(format_bytes(bytes, format).unwrap()).unwrap();
        assert_eq!(of(b"auth", "hex"), "61757468");
        assert_eq!(of(b"a\"\\ b", "auto"), "a\"\\ b");
        assert_eq!(of(b"\x00\x02", "auto"), "0002");
        assert_eq!(of("grün\n".as_bytes(), "auto"), "6772c3bc6e0a");
        assert_eq!(of(b"a\n", "ascii-encoded"), "\"a\\n\"");
        assert!(of(b"", "redacted").starts_with("<redacted len:0 sha256:e3b0c442"));
        assert_eq!(format_bytes(b"", "bogus").unwrap_err().text, "formatBytes: unsupported format: bogus");
        assert_eq!(parse_bytes("6Aff", "hex").unwrap(), [0x6a, 0xff]);
        assert_eq!(parse_bytes("6g", "hex").unwrap_err().text, "encoding/hex: invalid byte: U+0067 'g'");
        assert_eq!(parse_bytes("6", "hex").unwrap_err().text, "encoding/hex: odd length hex string");
        assert_eq!(parse_bytes("6", "x").unwrap_err().text, "parseBytes: unsupported format: x");
    }
}
