//! The gateway over WebSocket: each message of the client is a piece of the request's body, each line of the answer a
//! message to him (upstream: github.com/tmc/grpc-websocket-proxy).

use std::{io, pin::pin, rc::Rc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version,
    header::{
        AUTHORIZATION, CONNECTION, COOKIE, ORIGIN, REFERER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    request::Parts,
};
use http_body_util::BodyExt;
use sha1::{Digest, Sha1};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};

use super::{Inbound, documents::JSON_FACTOR, serve};
use crate::{member::Member, pages, thread::Thread, wire::Rewound};

mod frame;

use frame::{Close, Frames, Message, Opcode};

/// What RFC 6455 has clients prove that they were understood with.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A token may come in the cookie of this name.
const COOKIE_NAME: &str = "token";
/// The protocol that stands for a token, which is the next one in the list.
const BEARER: &str = "Bearer";
/// The last words on a socket may take this long.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether a request wants to become a WebSocket.
pub(crate) fn is_asked_for(request: &Parts) -> bool {
    request.version == Version::HTTP_11
        && has_word(&request.headers, CONNECTION, "upgrade")
        && has_word(&request.headers, UPGRADE, "websocket")
}

fn has_word(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let words = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    words.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(word))
}

/// A handshake that was understood.
pub(crate) struct Opening {
    accept: HeaderValue,
    bearer: bool,
    /// The request as the gateway sees it.
    request: Parts,
}

impl Opening {
    /// Reads the handshake.
    ///
    /// # Errors
    /// The status to refuse it with.
    pub(crate) fn of(mut request: Parts) -> Result<Opening, StatusCode> {
        if request.method != Method::GET {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        let key = request.headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
        let is_key = STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
        if !has_word(&request.headers, SEC_WEBSOCKET_VERSION, "13") || !is_key {
            return Err(StatusCode::BAD_REQUEST);
        }
        let digest = Sha1::new().chain_update(key).chain_update(MAGIC).finalize();
        let accept = STANDARD.encode(digest);
        let accept = HeaderValue::from_str(&accept).expect("base64 is ASCII");
        let protocol = request.headers.get(SEC_WEBSOCKET_PROTOCOL);
        let bearer = protocol.is_some_and(|value| value.as_bytes().starts_with(BEARER.as_bytes()));
        request.headers = forwarded(&request.headers);
        request.method = Method::POST;
        Ok(Opening { accept, bearer, request })
    }

    /// The answer to the handshake.
    pub(crate) fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if self.bearer {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(BEARER));
        }
        response
    }
}

/// The answer to a handshake that was not understood.
pub(crate) fn refusal(status: StatusCode) -> Response<Bytes> {
    let mut page = pages::error_page(status, status.canonical_reason().unwrap_or_default());
    page.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    page
}

/// The headers of the request within: browsers cannot set any, so a token comes as a protocol, or as a cookie.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let mut inner = HeaderMap::new();
    for name in [ORIGIN, REFERER] {
        if let Some(value) = headers.get(&name) {
            inner.insert(name, value.clone());
        }
    }
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let protocol = headers.get(SEC_WEBSOCKET_PROTOCOL).map(text).filter(|protocol| !protocol.is_empty());
    let from_protocol = protocol.map(|protocol| match protocol.split_once("Bearer,") {
        Some((_, token)) => format!("Bearer {}", token.trim_matches(' ')),
        None => String::new(),
    });
    let cookies = headers.get_all(COOKIE).into_iter().map(text).collect::<Vec<_>>().join(";");
    let from_cookie = cookies
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, token)| format!("Bearer {}", token.trim_matches('"')));
    let token = from_cookie.or(from_protocol).and_then(|token| HeaderValue::from_str(&token).ok());
    if let Some(token) = token {
        inner.insert(AUTHORIZATION, token);
    }
    inner
}

/// Reads all messages of a client.
#[cfg(feature = "fuzzing")]
pub(super) async fn read_frames(bytes: &[u8], len_max: usize, share: Rc<crate::budget::Share>) {
    let mut frames = Frames::new(bytes, len_max, share);
    while let Ok(message) = frames.next().await {
        if let Message::Data(data) = message {
            assert!(data.len() <= len_max, "a message is longer than allowed");
        }
    }
}

/// Serves an opened socket to its end. `early` was read from it already.
pub(crate) async fn run<M: Member>(
    thread: &Rc<Thread<M>>,
    remote: &str,
    opening: Opening,
    stream: Rewound,
    early: Bytes,
) {
    let (reader, mut writer) = tokio::io::split(stream);
    let len_max = thread.common.message_bytes_max().saturating_mul(JSON_FACTOR);
    let mut frames = Frames::new((&early[..]).chain(reader), len_max, Rc::clone(&thread.share));
    let (requests, inbound) = mpsc::channel(1);
    let (pongs, mut pongs_due) = mpsc::channel(1);
    let (pieces, mut pieces_due) = mpsc::channel(1);
    let reading = async {
        loop {
            match frames.next().await {
                Ok(Message::Data(mut data)) => {
                    data.push(b'\n');
                    // An error means that the call takes no more; its answer goes on.
                    let _ = requests.send(Bytes::from(data)).await;
                }
                // Whoever pings faster than he reads is answered once.
                Ok(Message::Ping(data)) => drop(pongs.try_send(data)),
                Ok(Message::Pong) => {}
                Err(close) => break close,
            }
        }
    };
    let answering = async {
        let mut body =
            pin!(serve(thread, remote, &opening.request, Inbound::Socket(inbound)).await.into_body());
        while let Some(Ok(frame)) = body.frame().await {
            // An error means that nobody writes any more.
            let _ = pieces.send(frame.into_data().unwrap_or_default()).await;
        }
        drop(pieces);
        std::future::pending::<()>().await;
    };
    let writing = write(&mut writer, &mut pieces_due, &mut pongs_due);
    let close = tokio::select! {
        close = reading => close,
        () = answering => Close::Silent,
        close = writing => close,
    };
    let farewell = async {
        if let Close::With(code) = close {
            frame::write(&mut writer, Opcode::Close, true, &code.to_be_bytes()).await?;
        }
        writer.shutdown().await
    };
    // Errors change nothing any more.
    let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
}

/// Writes what comes until the answer ends. A line is a message, and so is what stands behind the last one; one that
/// comes in pieces is a message in fragments.
async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    pieces: &mut mpsc::Receiver<Bytes>,
    pongs: &mut mpsc::Receiver<Vec<u8>>,
) -> Close {
    match write_all(writer, pieces, pongs).await {
        Ok(()) => Close::With(frame::NORMAL),
        Err(error) => error.into(),
    }
}

async fn write_all(
    writer: &mut (impl AsyncWrite + Unpin),
    pieces: &mut mpsc::Receiver<Bytes>,
    pongs: &mut mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut opcode = Opcode::Text;
    // Whether it is the last of its message shows later.
    let mut kept: Option<Bytes> = None;
    loop {
        let piece = tokio::select! {
            piece = pieces.recv() => piece,
            Some(data) = pongs.recv() => {
                frame::write(writer, Opcode::Pong, true, &data).await?;
                continue;
            }
        };
        if let Some(kept) = kept.take() {
            frame::write(writer, opcode, piece.is_none(), &kept).await?;
            opcode = Opcode::More;
        }
        let Some(piece) = piece else { return Ok(()) };
        match piece.strip_suffix(b"\n") {
            Some(line) => {
                frame::write(writer, opcode, true, line).await?;
                opcode = Opcode::Text;
            }
            None => kept = Some(piece),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = Request::builder().method(method).uri("/v3/watch");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn handshakes() {
        let asked = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        assert!(is_asked_for(&request("GET", &asked)));
        assert!(!is_asked_for(&request("GET", &asked[..1])) && !is_asked_for(&request("GET", &asked[1..])));
        let good = [("sec-websocket-version", "13"), ("sec-websocket-key", KEY)];
        let opening = Opening::of(request("GET", &good)).ok().unwrap();
        // The example of RFC 6455.
        assert_eq!(opening.response().headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!opening.response().headers().contains_key(SEC_WEBSOCKET_PROTOCOL));
        assert_eq!(opening.request.method, Method::POST);
        for (method, headers, status) in [
            ("POST", &good[..], 405),
            ("GET", &good[..1], 400),
            ("GET", &good[1..], 400),
            ("GET", &[good[0], ("sec-websocket-key", "short")][..], 400),
        ] {
            let refused = Opening::of(request(method, headers)).err().unwrap();
            assert_eq!(refused.as_u16(), status);
            assert_eq!(refusal(refused).headers()[SEC_WEBSOCKET_VERSION], "13");
        }
    }

    #[test]
    fn tokens() {
        let token = |headers: &[(&str, &str)]| {
            let inner = forwarded(&request("GET", headers).headers);
            inner.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
        };
        let protocol = ("sec-websocket-protocol", "Bearer, a.1");
        assert_eq!(token(&[protocol]).as_deref(), Some("Bearer a.1"));
        assert_eq!(token(&[("sec-websocket-protocol", "Bearer,a.1")]).as_deref(), Some("Bearer a.1"));
        assert_eq!(token(&[protocol, ("cookie", "x=y; token=b.2")]).as_deref(), Some("Bearer b.2"));
        assert_eq!(token(&[("sec-websocket-protocol", "chat")]).as_deref(), Some(""));
        // The header itself cannot come from a browser, and does not count.
        assert_eq!(token(&[("authorization", "Bearer a.1")]), None);
    }
}
