//! The first block of a PEM file, whatever its label, as Go reads keys.

use base64::{Engine, engine::general_purpose::STANDARD};

/// The bytes of the first block; `None` when there is none.
pub(super) fn first_block(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let mut base64 = String::with_capacity(body.len());
    for line in body.lines() {
        // Headers stand before an empty line; only encrypted keys have some.
        if line.contains(':') {
            return None;
        }
        base64.push_str(line.trim());
    }
    STANDARD.decode(base64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_counts() {
        let text = b"x\n-----BEGIN A B-----\r\nAQID\r\nBA==\r\n-----END A B-----\n-----BEGIN C-----\nBQ==\n-----END C-----\n";
        assert_eq!(first_block(text), Some(vec![1, 2, 3, 4]));
        for wrong in [
            &b""[..],
            b"-----BEGIN A-----",
            b"-----BEGIN A-----\nAQID\n-----END B-----",
            b"-----BEGIN A-----\n?\n-----END A-----",
            b"-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nAQID\n-----END A-----",
            b"\xff",
        ] {
            assert_eq!(first_block(wrong), None);
        }
    }
}
