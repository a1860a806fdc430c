//! What no client should send. The answer is an error, and the server goes on.

use bytes::Bytes;
use e2e::{
    client::{Client, Status},
    http1,
    server::Server,
};
use http::Method;
use prost::Message;
use proto::etcdserverpb::{
    self as pb, AlarmRequest, DowngradeRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, PutResponse,
    RangeRequest, TxnRequest, WatchCreateRequest,
};

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    malformed_messages => "grpc" [];
    malformed_stream_messages => "grpc" [];
    malformed_frames => "grpc" [];
    oversize_frames => "errors" ["grpc recv limit"];
    deep_nesting => "grpc" [];
    undefined_enums => "grpc" [];
    undefined_alarm_action => "errors" ["errors.ErrUnknownMethod"];
    extreme_numbers => "grpc" [];
    unknown_watch_ids => "grpc" [];
    unknown_fields_are_ignored => "grpc" [];
    wrong_wire_types_are_unknown_fields => "grpc" [];
    malformed_headers => "grpc" [];
    malformed_http => "http" [];
    canceled_calls_leave_nothing => "grpc" [];
}

/// The server serves the next one.
fn assert_alive(server: &Server) {
    let client = server.client();
    put_ok(&client, "bad/alive", "v");
    assert_eq!(get(&client, "bad/alive").as_deref(), Some("v"));
}

const GARBAGE: [&[u8]; 5] =
    [b"\x0f\x01", b"\x00\x01", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0a\x7fk", b"\xa4\x1f"];

fn malformed_messages() {
    let server = Server::shared();
    let client = server.client();
    for method in ["KV/Range", "KV/Put", "KV/Txn", "KV/DeleteRange"] {
        for bytes in GARBAGE {
            let answer = client.unary::<PutResponse>(&format!("etcdserverpb.{method}"), bytes.to_vec());
            let status = answer.expect_err("garbage is refused");
            assert_eq!(status.code, code::INTERNAL, "{method} {bytes:x?}: {status}");
            assert!(status.message.starts_with("grpc: error unmarshalling request: "), "{status}");
        }
    }
    let name = b"\x0a\x02\xff\xfe".to_vec();
    let status = client.unary::<pb::AuthUserAddResponse>("etcdserverpb.Auth/UserAdd", name).unwrap_err();
    assert_eq!(status.code, code::INTERNAL, "a name that is not UTF-8: {status}");
    assert_alive(&server);
}

fn malformed_stream_messages() {
    let server = Server::shared();
    let client = server.client();
    let mut stream = watch(&client);
    create_ok(&mut stream, create("bad/stream"));
    stream.send_bytes(b"\xff\xff");
    let status = stream.next().expect_err("garbage ends a stream");
    assert_eq!(status.code, code::INTERNAL, "{status}");
    let mut stream =
        client.open::<LeaseKeepAliveRequest, LeaseKeepAliveResponse>("etcdserverpb.Lease/LeaseKeepAlive");
    stream.send_bytes(b"\xff\xff");
    assert_eq!(stream.next().expect_err("garbage ends a stream").code, code::INTERNAL);
    assert_alive(&server);
}

fn send_frame(client: &Client, bytes: &[u8]) -> Result<(), Status> {
    let mut stream = client.open::<RangeRequest, pb::RangeResponse>("etcdserverpb.KV/Range");
    stream.send_raw(Bytes::copy_from_slice(bytes));
    stream.finish();
    stream.rest().map(drop)
}

/// Messages that end early, and flags that are not defined.
fn malformed_frames() {
    let server = Server::shared();
    let client = server.client();
    let message = range("bad/k").encode_to_vec();
    let framed = |flag: u8| [&[flag, 0, 0, 0, message.len() as u8][..], &message].concat();
    assert_eq!(send_frame(&client, &framed(0)), Ok(()));
    for (bytes, codes) in [
        (framed(0)[..3].to_vec(), &[code::UNKNOWN, code::INTERNAL][..]),
        (framed(0)[..8].to_vec(), &[code::UNKNOWN, code::INTERNAL]),
        (framed(1), &[code::INTERNAL]),
        (framed(9), &[code::INTERNAL]),
    ] {
        let status = send_frame(&client, &bytes).expect_err("a bad frame is refused");
        assert!(codes.contains(&status.code), "{bytes:x?}: {status}");
    }
    assert_alive(&server);
}

/// 9.11: refused by the length that is announced, before the bytes are there.
fn oversize_frames() {
    let server = Server::shared();
    let client = server.client();
    let limit = 1_572_864 + 524_288;
    for length in [limit + 1, u32::MAX as usize] {
        let head = [&[0][..], &(length as u32).to_be_bytes(), b"some bytes"].concat();
        let text = format!("grpc: received message larger than max ({length} vs. {limit})");
        assert_eq!(send_frame(&client, &head), Err(Status::new(code::RESOURCE_EXHAUSTED, &text)));
        let mut stream = watch(&client);
        stream.send_raw(Bytes::from(head));
        assert_eq!(stream.next(), Err(Status::new(code::RESOURCE_EXHAUSTED, &text)));
    }
    assert_alive(&server);
}

fn deep_nesting() {
    let server = Server::shared();
    let client = server.client();
    let nested = |levels: usize| (0..levels).fold(TxnRequest::default(), |inner, _| txn(vec![txn_op(inner)]));
    client.ok(nested(20));
    // By hand, since no encoder makes that.
    let mut deep: Vec<u8> = Vec::new();
    while deep.len() < 40_000 {
        for tag in [0x22, 0x12] {
            let mut outer = vec![tag];
            prost::encoding::encode_varint(deep.len() as u64, &mut outer);
            outer.extend_from_slice(&deep);
            deep = outer;
        }
    }
    let status = client.unary::<pb::TxnResponse>("etcdserverpb.KV/Txn", deep).expect_err("too deep");
    assert!([code::INTERNAL, code::INVALID_ARGUMENT].contains(&status.code), "{status}");
    assert_alive(&server);
}

/// Compares with an undefined target, filters that are none: taken or refused as etcd does it.
fn undefined_enums() {
    let server = Server::shared();
    let client = server.client();
    let sort = RangeRequest { sort_order: 9, ..range("bad/k") };
    assert_eq!(client.fails(sort), promised("ErrGRPCInvalidSortOption"));
    let compare = pb::Compare { key: text("bad/k"), result: 9, target: 9, ..Default::default() };
    client.ok(TxnRequest { compare: vec![compare], ..Default::default() });
    let downgrade = DowngradeRequest { action: -1, version: "3.6".into() };
    assert_eq!(client.fails(downgrade), promised("errors.ErrUnknownMethod"));
    let mut stream = watch(&client);
    create_ok(&mut stream, WatchCreateRequest { filters: vec![7], ..create("bad/enum") });
    put_ok(&client, "bad/enum", "v");
    assert_eq!(stream.message().events.len(), 1, "an undefined filter filters nothing");
    assert_alive(&server);
}

/// An intended difference (contract/deviations.tsv): upstream does not guard it, and ends.
fn undefined_alarm_action() {
    let server = Server::start(&[]);
    for action in [3, -1, i32::MAX] {
        let request = AlarmRequest { action, ..Default::default() };
        assert_eq!(server.client().fails(request), promised("errors.ErrUnknownMethod"));
    }
    assert_alive(&server);
}

fn extreme_numbers() {
    let server = Server::shared();
    let client = server.client();
    put_ok(&client, "bad/n", "v");
    for limit in [-1, i64::MIN, i64::MAX] {
        let reply = client.ok(RangeRequest { limit, ..range("bad/n") });
        assert_eq!((reply.kvs.len(), reply.more), (1, false), "{limit}");
    }
    client.ok(RangeRequest { revision: i64::MIN, ..range("bad/n") });
    assert_eq!(
        client.fails(RangeRequest { revision: i64::MAX, ..range("bad/n") }),
        promised("ErrGRPCFutureRev")
    );
    for revision in [i64::MAX, i64::MIN] {
        let expected = if revision > 0 { "ErrGRPCFutureRev" } else { "ErrGRPCCompacted" };
        assert_eq!(client.fails(compact(revision)), promised(expected));
    }
    for (min, max, found) in [(i64::MIN, 0, 1), (0, i64::MIN, 0), (i64::MAX, 0, 0), (0, i64::MAX, 1)] {
        let reply =
            client.ok(RangeRequest { min_mod_revision: min, max_mod_revision: max, ..range("bad/n") });
        assert_eq!(reply.kvs.len(), found, "{min}..{max}");
    }
    assert_eq!(client.ok(pb::LeaseGrantRequest { ttl: i64::MIN, id: 0 }).ttl, 2);
    let too_large = pb::LeaseGrantRequest { ttl: i64::MAX, id: 0 };
    assert_eq!(client.fails(too_large), promised("ErrGRPCLeaseTTLTooLarge"));
    client.ok(pb::LeaseGrantRequest { ttl: 100, id: i64::MIN });
    client.ok(pb::LeaseRevokeRequest { id: i64::MIN });
    let mut stream = watch(&client);
    create_ok(
        &mut stream,
        WatchCreateRequest { start_revision: i64::MAX, watch_id: i64::MAX, ..create("bad/n") },
    );
    assert_alive(&server);
}

/// 5.14: no reply, and the stream goes on.
fn unknown_watch_ids() {
    let server = Server::shared();
    let client = server.client();
    let mut stream = watch(&client);
    for id in [0, 1, -1, i64::MAX, i64::MIN] {
        stream.send(&cancel_request(id));
    }
    let created = create_ok(&mut stream, create("bad/ids"));
    assert_eq!(created.watch_id, 0);
    stream.send(&cancel_request(0));
    stream.send(&cancel_request(0));
    assert!(stream.message().canceled);
    assert_eq!(create_ok(&mut stream, create("bad/ids")).watch_id, 1, "one cancel, one reply");
}

/// 11.4.
fn unknown_fields_are_ignored() {
    let server = Server::shared();
    let client = server.client();
    let mut message = put("bad/field", "v").encode_to_vec();
    message.extend_from_slice(b"\xa0\x3f\x07\xaa\x3f\x02hi");
    client.unary::<PutResponse>("etcdserverpb.KV/Put", message).unwrap();
    assert_eq!(get(&client, "bad/field").as_deref(), Some("v"));
}

/// A known field number with another wire type is an unknown field, as everywhere in protobuf.
fn wrong_wire_types_are_unknown_fields() {
    let server = Server::shared();
    let client = server.client();
    // A key that is a number: there is no key.
    let status = client.unary::<PutResponse>("etcdserverpb.KV/Put", b"\x08\x01".to_vec()).unwrap_err();
    assert_eq!(status, promised("ErrGRPCEmptyKey"));
    // The same in a put of a txn, and in a stream: a group where a key should be, a text where an id should be.
    let put = b"\x0b\x08\x01\x0c\x0a\x06bad/wt\x12\x01v\x1a\x01x";
    let op = [&[0x12, put.len() as u8][..], put].concat();
    let txn = [&[0x12, op.len() as u8][..], &op].concat();
    client.unary::<pb::TxnResponse>("etcdserverpb.KV/Txn", txn).unwrap();
    let pairs = client.ok(range("bad/wt")).kvs;
    assert_eq!((&pairs[0].value[..], pairs[0].lease), (&b"v"[..], 0));
    let mut stream = watch(&client);
    stream.send_bytes(b"\x0a\x0c\x0a\x06bad/wt\x3a\x02hi");
    let created = stream.message();
    assert_eq!((created.created, created.watch_id), (true, 0));
}

fn malformed_headers() {
    let server = Server::shared();
    let client = server.client();
    let ask = |method: Method, path: &str, headers: &[(&'static str, &[u8])]| {
        let answer = client.exchange(method, path, headers, &[0, 0, 0, 0, 0]).unwrap();
        let status = e2e::client::status(&answer.headers).expect_err("it is refused");
        (answer.http, status.code, status.message)
    };
    let grpc: (&str, &[u8]) = ("content-type", b"application/grpc");
    let range = "/etcdserverpb.KV/Range";
    assert_eq!(ask(Method::POST, range, &[("content-type", b"text/plain")]).0, 415);
    let (http, code, text) = ask(Method::POST, range, &[grpc, ("grpc-timeout", b"5x")]);
    assert_eq!((http, code), (400, code::INTERNAL));
    assert!(text.starts_with("malformed grpc-timeout: "), "{text}");
    let (_, code, text) = ask(Method::POST, range, &[grpc, ("grpc-encoding", b"nope")]);
    assert_eq!(code, code::UNIMPLEMENTED, "{text}");
    assert_eq!(ask(Method::GET, range, &[grpc]).0, 405);
    let (_, code, text) = ask(Method::POST, "/nonsense", &[grpc]);
    assert_eq!((code, text.as_str()), (code::UNIMPLEMENTED, "malformed method name: \"/nonsense\""));
    let (_, code, text) = ask(Method::POST, "/a/b/c", &[grpc]);
    assert_eq!((code, text.as_str()), (code::UNIMPLEMENTED, "unknown service a/b"));
    assert_alive(&server);
}

fn malformed_http() {
    let server = Server::shared();
    let long = "x".repeat(2 << 20);
    for bytes in [
        b"nonsense\r\n\r\n".to_vec(),
        b"GET /health HTTP/9.9\r\nHost: a\r\n\r\n".to_vec(),
        format!("GET /health HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n").into_bytes(),
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all, but long enough for one".to_vec(),
    ] {
        // Refused with a status, or with a closed connection.
        if let Ok(answer) = http1::raw(server.address(), &bytes) {
            let text = String::from_utf8_lossy(&answer);
            assert!(!text.starts_with("HTTP/1.1 200"), "{text}");
        }
        assert_eq!(server.get("/health").status, 200);
    }
    assert_alive(&server);
}

/// A client that goes away takes its watchers with it.
fn canceled_calls_leave_nothing() {
    let server = Server::start(&[]);
    for _ in 0..20 {
        let client = server.client();
        let mut stream = watch(&client);
        for _ in 0..5 {
            create_ok(&mut stream, create("k"));
        }
    }
    let gone = e2e::server::poll(|| {
        let page = server.metrics();
        let left = ["etcd_debugging_mvcc_watcher_total", "etcd_debugging_mvcc_watch_stream_total"];
        left.iter().all(|name| page.value(name, &[]) == 0.0).then_some(())
    });
    assert!(gone.is_some(), "no watcher is left");
    assert_alive(&server);
}
