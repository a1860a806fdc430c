//! Reads HTTP/2 frame heads on the way past, because `h2` answers pings without telling us.

use crate::authority::excuse_url;

/// Length of the client's connection preface, which precedes its first frame.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEAD_LEN: usize = 9;
const TYPE_DATA: u8 = 0;
const TYPE_HEADERS: u8 = 1;
const TYPE_SETTINGS: u8 = 4;
const TYPE_PING: u8 = 6;
const TYPE_CONTINUATION: u8 = 9;
const FLAG_ACK: u8 = 1;
const FLAG_END_STREAM: u8 = 1;
const FLAG_END_HEADERS: u8 = 4;

/// DATA that is shorter than this and not the last of its call counts as idle. Messages on streams may be that
/// short; their replies make up for it.
const DATA_SHORT: usize = 32;
/// What SETTINGS cost: `h2` looks at all streams for one, and proper clients send a few in all their life.
const SETTINGS_COST: u64 = 16;

/// Follows the bytes that a client sends, from the preface on.
#[derive(Debug)]
pub(crate) struct FrameScan {
    head: [u8; HEAD_LEN],
    /// Bytes of `head` that are filled.
    have: usize,
    /// Bytes to pass over: the preface, or the rest of a frame.
    skip: usize,
    /// Pings that ask for an answer, so far.
    pings: u32,
    /// The highest stream that the client opened; zero for none.
    last_stream: u32,
    /// Frames that were begun.
    frames: u32,
    /// Those of them that ask for nothing, by what they cost.
    idle: u64,
    /// Blocks of headers that were begun.
    blocks: u32,
    /// Whether the last one lacks frames.
    block_open: bool,
    /// Whether the frame being passed over belongs to one.
    in_block: bool,
}

impl FrameScan {
    pub(crate) fn new() -> FrameScan {
        FrameScan {
            head: [0; HEAD_LEN],
            have: 0,
            skip: PREFACE.len(),
            pings: 0,
            last_stream: 0,
            frames: 0,
            idle: 0,
            blocks: 0,
            block_open: false,
            in_block: false,
        }
    }

    /// Frames that were begun, so far.
    pub(crate) fn frames(&self) -> u32 {
        self.frames
    }

    /// Frames that asked for nothing, so far, by what they cost: most count as one.
    pub(crate) fn idle(&self) -> u64 {
        self.idle
    }

    /// The number of a block of headers that has begun and is not whole.
    pub(crate) fn unfinished_headers(&self) -> Option<u32> {
        (self.block_open || self.in_block && self.skip > 0).then_some(self.blocks)
    }

    /// Pings that ask for an answer, so far.
    pub(crate) fn pings(&self) -> u32 {
        self.pings
    }

    /// The highest stream that the client opened; zero for none.
    pub(crate) fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// Takes the next bytes, however they are cut. In a HEADERS frame that came whole, an authority is renamed that
    /// `h2` would not take.
    pub(crate) fn feed(&mut self, mut bytes: &mut [u8]) {
        loop {
            let passed = self.skip.min(bytes.len());
            self.skip -= passed;
            bytes = &mut bytes[passed..];
            if bytes.is_empty() {
                return;
            }
            let taken = (HEAD_LEN - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &mut bytes[taken..];
            if self.have == HEAD_LEN {
                self.have = 0;
                self.frame();
                let [_, _, _, kind, flags, ..] = self.head;
                if kind == TYPE_HEADERS
                    && let Some(payload) = bytes.get_mut(..self.skip)
                {
                    excuse_url(flags, payload);
                }
            }
        }
    }

    fn frame(&mut self) {
        let [len @ .., kind, flags, s0, s1, s2, s3] = self.head;
        self.skip = usize::from(len[0]) << 16 | usize::from(len[1]) << 8 | usize::from(len[2]);
        self.frames = self.frames.wrapping_add(1);
        self.idle += match kind {
            TYPE_HEADERS => 0,
            TYPE_DATA => u64::from(self.skip < DATA_SHORT && flags & FLAG_END_STREAM == 0),
            TYPE_SETTINGS if flags & FLAG_ACK == 0 => SETTINGS_COST,
            // Resets, pings, priorities, window updates, continuations, and what nobody knows.
            _ => 1,
        };
        self.in_block = matches!(kind, TYPE_HEADERS | TYPE_CONTINUATION);
        if self.in_block {
            self.block_open = flags & FLAG_END_HEADERS == 0;
        }
        match kind {
            TYPE_PING if flags & FLAG_ACK == 0 => self.pings = self.pings.wrapping_add(1),
            TYPE_HEADERS => {
                let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
                self.last_stream = self.last_stream.max(stream);
                self.blocks = self.blocks.wrapping_add(1);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_counted_however_the_bytes_are_cut() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend([0, 0, 3, TYPE_HEADERS, 4, 0, 0, 0, 5, TYPE_PING, 0, 0]);
        bytes.extend([0, 0, 8, TYPE_PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        bytes.extend([0, 0, 8, TYPE_PING, FLAG_ACK, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        bytes.extend([0, 0, 8, TYPE_PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        for step in 1..=bytes.len() {
            let mut scan = FrameScan::new();
            bytes.clone().chunks_mut(step).for_each(|part| scan.feed(part));
            assert_eq!((scan.pings(), scan.last_stream()), (2, 5), "step {step}");
        }
    }

    #[test]
    fn frames_that_ask_for_nothing_are_counted() {
        let mut scan = FrameScan::new();
        let mut feed = |kind: u8, flags: u8, len: u8| {
            let before = scan.idle();
            let mut frame = vec![0, 0, len, kind, flags, 0, 0, 0, 1];
            frame.resize(HEAD_LEN + usize::from(len), 0);
            scan.feed(&mut frame);
            scan.idle() - before
        };
        let mut preface = FrameScan::new();
        preface.feed(&mut PREFACE.to_vec());
        assert_eq!(preface.idle(), 0);
        // The rest of a preface.
        assert_eq!(feed(0, 0, 24 - HEAD_LEN as u8), 0);
        assert_eq!([feed(TYPE_HEADERS, FLAG_END_HEADERS, 9), feed(TYPE_DATA, 0, 32)], [0, 0]);
        assert_eq!(
            [feed(TYPE_DATA, FLAG_END_STREAM, 0), feed(TYPE_DATA, 0, 31), feed(TYPE_DATA, 0, 0)],
            [0, 1, 1]
        );
        assert_eq!([feed(TYPE_SETTINGS, 0, 6), feed(TYPE_SETTINGS, FLAG_ACK, 0)], [SETTINGS_COST, 1]);
        for kind in [2, 3, TYPE_PING, 7, 8, TYPE_CONTINUATION, 10, 255] {
            assert_eq!(feed(kind, 0, 8), 1, "{kind}");
        }
    }

    #[test]
    fn headers_are_unfinished_until_their_last_byte() {
        let mut scan = FrameScan::new();
        let mut feed = |bytes: &[u8]| {
            scan.feed(&mut bytes.to_vec());
            scan.unfinished_headers()
        };
        assert_eq!(feed(PREFACE), None);
        assert_eq!(feed(&[0, 0, 2, TYPE_HEADERS, 0, 0, 0, 0]), None, "what it is, is not known yet");
        assert_eq!(feed(&[1, 1]), Some(1));
        assert_eq!(feed(&[1]), Some(1), "more must follow");
        assert_eq!(feed(&[0, 0, 2, TYPE_CONTINUATION, FLAG_END_HEADERS, 0, 0, 0, 1]), Some(1));
        assert_eq!(feed(&[1, 1]), None);
        assert_eq!(feed(&[0, 0, 2, TYPE_HEADERS, FLAG_END_HEADERS, 0, 0, 0, 3, 1]), Some(2));
        assert_eq!(feed(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 3]), None, "data may come when it likes");
    }
}
