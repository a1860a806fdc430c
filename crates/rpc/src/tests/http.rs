//! Pages over HTTP/1.1 and HTTP/2, and which listener serves what.

use std::sync::atomic::Ordering::SeqCst;

use proto::etcdserverpb::{AlarmMember, AlarmType};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use super::{
    Harness, Setup,
    client::{Client, framed, soon},
    config,
};
use crate::{Address, Listener, Traffic, status::Reason};

/// Status, head and body of an answer.
pub(super) async fn ask(port: u16, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

pub(super) async fn get(port: u16, path: &str) -> (u16, String, String) {
    ask(port, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await
}

fn alarm(kind: AlarmType) -> AlarmMember {
    AlarmMember { member_id: 1, alarm: kind.into() }
}

#[tokio::test]
async fn plain_pages() {
    let harness = Harness::start(config());
    let port = harness.port(0);
    let cases = [
        ("/version", 200, r#"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"unknown"}"#),
        ("/metrics", 200, "up 1\n"),
        ("/debug/vars", 200, "{\n\"a\": 1,\n\"b\": {}\n}\n"),
        ("/", 404, "404 page not found\n"),
        ("/v3/kv/range", 501, r#"{"code":12,"message":"Method Not Allowed"}"#),
        ("/v3/nothing", 404, r#"{"code":5,"message":"Not Found"}"#),
        ("/debug/pprof/heap", 404, "404 page not found\n"),
    ];
    for (path, status, body) in cases {
        let (got, head, text) = get(port, path).await;
        assert_eq!((got, text.as_str()), (status, body), "{path}");
        assert!(head.contains("access-control-allow-origin: *"), "{path}: {head}");
    }
    let (_, head, _) = get(port, "/metrics").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"));
    for path in ["/version", "/health", "/livez", "/readyz/non_learner", "/debug/vars"] {
        let request =
            format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let (status, head, body) = ask(port, &request).await;
        assert_eq!((status, body.as_str()), (405, "Method Not Allowed\n"), "{path}");
        assert!(head.contains("allow: get"));
    }
    let (status, _, body) = ask(port, "OPTIONS /any HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    assert_eq!((status, body.as_str()), (200, ""));
    let (status, head, body) =
        ask(port, "HEAD /metrics HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length: 5"));
}

#[tokio::test]
async fn health_pages() {
    let harness = Harness::start(config());
    let (port, knobs) = (harness.port(0), &harness.knobs);
    let healthy = (200, r#"{"health":"true","reason":""}"#.to_owned());
    let health = async |query: &str| {
        let (status, _, body) = get(port, &format!("/health{query}")).await;
        (status, body)
    };
    assert_eq!(health("").await, healthy);
    let (status, _, body) = get(port, "/readyz?verbose").await;
    let lines =
        "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n";
    assert_eq!((status, body.as_str()), (200, lines));
    assert_eq!(get(port, "/livez").await.2, "ok\n");
    assert_eq!(get(port, "/livez/serializable_read?verbose").await.2, "[+]serializable_read ok\nok\n");
    assert_eq!(get(port, "/livez/linearizable_read").await.0, 404);

    knobs.leaderless.store(true, SeqCst);
    assert_eq!(health("").await, (503, "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}\n".into()));
    assert_eq!(health("?serializable=true").await, healthy);
    knobs.leaderless.store(false, SeqCst);

    *knobs.alarms.lock().unwrap() = vec![alarm(AlarmType::Nospace), alarm(AlarmType::Corrupt)];
    assert_eq!(health("").await, (503, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n".into()));
    assert_eq!(health("?exclude=NOSPACE").await.1, "{\"health\":\"false\",\"reason\":\"ALARM CORRUPT\"}\n");
    assert_eq!(health("?exclude=NOSPACE&exclude=CORRUPT").await, healthy);
    let (status, _, body) = get(port, "/readyz?exclude=non_learner&exclude=other").await;
    let lines = "[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n\
                 [+]linearizable_read ok\n\n";
    assert_eq!((status, body.as_str()), (503, lines));
    knobs.alarms.lock().unwrap().clear();

    *knobs.range_error.lock().unwrap() = Some(Reason::Timeout);
    let timed_out = "{\"health\":\"false\",\"reason\":\"RANGE ERROR:etcdserver: request timed out\"}\n";
    assert_eq!(health("").await, (503, timed_out.into()));
    assert_eq!(get(port, "/livez").await.0, 503);
    *knobs.range_error.lock().unwrap() = None;
    knobs.learner.store(true, SeqCst);
    let (_, _, body) = get(port, "/readyz/non_learner").await;
    assert_eq!(body, "[-]non_learner failed: not supported for learner\n\n");

    knobs.stalled.store(true, SeqCst);
    let (status, _, body) = get(port, "/readyz/linearizable_read").await;
    let line = "[-]linearizable_read failed: the disk has not finished a write of the log for 1.5s\n\n";
    assert_eq!((status, body.as_str()), (503, line));
    assert_eq!(get(port, "/livez").await.0, 200);
    knobs.stalled.store(false, SeqCst);

    let metrics = harness.server.metrics();
    assert_eq!((metrics.health_success.load(SeqCst), metrics.health_failures.load(SeqCst)), (3, 4));
    let livez = &metrics.checks[0];
    assert_eq!((livez.ok.load(SeqCst), livez.success.load(SeqCst), livez.error.load(SeqCst)), (1, 3, 1));
}

#[tokio::test]
async fn hosts_and_origins() {
    let mut config = config();
    config.pages.cors = vec!["https://good.example".into()];
    config.pages.host_whitelist = vec!["good.example".into()];
    let harness = Harness::start(config);
    let ask_as = async |host: &str, origin: &str| {
        let request =
            format!("GET /version HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\nconnection: close\r\n\r\n");
        ask(harness.port(0), &request).await
    };
    let (status, _, body) = ask_as("evil.example:2379", "x").await;
    assert_eq!(status, 421);
    assert!(body.contains("e.g. etcd --host-whitelist \"evil.example\""), "{body}");
    let (status, head, _) = ask_as("good.example:2379", "https://good.example").await;
    assert_eq!(status, 200);
    assert!(head.contains("access-control-allow-origin: https://good.example"));
    let (_, head, _) = ask_as("good.example", "https://evil.example").await;
    assert!(!head.contains("access-control"));
}

fn split_config() -> Setup {
    let mut config = config();
    config.listen.listeners = [Traffic::Grpc, Traffic::Http, Traffic::Metrics]
        .map(|traffic| Listener { address: Address::Tcp("127.0.0.1:0".into()), secure: false, traffic })
        .to_vec();
    config
}

#[tokio::test]
async fn each_listener_serves_its_traffic() {
    let harness = Harness::start(split_config());
    let client = harness.client().await;
    let check = "/grpc.health.v1.Health/Check";
    assert_eq!(client.call(check, &[], framed(&[])).await.outcome.0, 0);
    for (listener, path, expected) in [(1, "/version", 200), (2, "/version", 404), (2, "/health", 200)] {
        assert_eq!(get(harness.port(listener), path).await.0, expected);
    }
    // The gRPC listener closes on HTTP/1, the others on HTTP/2 without TLS.
    let hello: [(usize, &[u8]); 2] =
        [(0, b"GET / HTTP/1.1\r\n\r\n"), (1, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")];
    for (listener, hello) in hello {
        let mut stream = TcpStream::connect(("127.0.0.1", harness.port(listener))).await.unwrap();
        stream.write_all(hello).await.unwrap();
        let mut answer = Vec::new();
        // A reset is as good as an end.
        let _ = soon(stream.read_to_end(&mut answer)).await;
        assert_eq!(answer, b"");
    }
}

#[tokio::test]
async fn unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sock");
    std::fs::write(&path, "stale").unwrap();
    let mut config = config();
    config.listen.listeners =
        vec![Listener::parse(&format!("unix://{}", path.display()), Traffic::All).unwrap()];
    let harness = Harness::start(config);
    let stream = UnixStream::connect(&path).await.unwrap();
    let client = Client::over(stream, h2::client::Builder::new()).await;
    assert_eq!(client.call("/grpc.health.v1.Health/Check", &[], framed(&[])).await.outcome.0, 0);
    drop(harness);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let harness = Harness::start(config());
    let mut second = config();
    let address = format!("127.0.0.1:{}", harness.port(0));
    second.listen.listeners[0].address = Address::Tcp(address.clone());
    let error = crate::open(&second.listen).err().unwrap();
    assert_eq!(error.to_string(), format!("listen tcp {address}: bind: address already in use"));
}
