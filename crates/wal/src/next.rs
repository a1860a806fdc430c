//! Reads and verifies one frame.

use std::io;

use crate::{
    frame::{Head, RecordKind, Word, frame_parts},
    record::Record,
    side::Row,
    window::Window,
};

/// What is at a place in a segment.
pub(crate) enum Next {
    /// Nothing: zeros, or the end of the file.
    End,
    Frame(Frame),
    Bad(String),
}

pub(crate) struct Frame {
    pub(crate) end: u64,
    /// The checksum so far.
    pub(crate) crc: u32,
    pub(crate) record: Record,
    /// CRC32C of the whole frame.
    frame_crc: u32,
}

/// Reads and verifies what is at `offset`, where the checksum so far is `chain`.
pub(crate) fn next(window: &mut Window, offset: u64, chain: Option<u32>) -> io::Result<Next> {
    let remaining = window.len() - offset;
    let Some(number) = window.number(offset)? else {
        let zeros = window.is_zero(offset, window.len())?;
        return Ok(if zeros { Next::End } else { Next::Bad("the file ends in a length word".to_owned()) });
    };
    if number == 0 {
        return Ok(Next::End);
    }
    let Some(word) = Word::parse(number) else {
        return Ok(Next::Bad(format!("the length word {number:016x} is none")));
    };
    if word.frame() > remaining {
        return Ok(Next::Bad(format!("a frame of {} bytes, but only {remaining} are left", word.frame())));
    }
    let frame = window.bytes(offset, word.frame())?;
    let frame_crc = crc32c::crc32c(frame);
    let Some((head, data)) = frame_parts(frame) else {
        return Ok(Next::Bad("the frame holds no record".to_owned()));
    };
    if let Some(what) = mismatch(&head, data, chain) {
        return Ok(Next::Bad(what));
    }
    let Some(record) = Record::decode(head.kind, head.crc, data) else {
        return Ok(Next::Bad(format!("the record is no {:?}", head.kind)));
    };
    Ok(Next::Frame(Frame { end: offset + word.frame(), crc: head.crc, record, frame_crc }))
}

/// How the checksum of a record fails to continue the chain.
fn mismatch(head: &Head, data: &[u8], chain: Option<u32>) -> Option<String> {
    let wanted = match (head.kind, chain) {
        // The first one is the start of the chain.
        (RecordKind::Crc, None) => return None,
        (RecordKind::Crc, Some(chain)) => chain,
        (_, None) => return Some("a record before the first checksum".to_owned()),
        (_, Some(chain)) => crc32c::crc32c_append(chain, data),
    };
    (wanted != head.crc)
        .then(|| format!("walpb: crc mismatch: expected: {:x} computed: {wanted:x}", head.crc))
}

pub(crate) fn row_of(frame: &Frame, offset: u64) -> Row {
    let (index, term) = frame.record.place();
    let length = (frame.end - offset) as u32;
    Row { offset, kind: frame.record.kind(), length, crc: frame.frame_crc, index, term }
}
