//! The msgapp stream: appends, of which those that continue where the last one ended leave out all that the
//! receiver can tell by itself.

use bytes::{BufMut, BytesMut};
use consensus::{Message, MessageKind};
use proto::raft::{decode_entry, encode_entry, entry_len};
use types::raft::Entry;

use super::{
    CodecError, Decoded, ENTRY_COST, Input, MESSAGE_BYTES_MAX, charge, decode_message, encode_message,
    message_len,
};

const LINK_HEARTBEAT: u8 = 0;
const APP_ENTRIES: u8 = 1;
const APP: u8 = 2;

/// Where the stream stands: both sides count the same way.
#[derive(Debug, Default)]
struct Place {
    term: u64,
    index: u64,
}

impl Place {
    fn set(&mut self, message: &Message) {
        self.term = message.term;
        self.index = message.entries.last().map_or(message.index, |entry| entry.index);
    }
}

/// Writes one stream.
#[derive(Debug, Default)]
pub(crate) struct MsgAppEncoder {
    place: Place,
}

impl MsgAppEncoder {
    /// Appends the stream's sign of life.
    pub(crate) fn heartbeat(&self, out: &mut BytesMut) {
        out.put_u8(LINK_HEARTBEAT);
    }

    /// Appends an append message.
    pub(crate) fn encode(&mut self, message: &Message, out: &mut BytesMut) {
        let continues = message.index == self.place.index
            && message.log_term == self.place.term
            && message.log_term == message.term;
        if !continues {
            let len = message_len(message);
            out.reserve(9 + len);
            out.put_u8(APP);
            out.put_u64(len as u64);
            encode_message(message, out);
            self.place.set(message);
            return;
        }
        out.put_u8(APP_ENTRIES);
        out.put_u64(message.entries.len() as u64);
        for entry in &message.entries {
            out.put_u64(entry_len(entry) as u64);
            encode_entry(entry, out);
        }
        out.put_u64(message.commit);
        self.place.index = self.place.index.wrapping_add(message.entries.len() as u64);
    }
}

/// Reads one stream.
#[derive(Debug)]
pub(crate) struct MsgAppDecoder {
    pub(super) input: Input,
    local: u64,
    remote: u64,
    place: Place,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Before a frame's type.
    Idle,
    /// Within a whole message.
    App,
    /// Before the number of entries.
    Counting,
    /// Within entries.
    Entries(Partial),
}

/// Entries so far.
#[derive(Debug)]
struct Partial {
    missing: u64,
    entries: Vec<Entry>,
    /// Of the bytes that the message may take.
    left: u64,
    len: usize,
}

impl MsgAppDecoder {
    /// A decoder for what `remote` sends to `local`.
    pub(crate) fn new(local: u64, remote: u64) -> MsgAppDecoder {
        MsgAppDecoder { input: Input::default(), local, remote, place: Place::default(), state: State::Idle }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// The next whole message and its length; `None` until more arrives.
    pub(crate) fn next(&mut self) -> Result<Option<(Decoded, usize)>, CodecError> {
        loop {
            match &mut self.state {
                State::Idle => match self.input.byte() {
                    None => return Ok(None),
                    Some(LINK_HEARTBEAT) => return Ok(Some((Decoded::LinkHeartbeat, 1))),
                    Some(APP_ENTRIES) => self.state = State::Counting,
                    Some(APP) => self.state = State::App,
                    Some(other) => return Err(CodecError::FrameType(other)),
                },
                State::App => {
                    let Some(frame) = self.input.frame(MESSAGE_BYTES_MAX)? else { return Ok(None) };
                    let len = frame.len();
                    let decoded = decode_message(frame, MESSAGE_BYTES_MAX)?;
                    self.state = State::Idle;
                    if let Decoded::Message(message) = &decoded {
                        self.place.set(message);
                    }
                    return Ok(Some((decoded, len)));
                }
                State::Counting => {
                    let Some(missing) = self.input.take_number() else { return Ok(None) };
                    let left = MESSAGE_BYTES_MAX;
                    self.state = State::Entries(Partial { missing, entries: Vec::new(), left, len: 0 });
                }
                State::Entries(partial) if partial.missing > 0 => {
                    let Some(frame) = self.input.frame(partial.left)? else { return Ok(None) };
                    charge(&mut partial.left, ENTRY_COST + frame.len() as u64)?;
                    partial.len += frame.len();
                    partial.entries.push(decode_entry(frame)?);
                    partial.missing -= 1;
                }
                State::Entries(_) => {
                    let Some(commit) = self.input.take_number() else { return Ok(None) };
                    let State::Entries(done) = std::mem::replace(&mut self.state, State::Idle) else {
                        unreachable!("the state was just looked at");
                    };
                    return Ok(Some(self.app_entries(done, commit)));
                }
            }
        }
    }

    fn app_entries(&mut self, Partial { entries, len, .. }: Partial, commit: u64) -> (Decoded, usize) {
        let count = entries.len() as u64;
        let message = Message {
            kind: MessageKind::Append,
            from: self.remote,
            to: self.local,
            term: self.place.term,
            log_term: self.place.term,
            index: self.place.index,
            entries,
            commit,
            ..Message::default()
        };
        self.place.index = self.place.index.wrapping_add(count);
        (Decoded::Message(message), len)
    }
}
