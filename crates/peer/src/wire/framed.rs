//! The message stream, and what stands in front of a snapshot file: a length and a message.

use bytes::{BufMut, Bytes, BytesMut};
use consensus::Message;

use super::{CodecError, Decoded, Input, decode_message, encode_message, message_len};

/// Type and a heartbeat's number: all that a sign of life says.
const LINK_HEARTBEAT: [u8; 2] = [0x08, 8];

/// Appends a message with its length.
pub(crate) fn encode_framed(message: &Message, out: &mut BytesMut) {
    let len = message_len(message);
    out.reserve(8 + len);
    out.put_u64(len as u64);
    encode_message(message, out);
}

/// Appends the stream's sign of life.
pub(crate) fn encode_framed_heartbeat(out: &mut BytesMut) {
    out.put_u64(LINK_HEARTBEAT.len() as u64);
    out.put_slice(&LINK_HEARTBEAT);
}

/// Reads messages with their lengths.
#[derive(Debug)]
pub(crate) struct Framed {
    pub(super) input: Input,
    bytes_max: u64,
}

impl Framed {
    pub(crate) fn new(bytes_max: u64) -> Framed {
        Framed { input: Input::default(), bytes_max }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// The next whole message and its length; `None` until more arrives.
    pub(crate) fn next(&mut self) -> Result<Option<(Decoded, usize)>, CodecError> {
        let Some(frame) = self.input.frame(self.bytes_max)? else { return Ok(None) };
        let len = frame.len();
        // Decoded, a message of that length may take more, but not without bound.
        let memory = self.bytes_max.max(super::MESSAGE_BYTES_MAX);
        Ok(Some((decode_message(frame, memory)?, len)))
    }

    /// What arrived behind the last message.
    pub(crate) fn into_rest(self) -> Bytes {
        self.input.into_rest()
    }
}
