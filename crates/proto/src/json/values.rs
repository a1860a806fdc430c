//! Cuts a body into JSON values.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Refused,
    scan::{Scan, Seen},
};

/// The values of a body that comes in pieces, one after the other, as Go's stream decoder sees them.
#[derive(Debug)]
pub struct Values {
    /// Come, and not given out.
    bytes: BytesMut,
    /// Of `bytes`, looked at.
    seen: usize,
    /// Of `bytes`, space in front of the value.
    start: usize,
    scan: Scan,
}

impl Default for Values {
    fn default() -> Values {
        Values { bytes: BytesMut::new(), seen: 0, start: 0, scan: Scan::new() }
    }
}

impl Values {
    /// Takes the next piece of the body.
    pub fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.bytes.len()
    }

    /// The next value; `None` when more of the body is needed to tell.
    ///
    /// # Errors
    /// When what comes next is no value; so is everything behind it.
    pub fn next_value(&mut self) -> Result<Option<Bytes>, Refused> {
        while let Some(&byte) = self.bytes.get(self.seen) {
            match self.scan.push(byte)? {
                Seen::Space => self.start = self.seen + 1,
                Seen::Inside => {}
                Seen::Last => return Ok(Some(self.cut(self.seen + 1))),
                Seen::Behind => return Ok(Some(self.cut(self.seen))),
            }
            self.seen += 1;
        }
        Ok(None)
    }

    /// The last value, when the body has ended; `None` when there is none.
    ///
    /// # Errors
    /// When the body ends within a value.
    pub fn last_value(&mut self) -> Result<Option<Bytes>, Refused> {
        if let Some(value) = self.next_value()? {
            return Ok(Some(value));
        }
        if self.start == self.bytes.len() {
            return Ok(None);
        }
        match self.scan.may_end() {
            true => Ok(Some(self.cut(self.bytes.len()))),
            false => Err(Refused("unexpected EOF".into())),
        }
    }

    fn cut(&mut self, end: usize) -> Bytes {
        let mut value = self.bytes.split_to(end);
        value.advance(self.start);
        (self.seen, self.start, self.scan) = (0, 0, Scan::new());
        value.freeze()
    }
}
