//! Calls with one request and one reply: every method, every refusal.

use std::sync::atomic::Ordering::SeqCst;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use prost::Message;
use proto::{
    etcdserverpb as pb,
    health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse},
    v3electionpb::{LeaderKey, ResignRequest},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Harness,
    client::{Client, framed, soon},
    config, fake,
};
use crate::{
    Kind, Method,
    member::{AuthCall, Caller},
    status::{Code, Reason},
};

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";

fn put(key: &str, value: impl Into<Bytes>) -> pb::PutRequest {
    pb::PutRequest { key: Bytes::copy_from_slice(key.as_bytes()), value: value.into(), ..Default::default() }
}

#[tokio::test]
async fn put_and_range() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let reply = client.unary(PUT, &put("a", "1")).await;
    assert_eq!((reply.http, reply.headers["content-type"].to_str().unwrap()), (200, "application/grpc"));
    assert_eq!(reply.message::<pb::PutResponse>().header, fake::header());
    let range = pb::RangeRequest { key: "a".into(), ..Default::default() };
    let found: pb::RangeResponse = client.unary(RANGE, &range).await.message();
    assert_eq!(found.kvs[0].value, "1");
    assert_eq!(found.header, fake::header());
}

/// A request of each method that passes validation.
fn valid_request(method: Method) -> Vec<u8> {
    match method {
        Method::Put | Method::DeleteRange | Method::Range => put("a", "").encode_to_vec(),
        Method::MemberUpdate => {
            pb::MemberUpdateRequest { peer_ur_ls: vec!["http://h:1".into()], ..Default::default() }
                .encode_to_vec()
        }
        Method::MemberAdd => {
            pb::MemberAddRequest { peer_ur_ls: vec!["http://h:1".into()], ..Default::default() }
                .encode_to_vec()
        }
        // Their first field is a key, or a name.
        Method::Unlock | Method::Leader => put("led", "").encode_to_vec(),
        Method::Proclaim | Method::Resign => {
            let leader = LeaderKey { key: "led/1".into(), lease: 1, ..Default::default() };
            ResignRequest { leader: Some(leader) }.encode_to_vec()
        }
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn every_unary_method_reaches_the_member() {
    let harness = Harness::start(config());
    *harness.knobs.password_hash.lock().unwrap() = bcrypt::hash("pw", 4).unwrap();
    harness.knobs.pairs.lock().unwrap().insert("led/".into(), "leads".into());
    let client = harness.client().await;
    for &method in Method::ALL.iter().filter(|method| method.kind() == Kind::Unary) {
        let path = format!("/{}/{}", method.service(), method.name());
        *harness.knobs.last_caller.lock().unwrap() = Caller::default();
        let body = framed(&valid_request(method));
        let reply = client.call(&path, &[("token", "t.1")], body).await;
        match method {
            Method::Authenticate => assert_eq!(reply.outcome.0, Code::InvalidArgument as i32),
            Method::HealthCheck | Method::HealthList => assert_eq!(reply.outcome.0, 0),
            _ => {
                assert_eq!(reply.outcome, (0, String::new()), "{path}");
                // Every reply has its header in field 1.
                let header = pb::LeaseRevokeResponse::decode(reply.messages[0].clone()).unwrap().header;
                assert_eq!(header, fake::header(), "{path}");
                assert_eq!(harness.knobs.last_caller.lock().unwrap().token.as_deref(), Some("t.1"), "{path}");
            }
        }
        let counts = harness.server.metrics();
        assert_eq!(counts.sum(|shard| shard.method(method).started.value()), 1, "{path}");
        assert_eq!(counts.sum(|shard| shard.method(method).received.value()), 1, "{path}");
    }
}

#[tokio::test]
async fn refusals() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let grpc = |text: &str| {
        vec![("content-type", "application/grpc"), ("grpc-timeout", text)]
            .into_iter()
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect::<Vec<_>>()
    };
    let body = || framed(&put("a", "1").encode_to_vec());
    let text_body = [("content-type", "text/plain")];
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Bytes, u16, Code, &'a str);
    let cases: Vec<Case<'_>> = vec![
        (
            "/etcdserverpb.KV/Nope",
            &[],
            body(),
            200,
            Code::Unimplemented,
            "unknown method Nope for service etcdserverpb.KV",
        ),
        ("/a.B/C", &[], body(), 200, Code::Unimplemented, "unknown service a.B"),
        ("/a", &[], body(), 200, Code::Unimplemented, "malformed method name: \"/a\""),
        (
            PUT,
            &text_body,
            body(),
            415,
            Code::InvalidArgument,
            "invalid gRPC request content-type \"text/plain\"",
        ),
        (PUT, &[("grpc-timeout", "0m")], body(), 200, Code::DeadlineExceeded, "context deadline exceeded"),
        (
            PUT,
            &[],
            framed(&[0xff; 9]),
            200,
            Code::Internal,
            "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data",
        ),
        (
            "/etcdserverpb.Auth/UserAdd",
            &[],
            framed(b"\x0a\x01\xff"),
            200,
            Code::Internal,
            "grpc: error unmarshalling request: string field contains invalid UTF-8",
        ),
        // A key of another wire type is none.
        (PUT, &[], framed(b"\x08\x01"), 200, Code::InvalidArgument, "etcdserver: key is not provided"),
        (PUT, &[], Bytes::new(), 200, Code::Unknown, "EOF"),
        (PUT, &[], Bytes::from_static(&[0, 0, 0, 0, 9, 1]), 200, Code::Unknown, "unexpected EOF"),
        (
            PUT,
            &[],
            Bytes::from_static(&[1, 0, 0, 0, 0]),
            200,
            Code::Internal,
            "grpc: compressed flag set with identity or empty encoding",
        ),
        (
            PUT,
            &[],
            Bytes::from_static(&[7, 0, 0, 0, 0]),
            200,
            Code::Internal,
            "grpc: received unexpected payload format 7",
        ),
        (
            PUT,
            &[],
            Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]),
            200,
            Code::ResourceExhausted,
            "grpc: received message larger than max (4294967295 vs. 2097152)",
        ),
        (
            PUT,
            &[],
            framed(&put("", "1").encode_to_vec()),
            200,
            Code::InvalidArgument,
            "etcdserver: key is not provided",
        ),
        (
            PUT,
            &[],
            framed(&put("full", "1").encode_to_vec()),
            200,
            Code::ResourceExhausted,
            "etcdserver: mvcc: database space exceeded",
        ),
        (
            "/grpc.health.v1.Health/Check",
            &[],
            framed(&HealthCheckRequest { service: "x".into() }.encode_to_vec()),
            200,
            Code::NotFound,
            "unknown service",
        ),
    ];
    for (path, headers, body, http, code, text) in cases {
        let reply = client.call(path, headers, body).await;
        assert_eq!((reply.http, reply.outcome), (http, (code as i32, text.to_owned())), "{path} {text}");
    }
    for bad in ["soon", "1", "1234567890S"] {
        let headers = grpc(bad);
        let headers: Vec<_> = headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(client.call(PUT, &headers, body()).await.http, 400);
    }
    let get = http::Request::get(format!("http://localhost{PUT}")).header("content-type", "application/grpc");
    let response = client.get(PUT, get.body(()).unwrap()).await;
    assert_eq!(response.status().as_u16(), 405);
}

#[tokio::test]
async fn leader_learner_and_api_version() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let body = framed(&put("a", "1").encode_to_vec());
    let needs_leader = [("hasleader", "true"), ("client-api-version", "3.6")];
    assert_eq!(client.call(PUT, &needs_leader, body.clone()).await.outcome.0, 0);
    harness.knobs.leaderless.store(true, SeqCst);
    let reply = client.call(PUT, &needs_leader, body.clone()).await;
    assert_eq!(reply.outcome, (14, "etcdserver: no leader".into()));
    assert_eq!(client.call(PUT, &[], body.clone()).await.outcome.0, 0);
    harness.knobs.learner.store(true, SeqCst);
    let refused = (9, "etcdserver: rpc not supported for learner".to_owned());
    assert_eq!(client.call(PUT, &[], body).await.outcome, refused);
    let mut range = pb::RangeRequest { key: "a".into(), ..Default::default() };
    assert_eq!(client.unary(RANGE, &range).await.outcome, refused);
    range.serializable = true;
    assert_eq!(client.unary(RANGE, &range).await.outcome.0, 0);
    assert_eq!(client.unary("/etcdserverpb.Maintenance/Status", &pb::StatusRequest {}).await.outcome.0, 0);
    assert_eq!(
        client.unary("/grpc.health.v1.Health/Check", &HealthCheckRequest::default()).await.outcome,
        refused
    );
    let requests = harness.server.metrics().client_requests();
    assert_eq!(requests, [("3.6".into(), 2, 0), ("unknown".into(), 3, 0)]);
    let metrics = harness.server.metrics();
    assert_eq!(metrics.handled(Method::Put, Code::Unavailable), 1);
    assert_eq!(metrics.handled(Method::Put, Code::Ok), 2);
    let observed =
        metrics.sum(|s| s.method(Method::Put).handling.counts.iter().map(|bucket| bucket.value()).sum());
    assert_eq!(observed, 4);
}

#[tokio::test]
async fn health() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let check: HealthCheckResponse =
        client.unary("/grpc.health.v1.Health/Check", &HealthCheckRequest::default()).await.message();
    assert_eq!(check.status, 1);
    let list: HealthListResponse =
        client.unary("/grpc.health.v1.Health/List", &HealthListRequest {}).await.message();
    assert_eq!(list.statuses[""].status, 1);
}

#[tokio::test]
async fn gzip_both_ways() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut encoder, &put("zip", vec![b'z'; 10_000]).encode_to_vec()).unwrap();
    let compressed = encoder.finish().unwrap();
    let mut body = BytesMut::from(&[1u8][..]);
    body.put_u32(compressed.len() as u32);
    body.put_slice(&compressed);
    let headers = [("grpc-encoding", "gzip")];
    let reply = client.call(PUT, &headers, body.freeze()).await;
    assert_eq!((reply.outcome.0, reply.headers["grpc-encoding"].to_str().unwrap()), (0, "gzip"));
    assert_eq!(harness.knobs.pairs.lock().unwrap()[&b"zip"[..]].len(), 10_000);
    let reply = client.call(PUT, &[("grpc-encoding", "snappy")], framed(&[])).await;
    let text = "grpc: Decompressor is not installed for grpc-encoding \"snappy\"";
    assert_eq!(reply.outcome, (12, text.into()));
}

#[tokio::test]
async fn long_messages_in_many_frames() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let message = framed(&put("long", vec![7; 2_000_000]).encode_to_vec());
    let (mut send, response) = client.open(PUT, &[]).await;
    for start in (0..message.len()).step_by(10_007) {
        let chunk = message.slice(start..message.len().min(start + 10_007));
        send.reserve_capacity(chunk.len());
        let mut sent = 0;
        while sent < chunk.len() {
            let n = soon(std::future::poll_fn(|cx| send.poll_capacity(cx))).await.unwrap().unwrap();
            let n = n.min(chunk.len() - sent);
            send.send_data(chunk.slice(sent..sent + n), false).unwrap();
            sent += n;
        }
    }
    send.send_data(Bytes::new(), true).unwrap();
    let reply = super::client::collect(soon(response).await.unwrap()).await;
    assert_eq!(reply.outcome.0, 0);
    assert_eq!(harness.knobs.pairs.lock().unwrap()[&b"long"[..]].len(), 2_000_000);
    let metrics = harness.server.metrics();
    assert_eq!(metrics.sum(|shard| shard.received_bytes.value()), message.len() as u64 - 5);
}

#[tokio::test]
async fn passwords_are_hashed_and_checked_here() {
    let harness = Harness::start(config());
    let client = harness.client().await;
    let add =
        pb::AuthUserAddRequest { name: "alice".into(), password: "secret".into(), ..Default::default() };
    assert_eq!(client.unary("/etcdserverpb.Auth/UserAdd", &add).await.outcome.0, 0);
    let Some(AuthCall::UserAdd(seen)) = harness.knobs.last_auth.lock().unwrap().take() else {
        panic!("no UserAdd")
    };
    assert_eq!((seen.name.as_str(), seen.password.as_str()), ("alice", ""));
    use base64::Engine;
    let hash = base64::engine::general_purpose::STANDARD.decode(&seen.hashed_password).unwrap();
    let hash = String::from_utf8(hash).unwrap();
    assert!(hash.starts_with("$2a$04$"));
    *harness.knobs.password_hash.lock().unwrap() = hash;
    let login = |password: &str| pb::AuthenticateRequest { name: "alice".into(), password: password.into() };
    harness.knobs.stale_logins.store(2, SeqCst);
    let reply = client.unary("/etcdserverpb.Auth/Authenticate", &login("secret")).await;
    let token = reply.message::<pb::AuthenticateResponse>().token;
    let (prefix, index) = token.split_once('.').unwrap();
    assert!(index == "9" && prefix.len() == 16 && prefix.bytes().all(|b| b.is_ascii_alphabetic()), "{token}");
    let refused = client.unary("/etcdserverpb.Auth/Authenticate", &login("wrong")).await;
    let status = Reason::AuthFailed.status();
    assert_eq!(refused.outcome, (status.code as i32, status.message.clone().into_owned()));
    let long = pb::AuthUserChangePasswordRequest {
        name: "a".into(),
        password: "x".repeat(73),
        ..Default::default()
    };
    let reply = client.unary("/etcdserverpb.Auth/UserChangePassword", &long).await;
    assert_eq!(reply.outcome, (2, "bcrypt: password length exceeds 72 bytes".into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever bytes come for whatever method, the call ends with a status and the connection goes on.
    #[test]
    fn noise_never_breaks_a_connection(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let harness = Harness::start(config());
            let client: Client = harness.client().await;
            let finite = |method: &Method| method.kind() == Kind::Unary;
            let methods = Method::ALL.iter().filter(|m| finite(m) && **m != Method::Range && **m != Method::Put);
            for (method, body) in methods.zip(&bodies) {
                let path = format!("/{}/{}", method.service(), method.name());
                let framed_noise = client.call(&path, &[], framed(body)).await;
                assert!(framed_noise.outcome.0 >= 0);
                let (mut send, response) = client.open(&path, &[]).await;
                let _ = send.send_data(Bytes::copy_from_slice(body), true);
                soon(response).await.unwrap();
            }
            assert_eq!(client.unary(PUT, &put("a", "1")).await.outcome.0, 0);
        });
    }
}

/// etcdctl 3.4 does that for calls to one member.
#[tokio::test]
async fn a_url_in_the_place_of_the_authority_is_taken() {
    let harness = Harness::start(config());
    let frame = |kind: u8, flags: u8, payload: &[u8]| {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1];
        frame.extend(payload);
        frame
    };
    let mut headers = vec![0x83, 0x86];
    // The last one is `content-type`; all by names of the static table.
    for (name, value) in [(0x44, RANGE), (0x41, "http://127.0.0.1:2379"), (0x5f, "application/grpc")] {
        headers.extend([name, value.len() as u8]);
        headers.extend(value.as_bytes());
    }
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    hello.extend(frame(1, 4, &headers));
    hello.extend(frame(
        0,
        1,
        &framed(&pb::RangeRequest { key: "a".into(), ..Default::default() }.encode_to_vec()),
    ));
    let mut stream = TcpStream::connect(("127.0.0.1", harness.port(0))).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    let kind = soon(async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            stream.read_exact(&mut vec![0; len as usize]).await.unwrap();
            if head[8] == 1 {
                return head[3];
            }
        }
    });
    assert_eq!(kind.await, 1, "the first frame of the stream is HEADERS");
}

#[tokio::test]
async fn what_a_request_takes_once_decoded_is_taken_out_of_the_budget_before() {
    let mut setup = config();
    setup.limits.bytes_in_flight_max = 16 << 20;
    let harness = Harness::start(setup);
    let client = harness.client().await;
    // Two bytes on the wire for each operation, some hundred in memory.
    let bomb = Bytes::from([0x12, 0].repeat(200_000));
    let refused = client.call("/etcdserverpb.KV/Txn", &[], framed(&bomb)).await.outcome;
    assert_eq!(refused, (Code::ResourceExhausted as i32, "etcdserver: too many requests".into()));
    // As much in one value is no such thing, and nothing stays taken.
    for _ in 0..100 {
        let reply = client.unary(PUT, &put("a", vec![0; 400_000])).await;
        assert_eq!(reply.outcome.0, 0);
    }
    let many = Bytes::from([0x12, 0].repeat(2000));
    let refused = client.call("/etcdserverpb.KV/Txn", &[], framed(&many)).await.outcome;
    assert_eq!(
        refused,
        (Code::InvalidArgument as i32, "etcdserver: too many operations in txn request".into())
    );
}
