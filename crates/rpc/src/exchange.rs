//! The reply half of a call: headers, messages under flow control, the final status, and everything that can
//! end a call early.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{Reason as H2Reason, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    gateway::Tray,
    message::{self, Encoding},
    status::{Code, Reason, Status},
};

/// A stream that always has something to send looks this often whether it should end, in messages.
const END_CHECK_INTERVAL: u32 = 64;

/// The content type of replies to requests that name no subtype.
const PLAIN: &str = "application/grpc";

/// Headers that every call needs, made once per thread.
#[derive(Debug)]
pub(crate) struct Templates {
    plain: HeaderMap,
    gzip: HeaderMap,
    ok: HeaderMap,
}

impl Templates {
    pub(crate) fn new() -> Templates {
        let plain = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(PLAIN))]);
        let mut gzip = plain.clone();
        gzip.insert("grpc-encoding", HeaderValue::from_static("gzip"));
        let mut ok = HeaderMap::new();
        ok.insert("grpc-status", HeaderValue::from_static("0"));
        Templates { plain, gzip, ok }
    }

    /// The headers of a reply; `content_type` stands for the plain one.
    fn head(&self, encoding: Encoding, content_type: Option<HeaderValue>) -> Response<()> {
        let mut response = Response::new(());
        *response.headers_mut() = match encoding {
            Encoding::Identity => self.plain.clone(),
            Encoding::Gzip => self.gzip.clone(),
        };
        if let Some(content_type) = content_type {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        response
    }
}

/// The fields that tell how a call ended.
fn status_fields(status: &Status) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(3);
    fields.insert("grpc-status", HeaderValue::from_static(status.code.digits()));
    if !status.message.is_empty() {
        let text = message::percent_encode(&status.message);
        let value = HeaderValue::from_str(&text).expect("percent-encoded text is printable ASCII");
        fields.insert("grpc-message", value);
    }
    fields
}

/// Why a call ends before its handler is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Client or connection are gone: nobody to tell.
    Gone,
    /// Tell the client this.
    Failed(Status),
}

impl From<Status> for End {
    fn from(status: Status) -> End {
        End::Failed(status)
    }
}

impl From<Reason> for End {
    fn from(reason: Reason) -> End {
        End::Failed(reason.status())
    }
}

/// Something outside a stream that ends it with a status.
pub(crate) type Cut = Pin<Box<dyn Future<Output = Status>>>;

/// The reply half of one call.
pub(crate) struct Exchange {
    line: Line,
    /// How replies may be compressed.
    encoding: Encoding,
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    cut: Option<Cut>,
    /// How often the handler has waited.
    waits: u32,
    /// A part of a message was sent and its rest was not: only a reset can end the call.
    mid_message: bool,
}

/// Where replies go.
pub(crate) enum Line {
    /// To a client of gRPC.
    Grpc(GrpcLine),
    /// To the JSON gateway, which takes them one by one.
    Gateway(Rc<Tray>),
}

/// The replies' half of a stream of HTTP/2.
pub(crate) struct GrpcLine {
    pub(crate) templates: Rc<Templates>,
    pub(crate) respond: SendResponse<Bytes>,
    /// Present once headers were sent.
    pub(crate) stream: Option<SendStream<Bytes>>,
    /// Instead of gRPC's plain one.
    pub(crate) content_type: Option<HeaderValue>,
    /// Told to the connection: something was written.
    pub(crate) wrote: Rc<Cell<bool>>,
}

impl Exchange {
    pub(crate) fn new(line: Line, encoding: Encoding, deadline: Option<Instant>) -> Exchange {
        Exchange { line, encoding, deadline, timer: None, cut: None, waits: 0, mid_message: false }
    }

    /// How replies may be compressed.
    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Lets something outside end the call from now on.
    pub(crate) fn set_cut(&mut self, cut: Cut) {
        self.cut = Some(cut);
    }

    /// Waits for `future` while the call goes on: `Err` when the client goes away, the deadline passes or the call
    /// is cut. The future is passed pinned, so that the call's state holds it once.
    pub(crate) fn wait<'a, F: Future>(&'a mut self, future: Pin<&'a mut F>) -> Wait<'a, F> {
        self.waits = self.waits.wrapping_add(1);
        let end_first = self.waits.is_multiple_of(END_CHECK_INTERVAL);
        Wait { exchange: self, future, end_first }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if let Line::Grpc(line) = &mut self.line
            && line.poll_reset(cx).is_ready()
        {
            return Poll::Ready(End::Gone);
        }
        if let Some(cut) = &mut self.cut
            && let Poll::Ready(status) = cut.as_mut().poll(cx)
        {
            return Poll::Ready(End::Failed(status));
        }
        self.poll_deadline(cx)
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if let Some(deadline) = self.deadline {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Reason::ContextDeadline.into());
            }
        }
        Poll::Pending
    }

    /// Sends one framed message, as fast as the client takes it.
    ///
    /// # Errors
    /// As [`Exchange::wait`].
    pub(crate) async fn send(&mut self, framed: Bytes) -> Result<(), End> {
        self.send_part(framed, true).await
    }

    /// Sends a part of a message, which `last` completes.
    ///
    /// # Errors
    /// As [`Exchange::wait`].
    pub(crate) async fn send_part(&mut self, mut part: Bytes, last: bool) -> Result<(), End> {
        while !part.is_empty() {
            let n = self.wait_for_capacity(part.len()).await?;
            let chunk = part.split_to(n.min(part.len()));
            self.mid_message = !(last && part.is_empty());
            match &mut self.line {
                Line::Grpc(line) => line.send(chunk)?,
                Line::Gateway(tray) => tray.put(chunk),
            }
        }
        if last {
            self.mid_message = false;
        }
        Ok(())
    }

    /// How many bytes the client takes now, of `wanted`; waits until it takes some.
    async fn wait_for_capacity(&mut self, wanted: usize) -> Result<usize, End> {
        if let Line::Grpc(line) = &mut self.line {
            line.send_head(self.encoding)?;
            match line.capacity_now(wanted) {
                0 => {}
                n => return Ok(n),
            }
        }
        poll_fn(|cx| {
            let capacity = match &mut self.line {
                Line::Grpc(line) => line.poll_capacity(cx),
                // Whoever takes from the tray runs the call next, so nobody need be woken.
                Line::Gateway(tray) if tray.is_free() => Poll::Ready(Ok(wanted)),
                Line::Gateway(_) => Poll::Pending,
            };
            match capacity {
                Poll::Ready(capacity) => Poll::Ready(capacity),
                // A cut waits for the end of the message, so that the client can be told why.
                Poll::Pending if self.mid_message => self.poll_deadline(cx).map(Err),
                Poll::Pending => self.poll_end(cx).map(Err),
            }
        })
        .await
    }

    /// Ends the call. Returns the code to count.
    pub(crate) fn finish(&mut self, result: Result<(), End>) -> Code {
        let status = match result {
            Ok(()) => Some(Status::OK),
            Err(End::Failed(status)) => Some(status),
            Err(End::Gone) => None,
        };
        let code = status.as_ref().map_or(Code::Canceled, |status| status.code);
        match &mut self.line {
            Line::Grpc(line) => line.finish(status, self.mid_message),
            Line::Gateway(tray) => tray.end(status.filter(|_| !self.mid_message)),
        }
        code
    }
}

impl GrpcLine {
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<H2Reason, h2::Error>> {
        match &mut self.stream {
            Some(stream) => stream.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        }
    }

    /// Sends headers if none were sent, so that the client sees the stream established.
    fn send_head(&mut self, encoding: Encoding) -> Result<(), End> {
        if self.stream.is_none() {
            let head = self.templates.head(encoding, self.content_type.take());
            self.stream = Some(self.respond.send_response(head, false).map_err(|_| End::Gone)?);
            self.wrote.set(true);
        }
        Ok(())
    }

    fn stream(&mut self) -> &mut SendStream<Bytes> {
        self.stream.as_mut().expect("headers were sent before data")
    }

    fn send(&mut self, chunk: Bytes) -> Result<(), End> {
        self.stream().send_data(chunk, false).map_err(|_| End::Gone)?;
        self.wrote.set(true);
        Ok(())
    }

    /// What may be sent at once, of `wanted` bytes.
    fn capacity_now(&mut self, wanted: usize) -> usize {
        let stream = self.stream();
        stream.reserve_capacity(wanted);
        stream.capacity().min(wanted)
    }

    fn poll_capacity(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, End>> {
        loop {
            match self.stream().poll_capacity(cx) {
                // News of a capacity that was used up meanwhile: ask once more.
                Poll::Ready(Some(Ok(0))) => {}
                Poll::Ready(Some(Ok(n))) => return Poll::Ready(Ok(n)),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(End::Gone)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Ends the stream; without a status there is nobody to tell.
    fn finish(&mut self, status: Option<Status>, mid_message: bool) {
        self.wrote.set(true);
        // Dropping the handles resets what is left of the stream.
        let Some(status) = status else { return };
        if mid_message {
            self.stream().send_reset(H2Reason::INTERNAL_ERROR);
            return;
        }
        // Errors mean that the client is gone.
        let _ = match &mut self.stream {
            None => {
                let response = trailers_only(StatusCode::OK, &status, self.content_type.take());
                self.respond.send_response(response, true).map(drop)
            }
            Some(stream) if status.code == Code::Ok => stream.send_trailers(self.templates.ok.clone()),
            Some(stream) => stream.send_trailers(status_fields(&status)),
        };
    }
}

/// See [`Exchange::wait`].
pub(crate) struct Wait<'a, F> {
    exchange: &'a mut Exchange,
    future: Pin<&'a mut F>,
    end_first: bool,
}

impl<F: Future> Future for Wait<'_, F> {
    type Output = Result<F::Output, End>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let wait = self.get_mut();
        if wait.end_first
            && let Poll::Ready(end) = wait.exchange.poll_end(cx)
        {
            return Poll::Ready(Err(end));
        }
        match wait.future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => wait.exchange.poll_end(cx).map(Err),
        }
    }
}

/// A response that is headers only; `content_type` stands for gRPC's plain one.
pub(crate) fn trailers_only(
    http: StatusCode,
    status: &Status,
    content_type: Option<HeaderValue>,
) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = http;
    let mut fields = status_fields(status);
    fields.insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static(PLAIN)));
    *response.headers_mut() = fields;
    response
}
