//! The answer to a range read, encoded piece by piece.
//!
//! The length of every row is known before a row is read, so the length of the whole message is too: a unary
//! answer of any size leaves in bounded memory (performance.md: "Unary Range needs no response buffer").

use bytes::{BufMut, Bytes, BytesMut};
use prost::{Message, encoding};
use proto::etcdserverpb::ResponseHeader;
use state::RangeRows;

use super::Error;

/// Field numbers of `RangeResponse`, as wire keys.
const KEY_HEADER: u8 = 0x0a;
const KEY_KVS: u8 = 0x12;
const KEY_MORE: u8 = 0x18;
const KEY_COUNT: u8 = 0x20;

/// A `RangeResponse` that encodes itself in pieces.
#[derive(Debug)]
pub struct RangeReply {
    header: Option<ResponseHeader>,
    rows: RangeRows,
    more: bool,
    count: i64,
    /// Next row to encode.
    next: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Rows,
    Tail,
    Done,
}

impl RangeReply {
    pub(crate) fn new(header: ResponseHeader, rows: RangeRows, more: bool, count: i64) -> RangeReply {
        RangeReply { header: Some(header), rows, more, count, next: 0, stage: Stage::Header }
    }

    /// The header; `None` on the chunks of a stream before the last.
    pub fn header(&self) -> Option<&ResponseHeader> {
        self.header.as_ref()
    }

    /// Keys in the range at that revision, whatever the limit.
    pub fn count(&self) -> i64 {
        self.count
    }

    /// Whether the limit cut the result.
    pub fn more(&self) -> bool {
        self.more
    }

    /// Pairs in this reply.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no pairs.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }

    /// The key of the last pair.
    pub(crate) fn last_key(&self) -> Option<&[u8]> {
        self.rows.last_key()
    }

    /// Turns this into a chunk of a stream that more chunks follow.
    pub(crate) fn strip(&mut self) {
        self.header = None;
        self.more = false;
        self.count = 0;
    }

    /// Sets what only the last chunk of a stream carries.
    pub(crate) fn set_totals(&mut self, more: bool, count: i64) {
        self.more = more;
        self.count = count;
    }

    /// Bytes of the encoded message; the pieces add up to exactly this.
    pub fn encoded_len(&self) -> usize {
        let rows: usize = (0..self.rows.len()).map(|i| framed_len(self.rows.row_len(i))).sum();
        self.header_len() + rows + self.tail_len()
    }

    fn header_len(&self) -> usize {
        self.header.as_ref().map_or(0, |header| framed_len(header.encoded_len()))
    }

    fn tail_len(&self) -> usize {
        let more = if self.more { 2 } else { 0 };
        let count = if self.count == 0 { 0 } else { 1 + encoding::encoded_len_varint(self.count as u64) };
        more + count
    }

    /// The next piece of the message, of about `max_bytes` (a larger row is one piece); `None` at its end.
    ///
    /// # Errors
    /// `Storage` when a row cannot be read. The length was announced by then: the caller can only break off.
    pub fn next_piece(&mut self, max_bytes: usize) -> Result<Option<Bytes>, Error> {
        if self.stage == Stage::Done {
            return Ok(None);
        }
        let mut piece = BytesMut::new();
        if self.stage == Stage::Header {
            piece.reserve(self.encoded_len().min(max_bytes));
            self.put_header(&mut piece);
            self.stage = Stage::Rows;
        }
        while self.stage == Stage::Rows && piece.len() < max_bytes {
            if self.next == self.rows.len() {
                self.stage = Stage::Tail;
                break;
            }
            self.put_row(&mut piece)?;
        }
        if self.stage == Stage::Tail {
            self.put_tail(&mut piece);
            self.stage = Stage::Done;
        }
        Ok((!piece.is_empty()).then(|| piece.freeze()))
    }

    fn put_header(&self, piece: &mut BytesMut) {
        if let Some(header) = &self.header {
            piece.put_u8(KEY_HEADER);
            encoding::encode_varint(header.encoded_len() as u64, piece);
            header.encode(piece).expect("BytesMut grows as needed");
        }
    }

    fn put_row(&mut self, piece: &mut BytesMut) -> Result<(), Error> {
        let expected = self.rows.row_len(self.next);
        let row = self.rows.fetch(self.next).map_err(|e| Error::Storage(e.to_string()))?;
        if row.len() != expected {
            let what = format!(
                "row {} of a range has {} bytes, the key index says {expected}",
                self.next,
                row.len()
            );
            return Err(Error::Storage(what));
        }
        piece.reserve(framed_len(row.len()));
        piece.put_u8(KEY_KVS);
        encoding::encode_varint(row.len() as u64, piece);
        piece.extend_from_slice(&row);
        self.next += 1;
        Ok(())
    }

    fn put_tail(&self, piece: &mut BytesMut) {
        if self.more {
            piece.extend_from_slice(&[KEY_MORE, 1]);
        }
        if self.count != 0 {
            piece.put_u8(KEY_COUNT);
            encoding::encode_varint(self.count as u64, piece);
        }
    }
}

/// A length-delimited field with a one-byte key.
fn framed_len(len: usize) -> usize {
    1 + encoding::encoded_len_varint(len as u64) + len
}
