//! Headers of a request as metadata of a call (upstream: grpc-gateway runtime/context.go).

use std::time::Duration;

use http::HeaderMap;

use crate::{
    head::{Head, token},
    status::{Code, Status},
};

/// Headers that begin like this are metadata by the rest of their name.
const PREFIX: &str = "grpc-metadata-";

/// Reads the headers.
///
/// # Errors
/// What to answer instead of calling.
pub(super) fn parse(headers: &HeaderMap) -> Result<Head, Status> {
    let mut head = Head { from_gateway: true, ..Head::default() };
    // The header itself, else the metadata of that name; a token of its own name goes first.
    let mut authorization = headers.get(http::header::AUTHORIZATION);
    for (name, value) in headers {
        let bytes = value.as_bytes();
        if name == "grpc-timeout" && !bytes.is_empty() {
            let text = String::from_utf8_lossy(bytes);
            let malformed = || Status::new(Code::InvalidArgument, format!("invalid grpc-timeout: {text}"));
            head.timeout = timeout(&text).ok_or_else(malformed)?;
        }
        let Some(key) = name.as_str().strip_prefix(PREFIX) else { continue };
        // Other text is no metadata.
        if !bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            continue;
        }
        match key {
            "token" if head.token.is_none() => head.token = Some(token(bytes)),
            "authorization" if authorization.is_none() => authorization = Some(value),
            "hasleader" => head.needs_leader |= bytes == b"true",
            "client-api-version" if head.api_version.is_none() => head.api_version = Some(value.clone()),
            _ => {}
        }
    }
    if head.token.is_none() {
        head.token = authorization.map(|value| token(value.as_bytes()));
    }
    Ok(head)
}

/// A number of any length and a unit; none at all when it is zero, over at once when it is negative.
fn timeout(text: &str) -> Option<Option<Duration>> {
    let unit = match text.bytes().next_back()? {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return None,
    };
    let count: i64 = text[..text.len() - 1].parse().ok()?;
    Some(match count {
        0 => None,
        _ => Some(Duration::from_nanos(u64::try_from(count).unwrap_or(0).saturating_mul(unit))),
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn head(headers: &[(&str, &[u8])]) -> Result<Head, Status> {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value).unwrap())
        });
        parse(&headers.collect())
    }

    #[test]
    fn tokens() {
        let token = |headers: &[(&str, &[u8])]| head(headers).unwrap().token;
        assert_eq!(token(&[]), None);
        assert_eq!(token(&[("authorization", b"Bearer a.1")]).as_deref(), Some("a.1"));
        assert_eq!(token(&[("authorization", b"a.1")]).as_deref(), Some("a.1"));
        assert_eq!(token(&[("grpc-metadata-authorization", b"a.1")]).as_deref(), Some("a.1"));
        let both: [(&str, &[u8]); 2] = [("authorization", b"a.1"), ("Grpc-Metadata-Token", b"b.2")];
        assert_eq!(token(&both).as_deref(), Some("b.2"));
        // What gRPC itself reads is not for clients of HTTP, and metadata is ASCII.
        assert_eq!(token(&[("token", b"a.1")]), None);
        assert_eq!(token(&[("grpc-metadata-token", b"\xc3\xa9")]), None);
    }

    #[test]
    fn the_rest() {
        let head = head(&[
            ("grpc-metadata-hasleader", b"true"),
            ("grpc-metadata-client-api-version", b"3.7"),
            ("grpc-timeout", b"5000000000000m"),
        ]);
        let head = head.unwrap();
        assert!(head.needs_leader && head.from_gateway);
        assert_eq!(head.api_version.unwrap(), "3.7");
        assert_eq!(head.timeout, Some(Duration::from_secs(5_000_000_000)));
    }

    #[test]
    fn timeouts() {
        assert_eq!(timeout("0S"), Some(None));
        assert_eq!(timeout("-1S"), Some(Some(Duration::ZERO)));
        assert_eq!(timeout("9223372036854775807H"), Some(Some(Duration::from_nanos(u64::MAX))));
        for bad in ["", "S", "1", "1x", "1.5S", "é", "9223372036854775808n"] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
        let refused = head(&[("grpc-timeout", b"soon")]).unwrap_err();
        assert_eq!(refused, Status::new(Code::InvalidArgument, "invalid grpc-timeout: soon"));
    }
}
