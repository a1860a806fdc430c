//! JSON that clients send, as messages.

use std::{rc::Rc, time::Duration};

use bytes::{Buf, Bytes};
use h2::RecvStream;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use proto::json::{Refused, Type, Values};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    budget::{Hold, Share},
    message::ReadError,
    status::{Code, Reason, Status},
    thread::{Phase, Thread},
};

/// JSON may be longer than its message by this factor: base64 makes four bytes of three, and every one of them may
/// be written as six.
pub(super) const JSON_FACTOR: usize = 8;
/// A body that is to be read whole must go on within this time.
const BODY_PATIENCE: Duration = Duration::from_secs(60);

/// The body of a request.
pub(crate) enum Inbound {
    Http1(Incoming),
    Http2(RecvStream),
    /// Of a WebSocket: one piece is one message of the client. It has no end while the socket is open.
    Socket(mpsc::Receiver<Bytes>),
}

/// The client is gone.
struct Gone;

impl Inbound {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Gone> {
        match self {
            Inbound::Http1(body) => loop {
                match body.frame().await {
                    Some(Ok(frame)) => {
                        // Trailers say nothing.
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                    Some(Err(_)) => return Err(Gone),
                    None => return Ok(None),
                }
            },
            Inbound::Http2(body) => match body.data().await {
                Some(Ok(data)) => {
                    // An error means that the stream is gone, which the next read reports.
                    let _ = body.flow_control().release_capacity(data.len());
                    Ok(Some(data))
                }
                Some(Err(_)) => Err(Gone),
                None => Ok(None),
            },
            Inbound::Socket(pieces) => Ok(pieces.recv().await),
        }
    }
}

/// The requests in a body.
pub(crate) struct Documents {
    /// `None` when no more is read of it.
    body: Option<Inbound>,
    values: Values,
    kind: Type,
    /// The only one of a call that takes one, understood already.
    only: Option<Bytes>,
    /// Longest message, in bytes.
    len_max: usize,
    share: Rc<Share>,
    /// For what has come of the body.
    body_hold: Option<Hold>,
    /// For the last message.
    hold: Option<Hold>,
}

impl Documents {
    pub(super) fn new<M>(thread: &Thread<M>, kind: Type, body: Inbound) -> Documents {
        Documents {
            body: Some(body),
            values: Values::default(),
            kind,
            only: None,
            len_max: thread.common.message_bytes_max(),
            share: Rc::clone(&thread.share),
            body_hold: None,
            hold: None,
        }
    }

    /// Reads the body of a call that takes one message. What stands behind the first value does not count, and a body
    /// without any is an empty message.
    ///
    /// # Errors
    /// What to answer instead of calling.
    pub(super) async fn read_only<M>(&mut self, thread: &Thread<M>) -> Result<(), Status> {
        let mut phase = thread.phase.clone();
        let read = async {
            let value = match self.whole_body().await {
                Ok(value) => value.map(|value| self.kind.read(&value)).transpose().map_err(invalid),
                Err(status) => Err(status),
            };
            if value.is_err() {
                self.drain().await;
            }
            value
        };
        let message = tokio::select! {
            message = read => message?.unwrap_or_default(),
            // An error means that the server is gone, which is the same.
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => return Err(Reason::Stopped.into()),
        };
        self.body = None;
        self.values = Values::default();
        self.body_hold = None;
        self.admit(&message)?;
        self.only = Some(message.into());
        Ok(())
    }

    async fn whole_body(&mut self) -> Result<Option<Bytes>, Status> {
        let mut value = None;
        loop {
            let Some(body) = &mut self.body else { return Ok(value) };
            let is_socket = matches!(body, Inbound::Socket(_));
            let slow = |_| Status::new(Code::DeadlineExceeded, "the body of the request does not go on");
            // Whoever opens a socket may take his time; so he may between two bytes, which costs nothing.
            let patience = if is_socket { Duration::MAX } else { BODY_PATIENCE };
            let piece = match timeout(patience, body.next()).await.map_err(slow)? {
                Ok(Some(piece)) => piece,
                Ok(None) if value.is_some() => return Ok(value),
                Ok(None) => return self.values.last_value().map_err(invalid),
                Err(Gone) => return Err(Reason::ContextCanceled.into()),
            };
            if value.is_none() {
                self.take(&piece)?;
                value = self.values.next_value().map_err(invalid)?;
                if value.is_some() {
                    self.values = Values::default();
                    if is_socket {
                        return Ok(value);
                    }
                }
            }
        }
    }

    /// Reads on for a while without keeping anything: whoever is still sending when he is refused does not see why.
    async fn drain(&mut self) {
        self.values = Values::default();
        self.body_hold = None;
        let Some(body) = self.body.as_mut().filter(|body| !matches!(body, Inbound::Socket(_))) else {
            return;
        };
        let mut left = self.len_max.saturating_mul(JSON_FACTOR);
        while let Ok(Ok(Some(piece))) = timeout(BODY_PATIENCE, body.next()).await {
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }

    /// The next message; `None` when no more come. So it is from the first on that cannot be understood: nobody is told,
    /// as in etcd.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        if let Some(only) = self.only.take() {
            return Ok(Some(only));
        }
        loop {
            let Some(body) = &mut self.body else { return Ok(None) };
            let value = match self.values.next_value() {
                Ok(Some(value)) => Ok(Some(value)),
                Ok(None) => match body.next().await {
                    Ok(Some(piece)) => {
                        self.take(&piece).map_err(ReadError::Refused)?;
                        continue;
                    }
                    Ok(None) => {
                        let last = self.values.last_value();
                        self.body = None;
                        last
                    }
                    Err(Gone) => return Err(ReadError::Gone),
                },
                Err(refused) => Err(refused),
            };
            let message = value.and_then(|value| value.map(|value| self.kind.read(&value)).transpose());
            self.hold_body().map_err(ReadError::Refused)?;
            match message {
                Ok(Some(message)) => {
                    self.admit(&message).map_err(ReadError::Refused)?;
                    return Ok(Some(message.into()));
                }
                Ok(None) => self.body = None,
                Err(_) => {
                    self.values = Values::default();
                    self.body = None;
                }
            }
        }
    }

    /// Takes a piece of the body.
    fn take(&mut self, piece: &Bytes) -> Result<(), Status> {
        let len_max = self.len_max.saturating_mul(JSON_FACTOR);
        let len = self.values.held() + piece.len();
        if len > len_max {
            return Err(Status::message_too_large(len, len_max));
        }
        self.values.push(piece.chunk());
        self.hold_body()
    }

    /// Holds the budget for the body, which is there twice when it is cut.
    fn hold_body(&mut self) -> Result<(), Status> {
        hold(&self.share, &mut self.body_hold, 2 * self.values.held())
    }

    /// Holds the budget for a message.
    fn admit(&mut self, message: &[u8]) -> Result<(), Status> {
        if message.len() > self.len_max {
            return Err(Status::message_too_large(message.len(), self.len_max));
        }
        hold(&self.share, &mut self.hold, message.len())
    }
}

fn hold(share: &Rc<Share>, hold: &mut Option<Hold>, bytes: usize) -> Result<(), Status> {
    let held = match hold {
        Some(hold) => hold.resize(bytes),
        None => {
            *hold = share.hold(bytes);
            hold.is_some()
        }
    };
    if held { Ok(()) } else { Err(Status::over_budget()) }
}

fn invalid(refused: Refused) -> Status {
    Status::new(Code::InvalidArgument, refused.to_string())
}
