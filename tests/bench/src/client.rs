//! A gRPC client that costs as little as possible: raw HTTP/2, requests encoded by hand.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream, client::SendRequest};
use http::{HeaderMap, Method, Request, Version};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Where a server is, and what it is shown.
#[derive(Clone)]
pub(crate) struct Target {
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
}

impl Target {
    /// One that is spoken to without TLS.
    pub(crate) fn plain(address: &str) -> Target {
        Target { address: address.into(), tls: None }
    }
}

/// One connection; clones share it.
#[derive(Clone)]
pub(crate) struct Client {
    sender: SendRequest<Bytes>,
    /// Scheme and authority.
    base: String,
    token: Option<http::HeaderValue>,
}

/// Windows large enough that the client never holds the server up.
const WINDOW: u32 = 16 << 20;

impl Client {
    pub(crate) async fn connect(address: &str) -> Result<Client> {
        Client::with_windows(&Target::plain(address), WINDOW).await
    }

    pub(crate) async fn to(target: &Target) -> Result<Client> {
        Client::with_windows(target, WINDOW).await
    }

    /// With another window for each stream, in bytes: what the server may send ahead of who reads.
    pub(crate) async fn with_windows(target: &Target, stream: u32) -> Result<Client> {
        let address = &target.address;
        let socket = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        socket.set_nodelay(true)?;
        let Some(tls) = &target.tls else {
            return Client::on(socket, format!("http://{address}"), stream).await;
        };
        let name = ServerName::try_from("localhost")?;
        let secure = TlsConnector::from(Arc::clone(tls)).connect(name, socket).await?;
        Client::on(secure, format!("https://{address}"), stream).await
    }

    async fn on(
        socket: impl AsyncRead + AsyncWrite + Unpin + 'static,
        base: String,
        stream: u32,
    ) -> Result<Client> {
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(stream)
            .initial_connection_window_size(WINDOW)
            .max_concurrent_streams(u32::MAX)
            .handshake(socket)
            .await?;
        tokio::task::spawn_local(async move {
            // Ends with the connection; calls then fail by themselves.
            let _ = connection.await;
        });
        Ok(Client { sender, base, token: None })
    }

    /// The same, as whoever has this token.
    pub(crate) fn with_token(self, token: &str) -> Result<Client> {
        Ok(Client { token: Some(http::HeaderValue::from_str(token)?), ..self })
    }

    /// One unary call: the reply's bytes, all messages together.
    pub(crate) async fn call(&self, path: &'static str, message: &[u8]) -> Result<BytesMut> {
        let mut body = self.begin(path, message, true).await?;
        let mut reply = BytesMut::new();
        while let Some(chunk) = body.chunk().await? {
            reply.extend_from_slice(&chunk);
        }
        Ok(reply)
    }

    /// Begins a call with its first message, and its only one if it is the `last`.
    pub(crate) async fn begin(&self, path: &'static str, message: &[u8], last: bool) -> Result<Body> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = format!("{}{path}", self.base).parse()?;
        let headers = request.headers_mut();
        headers.insert("content-type", http::HeaderValue::from_static("application/grpc"));
        headers.insert("te", http::HeaderValue::from_static("trailers"));
        if let Some(token) = &self.token {
            headers.insert("token", token.clone());
        }
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut requests) = sender.send_request(request, false)?;
        requests.send_data(framed(message), last)?;
        let response = response.await?;
        let status = Status::of(response.headers());
        Ok(Body { path, status, stream: response.into_body(), requests })
    }
}

/// A message behind its prefix.
fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.extend_from_slice(&[0]);
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    framed.freeze()
}

/// Bytes before a message: whether it is compressed, and its length.
pub(crate) const PREFIX: usize = 5;

/// An answer as it arrives; the call is canceled when it is dropped.
pub(crate) struct Body {
    path: &'static str,
    status: Option<Status>,
    stream: RecvStream,
    requests: SendStream<Bytes>,
}

impl Body {
    /// Sends another message of a call that was begun with more to come.
    pub(crate) fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.requests.send_data(framed(message), false)?)
    }

    /// The next bytes, whatever their frames; `None` at the end of a call that went well.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        if let Some(chunk) = self.stream.data().await {
            let chunk = chunk?;
            self.stream.flow_control().release_capacity(chunk.len())?;
            return Ok(Some(chunk));
        }
        let trailers = self.stream.trailers().await?;
        let status = trailers.as_ref().and_then(Status::of).or(self.status.take());
        let Some(Status { code, text }) = status else { bail!("{}: a reply without grpc-status", self.path) };
        ensure!(code == "0", "{}: grpc-status {code}: {text}", self.path);
        Ok(None)
    }

    /// Reads until `buffer` begins with a whole message, and takes it from there; `None` at the end.
    pub(crate) async fn message(&mut self, buffer: &mut BytesMut) -> Result<Option<BytesMut>> {
        loop {
            if let Some(head) = buffer.first_chunk::<PREFIX>() {
                let [_, a, b, c, d] = *head;
                let whole = PREFIX + u32::from_be_bytes([a, b, c, d]) as usize;
                if buffer.len() >= whole {
                    let mut message = buffer.split_to(whole);
                    let _ = message.split_to(PREFIX);
                    return Ok(Some(message));
                }
            }
            match self.chunk().await? {
                Some(chunk) => buffer.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// How a call ended, as the server says.
struct Status {
    code: String,
    text: String,
}

impl Status {
    fn of(headers: &HeaderMap) -> Option<Status> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_string);
        Some(Status { code: text("grpc-status")?, text: text("grpc-message").unwrap_or_default() })
    }
}
