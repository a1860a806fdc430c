//! A snapshot on its way to another member: the message, then the file.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use consensus::Message;
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Frame},
    header::{HeaderMap, HeaderName, HeaderValue, TRAILER},
};
use node::{PeerInput, SnapshotImage};
use telemetry::{line, metrics};
use tokio::{
    runtime,
    sync::{mpsc, watch},
    time::{Instant, timeout_at},
};
use types::MemberId;

use crate::{
    compat::FILE_SUM,
    peer::Peer,
    pipeline::{self, PostError},
    shared::Shared,
    wire::encode_framed,
};

/// Read and sent at once.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces read ahead of the connection.
const PIECES_AHEAD: usize = 2;
/// A receiver that takes no further piece for this long is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// The receiver syncs the file before it answers.
const ANSWER_PATIENCE: Duration = Duration::from_secs(600);

/// A file to be sent: the whole of it as of one moment.
pub trait Image: Send + 'static {
    /// Bytes.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` from `offset`; short only at the end. May block.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, String>;
}

impl Image for SnapshotImage {
    fn len(&self) -> u64 {
        SnapshotImage::len(self)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, String> {
        SnapshotImage::read_at(self, offset, buf).map_err(|error| error.to_string())
    }
}

/// Reads a file piece by piece, as far as the receiver keeps up. Behind it goes its checksum: nothing in the file itself
/// would show what became of a value on its way.
fn read_pieces(image: &impl Image, head: Bytes, pieces: &mpsc::Sender<io::Result<Frame<Bytes>>>) {
    // Hyper takes an empty piece for the end.
    if !head.is_empty() && pieces.blocking_send(Ok(Frame::data(head))).is_err() {
        return;
    }
    let (len, mut offset, mut sum) = (image.len(), 0, 0);
    while offset < len {
        let want = usize::try_from(len - offset).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let mut piece = BytesMut::zeroed(want);
        let piece = match image.read_at(offset, &mut piece) {
            Ok(read) if read == want => Ok(piece.freeze()),
            Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => Err(io::Error::other(error)),
        };
        let failed = piece.is_err();
        offset += want as u64;
        sum = piece.as_ref().map_or(sum, |piece| crc32c::crc32c_append(sum, piece));
        // Refused when nobody sends it any more.
        if pieces.blocking_send(piece.map(Frame::data)).is_err() || failed {
            return;
        }
    }
    let value = HeaderValue::try_from(format!("{sum:08x}")).expect("digits");
    let trailers = HeaderMap::from_iter([(HeaderName::from_static(FILE_SUM), value)]);
    let _ = pieces.blocking_send(Ok(Frame::trailers(trailers)));
}

/// A file as the body of an answer, with its checksum in a trailer; `held` is kept until the last piece is read.
pub(crate) fn stream(
    runtime: &runtime::Handle,
    image: impl Image,
    head: Bytes,
    held: impl Send + 'static,
) -> crate::Body {
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    // Ends by itself when the body is dropped.
    runtime.spawn_blocking(move || {
        let _held = held;
        read_pieces(&image, head, &sender);
    });
    Pieces { pieces, progress: watch::channel(0).0 }.boxed_unsync()
}

/// The body of the request, in chunks: a receiver knows by the last one that nothing is missing.
struct Pieces {
    pieces: mpsc::Receiver<io::Result<Frame<Bytes>>>,
    /// Counts the pieces that went.
    progress: watch::Sender<u64>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(cx).map(|piece| {
            let piece = piece?;
            self.progress.send_modify(|count| *count += 1);
            Some(piece)
        })
    }
}

/// Sends a snapshot. `report` goes when it ends, or when the task is aborted.
pub(crate) async fn send(
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    message: Message,
    image: impl Image,
    report: Report,
) {
    let start = Instant::now();
    let to = peer.id.to_string();
    let index = message.snapshot.as_ref().map_or(0, |snapshot| snapshot.meta.index);
    let mut head = BytesMut::new();
    encode_framed(&message, &mut head);
    let bytes = image.len() + head.len() as u64 - 8;
    line!(Info, "sending database snapshot", "snapshot-index" => index, "remote-peer-id" => to.clone(),
        "bytes" => bytes, "size" => telemetry::log::size(bytes));
    let url = peer.picker.pick();
    let result = post(&shared, &peer, &url, head.freeze(), image).await;
    let Err(error) = result else {
        peer.status.activate();
        report.delivered();
        line!(Info, "sent database snapshot", "snapshot-index" => index, "remote-peer-id" => to.clone(),
            "bytes" => bytes, "size" => telemetry::log::size(bytes));
        peer.count_sent(bytes);
        metrics().network_snapshot_send_success.with(&[&to]).inc();
        let seconds = start.elapsed().as_secs_f64();
        return metrics().network_snapshot_send_total_duration_seconds.with(&[&to]).observe(seconds);
    };
    line!(Warn, "failed to send database snapshot", "snapshot-index" => index, "remote-peer-id" => to,
        "bytes" => bytes, "size" => telemetry::log::size(bytes), "error" => error.to_string());
    if matches!(error, PostError::Removed) {
        (shared.config.on_removed)();
    }
    peer.picker.unreachable(&url);
    peer.status.deactivate("post", "sendMsgSnap", &error);
    drop(report);
}

async fn post(
    shared: &Shared,
    peer: &Peer,
    url: &crate::urls::Url,
    head: Bytes,
    image: impl Image,
) -> Result<(), PostError> {
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    let (progress, mut moved) = watch::channel(0);
    let body = Pieces { pieces, progress }.boxed_unsync();
    let mut request = pipeline::request(&shared.config, "/raft/snapshot", "application/octet-stream", body)?;
    request.headers_mut().insert(TRAILER, HeaderValue::from_static(FILE_SUM));
    // Ends by itself when the body is dropped.
    tokio::task::spawn_blocking(move || read_pieces(&image, head, &sender));
    let mut link = None;
    let mut work = std::pin::pin!(async {
        let response = shared.dialer.request(&mut link, url, request).await?;
        pipeline::judge(&shared.config, peer.id, response).await
    });
    let mut deadline = Instant::now() + shared.dialer.timeout + PATIENCE;
    let mut sending = true;
    loop {
        tokio::select! {
            result = timeout_at(deadline, work.as_mut()) => return result.unwrap_or(Err(PostError::TimedOut)),
            change = moved.changed(), if sending => {
                // The body is gone when all of it was sent.
                sending = change.is_ok();
                deadline = Instant::now() + if sending { PATIENCE } else { ANSWER_PATIENCE };
            }
        }
    }
}

/// Tells raft how it ended: failed, unless it says otherwise before it goes.
pub(crate) struct Report {
    shared: Arc<Shared>,
    to: MemberId,
    delivered: bool,
}

impl Report {
    pub(crate) fn new(shared: &Arc<Shared>, to: MemberId) -> Report {
        metrics().network_snapshot_send_inflights_total.with(&[&to.to_string()]).add(1);
        Report { shared: Arc::clone(shared), to, delivered: false }
    }

    fn delivered(mut self) {
        self.delivered = true;
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let to = self.to.to_string();
        metrics().network_snapshot_send_inflights_total.with(&[&to]).add(-1);
        if !self.delivered {
            metrics().network_snapshot_send_failures.with(&[&to]).inc();
            metrics().network_peer_sent_failures_total.with(&[&to]).inc();
            self.shared.report_unreachable(self.to);
        }
        let ended = PeerInput::SnapshotSent { to: self.to, delivered: self.delivered };
        (self.shared.config.deliver)(ended);
    }
}
