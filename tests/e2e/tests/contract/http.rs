//! contract/http.tsv: pages of the client and metrics listeners.

use std::io::Read;

use e2e::{
    http1::{self, Answer},
    server::Server,
};
use proto::etcdserverpb::{AlarmRequest, AlarmType, alarm_request::AlarmAction};

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    health => "http" ["GET /health (client-http, metrics)"];
    health_under_alarms => "http" ["GET /health (client-http, metrics)", "GET /readyz (client-http, metrics)"];
    livez => "http" ["GET /livez (client-http, metrics)", "GET /livez/serializable_read (client-http, metrics)"];
    readyz => "http" [
        "GET /readyz (client-http, metrics)", "GET /readyz/data_corruption (client-http, metrics)",
        "GET /readyz/serializable_read (client-http, metrics)", "GET /readyz/linearizable_read (client-http, metrics)",
        "GET /readyz/non_learner (client-http, metrics)",
    ];
    metrics => "http" ["GET /metrics (client-http, metrics)"];
    version => "http" ["GET /version (client-http, peer)"];
    debug_vars => "http" ["GET /debug/vars (client-http)"];
    unknown_paths => "http" ["GET / (client-http, peer)"];
    profiles => "http" [
        "GET /debug/pprof/ (client-http)", "GET /debug/pprof/profile (client-http)", "GET /debug/pprof/symbol (client-http)",
        "GET /debug/pprof/cmdline (client-http)", "GET /debug/pprof/trace (client-http)", "GET /debug/pprof/heap (client-http)",
        "GET /debug/pprof/goroutine (client-http)", "GET /debug/pprof/threadcreate (client-http)",
        "GET /debug/pprof/block (client-http)", "GET /debug/pprof/mutex (client-http)", "GET /debug/requests (client-http)",
        "GET /debug/events (client-http)",
    ];
    cors => "http" ["OPTIONS any (client-http)"];
    host_whitelist => "http" ["any any (client-http)"];
    grpc_beside_http => "http" ["POST gRPC (h2, content-type application/grpc) (client-grpc)"];
    content_subtypes => "http" ["POST gRPC (h2, content-type application/grpc) (client-grpc)"];
    listeners_apart => "http" [
        "POST gRPC (h2, content-type application/grpc) (client-grpc)", "GET /metrics (client-http, metrics)",
        "GET /version (client-http, peer)",
    ];
}

const TEXT: &str = "text/plain; charset=utf-8";

fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    http1::request(server.address(), method, path, headers, b"")
        .unwrap_or_else(|e| panic!("{method} {path}: {e}"))
}

fn assert_get_only(server: &Server, path: &str) {
    for method in ["POST", "PUT", "DELETE", "HEAD"] {
        let answer = ask(server, method, path, &[]);
        assert_eq!((answer.status, answer.header("allow")), (405, "GET"), "{method} {path}");
        if method != "HEAD" {
            assert_eq!(answer.text(), "Method Not Allowed\n", "{method} {path}");
        }
    }
}

fn health() {
    let server = Server::shared();
    for path in ["/health", "/health?serializable=true", "/health?exclude=NOSPACE&exclude=nonsense"] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.text()), (200, r#"{"health":"true","reason":""}"#), "{path}");
    }
    assert_get_only(&server, "/health");
    let page = server.metrics();
    assert!(page.value("etcd_server_health_success", &[]) >= 3.0);
}

/// 11.6: alarms first; what is excluded does not count; NOSPACE does not fail readyz.
fn health_under_alarms() {
    let server = Server::start(&[]);
    let client = server.client();
    let raise = |kind: AlarmType| {
        let action = AlarmAction::Activate as i32;
        client.ok(AlarmRequest { action, member_id: 9, alarm: kind as i32 });
    };
    let failures = || server.metrics().value("etcd_server_health_failures", &[]);
    assert_eq!(failures(), 0.0);
    raise(AlarmType::Nospace);
    let answer = server.get("/health");
    assert_eq!(
        (answer.status, answer.text()),
        (503, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n")
    );
    assert_eq!(answer.header("content-type"), TEXT);
    assert_eq!(server.get("/health?exclude=NOSPACE").status, 200);
    assert_eq!(server.get("/readyz").status, 200);
    raise(AlarmType::Corrupt);
    let answer = server.get("/health?exclude=NOSPACE");
    assert_eq!(
        (answer.status, answer.text()),
        (503, "{\"health\":\"false\",\"reason\":\"ALARM CORRUPT\"}\n")
    );
    assert_eq!(server.get("/health?exclude=NOSPACE&exclude=CORRUPT").status, 200);
    assert_eq!(failures(), 2.0);

    let answer = server.get("/readyz");
    assert_eq!((answer.status, answer.header("content-type")), (503, TEXT));
    assert!(
        answer.text().contains("[-]data_corruption failed: alarm activated: CORRUPT\n"),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("[+]linearizable_read ok\n"), "details although not asked for");
    let answer = server.get("/readyz/data_corruption");
    assert_eq!(
        (answer.status, answer.text()),
        (503, "[-]data_corruption failed: alarm activated: CORRUPT\n\n")
    );
    assert_eq!(server.get("/readyz?exclude=data_corruption").status, 200);
    assert_eq!(server.get("/livez").status, 200);
    let page = server.metrics();
    let labels = [("type", "readyz"), ("name", "data_corruption")];
    assert_eq!(page.value("etcd_server_healthcheck", &labels), 0.0);
    let labels = [("type", "readyz"), ("name", "data_corruption"), ("status", "error")];
    assert_eq!(page.value("etcd_server_healthchecks_total", &labels), 2.0);
}

fn livez() {
    let server = Server::shared();
    for path in
        ["/livez", "/livez/serializable_read", "/livez?exclude=nonsense", "/livez?exclude=serializable_read"]
    {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.text()), (200, "ok\n"), "{path}");
        assert_eq!(
            (answer.header("content-type"), answer.header("x-content-type-options")),
            (TEXT, "nosniff")
        );
    }
    for path in ["/livez?verbose", "/livez/serializable_read?verbose=true"] {
        assert_eq!(server.get(path).text(), "[+]serializable_read ok\nok\n", "{path}");
    }
    assert_get_only(&server, "/livez");
    assert_get_only(&server, "/livez/serializable_read");
    assert_eq!(server.get("/livez/linearizable_read").status, 404);
}

fn readyz() {
    let server = Server::shared();
    let checks = ["data_corruption", "serializable_read", "linearizable_read", "non_learner"];
    assert_eq!(server.get("/readyz").text(), "ok\n");
    let lines = |path: &str| {
        let answer = server.get(path);
        assert_eq!(answer.status, 200, "{path}");
        let mut lines: Vec<String> = answer.text().lines().map(str::to_owned).collect();
        assert_eq!(lines.pop().as_deref(), Some("ok"));
        lines.sort();
        lines
    };
    let mut expected: Vec<String> = checks.iter().map(|check| format!("[+]{check} ok")).collect();
    expected.sort();
    assert_eq!(lines("/readyz?verbose"), expected);
    expected.retain(|line| !line.contains("serializable_read") && !line.contains("non_learner"));
    assert_eq!(lines("/readyz?verbose&exclude=serializable_read&exclude=non_learner"), expected);
    for check in checks {
        let path = format!("/readyz/{check}");
        assert_eq!((server.get(&path).status, server.get(&path).text()), (200, "ok\n"), "{path}");
        assert_eq!(lines(&format!("{path}?verbose")), [format!("[+]{check} ok")]);
        assert_get_only(&server, &path);
        let labels = [("type", "readyz"), ("name", check), ("status", "success")];
        assert!(server.metrics().value("etcd_server_healthchecks_total", &labels) >= 3.0);
        assert_eq!(server.metrics().value("etcd_server_healthcheck", &labels[..2]), 1.0);
    }
    assert_get_only(&server, "/readyz");
}

fn metrics() {
    let server = Server::shared();
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type");
    assert!(kind.starts_with("text/plain; version=0.0.4; charset=utf-8"), "{kind}");
    assert!(answer.text().contains("# TYPE etcd_server_has_leader gauge\netcd_server_has_leader 1\n"));
    let packed = ask(&server, "GET", "/metrics", &[("Accept-Encoding", "gzip")]);
    assert_eq!((packed.status, packed.header("content-encoding")), (200, "gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).unwrap();
    assert!(text.contains("\netcd_server_has_leader 1\n"));
}

fn version() {
    let server = Server::shared();
    let answer = server.get("/version");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.text(), r#"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}"#);
    assert_get_only(&server, "/version");
}

fn debug_vars() {
    let server = Server::shared();
    let answer = server.get("/debug/vars");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json; charset=utf-8"));
    let vars = answer.json();
    assert!(
        vars["cmdline"].as_array().is_some_and(|words| words.iter().any(|w| w == "--name=e2e")),
        "{vars}"
    );
    assert!(
        vars["memstats"].is_object() && vars["file_descriptor_limit"].as_u64().is_some_and(|n| n > 0),
        "{vars}"
    );
    assert!(vars["raft.status"].is_object(), "{vars}");
    assert_get_only(&server, "/debug/vars");
}

fn unknown_paths() {
    let server = Server::shared();
    for (method, path) in
        [("GET", "/"), ("POST", "/"), ("GET", "/nothing"), ("GET", "/healthz"), ("GET", "/v2/keys")]
    {
        let answer = ask(&server, method, path, &[]);
        assert_eq!((answer.status, answer.text()), (404, "404 page not found\n"), "{method} {path}");
        assert_eq!(answer.header("content-type"), TEXT);
    }
}

/// What Go's runtime says of itself nobody else can: the pages are not there, whatever the flag (deviations.tsv).
fn profiles() {
    let asked_for = Server::start(&["--enable-pprof=true"]);
    let pages =
        ["", "profile", "symbol", "cmdline", "trace", "heap", "goroutine", "threadcreate", "block", "mutex"];
    let pages = pages.iter().map(|page| format!("/debug/pprof/{page}"));
    for path in pages.chain(["/debug/requests".into(), "/debug/events".into()]) {
        for server in [&*Server::shared(), &asked_for] {
            let answer = ask(server, "GET", &path, &[]);
            assert_eq!((answer.status, answer.text()), (404, "404 page not found\n"), "{path}");
        }
    }
}

const METHODS: &str = "POST, GET, OPTIONS, PUT, DELETE";
const HEADERS: &str = "accept, content-type, authorization";

fn cors() {
    let allowed = |answer: &Answer| answer.header("access-control-allow-origin").to_owned();
    let open = Server::shared();
    for path in ["/", "/health", "/v3/kv/range"] {
        let answer = ask(&open, "OPTIONS", path, &[("Origin", "http://a")]);
        assert_eq!((answer.status, answer.text(), allowed(&answer).as_str()), (200, "", "*"), "{path}");
        assert_eq!(answer.header("access-control-allow-methods"), METHODS);
        assert_eq!(answer.header("access-control-allow-headers"), HEADERS);
    }
    assert_eq!(allowed(&open.get("/health")), "*");
    let picky = Server::start(&["--cors=http://a:80,http://b:80"]);
    let with = |origin| ask(&picky, "GET", "/version", &[("Origin", origin)]);
    assert_eq!((allowed(&with("http://b:80")).as_str(), with("http://b:80").status), ("http://b:80", 200));
    assert_eq!((allowed(&with("http://c:80")).as_str(), with("http://c:80").status), ("", 200));
}

fn host_whitelist() {
    let server = Server::start(&["--host-whitelist=good.example,127.0.0.1"]);
    for (host, status) in [
        ("good.example", 200),
        ("good.example:2379", 200),
        ("127.0.0.1:1", 200),
        ("evil.example", 421),
        ("evil.example:2379", 421),
    ] {
        for path in ["/version", "/health", "/metrics"] {
            let answer = ask(&server, "GET", path, &[("Host", host)]);
            assert_eq!(answer.status, status, "{host} {path}");
            if status == 421 {
                let text = answer.text();
                assert!(
                    text.contains("etcd received your request, but the Host header was unrecognized."),
                    "{text}"
                );
            }
        }
    }
    put_ok(&server.client(), "k", "v");
}

/// The reply has the subtype of the request (upstream: grpc-go internal/grpcutil/method.go).
fn content_subtypes() {
    let server = Server::shared();
    let client = server.client();
    let message = prost::Message::encode_to_vec(&range("k"));
    let framed = [&[0, 0, 0, 0, message.len() as u8][..], &message].concat();
    for kind in ["application/grpc", "application/grpc+proto"] {
        let headers = [("content-type", kind.as_bytes())];
        let answer =
            client.exchange(http::Method::POST, "/etcdserverpb.KV/Range", &headers, &framed).unwrap();
        assert_eq!(answer.headers["content-type"], kind);
        // Headers that end the stream say it, too.
        let answer = client.exchange(http::Method::POST, "/none/none", &headers, &framed).unwrap();
        assert_eq!(answer.headers["content-type"], kind);
    }
}

/// Preface and content type tell gRPC from HTTP/1.1 and from pages over HTTP/2 on one port.
fn grpc_beside_http() {
    let server = Server::shared();
    let client = server.client();
    let request = prost::Message::encode_to_vec(&range("k"));
    let framed = [&[0, 0, 0, 0, request.len() as u8][..], &request].concat();
    let ask = |kind: &[u8]| {
        let headers = [("content-type", kind), ("te", &b"trailers"[..])];
        client.exchange(http::Method::POST, "/etcdserverpb.KV/Range", &headers, &framed).unwrap()
    };
    for kind in [&b"application/grpc"[..], b"application/grpc+proto", b"application/grpc;x=y"] {
        let answer = ask(kind);
        assert_eq!((answer.http, answer.headers["grpc-status"].to_str().unwrap()), (200, "0"));
        assert_eq!(answer.body[0], 0, "not compressed");
    }
    // In the clear, HTTP/2 is gRPC and nothing else.
    let page = client.exchange(http::Method::GET, "/version", &[], b"").unwrap();
    assert_eq!(page.http, 415);
    let refused = e2e::client::Status::new(code::INVALID_ARGUMENT, r#"invalid gRPC request content-type """#);
    assert_eq!(e2e::client::status(&page.headers), Err(refused));
    // A compressed call is answered compressed.
    let headers = [
        ("content-type", &b"application/grpc"[..]),
        ("grpc-encoding", b"gzip"),
        ("grpc-accept-encoding", b"gzip"),
    ];
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(&request[..], flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
    let framed = [&[1, 0, 0, 0, packed.len() as u8][..], &packed].concat();
    let answer = client.exchange(http::Method::POST, "/etcdserverpb.KV/Range", &headers, &framed).unwrap();
    assert_eq!((answer.http, answer.headers["grpc-status"].to_str().unwrap()), (200, "0"));
}

fn listeners_apart() {
    let server = Server::start(&[
        "--listen-client-http-urls=http://127.0.0.2:0",
        "--listen-metrics-urls=http://127.0.0.3:0",
    ]);
    let all = server.listeners();
    let (grpc, http, metrics) = (all.grpc.unwrap(), all.http.unwrap(), all.metrics.expect("it is announced"));
    put_ok(&e2e::client::Client::connect(grpc), "k", "v");
    let refused = http1::get(grpc, "/version").map(|answer| answer.status);
    assert!(refused.is_err() || refused.as_ref().is_ok_and(|status| *status >= 400), "{refused:?}");
    for path in ["/version", "/health", "/metrics", "/readyz", "/debug/vars"] {
        assert_eq!(http1::get(http, path).unwrap().status, 200, "{path}");
    }
    for (path, status) in [
        ("/metrics", 200),
        ("/health", 200),
        ("/livez", 200),
        ("/readyz", 200),
        ("/version", 404),
        ("/", 404),
    ] {
        assert_eq!(http1::get(metrics, path).unwrap().status, status, "{path}");
    }
}
