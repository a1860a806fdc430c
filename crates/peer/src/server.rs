//! What the others ask under `/raft`, and what ours ask of ours (upstream: rafthttp/http.go): checks and refusals as etcd makes them.

mod snapshot;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use consensus::Message;
use http::{HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use http_body_util::BodyExt;
use telemetry::{line, metrics};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use types::MemberId;

use crate::{
    Body, IO_TIMEOUT, Stream,
    compat::{self, CLUSTER_ID, RAFT_TO, SERVER_VERSION},
    refusal::{self, Refusal, refuse},
    repair,
    shared::Shared,
    turns::Turns,
    wire::{Decoded, MESSAGE_BYTES_MAX, decode_message},
    writer::Writing,
};

/// The body of a request, as the listener has it.
pub(crate) type Posted = hyper::body::Incoming;

/// Answers requests of other members; its copies are the same server.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// Why the body of a request did not come whole.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("{0}")]
    Broken(String),
    #[error("too much is being received already")]
    TooMuch,
}

impl Unread {
    fn status(&self) -> StatusCode {
        match self {
            Unread::Broken(_) => StatusCode::BAD_REQUEST,
            Unread::TooMuch => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

pub(crate) fn allow_only(request: &Parts, method: Method, name: &'static str) -> Result<(), Refusal> {
    if request.method == method { Ok(()) } else { Err(Refusal::Method(name)) }
}

impl Server {
    pub(crate) fn new(shared: Arc<Shared>) -> Server {
        Server { shared }
    }

    /// Whether a path is answered here.
    pub fn serves(path: &str) -> bool {
        matches!(path, "/raft" | "/raft/snapshot")
            || path.starts_with("/raft/stream/")
            || path.starts_with(repair::PREFIX)
    }

    /// Answers one request that came from `remote` (`host:port`). The answer to a dial goes on until the member is
    /// removed or the connection closes; whoever owns the connection closes it when nothing can be written to it for
    /// five seconds.
    pub async fn answer(&self, remote: &str, request: Request<Posted>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let mut page = match head.uri.path() {
            "/raft" => self.message(remote, &head, body).await,
            "/raft/snapshot" => self.snapshot(remote, &head, body).await,
            path if path.starts_with("/raft/stream/") => self.stream(&head),
            path if path.starts_with(repair::PREFIX) => repair::page(&self.shared, &head, body).await,
            _ => return refuse(StatusCode::NOT_FOUND, "404 page not found").page(),
        }
        .unwrap_or_else(|refusal| refusal.page());
        if page.status() != StatusCode::METHOD_NOT_ALLOWED {
            let cluster = HeaderValue::from_str(&self.shared.config.cluster.to_string());
            page.headers_mut().insert(CLUSTER_ID, cluster.expect("digits are plain"));
        }
        page
    }

    fn check(&self, head: &Parts) -> Result<(), Refusal> {
        compat::check(&self.shared.config, &head.headers)
            .map_err(|mismatch| refuse(StatusCode::PRECONDITION_FAILED, mismatch.to_string()))
    }

    fn stream(&self, head: &Parts) -> Result<Response<Body>, Refusal> {
        allow_only(head, Method::GET, "GET")?;
        let mut page = match self.check(head).and_then(|()| self.open(head)) {
            Ok(writing) => Response::new(writing.boxed_unsync()),
            Err(refusal) => refusal.page(),
        };
        page.headers_mut()
            .insert(SERVER_VERSION, HeaderValue::from_static(self.shared.config.release.text()));
        Ok(page)
    }

    fn open(&self, head: &Parts) -> Result<Writing, Refusal> {
        let local = || self.shared.config.id.to_string();
        let (dir, from) = head.uri.path().rsplit_once('/').unwrap_or_default();
        let streams = [Stream::MsgApp, Stream::Message];
        let Some(stream) = streams.into_iter().find(|stream| stream.path() == dir) else {
            line!(Debug, "ignored unexpected streaming request path", "local-member-id" => local(),
                "path" => head.uri.path());
            return Err(refuse(StatusCode::NOT_FOUND, "invalid path"));
        };
        let Some(id) = compat::parse_id(from) else {
            line!(Warn, "failed to parse path into ID", "local-member-id" => local(), "path" => from);
            return Err(refuse(StatusCode::NOT_FOUND, "invalid from"));
        };
        if self.shared.is_removed(id) {
            line!(Warn, "rejected stream from remote peer because it was removed",
                "local-member-id" => local(), "remote-peer-id-from" => from);
            return Err(refuse(StatusCode::GONE, "removed member"));
        }
        let Some(peer) = self.shared.peer(id) else {
            self.shared.add_remote_of(id, &head.headers);
            line!(Warn, "failed to find remote peer in cluster", "local-member-id" => local(),
                "remote-peer-id-from" => from, "cluster-id" => self.shared.config.cluster.to_string());
            return Err(refuse(StatusCode::NOT_FOUND, "error sender not found"));
        };
        let to = compat::text(&head.headers, RAFT_TO);
        if to != local() {
            line!(Warn, "ignored streaming request; ID mismatch", "local-member-id" => local(),
                "remote-peer-id-header" => to, "remote-peer-id-from" => from,
                "cluster-id" => self.shared.config.cluster.to_string());
            return Err(refuse(StatusCode::PRECONDITION_FAILED, "to field mismatch"));
        }
        Ok(Writing::begin(&self.shared, peer, stream))
    }

    async fn message(&self, remote: &str, head: &Parts, body: Posted) -> Result<Response<Body>, Refusal> {
        allow_only(head, Method::POST, "POST")?;
        self.check(head)?;
        self.shared.add_sender(&head.headers);
        let failed = |what: &'static str, text: &'static str, status, error: String| {
            line!(Warn, what, "local-member-id" => self.shared.config.id.to_string(), "error" => error);
            metrics().network_peer_received_failures_total.with(&[remote]).inc();
            refuse(status, text)
        };
        let (bytes, permit) = self.collect(body).await.map_err(|error| {
            failed(
                "failed to read Raft message",
                "error reading raft message",
                error.status(),
                error.to_string(),
            )
        })?;
        let len = bytes.len();
        let decoded = decode_message(bytes, MESSAGE_BYTES_MAX).map_err(|error| {
            let text = "error unmarshalling raft message";
            failed("failed to unmarshal Raft message", text, StatusCode::BAD_REQUEST, error.to_string())
        })?;
        self.count(decoded_from(&decoded), len as u64);
        match decoded {
            Decoded::LinkHeartbeat => {
                self.shared.screen(0, 0).map_err(Refusal::Unwanted)?;
            }
            // Raft would not look at it either.
            Decoded::Ignored { .. } => {}
            Decoded::Message(message) => {
                self.shared.screen(message.from, message.to).map_err(Refusal::Unwanted)?;
                self.hand_over(message).await?;
            }
        }
        drop(permit);
        Ok(refusal::no_content())
    }

    /// Gives raft a message, and waits until it was taken in.
    async fn hand_over(&self, message: Message) -> Result<(), Refusal> {
        let turns = Turns::new();
        turns.come().await;
        if !self.shared.hand_over(vec![message], turns.next()) {
            let text = "error processing raft message";
            return Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, text));
        }
        turns.come().await;
        Ok(())
    }

    /// The whole of a posted message, and its share of what all of them may hold.
    async fn collect(&self, mut body: Posted) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Unread> {
        let mut whole = BytesMut::new();
        let mut held: Option<OwnedSemaphorePermit> = None;
        loop {
            let frame = match timeout(IO_TIMEOUT, body.frame()).await {
                Ok(Some(frame)) => frame.map_err(|error| Unread::Broken(error.to_string()))?,
                Ok(None) => return Ok((whole.freeze(), held)),
                Err(_) => return Err(Unread::Broken("i/o timeout".into())),
            };
            let Ok(bytes) = frame.into_data() else { continue };
            if (whole.len() + bytes.len()) as u64 > MESSAGE_BYTES_MAX {
                return Err(Unread::Broken("it is too long".into()));
            }
            let wanted = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let posted = Arc::clone(&self.shared.posted);
            let Ok(more) = posted.try_acquire_many_owned(wanted) else {
                return Err(Unread::TooMuch);
            };
            match &mut held {
                Some(permit) => permit.merge(more),
                None => held = Some(more),
            }
            whole.extend_from_slice(&bytes);
        }
    }

    fn count(&self, from: u64, bytes: u64) {
        metrics().network_peer_received_bytes_total.with(&[&MemberId(from).to_string()]).add(bytes);
    }
}

fn decoded_from(decoded: &Decoded) -> u64 {
    match decoded {
        Decoded::Message(message) => message.from,
        Decoded::Ignored { from, .. } => *from,
        Decoded::LinkHeartbeat => 0,
    }
}
