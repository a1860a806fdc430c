//! Replies as an answer of HTTP (upstream: grpc-gateway runtime/handler.go).

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use hyper::body::{Body, Frame};
use proto::{
    Malformed,
    json::{Style, Type, Writer},
};

use super::{InTime, Streamed, errors, running::Running};
use crate::{
    budget::{Hold, Share},
    message::PREFIX_LEN,
    status::{Code, Status},
};

/// A reply up to so many bytes is sent whole, with its length; and when it fails until then, the client is told why.
const SMALL: usize = 32 << 10;

/// The answer to a call with one reply.
pub(super) async fn unary(running: Running, reply: Type, share: Rc<Share>) -> Response<Streamed> {
    let mut flow = Flow::new(running, reply, Style::Message, share);
    let end = loop {
        if flow.ready.len() >= SMALL {
            break None;
        }
        match poll_fn(|cx| flow.poll_more(cx)).await {
            Ok(()) => {}
            Err(end) => break Some(end),
        }
    };
    match end {
        None => {
            let mut response = replied(Box::pin(flow));
            response.extensions_mut().insert(InTime);
            response
        }
        Some(Some(status)) if status.code == Code::Ok => replied(errors::whole(flow.ready)),
        Some(status) => failure(status),
    }
}

/// The answer to a call with a stream of replies.
pub(super) async fn stream(running: Running, reply: Type, share: Rc<Share>) -> Response<Streamed> {
    let mut flow = Flow::new(running, reply, Style::Within, share);
    while flow.messages == 0 {
        match poll_fn(|cx| flow.poll_more(cx)).await {
            Ok(()) => {}
            // No reply at all has no type.
            Err(Some(status)) if status.code == Code::Ok => return Response::new(errors::whole(Vec::new())),
            Err(Some(status)) => {
                let mut response = errors::page(errors::http_status(status.code), &status);
                *response.body_mut() = errors::whole(errors::line(&status));
                // Of errors that are pages.
                response.headers_mut().remove(http::header::WWW_AUTHENTICATE);
                return response;
            }
            Err(None) => return failure(None),
        }
    }
    replied(Box::pin(flow))
}

fn replied(body: Streamed) -> Response<Streamed> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, errors::JSON);
    // The metadata with which every call of gRPC begins.
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("grpc-metadata-content-type", grpc);
    response
}

fn failure(status: Option<Status>) -> Response<Streamed> {
    let status = status.unwrap_or_else(broken);
    errors::page(errors::http_status(status.code), &status)
}

/// Of an answer that broke off before anything was sent.
fn broken() -> Status {
    Status::new(Code::Internal, "stream terminated by RST_STREAM with error code: INTERNAL_ERROR")
}

/// A reply of a stream up to so many bytes leaves whole. Each has a chunk of its own, as upstream's have: there are
/// clients that take every chunk for one document.
const WHOLE_MAX: usize = 4 << 20;

/// JSON of a reply takes so many times its bytes, mostly: base64 and names.
const JSON_FACTOR: usize = 2;

/// Replies on their way from frames to JSON.
struct Flow {
    running: Running,
    reply: Type,
    style: Style,
    /// What has come of a frame's prefix.
    prefix: Vec<u8>,
    /// The message under way, and how many bytes it lacks.
    writer: Option<(Writer, usize)>,
    /// What came behind the message that was ended last.
    rest: Bytes,
    /// JSON that may leave.
    ready: Vec<u8>,
    /// Whole messages so far.
    messages: u64,
    share: Rc<Share>,
    /// For `ready` and what the writer keeps.
    hold: Option<Hold>,
    over: bool,
}

impl Flow {
    fn new(running: Running, reply: Type, style: Style, share: Rc<Share>) -> Flow {
        Flow {
            running,
            reply,
            style,
            prefix: Vec::with_capacity(PREFIX_LEN),
            writer: None,
            rest: Bytes::new(),
            ready: Vec::new(),
            messages: 0,
            share,
            hold: None,
            over: false,
        }
    }

    /// Adds what the next part of the replies gives, at most to the end of a message; how they have ended, after the
    /// last.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Option<Status>>> {
        let mut part = std::mem::take(&mut self.rest);
        if part.is_empty() {
            part = match ready!(self.running.poll_part(cx)) {
                Ok(part) => part,
                Err(end) => return Poll::Ready(Err(end)),
            };
        }
        if !self.hold(JSON_FACTOR * part.len()) {
            return Poll::Ready(Err(Some(Status::over_budget())));
        }
        let translated = self.translate(part);
        self.hold(0);
        let wrong = |why: Malformed| Some(Status::new(Code::Internal, why.to_string()));
        Poll::Ready(translated.map_err(wrong))
    }

    fn translate(&mut self, mut part: Bytes) -> Result<(), Malformed> {
        while part.has_remaining() {
            let Some((writer, missing)) = &mut self.writer else {
                let n = (PREFIX_LEN - self.prefix.len()).min(part.len());
                self.prefix.extend_from_slice(&part.split_to(n));
                if let Some([_, length @ ..]) = self.prefix.first_chunk::<PREFIX_LEN>() {
                    let missing = u32::from_be_bytes(*length) as usize;
                    self.prefix.clear();
                    self.begin(missing)?;
                    if self.writer.is_none() {
                        break;
                    }
                }
                continue;
            };
            let piece = part.split_to(part.len().min(*missing));
            writer.push(&piece, &mut self.ready)?;
            *missing -= piece.len();
            if *missing == 0 {
                self.end()?;
                break;
            }
        }
        self.rest = part;
        Ok(())
    }

    fn begin(&mut self, len: usize) -> Result<(), Malformed> {
        if self.style == Style::Within {
            self.ready.extend_from_slice(br#"{"result":"#);
        }
        self.writer = Some((Writer::new(self.reply, self.style), len));
        if len == 0 { self.end() } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), Malformed> {
        if let Some((writer, _)) = self.writer.take() {
            writer.finish(&mut self.ready)?;
            self.messages += 1;
            if self.style == Style::Within {
                self.ready.extend_from_slice(b"}\n");
            }
        }
        Ok(())
    }

    /// Holds the budget for what is here, and for `more` bytes.
    fn hold(&mut self, more: usize) -> bool {
        let held = self.writer.as_ref().map_or(0, |(writer, _)| writer.held());
        let bytes = self.ready.capacity() + held + more;
        match &mut self.hold {
            Some(hold) => hold.resize(bytes),
            None => {
                self.hold = self.share.hold(bytes);
                self.hold.is_some()
            }
        }
    }

    /// Whether what is ready should leave now.
    fn is_due(&self) -> bool {
        let whole = self.style == Style::Message || self.writer.is_none() || self.over;
        !self.ready.is_empty() && (whole || self.ready.len() >= WHOLE_MAX)
    }

    /// What is left to say when replies have ended.
    fn farewell(&self, end: Option<Status>) -> io::Result<Option<Vec<u8>>> {
        match end {
            Some(status) if status.code == Code::Ok => Ok(None),
            // Half a line cannot be taken back.
            Some(status) if self.style == Style::Within && self.writer.is_none() => {
                Ok(Some(errors::line(&status)))
            }
            Some(status) => Err(io::Error::other(status.message)),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if self.is_due() {
                let ready = std::mem::take(&mut self.ready);
                return Poll::Ready(Some(Ok(Frame::data(ready.into()))));
            }
            if self.over {
                return Poll::Ready(None);
            }
            if let Err(end) = ready!(self.poll_more(cx)) {
                self.over = true;
                match self.farewell(end) {
                    Ok(last) => self.ready = last.unwrap_or_default(),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{budget::Budget, gateway::Tray};

    /// A reply of a watch in gRPC's frame.
    fn framed(watch_id: i64) -> Vec<u8> {
        use prost::Message;
        let reply = proto::etcdserverpb::WatchResponse { watch_id, ..Default::default() }.encode_to_vec();
        [&[0][..], &(reply.len() as u32).to_be_bytes(), &reply].concat()
    }

    /// However the replies come, each leaves in one piece of its own.
    #[tokio::test]
    async fn each_reply_of_a_stream_is_one_chunk() {
        let bytes: Vec<u8> = [0, 1, 300].into_iter().flat_map(framed).collect();
        for size in 1..=bytes.len() {
            let tray = Rc::new(Tray::default());
            let (parts, source) = (bytes.clone(), Rc::clone(&tray));
            let call = async move {
                for part in parts.chunks(size) {
                    poll_fn(|_| if source.is_free() { Poll::Ready(()) } else { Poll::Pending }).await;
                    source.put(Bytes::copy_from_slice(part));
                }
                poll_fn(|_| if source.is_free() { Poll::Ready(()) } else { Poll::Pending }).await;
                source.end(Some(Status::OK));
            };
            let running = Running::new(Box::pin(call), tray);
            let (_, reply) = proto::json::method("/etcdserverpb.Watch/Watch").unwrap();
            let share = Share::new(Budget::new(1 << 20));
            let mut body = stream(running, reply, share).await.into_body();
            let mut chunks = Vec::new();
            while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                let data = frame.unwrap().into_data().unwrap();
                chunks.push(String::from_utf8(data.to_vec()).unwrap());
            }
            let expected = [
                "{\"result\":{}}\n",
                "{\"result\":{\"watch_id\":\"1\"}}\n",
                "{\"result\":{\"watch_id\":\"300\"}}\n",
            ];
            assert_eq!(chunks, expected, "in parts of {size}");
        }
    }
}
