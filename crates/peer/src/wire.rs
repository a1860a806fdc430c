//! What goes over the streams, byte by byte (contract/semantics.md 15.4, 15.5, 15.7).
//!
//! Encoders append to a buffer. Decoders are fed with whatever has arrived and give out whole messages; they hold
//! what arrived and nothing more, whatever lengths a sender announces.

mod framed;
mod message;
mod msgapp;

use bytes::{Bytes, BytesMut};
use proto::raft::WireError;

pub(crate) use framed::{Framed, encode_framed, encode_framed_heartbeat};
pub(crate) use message::{Decoded, decode_message, encode_message, message_len};
pub(crate) use msgapp::{MsgAppDecoder, MsgAppEncoder};

/// Longest message, and most memory that one may take once it is decoded.
pub(crate) const MESSAGE_BYTES_MAX: u64 = 512 << 20;
/// Longest message in front of a snapshot file.
pub(crate) const ENVELOPE_BYTES_MAX: u64 = 64 << 20;
/// What an entry takes beside its data: bounds messages of very many empty entries.
const ENTRY_COST: u64 = 64;
/// Frames below this are copied out of the receive buffer, so that an entry that stays in the log for long does not
/// keep the whole buffer.
const COPY_BYTES_MAX: usize = 64 << 10;

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    /// Longer than anybody may send.
    #[error("rafthttp: error limit exceeded")]
    TooLong,
    /// Not protobuf, or not of that message.
    #[error("not a raft message: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// An entry that cannot be read.
    #[error(transparent)]
    Entry(#[from] WireError),
    /// A frame of no known type.
    #[error("failed to parse type {0} in msgappv2 stream")]
    FrameType(u8),
}

/// Received and not decoded yet.
#[derive(Debug, Default)]
struct Input {
    bytes: BytesMut,
}

impl Input {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn byte(&mut self) -> Option<u8> {
        self.exactly(1).map(|bytes| bytes[0])
    }

    fn number(&self) -> Option<u64> {
        let bytes = self.bytes.get(..8)?;
        Some(u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
    }

    fn take_number(&mut self) -> Option<u64> {
        let number = self.number()?;
        let _ = self.bytes.split_to(8);
        Some(number)
    }

    fn exactly(&mut self, len: u64) -> Option<Bytes> {
        let len = usize::try_from(len).ok().filter(|len| *len <= self.bytes.len())?;
        if len < COPY_BYTES_MAX {
            return Some(Bytes::copy_from_slice(&self.bytes.split_to(len)));
        }
        let frame = self.bytes.split_to(len).freeze();
        // The room of a large frame goes with it.
        self.bytes = BytesMut::from(&self.bytes[..]);
        Some(frame)
    }

    /// A length and as many bytes as it says.
    fn frame(&mut self, max: u64) -> Result<Option<Bytes>, CodecError> {
        let Some(len) = self.number() else { return Ok(None) };
        if len > max {
            return Err(CodecError::TooLong);
        }
        if ((self.bytes.len() - 8) as u64) < len {
            return Ok(None);
        }
        let _ = self.bytes.split_to(8);
        Ok(self.exactly(len))
    }

    fn into_rest(self) -> Bytes {
        self.bytes.freeze()
    }
}

/// Charges `cost` to what a message may still take.
fn charge(left: &mut u64, cost: u64) -> Result<(), CodecError> {
    *left = left.checked_sub(cost).ok_or(CodecError::TooLong)?;
    Ok(())
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
