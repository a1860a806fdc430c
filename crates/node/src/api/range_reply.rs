//! The answer to a range read, encoded piece by piece.
//!
//! The length of every row is known before a row is read, so the length of the whole message is too: a unary
//! answer of any size leaves in bounded memory. The rows of a large range come a slice at a time, each asked of the
//! core when the one before has left.

use bytes::{BufMut, Bytes, BytesMut};
use prost::{Message, encoding};
use proto::etcdserverpb::{RangeRequest, ResponseHeader};
use state::RangeRows;

use super::{Caller, Error, Port};
use crate::input::Input;

/// A large range that the core holds at its revision until its rows have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RangeId(pub(crate) u64);

/// What the core answers to a range.
#[derive(Debug)]
pub(crate) struct RangeParts {
    pub(crate) header: ResponseHeader,
    pub(crate) rows: RangeRows,
    pub(crate) more: bool,
    pub(crate) count: i64,
    /// Where more rows come from, and how many bytes they are in the message.
    pub(crate) rest: Option<(RangeId, u64)>,
}

/// More rows of a range. Dropping it lets the core forget the range.
struct Rest {
    port: Port,
    id: RangeId,
    framed_bytes: u64,
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.port.shared.post(Input::RangeDropped(self.id));
    }
}

impl Port {
    /// Reads a range at one revision.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn range(&self, caller: Caller, request: RangeRequest) -> Result<RangeReply, Error> {
        let RangeParts { header, rows, more, count, rest } = self.range_parts(caller, request).await?;
        let rest = rest.map(|(id, framed_bytes)| Rest { port: self.clone(), id, framed_bytes });
        let (header, port) = (Some(header), self.clone());
        Ok(RangeReply { header, rows, rest, more, count, next: 0, stage: Stage::Header, port })
    }
}

/// Field numbers of `RangeResponse`, as wire keys.
const KEY_HEADER: u8 = 0x0a;
const KEY_KVS: u8 = 0x12;
const KEY_MORE: u8 = 0x18;
const KEY_COUNT: u8 = 0x20;

/// A `RangeResponse` that encodes itself in pieces.
pub struct RangeReply {
    header: Option<ResponseHeader>,
    /// The rows at hand.
    rows: RangeRows,
    rest: Option<Rest>,
    more: bool,
    count: i64,
    /// Next row to encode.
    next: usize,
    stage: Stage,
    /// The core hears of damage.
    port: Port,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Rows,
    Tail,
    Done,
}

impl RangeReply {
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

    /// Pairs at hand: all of them, unless the range is large and has no limit.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no pairs at hand.
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
        let rest = self.rest.as_ref().map_or(0, |rest| rest.framed_bytes as usize);
        self.header_len() + rows + rest + self.tail_len()
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
    pub async fn next_piece(&mut self, max_bytes: usize) -> Result<Option<Bytes>, Error> {
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
            if self.next == self.rows.len() && !self.next_slice().await? {
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

    /// Asks for more rows; `false` when there are none.
    async fn next_slice(&mut self) -> Result<bool, Error> {
        let Some(rest) = &mut self.rest else { return Ok(false) };
        self.rows = rest.port.range_rows(Caller::internal(), rest.id).await?;
        self.next = 0;
        if self.rows.is_empty() {
            self.rest = None;
            return Ok(false);
        }
        let framed: usize = (0..self.rows.len()).map(|i| framed_len(self.rows.row_len(i))).sum();
        rest.framed_bytes = rest.framed_bytes.saturating_sub(framed as u64);
        Ok(true)
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
        let failed = |reason: String| {
            self.port.shared.post(Input::ReadFailed(reason.clone()));
            Error::Storage(reason)
        };
        let row = self.rows.fetch(self.next).map_err(|e| failed(e.to_string()))?;
        if row.len() != expected {
            let what = format!(
                "row {} of a range has {} bytes, the key index says {expected}",
                self.next,
                row.len()
            );
            return Err(failed(what));
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
