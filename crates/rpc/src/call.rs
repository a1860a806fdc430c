//! One call: from the request's headers to its last status.

use std::{cell::Cell, pin::pin, rc::Rc};

use bytes::{BufMut, Bytes, BytesMut};
use h2::{RecvStream, server::SendResponse};
use http::Request;
use prost::{Message, Name, encoding::encode_varint};
use proto::Malformed;
use tokio::time::{Instant, timeout};

use crate::{
    audit::Trail,
    budget::Hold,
    connection::Peer,
    exchange::{End, Exchange, GrpcLine, Line, trailers_only},
    gateway::{Documents, Tray},
    head::{self, Head},
    member::{Body, Caller, Member},
    message::{self, Encoding, Framed, Messages, PREFIX_LEN, ReadError},
    method::{Kind, Method},
    metrics::ApiVersion,
    service,
    status::{Code, Reason, Status},
    thread::Thread,
};

/// A streamed reply is asked for in pieces of this many bytes.
const PIECE: usize = 64 << 10;
/// A reply up to this many bytes leaves as one piece.
const SMALL: usize = 16 << 10;
/// Messages up to this many bytes are not weighed before they are decoded.
const WEIGHED_BYTES_MIN: usize = 512;
/// Key of `RangeStreamResponse.range_response`.
const KEY_RANGE_RESPONSE: u8 = 0x0a;

/// A call under way.
pub(crate) struct Call<M: Member> {
    pub(crate) thread: Rc<Thread<M>>,
    pub(crate) method: Method,
    pub(crate) caller: Caller,
    pub(crate) messages: Messages,
    pub(crate) exchange: Exchange,
    /// For its line in the audit log.
    pub(crate) trail: Option<Box<Trail>>,
    /// What its replies take of the budget.
    hold: Option<Hold>,
    needs_leader: bool,
    /// `None` when it is no text.
    api_version: Option<ApiVersion>,
    /// When the handler began, as far as metrics go.
    started: Option<Instant>,
    /// A message to the client was counted.
    counted_sent: bool,
    /// The handler of a stream waits for a request, or has seen their end.
    pub(crate) receiving: bool,
}

impl<M: Member> Call<M> {
    /// The call of a request; `None` when it could be answered at once. `wrote` is set whenever something is handed
    /// to `h2`.
    pub(crate) fn open(
        thread: &Rc<Thread<M>>,
        peer: &Peer,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        wrote: &Rc<Cell<bool>>,
    ) -> Option<Call<M>> {
        let (parts, body) = request.into_parts();
        let mut head = match head::parse(&parts) {
            Ok(head) => head,
            Err(refusal) => {
                // An error means that the client is gone.
                let _ = respond
                    .send_response(trailers_only(refusal.http, &refusal.status, refusal.content_type), true);
                wrote.set(true);
                return None;
            }
        };
        let routed = Method::of_path(parts.uri.path());
        let deadline = head.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let encoding = head.encoding.unwrap_or(Encoding::Identity);
        let line = GrpcLine {
            templates: Rc::clone(&thread.templates),
            respond,
            stream: None,
            content_type: head.content_type.take(),
            wrote: Rc::clone(wrote),
        };
        let mut exchange = Exchange::new(Line::Grpc(line), encoding, deadline);
        let early = head.timeout.is_some_and(|timeout| timeout.is_zero());
        let method = match routed {
            Ok(method) if !early => method,
            Ok(_) => {
                exchange.finish(Err(Reason::ContextDeadline.into()));
                return None;
            }
            Err(status) => {
                exchange.finish(Err(status.into()));
                return None;
            }
        };
        let common_name = if head.from_gateway { None } else { peer.common_name.clone() };
        let messages =
            Framed::new(body, encoding, thread.common.message_bytes_max(), Rc::clone(&thread.share));
        Some(Call::new(thread, method, head, common_name, &peer.remote, Messages::Framed(messages), exchange))
    }

    /// A call that the JSON gateway makes in the name of a client; its replies go on `tray`.
    pub(crate) fn translated(
        thread: &Rc<Thread<M>>,
        method: Method,
        head: Head,
        remote: &str,
        documents: Documents,
        tray: Rc<Tray>,
    ) -> Call<M> {
        let deadline = head.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let exchange = Exchange::new(Line::Gateway(tray), Encoding::Identity, deadline);
        Call::new(thread, method, head, None, remote, Messages::Json(documents), exchange)
    }

    fn new(
        thread: &Rc<Thread<M>>,
        method: Method,
        head: Head,
        common_name: Option<String>,
        remote: &str,
        messages: Messages,
        exchange: Exchange,
    ) -> Call<M> {
        let translated = matches!(messages, Messages::Json(_));
        let caller = thread.common.caller(head.token, common_name);
        let trail = thread.common.audit.as_ref();
        let trail = trail.and_then(|log| Trail::new(log, method, &caller, remote, translated));
        let version = match &head.api_version {
            Some(value) => std::str::from_utf8(value.as_bytes()).ok(),
            None => Some("unknown"),
        };
        Call {
            method,
            caller,
            messages,
            exchange,
            trail,
            hold: None,
            needs_leader: head.needs_leader,
            api_version: version.map(|version| thread.shard.version(version)),
            started: None,
            counted_sent: false,
            receiving: false,
            thread: Rc::clone(thread),
        }
    }

    /// Serves the call to its end.
    pub(crate) async fn run(&mut self) {
        let result = service::dispatch(self).await;
        let error = match (&result, &self.trail) {
            (Err(End::Failed(status)), Some(_)) => Some(status.message.clone()),
            _ => None,
        };
        let code = self.exchange.finish(result);
        self.count_end(code);
        self.leave_trail(code, error.as_deref());
    }

    /// Writes the call's line, once.
    fn leave_trail(&mut self, code: Code, error: Option<&str>) {
        if let Some(trail) = self.trail.take() {
            trail.ended(&self.thread.member, code, error);
        }
    }

    /// The request of a unary call, whose handler begins with it.
    ///
    /// # Errors
    /// What ends the call.
    pub(crate) async fn unary_request<Q: Message + Name + Default>(&mut self) -> Result<Q, End> {
        let bytes = match self.exchange.wait(pin!(self.messages.next())).await? {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(Status::new(Code::Unknown, "EOF").into()),
            Err(ReadError::Truncated) => return Err(Status::new(Code::Unknown, "unexpected EOF").into()),
            Err(ReadError::Gone) => return Err(End::Gone),
            Err(ReadError::Refused(status)) => return Err(status.into()),
        };
        if bytes.len() > SMALL {
            // A call waits long for the log; its bytes should not block the calls behind it.
            self.messages.release();
        }
        if let Some(trail) = &self.trail {
            trail.asked(&Q::full_name(), &bytes);
        }
        let weight = weight_of::<Q>(&bytes);
        if weight > 0 {
            self.hold_bytes(weight)?;
        }
        let request = decode(&self.thread, bytes).map_err(Status::unary_not_protobuf)?;
        self.begin();
        Ok(request)
    }

    /// Begins the handler of a stream: checks what is checked before the first message.
    ///
    /// # Errors
    /// What ends the call.
    pub(crate) fn begin_stream(&mut self) -> Result<(), End> {
        self.begin();
        self.admit(self.method == Method::Snapshot)?;
        self.exchange.set_cut(self.thread.stream_cut(self.needs_leader));
        Ok(())
    }

    /// The next message of a stream; `None` when the client has no more.
    ///
    /// # Errors
    /// What ends the call.
    pub(crate) async fn next_request<Q: Message + Name + Default>(&mut self) -> Result<Option<Q>, End> {
        self.receiving = true;
        let next = self.exchange.wait(pin!(self.messages.next())).await?;
        let request = decode_next(&self.thread, self.trail.as_deref(), self.method, next)?;
        self.receiving = request.is_none();
        Ok(request)
    }

    /// The only message of a server-streaming call.
    ///
    /// # Errors
    /// What ends the call.
    pub(crate) async fn stream_request<Q: Message + Name + Default>(&mut self) -> Result<Q, End> {
        match self.next_request().await? {
            Some(request) => Ok(request),
            None => Err(Status::new(Code::Unknown, "EOF").into()),
        }
    }

    fn begin(&mut self) {
        let counts = self.thread.shard.method(self.method);
        counts.started.add(1);
        if self.method.kind() == Kind::Unary {
            counts.received.add(1);
        }
        // The clock is read only when somebody wants to know.
        self.started = Some(match self.thread.common.handling_histogram {
            true => Instant::now(),
            false => self.thread.common.epoch,
        });
    }

    /// Checks that hold for every call (upstream: server/etcdserver/api/v3rpc/interceptor.go).
    ///
    /// # Errors
    /// `NotSupportedForLearner`, `InvalidClientApiVersion`, `NoLeader`.
    pub(crate) fn admit(&self, learner_serves: bool) -> Result<(), Reason> {
        let member = &self.thread.member;
        if !learner_serves && member.is_learner() {
            return Err(Reason::NotSupportedForLearner);
        }
        let version = self.api_version.ok_or(Reason::InvalidClientApiVersion)?;
        self.thread.shard.count_request(version, self.method.kind());
        if self.needs_leader && !member.has_leader() {
            return Err(Reason::NoLeader);
        }
        Ok(())
    }

    /// Holds `bytes` of the budget for replies, in all, until the call ends. What is held already stays held: a reply
    /// of a stream may be smaller than what stands behind it.
    ///
    /// # Errors
    /// When the budget is spent.
    pub(crate) fn hold_bytes(&mut self, bytes: usize) -> Result<(), Status> {
        let held = match &mut self.hold {
            Some(hold) => hold.bytes() >= bytes || hold.resize(bytes),
            None => {
                self.hold = self.thread.share.hold(bytes);
                self.hold.is_some()
            }
        };
        if held { Ok(()) } else { Err(Status::over_budget()) }
    }

    /// Sends a reply.
    ///
    /// # Errors
    /// What ends the call.
    pub(crate) async fn send(&mut self, reply: &impl Message) -> Result<(), End> {
        let trail = self.trail.as_deref();
        let look = |reply: &[u8]| trail.into_iter().for_each(|trail| trail.answered(reply));
        let framed = message::frame(reply, self.exchange.encoding(), look)?;
        self.count_sent(framed.len() - PREFIX_LEN);
        self.hold_bytes(framed.len())?;
        self.exchange.send(framed).await
    }

    /// Sends a reply that makes its own bytes, in bounded memory.
    ///
    /// # Errors
    /// What ends the call.
    pub(crate) async fn send_body(&mut self, body: impl Body) -> Result<(), End> {
        self.send_pieces(&[], body).await
    }

    /// Sends a body as `RangeStreamResponse.range_response`.
    ///
    /// # Errors
    /// What ends the call.
    pub(crate) async fn send_wrapped(&mut self, body: impl Body) -> Result<(), End> {
        let mut wrapper = vec![KEY_RANGE_RESPONSE];
        encode_varint(body.encoded_len() as u64, &mut wrapper);
        self.send_pieces(&wrapper, body).await
    }

    /// Sends `wrapper` and the body as one message.
    async fn send_pieces(&mut self, wrapper: &[u8], mut body: impl Body) -> Result<(), End> {
        let mut left = body.encoded_len();
        let total = wrapper.len() + left;
        let mut first = BytesMut::with_capacity(PREFIX_LEN + wrapper.len() + left.min(SMALL));
        first.put_slice(&message::prefix(total)?);
        first.put_slice(wrapper);
        while left > 0 && first.len() < SMALL {
            let next = next_piece(&mut body, SMALL - first.len(), &mut left).await?;
            first.put_slice(&next);
        }
        if let Some(trail) = &self.trail {
            trail.answered(&first[PREFIX_LEN + wrapper.len()..]);
        }
        self.count_sent(total);
        if left == 0 {
            self.hold_bytes(first.len())?;
            // Before the client has taken it, which may be long.
            drop(body);
            return self.exchange.send_part(first.freeze(), true).await;
        }
        // One piece here, one in `h2`, one on its way through the store.
        self.hold_bytes(3 * PIECE)?;
        self.send_in_time(first.freeze(), false).await?;
        while left > 0 {
            let next = next_piece(&mut body, PIECE, &mut left).await?;
            self.send_in_time(next, left == 0).await?;
        }
        Ok(())
    }

    /// Sends a part of a message, unless the client is too slow to take it.
    async fn send_in_time(&mut self, part: Bytes, last: bool) -> Result<(), End> {
        let patience = self.thread.common.limits.reader_patience;
        match timeout(patience, self.exchange.send_part(part, last)).await {
            Ok(sent) => sent,
            Err(_) => Err(Reason::Timeout.into()),
        }
    }

    /// Counts a message to the client, of `len` bytes without its prefix.
    fn count_sent(&mut self, len: usize) {
        self.counted_sent = true;
        let shard = &self.thread.shard;
        shard.method(self.method).sent.add(1);
        shard.sent_bytes.add(len as u64);
    }
}

impl<M: Member> Call<M> {
    /// Counts the end of a call whose handler began, once (upstream: go-grpc-middleware interceptors/server.go).
    fn count_end(&mut self, code: Code) {
        let Some(started) = self.started.take() else { return };
        let counts = self.thread.shard.method(self.method);
        if self.method.kind() == Kind::Unary && !self.counted_sent {
            // A failure counts as a message, too.
            counts.sent.add(1);
        }
        if self.receiving {
            // So does the end of a stream's requests.
            counts.received.add(1);
        }
        counts.handled[code as usize].add(1);
        if self.thread.common.handling_histogram {
            counts.observe(started.elapsed());
        }
    }
}

impl<M: Member> Drop for Call<M> {
    /// A call that is dropped half-way has lost its connection.
    fn drop(&mut self) {
        self.count_end(Code::Canceled);
        self.leave_trail(Code::Canceled, None);
    }
}

/// Decodes what [`Messages::next`] gave on a stream.
///
/// # Errors
/// What ends the call.
pub(crate) fn decode_next<M, Q: Message + Name + Default>(
    thread: &Thread<M>,
    trail: Option<&Trail>,
    method: Method,
    next: Result<Option<Bytes>, ReadError>,
) -> Result<Option<Q>, End> {
    if let (Some(trail), Ok(Some(message))) = (trail, &next) {
        trail.asked(&Q::full_name(), message);
    }
    let refused = match next {
        Ok(Some(bytes)) if thread.share.hold(weight_of::<Q>(&bytes)).is_none() => Status::over_budget(),
        Ok(Some(bytes)) => match decode(thread, bytes) {
            Ok(request) => {
                thread.shard.method(method).received.add(1);
                return Ok(Some(request));
            }
            Err(why) => Status::stream_not_protobuf(why),
        },
        Ok(None) => return Ok(None),
        Err(ReadError::Gone) => return Err(End::Gone),
        Err(ReadError::Truncated) => Status::new(Code::Internal, "unexpected EOF"),
        Err(ReadError::Refused(status)) => status,
    };
    thread.shard.count_receive_failure(method);
    Err(refused.into())
}

/// What a message takes beyond its bytes; small ones cannot take much.
fn weight_of<Q: Name>(bytes: &[u8]) -> usize {
    if bytes.len() > WEIGHED_BYTES_MIN { proto::weight(&Q::full_name(), bytes) } else { 0 }
}

fn decode<M, Q: Message + Name + Default>(thread: &Thread<M>, bytes: Bytes) -> Result<Q, Malformed> {
    thread.shard.received_bytes.add(bytes.len() as u64);
    proto::decode(bytes)
}

/// The next piece of a body of which `left` bytes were announced and not yet given.
async fn next_piece(body: &mut impl Body, max: usize, left: &mut usize) -> Result<Bytes, Reason> {
    let piece = body.next_piece(max).await?.unwrap_or_default();
    match left.checked_sub(piece.len()) {
        Some(rest) if !piece.is_empty() => {
            *left = rest;
            Ok(piece)
        }
        _ => Err(Reason::Other("a reply has another length than announced".into())),
    }
}
