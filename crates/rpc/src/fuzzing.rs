//! Doors for `tests/fuzz`: decoders that are private otherwise, each as a function of bytes.
#![allow(clippy::missing_panics_doc, reason = "a panic is what is looked for")]

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use rustls_pki_types::CertificateDer;

pub use crate::gateway::fuzzing::websocket;
use crate::{
    der, frame_scan::FrameScan, gateway, head, message, pages, tls, tokens::Signer, tokens::SigningKeys,
};

/// A request's head: `VERB PATH`, then lines `name: value`.
pub fn head(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let (verb, path) = first.split_once(' ').unwrap_or(("POST", &first));
    let headers: HeaderMap = lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let value = line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..]);
            Some((HeaderName::from_bytes(&line[..colon]).ok()?, HeaderValue::from_bytes(value).ok()?))
        })
        .collect();
    let Ok(request) = Request::builder().method(verb).uri(path).body(()) else { return };
    let mut parts = request.into_parts().0;
    parts.headers = headers;
    let _ = head::wants_grpc(&parts.headers);
    let _ = head::parse(&parts);
    let _ = crate::Method::of_path(parts.uri.path());
    gateway::fuzzing::request(&parts);
    pages::fuzz_query(&parts);
}

/// What a client sends over HTTP/2, as it passes the counter of pings, which may change it. In pieces of `step`.
pub fn frames(bytes: &[u8], step: usize) {
    let mut bytes = bytes.to_vec();
    let mut scan = FrameScan::new();
    bytes.chunks_mut(step.max(1)).for_each(|piece| scan.feed(piece));
    let _ = (scan.pings(), scan.last_stream());
}

/// A compressed message.
pub fn gunzip(bytes: &[u8], len_max: usize) {
    if let Ok(message) = message::gunzip(bytes, len_max) {
        assert!(message.len() <= len_max, "a message is longer than allowed");
    }
}

/// A certificate, as far as names are read from it.
pub fn certificate(bytes: &[u8]) {
    let _ = der::common_name(bytes);
    let _ = der::alternative_names(bytes);
    let _ = der::from_subject(bytes);
}

/// A file of certificates, of a key, or of revocation lists of `ca`.
pub fn tls_file(bytes: &[u8], ca: &CertificateDer<'static>) {
    tls::fuzz_file(bytes, ca);
}

/// Files with keys that sign tokens by `method`.
pub fn signing_keys(method: &str, public: Option<Vec<u8>>, private: Option<Vec<u8>>) {
    let _ = Signer::new(method, &SigningKeys { public, private }, 1);
}

/// A token that a client shows; whether it is good.
pub fn token(signer: &Signer, token: &[u8]) -> bool {
    signer.claims_of(&head::token(token)).is_some()
}

/// A good token, good for as long as tokens are.
pub fn good_token(signer: &Signer, user: &str) -> String {
    signer.sign(user, 1, std::time::SystemTime::now()).expect("the key signs")
}

/// JSON in the body of a member's question.
pub fn asked_revision(json: &[u8]) {
    pages::fuzz_revision(json);
}

/// A token with any header and claims, rightly signed; whether it is good.
pub fn signed_token(signer: &Signer, header: &[u8], claims: &[u8]) -> bool {
    signer.fuzz_signed(header, claims).is_some_and(|token| signer.claims_of(&token).is_some())
}
