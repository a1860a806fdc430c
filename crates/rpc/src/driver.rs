//! One task for an HTTP/2 connection and the calls on it.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, stream::FuturesUnordered};
use h2::{Ping, PingPong, server};
use tokio::time::Instant;

use crate::{
    config::Keepalive,
    frame_police::FramePolice,
    header_patience::HeaderPatience,
    heartbeat::{Beat, Heartbeat},
    ping_police::PingPolice,
    rest::Rest,
    thread::{Phase, Phases},
    wire::SharedWire,
};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Closed,
    TooManyPings,
    /// More frames that ask for nothing than any proper client sends.
    Flood,
    /// Frames that `h2` does not take; it has told the client.
    Broken,
}

/// How a connection ended that `h2` gave up.
fn verdict_of(error: h2::Error) -> Verdict {
    let is_theirs = error.is_go_away() && error.is_library();
    if is_theirs { Verdict::Broken } else { Verdict::Closed }
}

/// Drives one HTTP/2 connection and the calls on it as one task: whatever a wake-up brings is read at once, all
/// calls run, and their replies leave in one write.
pub(crate) struct Driver<S, F> {
    connection: server::Connection<SharedWire, Bytes>,
    wire: SharedWire,
    calls: FuturesUnordered<F>,
    start: S,
    /// Set by calls that hand something to `connection`.
    wrote: Rc<Cell<bool>>,
    pings_seen: u32,
    ping_police: PingPolice,
    frame_police: FramePolice,
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
    /// Drives `connection` over `wire`; `start` makes a call of a request, and calls set `wrote`.
    pub(crate) fn new(
        mut connection: server::Connection<SharedWire, Bytes>,
        wire: SharedWire,
        start: S,
        wrote: Rc<Cell<bool>>,
        keepalive: Keepalive,
        frame_police: FramePolice,
        phases: Phases,
    ) -> Driver<S, F> {
        let ping_pong = connection.ping_pong();
        Driver {
            connection,
            wire,
            calls: FuturesUnordered::new(),
            start,
            wrote,
            pings_seen: 0,
            ping_police: PingPolice::new(keepalive.min_time),
            frame_police,
            heartbeat: Heartbeat::new(keepalive),
            header_patience: HeaderPatience::default(),
            ping_pong,
            phases,
            rest: None,
        }
    }

    /// Ready when the connection is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        if self.rest.as_ref().is_some_and(|rest| rest.poll().is_pending()) {
            return Poll::Pending;
        }
        self.rest = None;
        let was_blocked = self.wire.with(|wire| {
            wire.begin_turn(self.frame_police.turn_frames());
            wire.is_blocked()
        });
        loop {
            if let Poll::Ready(verdict) = self.poll_requests(cx) {
                return Poll::Ready(verdict);
            }
            self.poll_calls(cx);
            if self.judge_pings() {
                return Poll::Ready(Verdict::TooManyPings);
            }
            if self.frame_police.judge(self.wire.with(|wire| wire.totals()), Instant::now) {
                return Poll::Ready(Verdict::Flood);
            }
            if !self.wrote.replace(false) {
                break;
            }
            self.ping_police.pardon();
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
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        loop {
            // A client that does not read gets no further calls started.
            if self.wire.with(|wire| wire.is_blocked()) {
                return self
                    .connection
                    .poll_closed(cx)
                    .map(|result| result.map_or_else(verdict_of, |()| Verdict::Closed));
            }
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    if let Some(call) = (self.start)(request, respond) {
                        self.calls.push(call);
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(verdict_of(error)),
                Poll::Ready(None) => return Poll::Ready(Verdict::Closed),
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
            offended |= self.ping_police.ping(Instant::now(), !self.calls.is_empty());
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
