//! gRPC's length-prefixed messages: reading them off a request body, and framing replies.

use std::{io::Read, rc::Rc};

use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use h2::RecvStream;
use prost::Message;

use crate::{
    budget::{Hold, Share},
    gateway::Documents,
    status::{Code, Status},
};

/// A flag byte and a big-endian length.
pub(crate) const PREFIX_LEN: usize = 5;
/// Messages are assembled in steps of at most this many bytes, so that a length alone allocates nothing.
const GROW_MAX: usize = 256 << 10;
/// Longest message that is sent, in bytes.
const SEND_MAX: usize = i32::MAX as usize;
/// Small replies are not worth compressing, and large ones leave in pieces; bytes.
const COMPRESSED: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 20;

/// How a side of a call compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
}

/// Why there is no message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// The client or the connection is gone: nobody to answer.
    Gone,
    /// The body ended inside a message.
    Truncated,
    /// Answer this.
    Refused(Status),
}

/// The requests of one call.
pub(crate) enum Messages {
    /// As gRPC sends them.
    Framed(Framed),
    /// As the JSON gateway takes them.
    Json(Documents),
}

impl Messages {
    /// The next message; `None` when no more come.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        match self {
            Messages::Framed(framed) => framed.next().await,
            Messages::Json(documents) => documents.next().await,
        }
    }

    /// Gives the client's window back.
    pub(crate) fn release(&mut self) {
        match self {
            Messages::Framed(framed) => framed.release(),
            // Windows are given back as soon as bytes are there.
            Messages::Json(_) => {}
        }
    }
}

/// The messages of one request body.
pub(crate) struct Framed {
    body: RecvStream,
    encoding: Encoding,
    /// Longest message, before and after decompression.
    len_max: usize,
    /// Received, not yet looked at.
    fresh: Bytes,
    /// A message that came in several frames.
    partial: BytesMut,
    /// Of the flow-control window, not yet given back to the client.
    unreleased: usize,
    share: Rc<Share>,
    /// What the last message, or as much of it as has come, takes of the budget.
    hold: Option<Hold>,
}

impl Framed {
    pub(crate) fn new(body: RecvStream, encoding: Encoding, len_max: usize, share: Rc<Share>) -> Framed {
        Framed {
            body,
            encoding,
            len_max,
            fresh: Bytes::new(),
            partial: BytesMut::new(),
            unreleased: 0,
            share,
            hold: None,
        }
    }

    /// The next message, decompressed; `None` at the end of the body.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            if let Some(framed) = self.take_framed()? {
                return self.unwrap(framed).map(Some);
            }
            self.release();
            match self.body.data().await {
                Some(Ok(chunk)) => {
                    self.unreleased += chunk.len();
                    self.fresh = chunk;
                }
                Some(Err(_)) => return Err(ReadError::Gone),
                None if self.partial.is_empty() => return Ok(None),
                None => return Err(ReadError::Truncated),
            }
        }
    }

    /// Holds `bytes` of the budget for the message at hand, until the next one.
    fn hold(&mut self, bytes: usize) -> Result<(), ReadError> {
        let held = match &mut self.hold {
            Some(hold) => hold.resize(bytes),
            None => {
                self.hold = self.share.hold(bytes);
                self.hold.is_some()
            }
        };
        if held { Ok(()) } else { Err(ReadError::Refused(Status::over_budget())) }
    }

    /// Gives the window of consumed bytes back. A body that is dropped gives it back by itself.
    pub(crate) fn release(&mut self) {
        let n = std::mem::take(&mut self.unreleased);
        if n > 0 {
            // An error means that the stream is gone, which the next read reports.
            let _ = self.body.flow_control().release_capacity(n);
        }
    }

    /// A whole message with its prefix, when it is there. The common case, a frame that is a message, copies nothing.
    fn take_framed(&mut self) -> Result<Option<Bytes>, ReadError> {
        if self.partial.is_empty() {
            if let Some(len) = self.framed_len(&self.fresh)?
                && self.fresh.len() >= len
            {
                self.hold(len)?;
                return Ok(Some(self.fresh.split_to(len)));
            }
            if self.fresh.is_empty() {
                return Ok(None);
            }
        }
        self.hold(self.partial.len() + self.fresh.len())?;
        self.grow();
        self.partial.extend_from_slice(&self.fresh);
        self.fresh = Bytes::new();
        match self.framed_len(&self.partial)? {
            Some(len) if self.partial.len() >= len => {
                let framed = self.partial.split_to(len).freeze();
                self.fresh = self.partial.split().freeze();
                Ok(Some(framed))
            }
            _ => Ok(None),
        }
    }

    fn grow(&mut self) {
        let expected = self.framed_len(&self.partial).ok().flatten().unwrap_or(0);
        let missing = expected.saturating_sub(self.partial.len()).min(GROW_MAX);
        if self.partial.capacity() - self.partial.len() < self.fresh.len() {
            self.partial.reserve(missing.max(self.fresh.len()));
        }
    }

    /// The length with prefix of the message that starts `bytes`; `None` when too few are there to tell.
    fn framed_len(&self, bytes: &[u8]) -> Result<Option<usize>, ReadError> {
        let Some(&[_flag, l0, l1, l2, l3]) = bytes.first_chunk::<PREFIX_LEN>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if len > self.len_max {
            return Err(ReadError::Refused(Status::message_too_large(len, self.len_max)));
        }
        Ok(Some(PREFIX_LEN + len))
    }

    fn unwrap(&mut self, mut framed: Bytes) -> Result<Bytes, ReadError> {
        let message = framed.split_off(PREFIX_LEN);
        let refused = |text: String| Err(ReadError::Refused(Status::new(Code::Internal, text)));
        match (framed[0], self.encoding) {
            (0, _) => Ok(message),
            (1, Encoding::Gzip) => {
                self.hold(self.len_max)?;
                let message = gunzip(&message, self.len_max).map_err(ReadError::Refused)?;
                self.hold(message.len())?;
                Ok(message)
            }
            (1, Encoding::Identity) => {
                refused("grpc: compressed flag set with identity or empty encoding".into())
            }
            (other, _) => refused(format!("grpc: received unexpected payload format {other}")),
        }
    }
}

/// Decompresses at most `len_max` bytes.
pub(crate) fn gunzip(message: &[u8], len_max: usize) -> Result<Bytes, Status> {
    let mut out = Vec::new();
    let mut limited = GzDecoder::new(message).take(len_max as u64 + 1);
    if let Err(error) = limited.read_to_end(&mut out) {
        return Err(Status::new(Code::Internal, format!("grpc: failed to read decompressed data: {error}")));
    }
    if out.len() > len_max {
        let text = format!("grpc: received message after decompression larger than max {len_max}");
        return Err(Status::new(Code::ResourceExhausted, text));
    }
    Ok(out.into())
}

/// The prefix of an uncompressed message of `len` bytes.
///
/// # Errors
/// The status for a message that gRPC cannot carry.
pub(crate) fn prefix(len: usize) -> Result<[u8; PREFIX_LEN], Status> {
    match u32::try_from(len) {
        Ok(small) if len <= SEND_MAX => {
            let [l0, l1, l2, l3] = small.to_be_bytes();
            Ok([0, l0, l1, l2, l3])
        }
        _ => {
            let text = format!("grpc: trying to send message larger than max ({len} vs. {SEND_MAX})");
            Err(Status::new(Code::ResourceExhausted, text))
        }
    }
}

/// A reply with its prefix. `look` is shown it as it is before it is compressed.
///
/// # Errors
/// As [`prefix`].
pub(crate) fn frame(
    message: &impl Message,
    encoding: Encoding,
    look: impl FnOnce(&[u8]),
) -> Result<Bytes, Status> {
    let len = message.encoded_len();
    let prefix = prefix(len)?;
    let mut framed = BytesMut::with_capacity(PREFIX_LEN + len);
    framed.put_slice(&prefix);
    message.encode(&mut framed).expect("BytesMut grows as needed");
    look(&framed[PREFIX_LEN..]);
    if encoding == Encoding::Gzip && COMPRESSED.contains(&len) {
        return gzip(&framed[PREFIX_LEN..]);
    }
    Ok(framed.freeze())
}

fn gzip(message: &[u8]) -> Result<Bytes, Status> {
    let mut encoder = GzEncoder::new(vec![0; PREFIX_LEN], Compression::fast());
    std::io::Write::write_all(&mut encoder, message).expect("writing to memory");
    let mut framed = encoder.finish().expect("writing to memory");
    let mut head = prefix(framed.len() - PREFIX_LEN)?;
    head[0] = 1;
    framed[..PREFIX_LEN].copy_from_slice(&head);
    Ok(framed.into())
}

/// Percent-encodes a `grpc-message`: everything but printable ASCII, and the percent sign itself.
pub(crate) fn percent_encode(text: &str) -> std::borrow::Cow<'_, str> {
    let plain = |b: u8| (b' '..=b'~').contains(&b) && b != b'%';
    if text.bytes().all(plain) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encode("plain text, 1 = 2"), "plain text, 1 = 2");
        assert_eq!(percent_encode("100% é\n"), "100%25 %C3%A9%0A");
    }

    #[test]
    fn gzip_round_trip_and_limit() {
        let message = vec![7u8; 5000];
        let framed = gzip(&message).unwrap();
        assert_eq!(framed[0], 1);
        assert!(framed.len() < 200);
        let body = &framed[PREFIX_LEN..];
        assert_eq!(gunzip(body, 5000).unwrap(), message);
        let refused = gunzip(body, 4999).unwrap_err();
        assert_eq!(refused.message, "grpc: received message after decompression larger than max 4999");
        assert_eq!(gunzip(b"noise", 10).unwrap_err().code, Code::Internal);
    }
}
