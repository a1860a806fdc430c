//! Answers in pieces.

use http::uri::PathAndQuery;
use prost::Message;
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

use crate::{Client, Error, call::Class};

/// Replies to one request.
#[derive(Debug)]
pub struct Replies<A>(Streaming<A>);

impl<A: Message + Default + 'static> Replies<A> {
    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// `Refused` when the server gives up, or the connection breaks.
    pub async fn next(&mut self) -> Result<Option<A>, Error> {
        self.0.message().await.map_err(|status| crate::call::readable(status).into())
    }
}

impl Client {
    pub(crate) async fn replies<Q, A>(&self, path: &'static str, request: Q) -> Result<Replies<A>, Error>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.each_endpoint(Class::Repeatable, |mut grpc, metadata| {
            let mut request = Request::new(request.clone());
            *request.metadata_mut() = metadata;
            Box::pin(async move {
                let codec = ProstCodec::<Q, A>::default();
                let path = PathAndQuery::from_static(path);
                Ok(Replies(grpc.server_streaming(request, path, codec).await?.into_inner()))
            })
        })
        .await
    }
}
