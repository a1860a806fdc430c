//! A watch of one range.

use http::uri::PathAndQuery;
use proto::etcdserverpb::{self as pb, watch_request::RequestUnion};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming, client::Grpc, metadata::AsciiMetadataValue, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    Error,
    client::{chain, with_token},
};

/// A stream with one watch on it. Dropping it ends both.
#[derive(Debug)]
pub struct Watch {
    replies: Streaming<pb::WatchResponse>,
    /// A stream whose requests have ended is ended by the server.
    _requests: mpsc::Sender<pb::WatchRequest>,
}

impl Watch {
    pub(crate) async fn open(
        channel: Channel,
        token: Option<AsciiMetadataValue>,
        create: pb::WatchCreateRequest,
    ) -> Result<Watch, tonic::Status> {
        let mut grpc = Grpc::new(channel);
        grpc.ready().await.map_err(|error| tonic::Status::unavailable(chain(&error)))?;
        let (requests, stream) = mpsc::channel(1);
        let first = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // There is room for one.
        let _ = requests.try_send(first);
        let codec = ProstCodec::<pb::WatchRequest, pb::WatchResponse>::default();
        let request = with_token(Request::new(ReceiverStream::new(stream)), token);
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let replies = grpc.streaming(request, path, codec).await?.into_inner();
        Ok(Watch { replies, _requests: requests })
    }

    /// The next reply: that the watch exists, events, or progress; `None` when the server has ended the stream.
    ///
    /// # Errors
    /// `Refused` when the stream broke; `WatchCanceled`.
    pub async fn next(&mut self) -> Result<Option<pb::WatchResponse>, Error> {
        match self.replies.message().await? {
            Some(reply) if reply.canceled => Err(Error::WatchCanceled(reply.cancel_reason)),
            reply => Ok(reply),
        }
    }
}
