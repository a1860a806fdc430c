//! One connection of a client, from its first byte to its last.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use h2::server;
use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout},
};

use crate::{
    call::Call,
    config::{Limits, Notice, Traffic},
    driver::Driver,
    farewell,
    frame_police::FramePolice,
    frame_scan::PREFACE,
    head, http1,
    member::Member,
    pages,
    thread::{Phases, Thread},
    tls::{Acceptor, Identity},
    wire::{Rewound, SharedWire, Socket},
};

/// A client must say what it speaks within this time.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(5);
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
    let credit = thread.common.offenders.credit(&peer.remote, Instant::now());
    let mut driver = Driver::new(
        connection,
        wire.clone(),
        start,
        Rc::clone(&wrote),
        thread.common.keepalive,
        FramePolice::new(credit, Instant::now()),
        Phases::new(thread.phase.clone()),
    );
    let verdict = poll_fn(|cx| driver.poll(cx)).await;
    drop(driver);
    farewell::end(&thread, &peer, &wire, verdict).await;
}

/// What a request is for.
#[expect(clippy::large_enum_variant, reason = "almost every one is a call")]
enum Work<M: Member> {
    Call(Call<M>),
    /// Rare, so its state should not make that of a call larger.
    Page(Pin<Box<dyn Future<Output = ()>>>),
}
