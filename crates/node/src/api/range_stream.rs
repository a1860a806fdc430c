//! RangeStream: one read, pinned to a revision, in chunks that follow the size of the rows
//! (contract/semantics.md 2.13).

use bytes::{BufMut, Bytes, BytesMut};
use proto::etcdserverpb::{RangeRequest, range_request::SortTarget};

use super::{Caller, Error, Port, RangeReply};

/// Keys of the first chunk.
const CHUNK_KEYS_FIRST: i64 = 10;

/// The chunks of one RangeStream call.
pub struct RangeStream {
    port: Port,
    caller: Caller,
    /// What is left to read; the revision is pinned by the first chunk.
    request: RangeRequest,
    chunk_keys: i64,
    /// A chunk of more bytes than this halves the next one, one of less than half doubles it.
    chunk_bytes: usize,
    /// Of the whole range, from the first chunk.
    count: i64,
    sent: i64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    First,
    Middle,
    Done,
}

impl Port {
    /// Reads a range in chunks of about `chunk_bytes`, all at one revision.
    ///
    /// Without a sort order they come in key order, whatever the sort target: upstream sorts each chunk by the
    /// target and goes on after its last key, which gives some keys twice and leaves out others.
    pub fn range_stream(&self, caller: Caller, request: RangeRequest, chunk_bytes: usize) -> RangeStream {
        let request = RangeRequest { sort_target: SortTarget::Key as i32, ..request };
        RangeStream {
            port: self.clone(),
            caller,
            request,
            chunk_keys: CHUNK_KEYS_FIRST,
            chunk_bytes,
            count: 0,
            sent: 0,
            state: State::First,
        }
    }
}

impl RangeStream {
    /// The next chunk; `None` after the last, which alone has header, more and count.
    ///
    /// # Errors
    /// As [`Port::range`]; `Compacted` also when compaction passes the pinned revision between chunks.
    pub async fn next(&mut self) -> Result<Option<RangeReply>, Error> {
        if self.state == State::Done {
            return Ok(None);
        }
        let whole = self.request.count_only || self.request.range_end.is_empty();
        let remaining = (self.request.limit > 0).then(|| self.request.limit - self.sent);
        let limit = remaining.map_or(self.chunk_keys, |left| left.min(self.chunk_keys));
        let part =
            RangeRequest { limit: if whole { self.request.limit } else { limit }, ..self.request.clone() };
        let mut reply = self.port.range(self.caller.clone(), part).await?;
        if self.state == State::First {
            self.count = reply.count();
            self.request.revision = match (self.request.revision, reply.header()) {
                (revision, Some(header)) if revision <= 0 => header.revision,
                (revision, _) => revision,
            };
            // Later chunks read what the first one saw; they need no read barrier of their own.
            self.request.serializable = true;
            self.state = State::Middle;
        }
        self.sent += reply.len() as i64;
        let limit_reached = self.request.limit > 0 && self.sent >= self.request.limit;
        if whole || !reply.more() || limit_reached {
            let more = reply.more();
            reply.set_totals(more, self.count);
            self.state = State::Done;
            return Ok(Some(reply));
        }
        self.request.key = after(reply.last_key().expect("a range with more has a last key"));
        self.resize(reply.encoded_len());
        reply.strip();
        Ok(Some(reply))
    }

    fn resize(&mut self, bytes: usize) {
        if bytes > self.chunk_bytes {
            self.chunk_keys = (self.chunk_keys / 2).max(1);
        } else if bytes < self.chunk_bytes / 2 {
            self.chunk_keys = self.chunk_keys.saturating_mul(2);
        }
    }
}

/// The smallest key above `key`.
fn after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.put_u8(0);
    next.freeze()
}
