//! One connection of a client, from its first byte to its last.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream::FuturesUnordered};
use h2::{Ping, PingPong, server};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout},
};

use crate::{
    call::Call,
    config::{Limits, Notice, Traffic},
    frame_scan::PREFACE,
    head,
    header_patience::HeaderPatience,
    heartbeat::{Beat, Heartbeat},
    http1,
    member::Member,
    pages,
    ping_police::PingPolice,
    rest::Rest,
    thread::{Phase, Phases, Thread},
    tls::{Acceptor, Identity},
    wire::{Rewound, SharedWire, Socket},
};

/// A client must say what it speaks within this time.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(5);
/// The headers of a request must be whole within this time of their first byte.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);
/// The last bytes of a closing connection may take this long.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Flow-control window of a stream: a request may arrive this far ahead of its handler.
const STREAM_WINDOW: u32 = 256 << 10;
/// Flow-control window of a connection, likewise for all its requests.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of replies that wait in `h2`, per stream.
const SEND_BUFFER: usize = 64 << 10;
/// What small frames that nobody has read yet may cost, in the units of `h2`: some 16,000 small requests.
const SMALL_FRAMES_BUDGET: usize = 4 << 20;
/// Calls that a client opens and cancels before they are seen, at once.
const CANCELED_UNSEEN_MAX: usize = 1000;

/// Who is at the other end.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Of the client's certificate, when that counts.
    pub(crate) common_name: Option<String>,
    pub(crate) secure: bool,
    pub(crate) traffic: Traffic,
    pub(crate) remote: String,
}

/// A connection that was accepted, not yet looked at.
pub(crate) struct Incoming {
    pub(crate) socket: Socket,
    pub(crate) remote: String,
    pub(crate) traffic: Traffic,
    /// Present when the listener is secure.
    pub(crate) tls: Option<Arc<Acceptor>>,
}

/// Serves a connection to its end.
pub(crate) async fn serve<M: Member>(thread: Rc<Thread<M>>, incoming: Incoming) {
    let Incoming { socket, remote, traffic, tls } = incoming;
    let secure = tls.is_some();
    let (socket, identity) = match handshake(&thread, socket, &remote, tls).await {
        Ok(done) => done,
        Err(error) => {
            let at_peer_listener = traffic == Traffic::Peer;
            return (thread.common.notify)(Notice::Rejected { at_peer_listener, remote, error });
        }
    };
    let peer = Rc::new(Peer { common_name: identity.common_name, secure, traffic, remote });
    let Some((stream, is_http2)) = sniff(socket).await else {
        return;
    };
    match (is_http2, traffic) {
        // Pages over HTTP/2 exist where ALPN can choose it.
        (true, Traffic::Http | Traffic::Metrics) if !secure => {}
        (true, Traffic::Peer) | (false, Traffic::Grpc) => {}
        (true, _) => serve_http2(thread, peer, stream).await,
        (false, _) => http1::serve(thread, peer, stream).await,
    }
}

async fn handshake<M>(
    thread: &Thread<M>,
    socket: Socket,
    remote: &str,
    tls: Option<Arc<Acceptor>>,
) -> Result<(Socket, Identity), String> {
    let Some(acceptor) = tls else {
        return Ok((socket, Identity::default()));
    };
    macro_rules! accept {
        ($stream:expr, $secured:ident) => {{
            let (result, reload_error) = acceptor.accept($stream, remote).await;
            if let Some(error) = reload_error {
                (thread.common.notify)(Notice::TlsReloadFailed { error: error.to_string() });
            }
            let (stream, identity) = result.map_err(|error| error.to_string())?;
            Ok((Socket::$secured(Box::new(stream)), identity))
        }};
    }
    match socket {
        Socket::Tcp(stream) => accept!(stream, TlsTcp),
        Socket::Unix(stream) => accept!(stream, TlsUnix),
        secured @ (Socket::TlsTcp(_) | Socket::TlsUnix(_)) => Ok((secured, Identity::default())),
    }
}

/// Whether the client opens with HTTP/2's preface; `None` when it says nothing in time.
async fn sniff(mut socket: Socket) -> Option<(Rewound, bool)> {
    let deadline = Instant::now() + FIRST_BYTES_TIMEOUT;
    let mut seen = BytesMut::with_capacity(PREFACE.len());
    while seen.len() < PREFACE.len() && PREFACE.starts_with(&seen) {
        let read = tokio::time::timeout_at(deadline, socket.read_buf(&mut seen)).await.ok()?.ok()?;
        if read == 0 {
            return None;
        }
    }
    let is_http2 = seen.starts_with(PREFACE);
    Some((Rewound::new(seen.freeze(), socket), is_http2))
}

fn builder(limits: &Limits) -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(limits.header_bytes_max)
        .data_frame_budget(SMALL_FRAMES_BUDGET)
        .max_pending_accept_reset_streams(CANCELED_UNSEEN_MAX);
    if limits.streams_max != u32::MAX {
        builder.max_concurrent_streams(limits.streams_max);
    }
    builder
}

async fn serve_http2<M: Member>(thread: Rc<Thread<M>>, peer: Rc<Peer>, stream: Rewound) {
    let wire = SharedWire::new(stream);
    let handshake = builder(&thread.common.limits).handshake(wire.clone());
    let Ok(Ok(connection)) = timeout(FIRST_BYTES_TIMEOUT, handshake).await else {
        return;
    };
    let wrote = Rc::new(Cell::new(false));
    let grpc_only = !peer.secure || peer.traffic == Traffic::Grpc;
    let start = |request: http::Request<h2::RecvStream>, respond: server::SendResponse<Bytes>| {
        let is_call = peer.traffic != Traffic::Metrics
            && peer.traffic != Traffic::Http
            && (grpc_only || head::wants_grpc(request.headers()));
        let mut work = if is_call {
            Work::Call(Call::open(&thread, &peer, request, respond, &wrote)?)
        } else {
            let (thread, peer, wrote) = (Rc::clone(&thread), Rc::clone(&peer), Rc::clone(&wrote));
            Work::Page(Box::pin(pages::serve_http2(thread, peer, request, respond, wrote)))
        };
        Some(async move {
            match &mut work {
                Work::Call(call) => call.run().await,
                Work::Page(page) => page.await,
            }
        })
    };
    let mut driver = Driver {
        connection,
        wire: wire.clone(),
        calls: FuturesUnordered::new(),
        start,
        wrote: Rc::clone(&wrote),
        pings_seen: 0,
        police: PingPolice::new(thread.common.keepalive.min_time),
        heartbeat: Heartbeat::new(thread.common.keepalive),
        header_patience: HeaderPatience::new(HEADERS_TIMEOUT),
        ping_pong: None,
        phases: Phases::new(thread.phase.clone()),
        rest: None,
    };
    driver.ping_pong = driver.connection.ping_pong();
    let verdict = poll_fn(|cx| driver.poll(cx)).await;
    drop(driver);
    if verdict == Verdict::TooManyPings {
        wire.with(|wire| {
            let goaway = too_many_pings(wire.scan().last_stream());
            wire.push(&goaway);
        });
    }
    // An error or a timeout changes nothing any more.
    let _ = timeout(FAREWELL_TIMEOUT, poll_fn(|cx| wire.with(|wire| wire.poll_drain(cx)))).await;
}

/// What a request is for.
#[expect(clippy::large_enum_variant, reason = "almost every one is a call")]
enum Work<M: Member> {
    Call(Call<M>),
    /// Rare, so its state should not make that of a call larger.
    Page(Pin<Box<dyn Future<Output = ()>>>),
}

/// The GOAWAY that grpc clients understand; `h2` cannot send the text.
fn too_many_pings(last_stream: u32) -> Vec<u8> {
    const TEXT: &[u8] = b"too_many_pings";
    const ENHANCE_YOUR_CALM: u32 = 11;
    const TYPE_GOAWAY: u8 = 7;
    let len = 8 + TEXT.len() as u8;
    let mut frame = vec![0, 0, len, TYPE_GOAWAY, 0, 0, 0, 0, 0];
    frame.extend(last_stream.to_be_bytes());
    frame.extend(ENHANCE_YOUR_CALM.to_be_bytes());
    frame.extend(TEXT);
    frame
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Closed,
    TooManyPings,
}

/// Drives one HTTP/2 connection and the calls on it as one task: whatever a wake-up brings is read at once, all
/// calls run, and their replies leave in one write.
struct Driver<S, F> {
    connection: server::Connection<SharedWire, Bytes>,
    wire: SharedWire,
    calls: FuturesUnordered<F>,
    start: S,
    /// Set by calls that hand something to `connection`.
    wrote: Rc<Cell<bool>>,
    pings_seen: u32,
    police: PingPolice,
    heartbeat: Heartbeat,
    header_patience: HeaderPatience,
    ping_pong: Option<PingPong>,
    phases: Phases,
    /// After more frames than are good for others.
    rest: Option<Rest>,
}

impl<S, F> Driver<S, F>
where
    S: FnMut(http::Request<h2::RecvStream>, server::SendResponse<Bytes>) -> Option<F>,
    F: Future<Output = ()>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        if self.rest.as_ref().is_some_and(|rest| rest.poll().is_pending()) {
            return Poll::Pending;
        }
        self.rest = None;
        let was_blocked = self.wire.with(|wire| {
            wire.begin_turn();
            wire.is_blocked()
        });
        loop {
            if self.poll_requests(cx).is_ready() {
                return Poll::Ready(Verdict::Closed);
            }
            self.poll_calls(cx);
            if self.judge_pings() {
                return Poll::Ready(Verdict::TooManyPings);
            }
            if !self.wrote.replace(false) {
                break;
            }
            self.police.pardon();
        }
        if let Poll::Ready(Err(_)) = self.wire.with(|wire| wire.poll_drain(cx)) {
            return Poll::Ready(Verdict::Closed);
        }
        if was_blocked && !self.wire.with(|wire| wire.is_blocked()) {
            // Requests were left waiting.
            cx.waker().wake_by_ref();
        }
        if self.wire.with(|wire| wire.is_cut_short()) {
            self.rest = Some(Rest::begin(cx));
        }
        self.poll_outside(cx)
    }

    /// Reads and writes frames, and starts the calls that came in; ready when the connection is over.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // A client that does not read gets no further calls started.
            if self.wire.with(|wire| wire.is_blocked()) {
                return self.connection.poll_closed(cx).map(drop);
            }
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    if let Some(call) = (self.start)(request, respond) {
                        self.calls.push(call);
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_calls(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(())) = Pin::new(&mut self.calls).poll_next(cx) {}
    }

    /// Whether the client pings too often.
    fn judge_pings(&mut self) -> bool {
        let pings = self.wire.with(|wire| wire.scan().pings());
        let mut offended = false;
        while self.pings_seen != pings {
            self.pings_seen = self.pings_seen.wrapping_add(1);
            offended |= self.police.ping(Instant::now(), !self.calls.is_empty());
        }
        offended
    }

    /// Shutdown, silence, and headers without end.
    fn poll_outside(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        loop {
            match self.phases.poll_next(cx) {
                Poll::Ready(Phase::Closing) => return Poll::Ready(Verdict::Closed),
                Poll::Ready(Phase::Draining) => {
                    self.connection.graceful_shutdown();
                    cx.waker().wake_by_ref();
                }
                Poll::Ready(Phase::Serving) => {}
                Poll::Pending => break,
            }
        }
        let (last_read, unfinished) =
            self.wire.with(|wire| (wire.last_read(), wire.scan().unfinished_headers()));
        if self.header_patience.poll(cx, unfinished).is_ready() {
            return Poll::Ready(Verdict::Closed);
        }
        while let Poll::Ready(beat) = self.heartbeat.poll(cx, last_read) {
            match beat {
                Beat::Ask => {
                    if let Some(ping_pong) = &mut self.ping_pong {
                        // An old answer must be taken before the next question; an error is a closed connection.
                        let _ = ping_pong.poll_pong(cx);
                        let _ = ping_pong.send_ping(Ping::opaque());
                        cx.waker().wake_by_ref();
                    }
                }
                Beat::Dead => return Poll::Ready(Verdict::Closed),
            }
        }
        Poll::Pending
    }
}
