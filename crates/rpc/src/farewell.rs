//! The end of a connection: what the client is told, and holding on to the socket of one that misbehaved.

use std::{future::poll_fn, pin::Pin, time::Duration};

use tokio::{
    io::AsyncWrite,
    time::{Instant, sleep, timeout},
};

use crate::{
    config::{Notice, Traffic},
    connection::Peer,
    driver::Verdict,
    member::Member,
    thread::{Phase, Thread},
    wire::SharedWire,
};

/// The last bytes of a closing connection may take this long.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Ends a connection that nobody drives any more.
pub(crate) async fn end<M: Member>(thread: &Thread<M>, peer: &Peer, wire: &SharedWire, verdict: Verdict) {
    if let Some(text) = goaway_text(verdict) {
        wire.with(|wire| {
            let goaway = calm_down(wire.scan().last_stream(), text);
            wire.push(&goaway);
        });
    }
    if verdict == Verdict::Closed {
        // An error or a timeout changes nothing any more.
        let _ = timeout(FAREWELL_TIMEOUT, poll_fn(|cx| wire.with(|wire| wire.poll_drain(cx)))).await;
        return;
    }
    let sentence = thread.common.offenders.offence(&peer.remote, Instant::now());
    if sentence.offences.is_power_of_two() {
        // Not each of them: they may be many.
        (thread.common.notify)(Notice::Rejected {
            at_peer_listener: peer.traffic == Traffic::Peer,
            remote: peer.remote.clone(),
            error: format!(
                "{} (offence {} of this address)",
                goaway_text(verdict).unwrap_or(BROKEN),
                sentence.offences
            ),
        });
    }
    // The client reads an end, whatever it still writes: a proper one does not wait for us.
    let mut writer = wire.clone();
    let _ = timeout(FAREWELL_TIMEOUT, poll_fn(|cx| Pin::new(&mut writer).poll_shutdown(cx))).await;
    if let Some((time, held)) = sentence.hold {
        let mut phase = thread.phase.clone();
        tokio::select! {
            () = sleep(time) => {}
            // An error means that the server is gone.
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => {}
        }
        drop(held);
    }
}

/// What the log says of a connection that `h2` has ended.
const BROKEN: &str = "broken frames of HTTP/2";

/// What the client is told; `None` where `h2` has said it.
fn goaway_text(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Closed | Verdict::Broken => None,
        // Clients of gRPC know this one, and ping less.
        Verdict::TooManyPings => Some("too_many_pings"),
        Verdict::Flood => Some("too many frames that ask for nothing"),
    }
}

/// A GOAWAY with a text, which `h2` cannot send.
fn calm_down(last_stream: u32, text: &str) -> Vec<u8> {
    const ENHANCE_YOUR_CALM: u32 = 11;
    const TYPE_GOAWAY: u8 = 7;
    let len = 8 + text.len() as u8;
    let mut frame = vec![0, 0, len, TYPE_GOAWAY, 0, 0, 0, 0, 0];
    frame.extend(last_stream.to_be_bytes());
    frame.extend(ENHANCE_YOUR_CALM.to_be_bytes());
    frame.extend(text.as_bytes());
    frame
}
