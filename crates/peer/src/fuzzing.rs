//! Doors for `tests/fuzz`: what other members send, as functions of bytes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{
    compat, questions, repair, urls,
    wire::{Decoded, ENVELOPE_BYTES_MAX, Framed, MESSAGE_BYTES_MAX, MsgAppDecoder, decode_message},
};

/// The stream of appends, in pieces of `step` bytes.
pub fn appends(bytes: &[u8], step: usize) {
    let mut decoder = MsgAppDecoder::new(1, 2);
    for piece in bytes.chunks(step.max(1)) {
        decoder.push(piece);
        while let Ok(Some(_)) = decoder.next() {}
    }
}

/// The stream of all other messages, in pieces of `step` bytes.
pub fn messages(bytes: &[u8], step: usize) {
    let mut decoder = Framed::new(MESSAGE_BYTES_MAX);
    for piece in bytes.chunks(step.max(1)) {
        decoder.push(piece);
        while let Ok(Some(_)) = decoder.next() {}
    }
}

/// What stands in front of a snapshot, and how much of `bytes` it leaves for the file.
#[must_use]
pub fn envelope(bytes: &[u8]) -> Option<usize> {
    let mut decoder = Framed::new(ENVELOPE_BYTES_MAX);
    decoder.push(bytes);
    decoder.next().ok().flatten()?;
    Some(decoder.into_rest().len())
}

/// A posted message; `None` when it is none for raft.
#[must_use]
pub fn message(bytes: &[u8]) -> Option<consensus::Message> {
    match decode_message(Bytes::copy_from_slice(bytes), MESSAGE_BYTES_MAX) {
        Ok(Decoded::Message(message)) => Some(message),
        _ => None,
    }
}

/// Answers to questions, and headers of a member: lines `name: value`.
pub fn answer(status: u16, body: &[u8]) {
    if let Ok(status) = StatusCode::from_u16(status) {
        questions::fuzz_answer(status, body);
    }
    let headers: HeaderMap = body
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let value = HeaderValue::from_bytes(&line[colon + 1..]).ok()?;
            Some((HeaderName::from_bytes(&line[..colon]).ok()?, value))
        })
        .collect();
    let _ = compat::can_stream(&headers);
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = compat::parse_id(text);
        let _ = urls::Url::parse(text);
    }
}

/// A question of a member that has lost entries.
pub fn repair_question(bytes: &[u8]) {
    let _ = repair::asked(bytes);
}

/// The answer to such a question.
pub fn repair_answer(bytes: &[u8]) {
    let _ = repair::answered(Bytes::copy_from_slice(bytes));
}
