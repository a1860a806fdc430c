//! Calls.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use http::uri::PathAndQuery;
use prost::Message;
use proto::etcdserverpb as pb;
use tonic::{Code, Request, client::Grpc, metadata::AsciiMetadataValue, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{Endpoint, Error, Tls, Watch, connect};

/// How to reach a cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `http://HOST:PORT`, `https://HOST:PORT` or `HOST:PORT`.
    pub endpoints: Vec<String>,
    /// Whether endpoints without a scheme speak TLS.
    pub secure: bool,
    /// For endpoints that speak TLS.
    pub tls: Tls,
    /// Name and password; `None` without.
    pub login: Option<(String, String)>,
    /// Longest time to connect.
    pub dial_timeout: Duration,
    /// Longest time for a call to all endpoints together.
    pub request_timeout: Duration,
    /// Silence before a ping.
    pub keepalive_time: Duration,
    /// Longest wait for its answer.
    pub keepalive_timeout: Duration,
}

/// A client of one cluster.
#[derive(Debug)]
pub struct Client {
    channels: Vec<Channel>,
    /// The channel that answered last.
    preferred: AtomicUsize,
    token: Option<AsciiMetadataValue>,
    request_timeout: Duration,
}

/// A unary method: path, request, reply.
macro_rules! unary {
    ($(#[$doc:meta])* $name:ident, $path:literal, $request:ident, $reply:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// `Refused` and `TimeUp`.
        pub async fn $name(&self, request: pb::$request) -> Result<pb::$reply, Error> {
            self.call($path, request).await
        }
    };
}

impl Client {
    /// Prepares channels, and logs in if there is a user. Without one nothing is connected yet.
    ///
    /// # Errors
    /// `Endpoint`, `Tls`; when logging in, as for a call.
    pub async fn open(settings: &Settings) -> Result<Client, Error> {
        let channel = |text: &String| {
            let endpoint = Endpoint::parse(text, settings.secure)?;
            connect::channel(&endpoint, settings)
        };
        let mut client = Client {
            channels: settings.endpoints.iter().map(channel).collect::<Result<_, _>>()?,
            preferred: AtomicUsize::new(0),
            token: None,
            request_timeout: settings.request_timeout,
        };
        if let Some((name, password)) = settings.login.clone() {
            let reply = client.authenticate(pb::AuthenticateRequest { name, password }).await?;
            let token = AsciiMetadataValue::try_from(reply.token)
                .map_err(|_| Error::Tls("the server's token is not ASCII".into()))?;
            client.token = Some(token);
        }
        Ok(client)
    }

    unary!(
        /// A token for a user.
        authenticate, "/etcdserverpb.Auth/Authenticate", AuthenticateRequest, AuthenticateResponse
    );
    unary!(
        /// Keys and values.
        range, "/etcdserverpb.KV/Range", RangeRequest, RangeResponse
    );
    unary!(
        /// One key is written.
        put, "/etcdserverpb.KV/Put", PutRequest, PutResponse
    );

    /// Opens a watch. Its end is told by [`Watch::next`].
    ///
    /// # Errors
    /// `Refused` and `TimeUp` when no endpoint takes it.
    pub async fn watch(&self, create: pb::WatchCreateRequest) -> Result<Watch, Error> {
        let opened = self
            .each_endpoint(async |channel| Watch::open(channel, self.token.clone(), create.clone()).await);
        opened.await
    }

    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Error>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.each_endpoint(async |channel| {
            let mut grpc = Grpc::new(channel);
            grpc.ready().await.map_err(|error| tonic::Status::unavailable(chain(&error)))?;
            let codec = ProstCodec::<Q, A>::default();
            let request = with_token(Request::new(request.clone()), self.token.clone());
            Ok(grpc.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
        })
        .await
    }

    /// Asks endpoints in turn, until one answers.
    async fn each_endpoint<T>(
        &self,
        ask: impl AsyncFn(Channel) -> Result<T, tonic::Status>,
    ) -> Result<T, Error> {
        let first = self.preferred.load(Ordering::Relaxed);
        let asked = async {
            let mut last = tonic::Status::unavailable("there are no endpoints");
            for turn in 0..self.channels.len() {
                let at = (first + turn) % self.channels.len();
                match ask(self.channels[at].clone()).await {
                    // It may have lost its quorum, or be gone: another one may do.
                    Err(status) if status.code() == Code::Unavailable => last = status,
                    answer => {
                        self.preferred.store(at, Ordering::Relaxed);
                        return answer;
                    }
                }
            }
            Err(last)
        };
        match tokio::time::timeout(self.request_timeout, asked).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Error::TimeUp),
        }
    }
}

pub(crate) fn with_token<T>(mut request: Request<T>, token: Option<AsciiMetadataValue>) -> Request<T> {
    if let Some(token) = token {
        request.metadata_mut().insert("token", token);
    }
    request
}

/// An error with all its reasons: the last one says what is wrong.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
