//! Byte streams of clients: sockets with and without TLS, and the buffering that lets all replies of one wake-up
//! leave in one write.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::Instant,
};
use tokio_rustls::server::TlsStream;

use crate::{frame_police::Totals, frame_scan::FrameScan};

/// A client's connection, with or without TLS.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    TlsTcp(Box<TlsStream<TcpStream>>),
    TlsUnix(Box<TlsStream<UnixStream>>),
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Tcp($stream) => $call,
            Socket::Unix($stream) => $call,
            Socket::TlsTcp($stream) => $call,
            Socket::TlsUnix($stream) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// A socket of which some bytes were read already, to see what the client speaks.
#[derive(Debug)]
pub(crate) struct Rewound {
    /// Read before; given out first.
    prefix: Bytes,
    socket: Socket,
}

impl Rewound {
    pub(crate) fn new(prefix: Bytes, socket: Socket) -> Rewound {
        Rewound { prefix, socket }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buf);
        }
        let n = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix.split_to(n));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Bytes that may wait to be written before the writer must wait itself.
const OUT_MAX: usize = 256 << 10;
/// An emptied buffer larger than this is given back.
const OUT_KEEP: usize = 64 << 10;

/// The connection below `h2`: collects what it writes until [`Wire::poll_drain`], and watches what it reads.
///
/// `h2` flushes after every larger frame; here a flush does nothing, and the connection's driver drains once
/// when nothing is left to do.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Rewound,
    out: Vec<u8>,
    /// Of `out`, already written.
    written: usize,
    scan: FrameScan,
    last_read: Instant,
    /// Bytes that were taken for the client.
    sent: u64,
    /// Frames that had been read when the turn began.
    turn: u32,
    /// Frames that may be read in it: small ones cost the sender nothing, and a connection that is full of them would
    /// keep its thread for as long as it likes.
    turn_frames: u32,
    /// Whether more was wanted than a turn gives.
    cut_short: bool,
}

impl Wire {
    fn new(stream: Rewound) -> Wire {
        let (scan, last_read) = (FrameScan::new(), Instant::now());
        Wire {
            stream,
            out: Vec::new(),
            written: 0,
            scan,
            last_read,
            sent: 0,
            turn: 0,
            turn_frames: u32::MAX,
            cut_short: false,
        }
    }

    /// Allows the reader another `frames`.
    pub(crate) fn begin_turn(&mut self, frames: u32) {
        (self.turn, self.turn_frames) = (self.scan.frames(), frames);
        self.cut_short = false;
    }

    /// Whether reading stopped because the turn was over; nobody wakes the reader then.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.cut_short
    }

    /// What the client's frames were.
    pub(crate) fn scan(&self) -> &FrameScan {
        &self.scan
    }

    /// What the connection is judged by.
    pub(crate) fn totals(&self) -> Totals {
        Totals { idle: self.scan.idle(), sent: self.sent }
    }

    /// When the client was last heard of.
    pub(crate) fn last_read(&self) -> Instant {
        self.last_read
    }

    /// Whether the client does not take what was written.
    pub(crate) fn is_blocked(&self) -> bool {
        self.out.len() - self.written >= OUT_MAX
    }

    /// Appends bytes that do not come from `h2`; it must not write afterwards.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes everything that was collected.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.written < self.out.len() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.written..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += n;
        }
        // TLS keeps records of its own back until flushed.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.written < OUT_KEEP {
            // Not while large replies go on: they would need it again at once.
            self.out.shrink_to(OUT_KEEP);
        }
        self.written = 0;
        self.out.clear();
        Poll::Ready(Ok(()))
    }
}

/// The wire as `h2` and the driver share it.
#[derive(Clone, Debug)]
pub(crate) struct SharedWire(Rc<RefCell<Wire>>);

impl SharedWire {
    pub(crate) fn new(stream: Rewound) -> SharedWire {
        SharedWire(Rc::new(RefCell::new(Wire::new(stream))))
    }

    /// Looks at or changes the wire; not while `h2` is being polled.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Wire) -> T) -> T {
        f(&mut self.0.borrow_mut())
    }
}

impl AsyncRead for SharedWire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        if wire.scan.frames().wrapping_sub(wire.turn) >= wire.turn_frames {
            wire.cut_short = true;
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut wire.stream).poll_read(cx, buf))?;
        let read = &mut buf.filled_mut()[before..];
        wire.scan.feed(read);
        if !read.is_empty() {
            wire.last_read = Instant::now();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SharedWire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wire = &mut *self.0.borrow_mut();
        if wire.is_blocked() {
            ready!(wire.poll_drain(cx))?;
        }
        wire.out.extend_from_slice(buf);
        wire.sent = wire.sent.saturating_add(buf.len() as u64);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        ready!(wire.poll_drain(cx))?;
        Pin::new(&mut wire.stream).poll_shutdown(cx)
    }
}
