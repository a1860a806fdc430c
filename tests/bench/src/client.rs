//! A gRPC client that costs as little as possible: raw HTTP/2, requests encoded by hand.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, Version};
use tokio::net::TcpStream;

/// One connection; clones share it.
#[derive(Clone)]
pub(crate) struct Client {
    sender: SendRequest<Bytes>,
    authority: String,
}

/// Windows large enough that the client never holds the server up.
const WINDOW: u32 = 16 << 20;

impl Client {
    pub(crate) async fn connect(address: &str) -> Result<Client> {
        let socket = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        socket.set_nodelay(true)?;
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_concurrent_streams(u32::MAX)
            .handshake(socket)
            .await?;
        tokio::task::spawn_local(async move {
            // Ends with the connection; calls then fail by themselves.
            let _ = connection.await;
        });
        Ok(Client { sender, authority: address.to_string() })
    }

    /// One unary call: the reply's bytes, all messages together.
    pub(crate) async fn call(&self, path: &'static str, message: &[u8]) -> Result<BytesMut> {
        let mut framed = BytesMut::with_capacity(5 + message.len());
        framed.extend_from_slice(&[0]);
        framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
        framed.extend_from_slice(message);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = format!("http://{}{path}", self.authority).parse()?;
        let headers = request.headers_mut();
        headers.insert("content-type", http::HeaderValue::from_static("application/grpc"));
        headers.insert("te", http::HeaderValue::from_static("trailers"));
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut stream) = sender.send_request(request, false)?;
        stream.send_data(framed.freeze(), true)?;
        let response = response.await?;
        let mut status = Status::of(response.headers());
        let mut body = response.into_body();
        let mut reply = BytesMut::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            reply.extend_from_slice(&chunk);
        }
        if let Some(trailers) = body.trailers().await? {
            status = Status::of(&trailers).or(status);
        }
        let Some(Status { code, text }) = status else { bail!("{path}: a reply without grpc-status") };
        ensure!(code == "0", "{path}: grpc-status {code}: {text}");
        Ok(reply)
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
