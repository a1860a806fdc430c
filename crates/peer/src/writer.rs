//! What this member writes for another: the endless body of the answer to its dial.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use consensus::Message;
use hyper::body::{Body, Frame};
use telemetry::{line, metrics};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::{
    IO_TIMEOUT, Stream,
    peer::Peer,
    shared::Shared,
    wire::{MsgAppEncoder, encode_framed, encode_framed_heartbeat},
};

/// Messages are gathered up to about this many bytes.
const PIECE_BYTES: usize = 256 << 10;

enum Encoder {
    MsgApp(MsgAppEncoder),
    Message,
}

impl Encoder {
    fn encode(&mut self, message: &Message, out: &mut BytesMut) {
        match self {
            Encoder::MsgApp(encoder) => encoder.encode(message, out),
            Encoder::Message => encode_framed(message, out),
        }
    }

    fn heartbeat(&self, out: &mut BytesMut) {
        match self {
            Encoder::MsgApp(encoder) => encoder.heartbeat(out),
            Encoder::Message => encode_framed_heartbeat(out),
        }
    }
}

/// Takes messages from the peer's queue when the connection has room for them. Holds the queue until it is dropped
/// or another stream takes over.
pub(crate) struct Writing {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    stream: Stream,
    holder: u64,
    encoder: Encoder,
    beats: Interval,
    sent: Arc<telemetry::Counter>,
}

impl Writing {
    pub(crate) fn begin(shared: &Arc<Shared>, peer: Arc<Peer>, stream: Stream) -> Writing {
        let (holder, replaced) = peer.queue(stream).attach();
        let (local, remote) = (shared.config.id.to_string(), peer.id.to_string());
        if let Some(lost) = replaced {
            line!(Warn, "closed TCP streaming connection with remote peer", "stream-writer-type" => stream.name(),
                "local-member-id" => local.clone(), "remote-peer-id" => remote.clone());
            if lost > 0 {
                shared.report_unreachable(peer.id);
            }
        }
        peer.status.activate();
        line!(Info, "established TCP streaming connection with remote peer",
            "stream-writer-type" => stream.name(), "local-member-id" => local, "remote-peer-id" => remote.clone());
        let period = IO_TIMEOUT / 3;
        let mut beats = interval_at(Instant::now() + period, period);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let encoder = match stream {
            Stream::MsgApp => Encoder::MsgApp(MsgAppEncoder::default()),
            Stream::Message => Encoder::Message,
        };
        let sent = metrics().network_peer_sent_bytes_total.with(&[&remote]);
        Writing { shared: Arc::clone(shared), peer, stream, holder, encoder, beats, sent }
    }
}

impl Body for Writing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let mut piece = BytesMut::new();
        while piece.len() < PIECE_BYTES {
            match this.peer.queue(this.stream).poll_next(this.holder, cx) {
                Poll::Ready(Some(message)) => this.encoder.encode(&message, &mut piece),
                Poll::Ready(None) if piece.is_empty() => return Poll::Ready(None),
                // The end comes next time.
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if this.beats.poll_tick(cx).is_ready() {
            this.encoder.heartbeat(&mut piece);
        }
        if piece.is_empty() {
            return Poll::Pending;
        }
        this.sent.add(piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece.freeze()))))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let Some(lost) = self.peer.queue(self.stream).detach(self.holder) else {
            return;
        };
        self.peer.status.deactivate("write", self.stream.name(), &"connection closed");
        self.peer.count_failure();
        line!(Warn, "lost TCP streaming connection with remote peer", "stream-writer-type" => self.stream.name(),
            "local-member-id" => self.shared.config.id.to_string(), "remote-peer-id" => self.peer.id.to_string());
        if lost > 0 {
            self.shared.report_unreachable(self.peer.id);
        }
    }
}
