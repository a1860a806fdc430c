//! gRPC over raw HTTP/2, so that a test can also send what no client library would.

use std::{fmt, future::Future, marker::PhantomData, net::SocketAddr, rc::Rc};

use bytes::{BufMut, Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use prost::Message;
use tokio::{net::TcpStream, runtime::Runtime, time::timeout};

use crate::{PATIENCE, rpcs::Rpc};

/// Large enough that no test waits for the client's windows.
const WINDOW: u32 = 64 << 20;
/// The code that Go's client gives to a call whose transport fails.
const UNAVAILABLE: u32 = 14;

/// How a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// gRPC code.
    pub code: u32,
    /// Text, percent-decoded.
    pub message: String,
}

impl Status {
    /// A status to compare with.
    pub fn new(code: u32, message: &str) -> Status {
        Status { code, message: message.into() }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}: {}", self.code, self.message)
    }
}

/// One connection. Each call blocks, at most [`PATIENCE`].
#[derive(Clone)]
pub struct Client {
    runtime: Rc<Runtime>,
    sender: SendRequest<Bytes>,
    address: SocketAddr,
    metadata: HeaderMap,
}

/// A whole answer, as it came.
#[derive(Clone, Debug)]
pub struct RawAnswer {
    /// HTTP status.
    pub http: u16,
    /// Headers, trailers after them.
    pub headers: HeaderMap,
    /// All data.
    pub body: Bytes,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When the server does not speak HTTP/2.
    pub fn connect(address: SocketAddr) -> Client {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let sender = runtime.block_on(bounded(async {
            let socket = TcpStream::connect(address).await.unwrap_or_else(|e| panic!("{address}: {e}"));
            socket.set_nodelay(true).expect("a socket takes its options");
            let (sender, connection) = h2::client::Builder::new()
                .initial_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .handshake(socket)
                .await
                .unwrap_or_else(|e| panic!("{address} speaks no HTTP/2: {e}"));
            // Ends with the connection; calls then fail by themselves.
            tokio::spawn(async move { connection.await.ok() });
            sender
        }));
        Client { runtime: Rc::new(runtime), sender, address, metadata: HeaderMap::new() }
    }

    /// The same connection, with a metadata field on each call.
    ///
    /// # Panics
    /// When the field cannot be a header.
    pub fn with(&self, name: &'static str, value: &[u8]) -> Client {
        let mut client = self.clone();
        let value = HeaderValue::from_bytes(value).expect("a header value");
        client.metadata.append(HeaderName::from_static(name), value);
        client
    }

    /// A unary call.
    ///
    /// # Errors
    /// The status, when it is not OK.
    pub fn call<Q: Rpc>(&self, request: Q) -> Result<Q::Reply, Status> {
        self.unary(Q::METHOD, request.encode_to_vec())
    }

    /// A unary call that must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub fn ok<Q: Rpc>(&self, request: Q) -> Q::Reply {
        let shown = format!("{request:?}");
        self.call(request).unwrap_or_else(|status| panic!("{} {shown}: {status}", Q::METHOD))
    }

    /// A unary call that must fail.
    ///
    /// # Panics
    /// When it succeeds.
    pub fn fails<Q: Rpc>(&self, request: Q) -> Status {
        let shown = format!("{request:?}");
        match self.call(request) {
            Ok(reply) => panic!("{} {shown} succeeds: {reply:?}", Q::METHOD),
            Err(status) => status,
        }
    }

    /// A unary call of any method with any bytes.
    ///
    /// # Errors
    /// The status, when it is not OK.
    ///
    /// # Panics
    /// When the answer is not exactly one message or a failure.
    pub fn unary<P: Message + Default>(&self, method: &str, message: Vec<u8>) -> Result<P, Status> {
        let mut stream: Stream<Vec<u8>, P> = self.open(method);
        stream.send_bytes(&message);
        stream.finish();
        let reply = stream.next()?.unwrap_or_else(|| panic!("{method}: OK without a message"));
        assert!(stream.next()?.is_none(), "{method}: more than one message");
        Ok(reply)
    }

    /// Opens a call.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn open<Q, P>(&self, method: &str) -> Stream<Q, P> {
        let (response, send) = self.start(self.grpc_request(method), false);
        Stream {
            runtime: Rc::clone(&self.runtime),
            send,
            response: Some(response),
            body: None,
            buffer: BytesMut::new(),
            ended: None,
            types: PhantomData,
        }
    }

    /// Any HTTP/2 request with any body; `path` with its slash.
    ///
    /// # Errors
    /// How the stream was reset.
    pub fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &[u8])],
        body: &[u8],
    ) -> Result<RawAnswer, h2::Error> {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value).expect("a header value");
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
        let (response, mut send) = self.start(request, body.is_empty());
        if !body.is_empty() {
            send.send_data(Bytes::copy_from_slice(body), true)?;
        }
        self.runtime.block_on(bounded(async {
            let (head, mut data) = response.await?.into_parts();
            let mut answer =
                RawAnswer { http: head.status.as_u16(), headers: head.headers, body: Bytes::new() };
            let mut collected = BytesMut::new();
            while let Some(chunk) = data.data().await {
                let chunk = chunk?;
                data.flow_control().release_capacity(chunk.len())?;
                collected.extend_from_slice(&chunk);
            }
            answer.body = collected.freeze();
            if let Some(trailers) = data.trailers().await? {
                answer.headers.extend(trailers);
            }
            Ok(answer)
        }))
    }

    fn request(&self, method: Method, path: &str) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = format!("http://{}{path}", self.address).parse().expect("a path");
        *request.headers_mut() = self.metadata.clone();
        request
    }

    fn grpc_request(&self, method: &str) -> Request<()> {
        let mut request = self.request(Method::POST, &format!("/{method}"));
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        request
    }

    fn start(&self, request: Request<()>, end: bool) -> (ResponseFuture, SendStream<Bytes>) {
        self.runtime.block_on(bounded(async {
            let mut sender = self.sender.clone().ready().await.expect("the connection is up");
            sender.send_request(request, end).expect("a request can be sent")
        }))
    }
}

/// A call under way: `Q` goes out, `P` comes in. Dropping it resets the stream, as a canceled call does.
pub struct Stream<Q, P> {
    runtime: Rc<Runtime>,
    send: SendStream<Bytes>,
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    buffer: BytesMut,
    /// How it ended, once it did.
    ended: Option<Result<(), Status>>,
    types: PhantomData<(Q, P)>,
}

impl<Q: Message, P: Message + Default> Stream<Q, P> {
    /// Sends a message.
    ///
    /// # Panics
    /// When the stream is closed.
    pub fn send(&mut self, message: &Q) {
        self.send_bytes(&message.encode_to_vec());
    }
}

impl<Q, P: Message + Default> Stream<Q, P> {
    /// Sends a message that is encoded already.
    ///
    /// # Panics
    /// When the stream is closed.
    pub fn send_bytes(&mut self, message: &[u8]) {
        let mut framed = BytesMut::with_capacity(5 + message.len());
        framed.put_u8(0);
        framed.put_u32(message.len() as u32);
        framed.put_slice(message);
        self.send_raw(framed.freeze());
    }

    /// Sends bytes without framing them.
    ///
    /// # Panics
    /// When the stream is closed.
    pub fn send_raw(&mut self, bytes: Bytes) {
        self.send.send_data(bytes, false).expect("the stream is open");
    }

    /// Ends our half.
    pub fn finish(&mut self) {
        // Fails when the server has reset the stream: what it said comes with the next read.
        let _ = self.send.send_data(Bytes::new(), true);
    }

    /// Waits for the beginning of the answer: the server has the request then.
    ///
    /// # Panics
    /// When it does not come, or the call has failed.
    pub fn opened(&mut self) {
        let runtime = Rc::clone(&self.runtime);
        let response = self.response.take().expect("asked once, before anything was read");
        let response = runtime.block_on(bounded(response)).expect("an answer");
        assert!(!response.headers().contains_key("grpc-status"), "{:?}", response.headers());
        self.body = Some(response.into_body());
    }

    /// The next message, or `None` when the call ended with OK.
    ///
    /// # Errors
    /// How it ended, otherwise. A transport that fails is code 14, as in Go's client.
    ///
    /// # Panics
    /// When nothing comes in time, or what comes is no such message.
    #[allow(clippy::should_implement_trait, reason = "the end and the failure of a call are two things")]
    pub fn next(&mut self) -> Result<Option<P>, Status> {
        let runtime = Rc::clone(&self.runtime);
        let next = runtime.block_on(bounded(self.next_bytes()))?;
        Ok(next.map(|bytes| P::decode(bytes).expect("a reply of the announced type")))
    }

    /// The next message.
    ///
    /// # Panics
    /// When the call has ended.
    pub fn message(&mut self) -> P {
        self.next().unwrap_or_else(|status| panic!("{status}")).expect("the call goes on")
    }

    /// Reads messages to the end.
    ///
    /// # Errors
    /// How it ended, unless with OK.
    pub fn rest(&mut self) -> Result<Vec<P>, Status> {
        let mut all = Vec::new();
        while let Some(message) = self.next()? {
            all.push(message);
        }
        Ok(all)
    }

    async fn next_bytes(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Ok(Some(frame));
            }
            if let Some(ended) = &self.ended {
                return ended.clone().map(|()| None);
            }
            if let Err(error) = self.read_more().await {
                self.ended = Some(Err(Status::new(UNAVAILABLE, &format!("transport: {error}"))));
            }
        }
    }

    async fn read_more(&mut self) -> Result<(), h2::Error> {
        if let Some(response) = self.response.take() {
            let response = response.await?;
            if response.headers().contains_key("grpc-status") {
                self.ended = Some(status(response.headers()));
                return Ok(());
            }
            assert_eq!(response.status(), 200, "{:?}", response.headers());
            self.body = Some(response.into_body());
        }
        let body = self.body.as_mut().expect("there is a body once there are headers");
        match body.data().await {
            Some(chunk) => {
                let chunk = chunk?;
                body.flow_control().release_capacity(chunk.len())?;
                self.buffer.extend_from_slice(&chunk);
            }
            None => {
                let trailers = body.trailers().await?.expect("a call ends with trailers");
                assert!(self.buffer.is_empty(), "half a message at the end");
                self.ended = Some(status(&trailers));
            }
        }
        Ok(())
    }

    fn take_frame(&mut self) -> Option<Bytes> {
        let length = u32::from_be_bytes(self.buffer.get(1..5)?.try_into().expect("four bytes")) as usize;
        if self.buffer.len() < 5 + length {
            return None;
        }
        assert_eq!(self.buffer[0], 0, "a compressed message that was not asked for");
        let mut frame = self.buffer.split_to(5 + length);
        Some(frame.split_off(5).freeze())
    }
}

/// The status in headers or trailers.
///
/// # Errors
/// The status, unless it is OK.
///
/// # Panics
/// When there is none.
pub fn status(headers: &HeaderMap) -> Result<(), Status> {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let code = text("grpc-status").and_then(|code| code.parse().ok());
    let code: u32 = code.unwrap_or_else(|| panic!("no grpc-status: {headers:?}"));
    let message = percent_decode(&text("grpc-message").unwrap_or_default());
    if code == 0 { Ok(()) } else { Err(Status { code, message }) }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%').then(|| after.get(..2)).flatten();
        let decoded = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(decoded.unwrap_or(first));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn bounded<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("no answer within {PATIENCE:?}"))
}
