//! A raw gRPC client over `h2`.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::{RecvStream, SendStream, client};
use http::{HeaderMap, Request, Response};
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// No test waits longer than this for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

#[derive(Clone)]
pub(super) struct Client {
    send: client::SendRequest<Bytes>,
}

/// A call's end: code, text.
pub(super) type Outcome = (i32, String);

pub(super) struct Reply {
    pub(super) http: u16,
    pub(super) headers: HeaderMap,
    pub(super) messages: Vec<Bytes>,
    pub(super) outcome: Outcome,
}

impl Reply {
    pub(super) fn message<P: Message + Default>(&self) -> P {
        assert_eq!(self.outcome, (0, String::new()));
        assert_eq!(self.messages.len(), 1);
        P::decode(self.messages[0].clone()).unwrap()
    }
}

pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(message.len() as u32);
    out.put_slice(message);
    out.freeze()
}

pub(super) fn request(path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut builder = Request::post(format!("http://localhost{path}"));
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        builder = builder.header("content-type", "application/grpc");
    }
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

impl Client {
    pub(super) async fn tcp(port: u16, builder: client::Builder) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client::over(stream, builder).await
    }

    pub(super) async fn over(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        builder: client::Builder,
    ) -> Client {
        let (send, connection) = builder.handshake(io).await.unwrap();
        tokio::spawn(async move {
            // Tests that close connections see it in their calls.
            let _ = connection.await;
        });
        Client { send }
    }

    /// Sends a request that has only one message.
    pub(super) async fn call(&self, path: &str, headers: &[(&str, &str)], body: Bytes) -> Reply {
        let (mut send, response) = self.open(path, headers).await;
        // A server that answers early resets the stream.
        let _ = send.send_data(body, true);
        soon(collect(response.await.unwrap())).await
    }

    pub(super) async fn unary(&self, path: &str, message: &impl Message) -> Reply {
        self.call(path, &[], framed(&message.encode_to_vec())).await
    }

    /// Opens a stream, with nothing sent yet.
    pub(super) async fn open(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (SendStream<Bytes>, client::ResponseFuture) {
        let mut send = soon(self.send.clone().ready()).await.unwrap();
        let (response, stream) = send.send_request(request(path, headers), false).unwrap();
        (stream, response)
    }

    /// Sends a request without a body.
    pub(super) async fn get(&self, path: &str, request: Request<()>) -> Response<RecvStream> {
        let mut send = soon(self.send.clone().ready()).await.unwrap();
        assert_eq!(request.uri().path(), path);
        let (response, _) = send.send_request(request, true).unwrap();
        soon(response).await.unwrap()
    }

    /// Whether the server has said goodbye.
    pub(super) async fn is_closed(&self) -> bool {
        self.send.clone().ready().await.is_err()
    }
}

/// Reads a response to its end.
pub(super) async fn collect(response: Response<RecvStream>) -> Reply {
    let (parts, mut body) = response.into_parts();
    let mut data = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.unwrap();
        body.flow_control().release_capacity(chunk.len()).unwrap();
        data.put(chunk);
    }
    let trailers = body.trailers().await.unwrap();
    let outcome = outcome(trailers.as_ref().unwrap_or(&parts.headers));
    let mut messages = Vec::new();
    while !data.is_empty() {
        let flag = data.get_u8();
        let len = data.get_u32() as usize;
        let message = data.split_to(len).freeze();
        messages.push(if flag == 1 { gunzip(&message) } else { message });
    }
    Reply { http: parts.status.as_u16(), headers: parts.headers, messages, outcome }
}

pub(super) fn outcome(fields: &HeaderMap) -> Outcome {
    let code = fields.get("grpc-status").map_or(-1, |code| code.to_str().unwrap().parse().unwrap());
    let text = fields.get("grpc-message").map_or("", |text| text.to_str().unwrap());
    (code, text.to_owned())
}

fn gunzip(message: &[u8]) -> Bytes {
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(message), &mut out).unwrap();
    out.into()
}

/// A stream of replies, message by message.
pub(super) struct Inbox {
    body: RecvStream,
    data: BytesMut,
}

impl Inbox {
    pub(super) async fn open(response: client::ResponseFuture) -> Inbox {
        Inbox { body: soon(response).await.unwrap().into_body(), data: BytesMut::new() }
    }

    /// The next message, or how the stream ended.
    pub(super) async fn next<P: Message + Default>(&mut self) -> Result<P, Outcome> {
        Ok(P::decode(self.next_bytes().await?).unwrap())
    }

    /// As [`Inbox::next`], as it came.
    pub(super) async fn next_bytes(&mut self) -> Result<Bytes, Outcome> {
        loop {
            if let Some(&[_, l0, l1, l2, l3]) = self.data.first_chunk::<5>() {
                let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
                if self.data.len() >= 5 + len {
                    self.data.advance(5);
                    return Ok(self.data.split_to(len).freeze());
                }
            }
            match soon(self.body.data()).await {
                Some(Ok(chunk)) => {
                    self.body.flow_control().release_capacity(chunk.len()).unwrap();
                    self.data.put(chunk);
                }
                Some(Err(error)) => return Err((-1, error.to_string())),
                None => {
                    let trailers = soon(self.body.trailers()).await.unwrap();
                    return Err(outcome(&trailers.unwrap_or_default()));
                }
            }
        }
    }
}
