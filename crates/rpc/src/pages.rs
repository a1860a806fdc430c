//! The HTTP pages (contract/http.tsv).

use std::{
    borrow::Cow,
    cell::Cell,
    future::{Future, poll_fn},
    io::Write,
    pin::pin,
    rc::Rc,
    sync::atomic::Ordering::Relaxed,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN,
        X_CONTENT_TYPE_OPTIONS,
    },
    request::Parts,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use tokio::time::timeout;
use types::go_json::quote;

use crate::{
    config::{Notice, Traffic},
    connection::Peer,
    gateway::{self, InTime, Inbound, Streamed},
    member::Member,
    thread::Thread,
};

mod health;
mod peer;
#[cfg(test)]
mod tests;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

type Page = Response<Bytes>;

/// Serves a page, or the JSON gateway, over HTTP/2.
pub(crate) async fn serve_http2<M: Member>(
    thread: Rc<Thread<M>>,
    peer: Rc<Peer>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    wrote: Rc<Cell<bool>>,
) {
    let (parts, body) = request.into_parts();
    let response = {
        let mut answer = pin!(answer_http2(&thread, &peer, &parts, body));
        let either = poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        });
        match either.await {
            Some(response) => response,
            // Nobody waits any more.
            None => return,
        }
    };
    let in_time = response.extensions().get::<InTime>().is_some();
    let (head, mut body) = response.into_parts();
    let empty = parts.method == Method::HEAD || body.is_end_stream();
    // Errors mean that the client is gone.
    let Ok(mut stream) = respond.send_response(Response::from_parts(head, ()), empty) else { return };
    wrote.set(true);
    if !empty {
        let patience = in_time.then_some(thread.common.limits.reader_patience);
        send_body(&mut stream, &mut body, patience, &wrote).await;
    }
}

/// Sends a body as fast as the client takes it, who may be asked to take each piece in time.
async fn send_body(
    stream: &mut SendStream<Bytes>,
    body: &mut Streamed,
    patience: Option<Duration>,
    wrote: &Cell<bool>,
) {
    loop {
        let next = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            Poll::Pending => stream.poll_reset(cx).map(|_| None),
            ready => ready.map(Some),
        });
        match next.await {
            Some(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap_or_default();
                let sending = send_http2(stream, data, wrote);
                if !timeout(patience.unwrap_or(Duration::MAX), sending).await.unwrap_or(false) {
                    return stream.send_reset(h2::Reason::CANCEL);
                }
            }
            Some(Some(Err(_))) => return stream.send_reset(h2::Reason::INTERNAL_ERROR),
            Some(None) => {
                // An error means that the client is gone.
                let _ = stream.send_data(Bytes::new(), true);
                return wrote.set(true);
            }
            None => return,
        }
    }
}

async fn answer_http2<M: Member>(
    thread: &Rc<Thread<M>>,
    peer: &Peer,
    parts: &Parts,
    body: RecvStream,
) -> Response<Streamed> {
    match self::respond(thread, peer, parts).await {
        Turn::Page(page) => page.map(whole),
        Turn::Gateway(cors) => {
            let mut response = gateway::serve(thread, &peer.remote, parts, Inbound::Http2(body)).await;
            response.headers_mut().extend(cors);
            response
        }
    }
}

/// Sends data as fast as the client takes it; `false` when he is gone.
async fn send_http2(stream: &mut SendStream<Bytes>, mut data: Bytes, wrote: &Cell<bool>) -> bool {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(n)) => {
                if stream.send_data(data.split_to(n.min(data.len())), false).is_err() {
                    return false;
                }
                wrote.set(true);
            }
            Some(Err(_)) | None => return false,
        }
    }
    true
}

/// A page as a body.
pub(crate) fn whole(body: Bytes) -> Streamed {
    Box::pin(Full::new(body).map_err(|never| match never {}))
}

/// The page of a request of another member.
pub(crate) async fn respond_to_member<M: Member>(
    thread: &Thread<M>,
    request: &Parts,
    body: hyper::body::Incoming,
) -> Page {
    peer::page_of(thread, request, peer::PeerBody(body)).await
}

/// Who answers a request.
pub(crate) enum Turn {
    /// Nobody else has to.
    Page(Page),
    /// The JSON gateway; its answers get these headers.
    Gateway(HeaderMap),
}

/// The answer to a request of anybody else.
pub(crate) async fn respond<M: Member>(thread: &Thread<M>, peer: &Peer, request: &Parts) -> Turn {
    match peer.traffic {
        Traffic::Metrics => {
            return Turn::Page(common_page(thread, request).await.unwrap_or_else(not_found));
        }
        // They are served over HTTP/1.1 only, by `respond_to_member`.
        Traffic::Peer => return Turn::Page(not_found()),
        Traffic::All | Traffic::Grpc | Traffic::Http => {}
    }
    if !peer.secure
        && let Some(refusal) = refuse_host(&thread.common.pages.host_whitelist, request)
    {
        return Turn::Page(refusal);
    }
    let translated = thread.common.pages.gateway && gateway::is_ours(request.uri.path());
    if translated && let Some(text) = gateway::refuses(thread, peer) {
        return Turn::Page(error_page(StatusCode::BAD_REQUEST, text));
    }
    let cors = cors_headers(&thread.common.pages.cors, &request.headers);
    let mut page = if request.method == Method::OPTIONS {
        page(StatusCode::OK, None, "")
    } else if translated {
        return Turn::Gateway(cors);
    } else if let Some(page) = common_page(thread, request).await {
        page
    } else {
        match request.uri.path() {
            "/version" => get_only(request, || version(thread)),
            "/debug/vars" => get_only(request, || debug_vars(thread)),
            _ => not_found(),
        }
    };
    page.headers_mut().extend(cors);
    Turn::Page(page)
}

/// Pages of every listener for clients.
async fn common_page<M: Member>(thread: &Thread<M>, request: &Parts) -> Option<Page> {
    match request.uri.path() {
        "/metrics" => Some(metrics(thread, request).await),
        path => health::page(thread, request, path).await,
    }
}

async fn metrics<M: Member>(thread: &Thread<M>, request: &Parts) -> Page {
    let render = thread.common.pages.metrics.clone();
    let accept = header(&request.headers, ACCEPT).into_owned();
    let gzip = header(&request.headers, ACCEPT_ENCODING).contains("gzip");
    let task = tokio::task::spawn_blocking(move || {
        let rendered = render(&accept);
        let body = if gzip { compress(rendered.body.as_bytes()) } else { rendered.body.into() };
        (rendered.content_type, body)
    });
    match task.await {
        Ok((content_type, body)) => {
            let mut page = page(StatusCode::OK, Some(HeaderValue::from_static(content_type)), body);
            if gzip {
                page.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            page
        }
        Err(panicked) => error_page(StatusCode::INTERNAL_SERVER_ERROR, &panicked.to_string()),
    }
}

fn compress(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("writing to memory");
    encoder.finish().expect("writing to memory").into()
}

fn version<M>(thread: &Thread<M>) -> Page {
    let versions = (thread.common.pages.versions)();
    let body = format!(
        r#"{{"etcdserver":{},"etcdcluster":{},"storage":{}}}"#,
        quote(&versions.server),
        quote(versions.cluster.as_deref().unwrap_or("not_decided")),
        quote(versions.storage.as_deref().unwrap_or("unknown")),
    );
    page(StatusCode::OK, Some(JSON), body)
}

fn debug_vars<M>(thread: &Thread<M>) -> Page {
    let vars = (thread.common.pages.debug_vars)();
    let lines: Vec<_> = vars.iter().map(|(name, value)| format!("{}: {value}", quote(name))).collect();
    let body = format!("{{\n{}\n}}\n", lines.join(",\n"));
    page(StatusCode::OK, Some(HeaderValue::from_static("application/json; charset=utf-8")), body)
}

/// Refuses a Host that is not on the list, against DNS rebinding (CVE-2018-5702).
fn refuse_host(whitelist: &[String], request: &Parts) -> Option<Page> {
    let host = header(&request.headers, HOST);
    let name = host_name(&host);
    if whitelist.is_empty() || whitelist.iter().any(|allowed| allowed == "*" || allowed == name) {
        return None;
    }
    let text = format!(
        "\netcd received your request, but the Host header was unrecognized.\n\n\
         To fix this, choose one of the following options:\n\
         - Enable TLS, then any HTTPS request will be allowed.\n\
         - Add the hostname you want to use to the whitelist in settings.\n  \
         - e.g. etcd --host-whitelist {name:?}\n\n\
         This requirement has been added to help prevent \"DNS Rebinding\" attacks (CVE-2018-5702).\n"
    );
    Some(error_page(StatusCode::MISDIRECTED_REQUEST, &text))
}

/// A Host header without its port and brackets.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name.trim_start_matches('[').trim_end_matches(']'),
        _ => host,
    }
}

fn cors_headers(allowed: &[String], headers: &HeaderMap) -> HeaderMap {
    let is_allowed = |origin: &str| allowed.is_empty() || allowed.iter().any(|a| a == "*" || a == origin);
    let origin = headers.get(ORIGIN);
    let answer = if is_allowed("*") {
        Some(HeaderValue::from_static("*"))
    } else {
        origin.filter(|origin| origin.to_str().is_ok_and(is_allowed)).cloned()
    };
    let mut cors = HeaderMap::new();
    if let Some(origin) = answer {
        let methods = HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE");
        cors.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        cors.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let headers = HeaderValue::from_static("accept, content-type, authorization");
        cors.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
    }
    cors
}

fn get_only(request: &Parts, make: impl FnOnce() -> Page) -> Page {
    if request.method == Method::GET { make() } else { method_not_allowed() }
}

fn method_not_allowed() -> Page {
    let mut page = error_page(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    page.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    page
}

fn not_found() -> Page {
    error_page(StatusCode::NOT_FOUND, "404 page not found")
}

fn page(status: StatusCode, content_type: Option<HeaderValue>, body: impl Into<Bytes>) -> Page {
    let mut page = Response::new(body.into());
    *page.status_mut() = status;
    if let Some(content_type) = content_type {
        page.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    page
}

/// An error as Go's server writes one: the text and a newline.
pub(crate) fn error_page(status: StatusCode, text: &str) -> Page {
    let mut page = page(status, Some(TEXT), format!("{text}\n"));
    page.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    page
}

fn header(headers: &HeaderMap, name: HeaderName) -> Cow<'_, str> {
    headers.get(name).map_or(Cow::Borrowed(""), |value| String::from_utf8_lossy(value.as_bytes()))
}

/// The parameters of a page.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_query(request: &Parts) {
    let _ = query_values(request, "exclude");
    let _ = health::checks_of(request.uri.path());
}

/// JSON in the body of a member's question.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_revision(json: &[u8]) {
    let _ = peer::checks::asked_revision(json);
}

/// The values of a query parameter, decoded, in order.
fn query_values(request: &Parts, name: &str) -> Vec<String> {
    let query = request.uri.query().unwrap_or("");
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(key, _)| url_decode(key) == name)
        .map(|(_, value)| url_decode(value))
        .collect()
}

fn url_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |at: usize| char::from(*after.get(at)?).to_digit(16);
        rest = after;
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn report_unhealthy<M>(thread: &Thread<M>, path: &str, output: &str) {
    (thread.common.notify)(Notice::Unhealthy { path: path.to_owned(), output: output.to_owned() });
}

fn count_health<M>(thread: &Thread<M>, ok: bool) {
    let metrics = &thread.metrics;
    if ok { &metrics.health_success } else { &metrics.health_failures }.fetch_add(1, Relaxed);
}
