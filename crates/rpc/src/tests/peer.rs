//! What other members are served, and with what certificates.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Harness, Setup,
    client::soon,
    config,
    flow::until,
    http::{ask, get},
    tls::{BOTH, Files, authority, issue},
};
use crate::{BetweenMembers, Listener, Notice, StreamedBody, Tls, Traffic, open};

fn setup(url: &str) -> Setup {
    let mut config = config();
    config.listen.listeners = vec![Listener::parse(url, Traffic::Peer).unwrap()];
    config
}

#[tokio::test]
async fn members_get_their_pages_and_nothing_else() {
    let harness = Harness::start(setup("http://127.0.0.1:0"));
    let port = harness.port(0);
    let (status, head, body) = get(port, "/version").await;
    let versions = r#"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"unknown"}"#;
    assert_eq!((status, body.as_str()), (200, versions));
    assert!(!head.contains("access-control"), "{head}");
    let (status, head, body) = get(port, "/members").await;
    assert_eq!((status, body.as_str()), (200, "[]\n"));
    assert!(head.contains("x-etcd-cluster-id: 1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let (status, _, body) = get(port, "/raft/probing").await;
    assert!(
        status == 200 && body.starts_with("{\"OK\":true,\"Now\":\"20") && body.ends_with("Z\"}\n"),
        "{body}"
    );
    for path in ["/", "/health", "/metrics", "/members/", "/raft", "/debug/vars"] {
        assert_eq!(get(port, path).await.2, "404 page not found\n", "{path}");
    }
    for path in ["/version", "/members"] {
        let request = format!("PUT {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        let (status, head, body) = ask(port, &request).await;
        assert_eq!((status, body.as_str()), (405, "Method Not Allowed\n"), "{path}");
        assert!(head.contains("allow: get"));
    }
}

#[tokio::test]
async fn grpc_is_not_served_to_members() {
    let harness = Harness::start(setup("http://127.0.0.1:0"));
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", harness.port(0))).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset is as good as an end.
    let _ = soon(stream.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"");
}

/// Whether a member with this certificate gets an answer.
async fn is_served(files: &Files, port: u16, identity: Option<(String, String)>) -> bool {
    let Ok(mut stream) = files.connect(port, "http/1.1", identity, BOTH).await else {
        return false;
    };
    let request = b"GET /members HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let mut answer = Vec::new();
    // TLS 1.3 tells late that a certificate is missing or wrong.
    let _ = stream.write_all(request).await;
    let _ = soon(stream.read_to_end(&mut answer)).await;
    answer.starts_with(b"HTTP/1.1 200")
}

#[tokio::test]
async fn members_show_certificates_of_their_own_authority() {
    let (clients, peers) = (Files::new(), Files::new());
    let demanding = |files: &Files| {
        Some(Tls { trusted_ca: Some(files.path("ca.pem")), client_cert_auth: true, ..files.tls() })
    };
    let mut setup = setup("https://127.0.0.1:0");
    setup.listen.listeners.push(Listener::parse("https://127.0.0.1:0", Traffic::All).unwrap());
    setup.listen.client_tls = demanding(&clients);
    setup.listen.peer_tls = demanding(&peers).map(|tls| Tls { check_origin: true, ..tls });
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    setup.notify = Arc::new(move |notice| sink.lock().unwrap().push(notice));
    let harness = Harness::start(setup);
    let port = harness.port(0);
    assert!(is_served(&peers, port, Some(issue(&peers.ca, "127.0.0.1", "m2"))).await);
    assert!(is_served(&peers, port, Some(issue(&peers.ca, "localhost", "m2"))).await, "a name that resolves");
    assert!(told.lock().unwrap().is_empty());
    assert!(!is_served(&peers, port, None).await, "no certificate");
    assert!(!is_served(&peers, port, Some(issue(&clients.ca, "127.0.0.1", "alice"))).await, "a client's");
    assert!(!is_served(&peers, port, Some(issue(&authority(), "127.0.0.1", "m2"))).await, "a stranger's");
    assert!(!is_served(&peers, port, Some(issue(&peers.ca, "192.0.2.1", "m2"))).await, "of another host");
    until(|| told.lock().unwrap().len() == 4).await;
    for notice in told.lock().unwrap().iter() {
        assert!(matches!(notice, Notice::Rejected { at_peer_listener: true, .. }), "{notice:?}");
    }
    // Only HTTP/1.1 is offered.
    let identity = || Some(issue(&peers.ca, "127.0.0.1", "m2"));
    assert!(peers.connect(port, "h2", identity(), BOTH).await.is_err());
    let stream = clients.connect(harness.port(1), "h2", Some(issue(&clients.ca, "h", "alice")), BOTH).await;
    assert_eq!(stream.unwrap().get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "clients have their own TLS");
}

#[tokio::test]
async fn common_names_may_be_prescribed() {
    let files = Files::new();
    let mut setup = setup("https://127.0.0.1:0");
    setup.listen.peer_tls = Some(Tls {
        trusted_ca: Some(files.path("ca.pem")),
        allowed_common_names: vec!["m1".into(), "m2".into()],
        ..files.tls()
    });
    let harness = Harness::start(setup);
    for (name, expected) in [("m2", true), ("m3", false), ("", false)] {
        let identity = issue(&files.ca, "localhost", name);
        assert_eq!(is_served(&files, harness.port(0), Some(identity)).await, expected, "{name}");
    }
}

#[test]
fn errors_name_the_flag() {
    let files = Files::new();
    let cases = [
        (Tls { cert: files.path("none"), ..files.tls() }, "--peer-cert-file: cannot read"),
        (Tls { key: files.path("none"), ..files.tls() }, "--peer-key-file: cannot read"),
        (Tls { trusted_ca: Some(files.path("none")), ..files.tls() }, "--peer-trusted-ca-file: cannot read"),
        (Tls { client_cert_auth: true, ..files.tls() }, "--peer-client-cert-auth: certificates are demanded"),
        (Tls { allowed_common_names: vec!["m".into()], ..files.tls() }, "--peer-cert-allowed-cn: "),
        (Tls { allowed_hostnames: vec!["a b".into()], ..files.tls() }, "--peer-cert-allowed-hostname: "),
    ];
    for (tls, expected) in cases {
        let mut setup = setup("https://127.0.0.1:0");
        setup.listen.peer_tls = Some(tls);
        let error = open(&setup.listen).err().unwrap().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let error = open(&setup("https://127.0.0.1:0").listen).err().unwrap().to_string();
    assert!(error.contains("(--peer-cert-file, --peer-key-file) must be provided for peer url"), "{error}");
}

/// Answers with who asked and what he sent, piece by piece.
struct Echo;

impl BetweenMembers for Echo {
    fn serves(&self, path: &str) -> bool {
        path.starts_with("/raft/stream/")
    }

    fn answer<'a>(
        &'a self,
        remote: &'a str,
        request: Request<Incoming>,
    ) -> Pin<Box<dyn Future<Output = Response<StreamedBody>> + 'a>> {
        Box::pin(async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let pieces = [Bytes::from(format!("{remote} ")), body].map(|piece| Ok(Frame::data(piece)));
            Response::new(StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync())
        })
    }
}

#[tokio::test]
async fn streams_between_members_are_passed_on_at_their_listeners_only() {
    let mut setup = setup("http://127.0.0.1:0");
    setup.listen.listeners.push(Listener::parse("http://127.0.0.1:0", Traffic::All).unwrap());
    setup.config.pages.between_members = Some(Arc::new(Echo));
    let harness = Harness::start(setup);
    let request =
        "POST /raft/stream/x HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";
    let (status, head, body) = ask(harness.port(0), request).await;
    assert_eq!(status, 200);
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert!(body.contains("127.0.0.1:") && body.contains("\r\nhello\r\n0\r\n"), "{body}");
    assert_eq!(ask(harness.port(1), request).await.0, 404);
    assert_eq!(get(harness.port(0), "/raft").await.2, "404 page not found\n");
    assert_eq!(get(harness.port(0), "/version").await.0, 200);
}

/// Status, head and body of what a member is answered.
async fn posted(port: u16, method: &str, path: &str, more: &str, body: &str) -> (u16, String, String) {
    let len = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {len}\r\n{more}\r\n{body}"
    );
    ask(port, &request).await
}

#[tokio::test]
async fn the_leader_is_asked_about_leases() {
    let harness = Harness::start(setup("http://127.0.0.1:0"));
    let port = harness.port(0);
    // Field 1: the id.
    let (status, head, body) = posted(port, "POST", "/leases", "", "\x08\x02").await;
    assert_eq!((status, body.as_str()), (200, "\x10\x02\x18\x3c"), "id and TTL, no header");
    assert!(head.contains("content-type: application/protobuf"), "{head}");
    let large = "x".repeat((64 << 10) + 1);
    let cases = [
        ("POST", "/leases", "\x08\x01", 404, "lease not found\n"),
        ("POST", "/leases", "", 400, "not a primary lessor\n"),
        ("POST", "/leases", "\x08", 400, "error unmarshalling request\n"),
        ("POST", "/leases", large.as_str(), 413, "request body too large\n"),
        ("GET", "/leases", "", 405, "Method Not Allowed\n"),
        ("POST", "/leases/internal", "\x0a\x02\x08\x02", 404, "lease not found\n"),
        ("POST", "/leases/internal", "\x0a", 400, "error unmarshalling request\n"),
        ("POST", "/leases/more", "", 404, "404 page not found\n"),
    ];
    for (method, path, body, status, text) in cases {
        let (got, head, said) = posted(port, method, path, "", body).await;
        assert_eq!((got, said.as_str()), (status, text), "{method} {path} of {} bytes", body.len());
        assert!(!head.contains("allow:"), "{head}");
    }
}

#[tokio::test]
async fn members_compare_themselves() {
    let harness = Harness::start(setup("http://127.0.0.1:0"));
    let port = harness.port(0);
    let hash = r#"{"header":{"revision":3},"hash":0,"compact_revision":0,"hash_revision":0}"#;
    let cases = [
        ("GET", "/members/hashkv", "", r#"{"revision":7}"#, 200, hash),
        ("GET", "/members/hashkv", "x-etcd-cluster-id: 1\r\n", "{}", 200, hash),
        ("GET", "/members/hashkv", "x-etcd-cluster-id: 2\r\n", "{}", 412, "cluster ID mismatch\n"),
        ("GET", "/members/hashkv", "", "", 400, "error unmarshalling request\n"),
        ("POST", "/members/hashkv", "", "{}", 405, "Method Not Allowed\n"),
        ("GET", "/downgrade/enabled", "", "", 200, "false"),
        ("PUT", "/downgrade/enabled", "", "", 405, "Method Not Allowed\n"),
        ("POST", "/members/promote/1", "", "", 200, "[]\n"),
        ("POST", "/members/promote/-1", "", "", 404, "member -1 not found in cluster\n"),
        ("GET", "/members/promote/1", "", "", 405, "Method Not Allowed\n"),
    ];
    for (method, path, more, body, status, text) in cases {
        let (got, head, said) = posted(port, method, path, more, body).await;
        assert_eq!((got, said.as_str()), (status, text), "{method} {path} {more} {body}");
        assert_eq!(head.contains("allow: "), status == 405, "{head}");
        assert!(status != 200 || head.contains("x-etcd-cluster-id: 1\r\n"), "{path}: {head}");
    }
}
