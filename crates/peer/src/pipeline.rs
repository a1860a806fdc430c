//! Messages that go as requests of their own, while there is no stream.

use std::{future::poll_fn, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use consensus::Message;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use telemetry::line;
use tokio::time::timeout;
use types::MemberId;

use crate::{
    Body, IO_TIMEOUT,
    compat::{self, CLUSTER_ID, Mismatch},
    config::Config,
    dial::{Link, refusal},
    peer::Peer,
    shared::Shared,
    wire::{encode_message, message_len},
};

/// Requests under way at once, to one member.
pub(crate) const CONNECTIONS: usize = 4;
/// A large message may take a second for each so many bytes.
const BYTES_PER_SECOND_MIN: usize = 1 << 20;

/// Why a request was in vain.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("i/o timeout")]
    TimedOut,
    #[error(transparent)]
    Mismatch(Mismatch),
    #[error("unhandled error {0:?} when precondition failed")]
    Precondition(String),
    #[error("the member has been permanently removed from the cluster")]
    Removed,
    #[error("unexpected http status {0} while posting")]
    Status(StatusCode),
}

/// Sends what `peer`'s pipeline holds, one message after the other.
pub(crate) async fn run(shared: Arc<Shared>, peer: Arc<Peer>, holder: u64) {
    let mut link = None;
    while let Some(message) = poll_fn(|cx| peer.pipeline.poll_next(holder, cx)).await {
        let len = message_len(&message);
        match post(&shared, &peer, &mut link, &message, len).await {
            Ok(()) => {
                peer.status.activate();
                peer.count_sent(len as u64);
            }
            Err(error) => {
                if matches!(error, PostError::Removed) {
                    (shared.config.on_removed)();
                }
                peer.status.deactivate("write", "pipeline", &error);
                shared.report_unreachable(peer.id);
                peer.count_failure();
            }
        }
    }
}

async fn post(
    shared: &Shared,
    peer: &Peer,
    link: &mut Option<Link>,
    message: &Message,
    len: usize,
) -> Result<(), PostError> {
    let mut bytes = BytesMut::with_capacity(len);
    encode_message(message, &mut bytes);
    let request = request(&shared.config, "/raft", "application/protobuf", body_of(bytes.freeze()))?;
    let url = peer.picker.pick();
    let patience =
        shared.dialer.timeout + IO_TIMEOUT + Duration::from_secs((len / BYTES_PER_SECOND_MIN) as u64);
    let work = async {
        let response = shared.dialer.request(link, &url, request).await?;
        judge(&shared.config, peer.id, response).await
    };
    let result = match timeout(patience, work).await {
        Ok(result) => result,
        Err(_) => Err(PostError::TimedOut),
    };
    if result.is_err() {
        // Not used again: the answer may still be on it.
        *link = None;
        peer.picker.unreachable(&url);
    }
    result
}

/// A request that carries messages.
pub(crate) fn request(
    config: &Config,
    path: &str,
    content: &str,
    body: Body,
) -> Result<Request<Body>, io::Error> {
    let request = Request::post(path).header(CONTENT_TYPE, content);
    compat::introduce(config, request).body(body).map_err(io::Error::other)
}

/// Whether the answer says that the message was taken.
pub(crate) async fn judge(
    config: &Config,
    to: MemberId,
    response: Response<Incoming>,
) -> Result<(), PostError> {
    let (head, body) = response.into_parts();
    match head.status {
        StatusCode::NO_CONTENT => Ok(()),
        StatusCode::FORBIDDEN => Err(PostError::Removed),
        StatusCode::PRECONDITION_FAILED => {
            let text = refusal(body).await;
            if text == Mismatch::Version.to_string() {
                line!(Error, "request sent was ignored by peer", "remote-peer-id" => to.to_string());
                Err(PostError::Mismatch(Mismatch::Version))
            } else if text == Mismatch::Cluster.to_string() {
                line!(Error, "request sent was ignored due to cluster ID mismatch",
                    "remote-peer-id" => to.to_string(),
                    "remote-peer-cluster-id" => compat::text(&head.headers, CLUSTER_ID),
                    "local-member-cluster-id" => config.cluster.to_string());
                Err(PostError::Mismatch(Mismatch::Cluster))
            } else {
                Err(PostError::Precondition(text))
            }
        }
        status => {
            // The connection serves again only when the answer was read to its end.
            let _: String = refusal(body).await;
            Err(PostError::Status(status))
        }
    }
}

/// Bytes as a body.
pub(crate) fn body_of(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
