//! Requests of a stream that goes both ways.

use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming, metadata::AsciiMetadataValue};
use tonic_prost::ProstCodec;

use crate::{Client, Error, call::Class};

/// Requests that may wait for the connection.
const WAITING_MAX: usize = 64;

/// A stream of requests and replies. A stream whose requests have ended is ended by the server.
#[derive(Debug)]
pub(crate) struct Talk<Q, A> {
    requests: mpsc::Sender<Q>,
    replies: Streaming<A>,
}

impl<Q: Message + Clone + 'static, A: Message + Default + 'static> Talk<Q, A> {
    /// Begins with some requests.
    pub(crate) async fn open(
        client: &Client,
        path: &'static str,
        first: &[Q],
        require_leader: bool,
    ) -> Result<Talk<Q, A>, Error> {
        let opened = client.each_endpoint(Class::Repeatable, |mut grpc, mut metadata| {
            let (requests, stream) = mpsc::channel(WAITING_MAX.max(first.len()));
            for request in first {
                // There is room for all of them.
                let _ = requests.try_send(request.clone());
            }
            if require_leader {
                metadata.insert("hasleader", AsciiMetadataValue::from_static("true"));
            }
            let mut request = Request::new(ReceiverStream::new(stream));
            *request.metadata_mut() = metadata;
            Box::pin(async move {
                let codec = ProstCodec::<Q, A>::default();
                let path = PathAndQuery::from_static(path);
                let replies = grpc.streaming(request, path, codec).await?.into_inner();
                Ok(Talk { requests, replies })
            })
        });
        opened.await
    }

    /// Sends one more; it is lost when the stream is broken, which [`Talk::next`] tells.
    pub(crate) async fn send(&self, request: Q) {
        let _ = self.requests.send(request).await;
    }

    /// The next reply; `None` when the server has ended the stream. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Option<A>, Error> {
        self.replies.message().await.map_err(|status| crate::call::readable(status).into())
    }
}
