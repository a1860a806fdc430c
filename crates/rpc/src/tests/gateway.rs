//! The JSON gateway: what it passes on, and what ends its answers.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use bytes::Bytes;
use h2::RecvStream;
use http::{Request, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Harness,
    client::soon,
    config,
    flow::until,
    http::ask,
    tls::{BOTH, Files, issue},
};
use crate::Tls;

const RANGE: &str = "/v3/kv/range";

/// A POST request of HTTP/1.1.
fn post(path: &str, headers: &str, body: &str) -> String {
    let len = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: h\r\n{headers}content-length: {len}\r\n\r\n{body}")
}

/// For the key `text`.
fn range(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!(r#"{{"key":"{}"}}"#, STANDARD.encode(text))
}

async fn send(harness: &Harness, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", harness.port(0))).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn headers_become_metadata() {
    let harness = Harness::start(config());
    let call = async |headers: &str| {
        let close = format!("connection: close\r\n{headers}");
        ask(harness.port(0), &post("/v3/cluster/member/list", &close, "{}")).await
    };
    let caller = || harness.knobs.last_caller.lock().unwrap().clone();
    let (status, head, body) = call("authorization: Bearer a.1\r\n").await;
    assert_eq!((status, caller().token.as_deref()), (200, Some("a.1")));
    assert!(head.contains("content-type: application/json") && body.starts_with('{'), "{head} {body}");
    call("grpc-metadata-token: b.2\r\nauthorization: a.1\r\n").await;
    assert_eq!(caller().token.as_deref(), Some("b.2"));
    call("token: c.3\r\n").await;
    assert_eq!(caller().token, None, "metadata of gRPC is not for clients of HTTP");
    harness.knobs.leaderless.store(true, SeqCst);
    assert_eq!(call("").await.0, 200);
    let (status, _, body) = call("grpc-metadata-hasleader: true\r\n").await;
    assert_eq!((status, body.as_str()), (503, r#"{"code":14,"message":"etcdserver: no leader"}"#));
    let timeout = "grpc-timeout: 50m\r\nconnection: close\r\n";
    let (status, _, body) = ask(harness.port(0), &post(RANGE, timeout, &range("hang"))).await;
    assert_eq!((status, body.as_str()), (504, r#"{"code":4,"message":"context deadline exceeded"}"#));
}

#[tokio::test]
async fn a_client_that_goes_away_takes_his_call_with_him() {
    let harness = Harness::start(config());
    let stream = send(&harness, &post(RANGE, "", &range("hang"))).await;
    until(|| harness.knobs.hanging.load(SeqCst) == 1).await;
    drop(stream);
    until(|| harness.knobs.abandoned.load(SeqCst) == 1).await;
    let watch = r#"{"create_request":{"key":"NQ=="}}"#;
    let mut stream = send(&harness, &post("/v3/watch", "", watch)).await;
    let mut some = [0; 1000];
    stream.read_exact(&mut some).await.unwrap();
    drop(stream);
    until(|| harness.knobs.watches_closed.load(SeqCst) == 1).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_waits_alone() {
    let mut config = config();
    config.limits.reader_patience = Duration::from_millis(100);
    let harness = Harness::start(config);
    // An endless watch may wait, and only so much is made for it.
    let mut watch = send(&harness, &post("/v3/watch", "", r#"{"create_request":{"key":"MTAwMDA="}}"#)).await;
    until(|| harness.knobs.frames_taken.load(SeqCst) > 10).await;
    // The view behind a list is not kept for long.
    let mut list = send(&harness, &post(RANGE, "", &range("rows:50000"))).await;
    let mut head = [0; 12];
    soon(list.read_exact(&mut head)).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    until(|| harness.server.metrics().shards()[0].connections.load(SeqCst) == 1).await;
    let mut rest = Vec::new();
    // A reset is as good as an end.
    let _ = soon(list.read_to_end(&mut rest)).await;
    assert!(rest.len() < 40_000_000 && !rest.ends_with(b"0\r\n\r\n"), "{} bytes", rest.len());
    let taken = harness.knobs.frames_taken.load(SeqCst);
    assert!(taken < 5_000, "{taken} frames were made for somebody who reads none");
    let mut some = vec![0; 20 << 20];
    soon(watch.read_exact(&mut some)).await.unwrap();
    assert!(harness.knobs.frames_taken.load(SeqCst) > taken);
}

#[tokio::test]
async fn a_list_that_breaks_off_is_seen_to() {
    let harness = Harness::start(config());
    let mut stream = send(&harness, &post(RANGE, "", &range("broken"))).await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.len() > 200_000);
    assert!(!answer.ends_with(b"0\r\n\r\n"), "no end of the last chunk");
}

#[tokio::test]
async fn a_stop_is_told_to_streams() {
    let harness = Harness::start(config());
    let watch = r#"{"create_request":{"key":"bm9uZQ=="}}"#;
    let mut stream = send(&harness, &post("/v3/watch", "", watch)).await;
    let mut some = [0; 12];
    soon(stream.read_exact(&mut some)).await.unwrap();
    // Whoever is still sending is not waited for.
    let mut half = send(&harness, "POST /v3/kv/put HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n{").await;
    until(|| harness.server.metrics().shards()[0].connections.load(SeqCst) == 2).await;
    let stopping = tokio::task::spawn_blocking(move || harness.server.shutdown(Duration::from_secs(10)));
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    let last = r#"{"error":{"code":14,"message":"etcdserver: server stopped"}}"#;
    assert!(answer.contains(last), "{answer}");
    let mut answer = String::new();
    let _ = soon(half.read_to_string(&mut answer)).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
    soon(stopping).await.unwrap();
}

/// A POST over HTTP/2.
async fn call(client: &mut h2::client::SendRequest<Bytes>, path: &str, body: &str) -> Response<RecvStream> {
    let request = Request::post(format!("https://localhost{path}")).body(()).unwrap();
    let (response, mut sender) = client.send_request(request, false).unwrap();
    sender.send_data(Bytes::copy_from_slice(body.as_bytes()), true).unwrap();
    soon(response).await.unwrap()
}

async fn text(mut response: Response<RecvStream>) -> String {
    let mut text = Vec::new();
    while let Some(data) = soon(response.body_mut().data()).await {
        let data = data.unwrap();
        response.body_mut().flow_control().release_capacity(data.len()).unwrap();
        text.extend_from_slice(&data);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn over_http2() {
    let files = Files::new();
    let tls = Tls { trusted_ca: Some(files.path("ca.pem")), client_cert_auth: true, ..files.tls() };
    let harness = Harness::start(files.config(tls));
    let alice = issue(&files.ca, "client", "alice");
    let stream = files.connect(harness.port(0), "h2", Some(alice), BOTH).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let response = call(&mut client, "/v3/kv/put", r#"{"key":"aw==","value":"dg=="}"#).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    assert!(text(response).await.starts_with(r#"{"header":{"cluster_id":"1""#));
    // Whatever his certificate says, he is nobody here.
    assert_eq!(harness.knobs.last_caller.lock().unwrap().common_name, None);
    let list = text(call(&mut client, RANGE, &range("rows:3000")).await).await;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["kvs"].as_array().unwrap().len(), 3000);
    let response = call(&mut client, RANGE, "{").await;
    assert_eq!(response.status(), 400);
    assert_eq!(text(response).await, r#"{"code":3,"message":"unexpected EOF"}"#);
    let lines = text(call(&mut client, "/v3/lease/keepalive", r#"{"ID":"1"}{"ID":"2"}"#).await).await;
    assert_eq!(lines.lines().filter(|line| line.starts_with(r#"{"result":{"#)).count(), 2, "{lines}");
    // A reset ends what was asked.
    let request = Request::post(format!("https://localhost{RANGE}")).body(()).unwrap();
    let (response, mut sender) = client.send_request(request, false).unwrap();
    sender.send_data(range("hang").into(), true).unwrap();
    until(|| harness.knobs.hanging.load(SeqCst) == 1).await;
    sender.send_reset(h2::Reason::CANCEL);
    drop(response);
    until(|| harness.knobs.abandoned.load(SeqCst) == 1).await;
    // He may take his name for a login, once there are logins.
    harness.knobs.auth.store(true, SeqCst);
    let response = call(&mut client, RANGE, &range("k")).await;
    assert_eq!(response.status(), 400);
    assert!(text(response).await.starts_with("CommonName of client sending a request against gateway"));
    connection.abort();
}
