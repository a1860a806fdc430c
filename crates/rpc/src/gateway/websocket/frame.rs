//! Frames of RFC 6455, the server's side.

use std::{io, rc::Rc};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::budget::{Hold, Share};

/// Payloads are read in steps of at most this many bytes, so that a length alone allocates nothing.
const GROW_MAX: usize = 64 << 10;
/// Longest payload of a frame that is about the connection.
const CONTROL_MAX: u64 = 125;
/// Bytes of a length that is written with two, and with eight.
const TWO: u8 = 126;
const EIGHT: u8 = 127;

/// Codes that say why a socket is closed.
pub(super) const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const TOO_LONG: u16 = 1009;
const TRY_LATER: u16 = 1013;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    /// The rest of a message.
    More = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn of(bits: u8) -> Option<Opcode> {
        use Opcode::{Binary, Close, More, Ping, Pong, Text};
        [More, Text, Binary, Close, Ping, Pong].into_iter().find(|opcode| *opcode as u8 == bits)
    }

    fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Text or not: nobody looks.
    Data(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
}

/// How a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// The client is told why.
    With(u16),
    /// He is gone.
    Silent,
}

impl From<io::Error> for Close {
    fn from(_: io::Error) -> Close {
        Close::Silent
    }
}

/// The messages of a client.
pub(super) struct Frames<R> {
    reader: R,
    /// Longest message, in bytes.
    len_max: usize,
    /// The frames so far of a message in several.
    partial: Option<Vec<u8>>,
    share: Rc<Share>,
    /// For the message under way.
    hold: Option<Hold>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(reader: R, len_max: usize, share: Rc<Share>) -> Frames<R> {
        Frames { reader, len_max, partial: None, share, hold: None }
    }

    /// The next message.
    ///
    /// # Errors
    /// How to end the socket.
    pub(super) async fn next(&mut self) -> Result<Message, Close> {
        loop {
            let [flags, len] = self.head().await?;
            // Nothing was agreed on that the other flags could mean, and clients mask.
            let opcode = Opcode::of(flags & 0x0f).filter(|_| flags & 0x70 == 0 && len & 0x80 != 0);
            let opcode = opcode.ok_or(Close::With(PROTOCOL_ERROR))?;
            let last = flags & 0x80 != 0;
            let len = match len & 0x7f {
                TWO => u64::from(self.reader.read_u16().await?),
                EIGHT => self.reader.read_u64().await?,
                short => u64::from(short),
            };
            let out_of_order = match opcode {
                Opcode::More => self.partial.is_none(),
                Opcode::Text | Opcode::Binary => self.partial.is_some(),
                Opcode::Close | Opcode::Ping | Opcode::Pong => !last || len > CONTROL_MAX,
            };
            if out_of_order {
                return Err(Close::With(PROTOCOL_ERROR));
            }
            let mut payload =
                if opcode.is_control() { None } else { self.partial.take() }.unwrap_or_default();
            self.read_payload(&mut payload, len).await?;
            match opcode {
                Opcode::Close => return Err(Close::With(answer_to(&payload))),
                Opcode::Ping => return Ok(Message::Ping(payload)),
                Opcode::Pong => return Ok(Message::Pong),
                _ if last => return Ok(Message::Data(payload)),
                _ => self.partial = Some(payload),
            }
        }
    }

    /// Holds the budget for a message.
    fn hold(&mut self, bytes: usize) -> Result<(), Close> {
        let held = match &mut self.hold {
            Some(hold) => hold.resize(bytes),
            None => {
                self.hold = self.share.hold(bytes);
                self.hold.is_some()
            }
        };
        if held { Ok(()) } else { Err(Close::With(TRY_LATER)) }
    }

    async fn head(&mut self) -> Result<[u8; 2], Close> {
        let mut head = [0; 2];
        self.reader.read_exact(&mut head).await?;
        Ok(head)
    }

    /// Appends a payload, unmasked.
    async fn read_payload(&mut self, payload: &mut Vec<u8>, len: u64) -> Result<(), Close> {
        let room = self.len_max.saturating_sub(payload.len());
        let mut left = usize::try_from(len).ok().filter(|len| *len <= room).ok_or(Close::With(TOO_LONG))?;
        let mut mask = [0; 4];
        self.reader.read_exact(&mut mask).await?;
        let start = payload.len();
        while left > 0 {
            let from = payload.len();
            let step = left.min(GROW_MAX);
            self.hold(from + step)?;
            payload.resize(from + step, 0);
            self.reader.read_exact(&mut payload[from..]).await?;
            left -= step;
        }
        for (byte, mask) in payload[start..].iter_mut().zip(mask.into_iter().cycle()) {
            *byte ^= mask;
        }
        Ok(())
    }
}

/// The code to close with when the client closes: his own, when it is one.
fn answer_to(payload: &[u8]) -> u16 {
    match payload.first_chunk() {
        Some(code) => match u16::from_be_bytes(*code) {
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => code,
            _ => PROTOCOL_ERROR,
        },
        None => NORMAL,
    }
}

/// Writes a frame.
///
/// # Errors
/// When the client is gone.
pub(super) async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    opcode: Opcode,
    last: bool,
    payload: &[u8],
) -> io::Result<()> {
    let mut head = vec![if last { 0x80 } else { 0 } | opcode as u8];
    match payload.len() {
        len @ 0..=125 => head.push(len as u8),
        len @ 126..=0xffff => {
            head.push(TWO);
            head.extend((len as u16).to_be_bytes());
        }
        len => {
            head.push(EIGHT);
            head.extend((len as u64).to_be_bytes());
        }
    }
    head.extend_from_slice(payload);
    writer.write_all(&head).await?;
    writer.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    /// A frame of a client.
    fn frame(flags: u8, payload: &[u8]) -> Vec<u8> {
        let len = match payload.len() {
            len @ 0..126 => vec![0x80 | len as u8],
            len => [&[0x80 | TWO][..], &(len as u16).to_be_bytes()].concat(),
        };
        let masked = payload.iter().zip(MASK.into_iter().cycle()).map(|(byte, mask)| byte ^ mask);
        [vec![flags], len, MASK.to_vec(), masked.collect()].concat()
    }

    async fn messages(bytes: &[u8], len_max: usize) -> (Vec<Message>, Close) {
        let mut frames = Frames::new(bytes, len_max, Share::new(Budget::new(1 << 10)));
        let mut messages = Vec::new();
        loop {
            match frames.next().await {
                Ok(message) => messages.push(message),
                Err(close) => return (messages, close),
            }
        }
    }

    #[tokio::test]
    async fn messages_in_one_frame_and_in_many() {
        let long = vec![b'x'; 300];
        let bytes = [
            frame(0x81, b"one"),
            frame(0x02, b"t"),
            frame(0x89, b"ping"),
            frame(0x00, b"w"),
            frame(0x80, b"o"),
            frame(0x8a, b""),
            frame(0x82, &long),
            frame(0x88, &[3, 0xe8]),
        ];
        let (messages, close) = messages(&bytes.concat(), 300).await;
        let data = |data: &[u8]| Message::Data(data.to_vec());
        let ping = Message::Ping(b"ping".to_vec());
        assert_eq!(messages, [data(b"one"), ping, data(b"two"), Message::Pong, data(&long)]);
        assert_eq!(close, Close::With(NORMAL));
    }

    #[tokio::test]
    async fn faults() {
        let cases: [(Vec<u8>, Close); 12] = [
            (vec![], Close::Silent),
            (frame(0x81, b"cut")[..7].to_vec(), Close::Silent),
            (vec![0x81, 1, b'x'], Close::With(PROTOCOL_ERROR)),
            (frame(0xc1, b"x"), Close::With(PROTOCOL_ERROR)),
            (frame(0x83, b"x"), Close::With(PROTOCOL_ERROR)),
            (frame(0x80, b"x"), Close::With(PROTOCOL_ERROR)),
            (frame(0x09, b"x"), Close::With(PROTOCOL_ERROR)),
            (frame(0x89, &[0; 126]), Close::With(PROTOCOL_ERROR)),
            ([frame(0x01, b"a"), frame(0x81, b"b")].concat(), Close::With(PROTOCOL_ERROR)),
            (frame(0x81, &[0; 11]), Close::With(TOO_LONG)),
            ([frame(0x01, &[0; 6]), frame(0x80, &[0; 5])].concat(), Close::With(TOO_LONG)),
            ([&[0x81, 0x80 | EIGHT][..], &[0xff; 8]].concat(), Close::With(TOO_LONG)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(messages(&bytes, 10).await, (vec![], expected), "{bytes:?}");
        }
        for (code, answer) in
            [(&[3, 0xe9][..], 1001), (&[3, 0xed], PROTOCOL_ERROR), (&[0], NORMAL), (b"", NORMAL)]
        {
            assert_eq!(messages(&frame(0x88, code), 10).await.1, Close::With(answer));
        }
    }

    #[tokio::test]
    async fn a_spent_budget_closes() {
        let end = messages(&frame(0x81, &[0; 2000]), 1 << 20).await;
        assert_eq!(end, (vec![], Close::With(TRY_LATER)));
    }

    #[tokio::test]
    async fn frames_to_clients() {
        for (len, head) in [
            (3, &[0x81, 3][..]),
            (300, &[0x81, TWO, 1, 44]),
            (70_000, &[0x81, EIGHT, 0, 0, 0, 0, 0, 1, 0x11, 0x70]),
        ] {
            let payload = vec![b'x'; len];
            let mut written = Vec::new();
            write(&mut written, Opcode::Text, true, &payload).await.unwrap();
            assert_eq!(written, [head, &payload].concat());
        }
    }
}
