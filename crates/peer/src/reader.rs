//! What another member writes for us: dialled, read, dialled again.

use std::{io, sync::Arc, time::Duration};

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use telemetry::line;
use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    IO_TIMEOUT, Stream,
    compat::{self, CLUSTER_ID, Mismatch, RAFT_TO},
    dial::{Link, refusal},
    peer::Peer,
    pipeline::body_of,
    shared::Shared,
    turns::Turns,
    urls::Url,
    wire::{CodecError, Decoded, Framed, MESSAGE_BYTES_MAX, MsgAppDecoder},
};

/// Between two dials.
const DIAL_INTERVAL: Duration = Duration::from_millis(100);

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("unsupported stream type")]
    Unsupported,
    #[error("the member has been permanently removed from the cluster")]
    Removed,
    #[error("peer {peer} failed to find local node {local}")]
    Unknown { peer: String, local: String },
    #[error(transparent)]
    Mismatch(Mismatch),
    #[error("unhandled error {0:?} when precondition failed")]
    Precondition(String),
    #[error("unhandled http status {0}")]
    Status(u16),
}

/// How a stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("EOF")]
    Closed,
    #[error("i/o timeout")]
    Silent,
    #[error("{0}")]
    Broken(hyper::Error),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("nobody listens")]
    Stopped,
}

/// Reads that stream until the peer is gone.
pub(crate) async fn run(shared: Arc<Shared>, peer: Arc<Peer>, stream: Stream) {
    line!(Info, "started stream reader with remote peer", "stream-reader-type" => stream.name(),
        "local-member-id" => shared.config.id.to_string(), "remote-peer-id" => peer.id.to_string());
    loop {
        let next = Instant::now() + DIAL_INTERVAL;
        match dial(&shared, &peer, stream).await {
            Ok((link, body)) => {
                peer.status.activate();
                line!(Info, "established TCP streaming connection with remote peer",
                    "stream-reader-type" => stream.name(), "local-member-id" => shared.config.id.to_string(),
                    "remote-peer-id" => peer.id.to_string());
                let ended = read(&shared, &peer, stream, body).await;
                drop(link);
                line!(Warn, "lost TCP streaming connection with remote peer",
                    "stream-reader-type" => stream.name(), "local-member-id" => shared.config.id.to_string(),
                    "remote-peer-id" => peer.id.to_string(), "error" => ended.to_string());
                match ended {
                    Ended::Closed => {}
                    Ended::Stopped => return,
                    _ => peer.status.deactivate("read", stream.name(), &ended),
                }
            }
            Err(DialError::Unsupported) => {}
            Err(error) => {
                if matches!(error, DialError::Removed) {
                    (shared.config.on_removed)();
                }
                peer.status.deactivate("dial", stream.name(), &error);
            }
        }
        sleep_until(next).await;
    }
}

async fn dial(shared: &Shared, peer: &Peer, stream: Stream) -> Result<(Option<Link>, Incoming), DialError> {
    let url = peer.picker.pick();
    let result = match timeout(shared.dialer.timeout + IO_TIMEOUT, ask(shared, peer, stream, &url)).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    };
    if result.is_err() {
        peer.picker.unreachable(&url);
    }
    result
}

async fn ask(
    shared: &Shared,
    peer: &Peer,
    stream: Stream,
    url: &Url,
) -> Result<(Option<Link>, Incoming), DialError> {
    let local = shared.config.id;
    let request = Request::get(format!("{}/{local}", stream.path())).header(RAFT_TO, peer.id.to_string());
    let request = compat::introduce(&shared.config, request).body(body_of("")).map_err(io::Error::other)?;
    let mut link = None;
    let response = shared.dialer.request(&mut link, url, request).await?;
    if !compat::can_stream(response.headers()) {
        return Err(DialError::Unsupported);
    }
    let (head, body) = response.into_parts();
    match head.status {
        StatusCode::OK => Ok((link, body)),
        StatusCode::GONE => Err(DialError::Removed),
        StatusCode::NOT_FOUND => {
            Err(DialError::Unknown { peer: peer.id.to_string(), local: local.to_string() })
        }
        StatusCode::PRECONDITION_FAILED => {
            let text = refusal(body).await;
            let (mismatch, message) = if text == Mismatch::Version.to_string() {
                let message = "request sent was ignored by remote peer due to server version incompatibility";
                (Mismatch::Version, message)
            } else if text == Mismatch::Cluster.to_string() {
                (Mismatch::Cluster, "request sent was ignored by remote peer due to cluster ID mismatch")
            } else {
                return Err(DialError::Precondition(text));
            };
            line!(Warn, message,
                "remote-peer-id" => peer.id.to_string(),
                "remote-peer-cluster-id" => compat::text(&head.headers, CLUSTER_ID),
                "local-member-id" => local.to_string(),
                "local-member-cluster-id" => shared.config.cluster.to_string(),
                "error" => mismatch.to_string());
            Err(DialError::Mismatch(mismatch))
        }
        status => Err(DialError::Status(status.as_u16())),
    }
}

enum Decoder {
    MsgApp(MsgAppDecoder),
    Message(Framed),
}

impl Decoder {
    fn push(&mut self, bytes: &[u8]) {
        match self {
            Decoder::MsgApp(decoder) => decoder.push(bytes),
            Decoder::Message(decoder) => decoder.push(bytes),
        }
    }

    fn next(&mut self) -> Result<Option<(Decoded, usize)>, CodecError> {
        match self {
            Decoder::MsgApp(decoder) => decoder.next(),
            Decoder::Message(decoder) => decoder.next(),
        }
    }
}

async fn read(shared: &Shared, peer: &Peer, stream: Stream, mut body: Incoming) -> Ended {
    let mut decoder = match stream {
        Stream::MsgApp => Decoder::MsgApp(MsgAppDecoder::new(shared.config.id.0, peer.id.0)),
        Stream::Message => Decoder::Message(Framed::new(MESSAGE_BYTES_MAX)),
    };
    let turns = Turns::new();
    loop {
        let frame = match timeout(IO_TIMEOUT, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Ended::Broken(error),
            Ok(None) => return Ended::Closed,
            Err(_) => return Ended::Silent,
        };
        let Some(bytes) = frame.data_ref() else { continue };
        decoder.push(bytes);
        let mut batch = Vec::new();
        // What came whole before something broken is still good.
        let error = loop {
            match decoder.next() {
                Ok(Some((decoded, len))) => batch.extend(shared.take_in(decoded, len)),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        if !batch.is_empty() {
            turns.come().await;
            if !shared.hand_over(batch, turns.next()) {
                return Ended::Stopped;
            }
        }
        if let Some(error) = error {
            return error.into();
        }
    }
}
