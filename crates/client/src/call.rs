//! How a call finds an endpoint that answers, and when it is made again.

use std::{pin::Pin, sync::atomic::Ordering, time::Duration};

use http::uri::PathAndQuery;
use prost::Message;
use proto::etcdserverpb as pb;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    metadata::{AsciiMetadataValue, MetadataMap},
    transport::Channel,
};
use tonic_prost::ProstCodec;

use crate::{Client, Error, connect::NotConnected, error::chain};

/// Whether a request may be made again when nobody knows what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// It may.
    Repeatable,
    /// It may not; only when it was certainly not sent.
    Write,
}

/// How one endpoint is asked. The future is in a box, so that tasks may hold it.
pub(crate) trait Ask<T>: Fn(Grpc<Channel>, MetadataMap) -> Answer<T> + Send + Sync {}
impl<T, F: Fn(Grpc<Channel>, MetadataMap) -> Answer<T> + Send + Sync> Ask<T> for F {}
/// An answer to come.
pub(crate) type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send>>;

/// The pause before all endpoints are tried again, which grows up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// So often servers may say that they cannot answer now.
const REFUSALS_MAX: u32 = 100;
/// The interface we speak, which servers count.
const API_VERSION: &str = "3.7";

/// What servers say of a token that has to be renewed.
const STALE: [&str; 3] = [
    "etcdserver: invalid auth token",
    "etcdserver: revision of auth store is old",
    "etcdserver: user name is empty",
];
const NOT_ENABLED: &str = "etcdserver: authentication is not enabled";

impl Client {
    pub(crate) async fn call<Q, A>(&self, path: &'static str, request: Q, class: Class) -> Result<A, Error>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.check_size(request.encoded_len())?;
        let called = self.each_endpoint(class, |mut grpc, metadata| {
            let mut request = Request::new(request.clone());
            *request.metadata_mut() = metadata;
            Box::pin(async move {
                let codec = ProstCodec::<Q, A>::default();
                Ok(grpc.unary(request, PathAndQuery::from_static(path), codec).await?.into_inner())
            })
        });
        called.await
    }

    /// # Errors
    /// In the words of Go's library, which users know.
    pub(crate) fn check_size(&self, bytes: usize) -> Result<(), Error> {
        let most = self.inner.settings.request_bytes_max;
        if bytes <= most {
            return Ok(());
        }
        let text = format!("trying to send message larger than max ({bytes} vs. {most})");
        Err(Status::resource_exhausted(text).into())
    }

    /// Asks endpoints in turn, until one answers or time is up.
    pub(crate) async fn each_endpoint<T>(&self, class: Class, ask: impl Ask<T>) -> Result<T, Error> {
        // Here, so that it outlives the time limit.
        let mut last = None;
        let asked = self.ask_all(class, ask, &mut last);
        match self.inner.settings.request_timeout {
            None => asked.await,
            Some(limit) => match tokio::time::timeout(limit, asked).await {
                Ok(answer) => answer,
                Err(_) => Err(Error::TimeUp(last)),
            },
        }
    }

    async fn ask_all<T>(
        &self,
        class: Class,
        ask: impl Ask<T>,
        last: &mut Option<String>,
    ) -> Result<T, Error> {
        let inner = &self.inner;
        let first = inner.preferred.load(Ordering::Relaxed);
        let (mut pause, mut refusals, mut renewed) = (PAUSE_MIN, 0, false);
        loop {
            let mut failed = Status::unavailable("there are no endpoints");
            let mut turn = 0;
            while turn < inner.doors.len() {
                let at = (first + turn) % inner.doors.len();
                let door = &inner.doors[at];
                turn += 1;
                let channel = match door.channel(&inner.settings).await {
                    Ok(channel) => channel,
                    Err(reason) => {
                        *last = Some(reason.clone());
                        failed = Status::unavailable(reason);
                        continue;
                    }
                };
                let grpc = Grpc::new(channel).max_decoding_message_size(inner.settings.reply_bytes_max);
                let answer = match grpc_ready(grpc).await {
                    Ok(grpc) => ask(grpc, self.metadata()).await.map_err(|status| (status, false)),
                    Err(status) => Err((status, true)),
                };
                let (status, unsent) = match answer {
                    Ok(answer) => {
                        inner.preferred.store(at, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(failed) => failed,
                };
                if self.is_stale(&status) && !renewed {
                    renewed = true;
                    // Boxed: logging in is a call itself.
                    Box::pin(self.log_in()).await?;
                    turn -= 1;
                    continue;
                }
                let broken = std::error::Error::source(&status).is_some();
                let unsent = unsent || (broken && never_sent(&status));
                if broken || unsent {
                    door.forget().await;
                }
                let unavailable = broken || status.code() == Code::Unavailable;
                if !unavailable || (class == Class::Write && !unsent) {
                    return Err(readable(status).into());
                }
                refusals += u32::from(!broken && !unsent);
                *last = Some(chain(&status));
                failed = status;
            }
            if !inner.settings.wait || inner.doors.is_empty() || refusals >= REFUSALS_MAX {
                return Err(readable(failed).into());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// What goes along with each request.
    pub(crate) fn metadata(&self) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert("client-api-version", AsciiMetadataValue::from_static(API_VERSION));
        let token = self.inner.token.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(token) = token.as_ref() {
            metadata.insert("token", token.clone());
        }
        metadata
    }

    fn is_stale(&self, status: &Status) -> bool {
        self.inner.settings.login.is_some() && STALE.contains(&status.message())
    }

    /// Gets a token for the user, if there is one and users have to log in.
    pub(crate) async fn log_in(&self) -> Result<(), Error> {
        let settings = &self.inner.settings;
        let Some((name, password)) = settings.login.clone() else { return Ok(()) };
        self.forget_token();
        let request = pb::AuthenticateRequest { name, password };
        let path = "/etcdserverpb.Auth/Authenticate";
        let asked = self.call::<_, pb::AuthenticateResponse>(path, request, Class::Repeatable);
        let answer = match tokio::time::timeout(settings.dial_timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::TimeUp(None)),
        };
        match answer {
            Ok(reply) => self.remember(&reply.token),
            Err(error) if error.is(NOT_ENABLED) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn forget_token(&self) {
        *self.inner.token.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    /// # Errors
    /// When it cannot be sent.
    pub(crate) fn remember(&self, token: &str) -> Result<(), Error> {
        let token =
            AsciiMetadataValue::try_from(token).map_err(|_| Error::Tls("the token is not ASCII".into()))?;
        *self.inner.token.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(token);
        Ok(())
    }
}

async fn grpc_ready(mut grpc: Grpc<Channel>) -> Result<Grpc<Channel>, Status> {
    match grpc.ready().await {
        Ok(()) => Ok(grpc),
        Err(error) => Err(Status::unavailable(chain(&error))),
    }
}

/// Whether a request failed because there was no connection to send it on.
fn never_sent(status: &Status) -> bool {
    let mut next = std::error::Error::source(status);
    while let Some(error) = next {
        if error.is::<NotConnected>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// A status whose text says what happened: for broken connections, which are `Unavailable`, the reasons behind it, for replies that are too
/// large what Go's library says.
pub(crate) fn readable(status: Status) -> Status {
    if status.code() == Code::OutOfRange
        && let Some((bytes, most)) = too_large(status.message())
    {
        let text = format!("grpc: received message larger than max ({bytes} vs. {most})");
        return Status::resource_exhausted(text);
    }
    match std::error::Error::source(&status) {
        None => status,
        // The code for that depends on where in an answer the connection broke.
        Some(source) => Status::unavailable(chain(source)),
    }
}

/// The two sizes of a message that is refused for its size.
fn too_large(message: &str) -> Option<(&str, &str)> {
    let rest = message.strip_prefix("Error, decoded message length too large: found ")?;
    let (bytes, rest) = rest.split_once(" bytes, the limit is: ")?;
    Some((bytes, rest.strip_suffix(" bytes")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_that_are_too_large_are_told_as_by_go() {
        let status = Status::out_of_range(
            "Error, decoded message length too large: found 1048583 bytes, the limit is: 10 bytes",
        );
        let status = readable(status);
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), "grpc: received message larger than max (1048583 vs. 10)");
        assert_eq!(readable(Status::out_of_range("etcdserver: x")).message(), "etcdserver: x");
    }
}
