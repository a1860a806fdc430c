//! contract/http.tsv: the JSON gateway, over HTTP/1.1 and WebSocket. Error texts are in `proto::json`, and beside etcd's in
//! tests/interop/suite/gateway.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use e2e::{
    PATIENCE,
    http1::{self, Answer},
    server::Server,
};
use serde_json::{Value, json};

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    calls => "http" ["POST /v3/... (client-http)"];
    errors => "http" ["POST /v3/... (client-http)"];
    streams => "http" ["POST /v3/... (client-http)"];
    every_route => "http" ["POST /v3/... (client-http)", "POST /v3beta/... (client-http)"];
    switched_off => "http" ["POST /v3/... (client-http)"];
    large_lists => "http" ["POST /v3/... (client-http)"];
    other_hosts => "http" ["any any (client-http)"];
    web_sockets => "http" ["GET upgrade /v3/... (websocket) (client-http)"];
    no_web_sockets => "http" ["GET upgrade /v3/... (websocket) (client-http)"];
}

fn post(server: &Server, path: &str, body: &str) -> Answer {
    let headers = [("Content-Length", &*body.len().to_string())];
    // `request` adds the length of a body that is not empty.
    let headers = if body.is_empty() { &headers[..] } else { &[] };
    http1::request(server.address(), "POST", path, headers, body.as_bytes()).unwrap()
}

/// The body of a good answer, without its header.
fn ok(server: &Server, path: &str, body: &str) -> Value {
    let answer = post(server, path, body);
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{path} {body}");
    assert_eq!(answer.header("grpc-metadata-content-type"), "application/grpc");
    let mut reply = answer.json();
    let header = reply.as_object_mut().unwrap().remove("header").unwrap();
    assert!(header["cluster_id"].as_str().unwrap().parse::<u64>().unwrap() > 0, "{header}");
    reply
}

fn calls() {
    let server = Server::start(&[]);
    assert_eq!(ok(&server, "/v3/kv/put", r#"{"key":"aw==","value":"dg=="}"#), json!({}));
    let row = json!({"key":"aw==","create_revision":"2","mod_revision":"2","version":"1","value":"dg=="});
    assert_eq!(
        ok(&server, "/v3/kv/range", r#"{"key":"aw==","unknown":{"x":[1]}}"#),
        json!({"kvs":[row],"count":"1"})
    );
    assert_eq!(
        ok(&server, "/v3beta/kv/range", r#"{"key":"YQ","rangeEnd":"eg","countOnly":true}"#),
        json!({"count":"1"})
    );
    let txn = r#"{"compare":[{"key":"aw==","target":"VERSION","version":"1"}],
        "success":[{"request_put":{"key":"aw==","value":"dw=="}},{"request_range":{"key":"aw=="}}]}"#;
    let reply = ok(&server, "/v3/kv/txn", txn);
    assert_eq!(reply["succeeded"], json!(true));
    assert_eq!(reply["responses"][0]["response_put"]["header"], json!({"revision":"3"}));
    assert_eq!(reply["responses"][1]["response_range"]["kvs"][0]["value"], json!("dw=="));
    assert_eq!(ok(&server, "/v3/lease/grant", r#"{"TTL":"100","ID":7}"#), json!({"ID":"7","TTL":"100"}));
    // The same calls as those of gRPC: counted, and seen by everybody.
    let labels = [
        ("grpc_type", "unary"),
        ("grpc_service", "etcdserverpb.KV"),
        ("grpc_method", "Put"),
        ("grpc_code", "OK"),
    ];
    let count = server.metrics().value("grpc_server_handled_total", &labels);
    assert_eq!(count, 1.0);
    let rows = server.client().ok(range("k")).kvs;
    assert_eq!((rows.len(), &rows[0].value[..]), (1, &b"w"[..]));
}

fn errors() {
    let server = Server::shared();
    let cases = [
        ("/v3/kv/range", "", 400, r#"{"code":3,"message":"etcdserver: key is not provided"}"#),
        ("/v3/kv/range", "{", 400, r#"{"code":3,"message":"unexpected EOF"}"#),
        (
            "/v3/kv/range",
            r#"{"limit":1e99}"#,
            400,
            r#"{"code":3,"message":"proto: (line 1:10): invalid value for int64 field limit: 1e99"}"#,
        ),
        (
            "/v3/lease/revoke",
            r#"{"ID":"404"}"#,
            404,
            r#"{"code":5,"message":"etcdserver: requested lease not found"}"#,
        ),
        (
            "/v3/kv/compaction",
            r#"{"revision":"999999"}"#,
            400,
            r#"{"code":11,"message":"etcdserver: mvcc: required revision is a future revision"}"#,
        ),
        ("/v3/kv/nothing", "{}", 404, r#"{"code":5,"message":"Not Found"}"#),
    ];
    for (path, body, status, text) in cases {
        let answer = post(&server, path, body);
        assert_eq!((answer.status, answer.text()), (status, text), "{path} {body}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    for method in ["GET", "PUT", "DELETE"] {
        let answer = http1::request(server.address(), method, "/v3/kv/range", &[], b"").unwrap();
        assert_eq!((answer.status, answer.text()), (501, r#"{"code":12,"message":"Method Not Allowed"}"#));
    }
    let deep = format!(r#"{{"x":{}"#, "[".repeat(100_000));
    let text = r#"{"code":3,"message":"invalid character '[' exceeded max depth"}"#;
    assert_eq!(post(&server, "/v3/kv/range", &deep).text(), text);
    let value = "A".repeat(2_800_000);
    let answer = post(&server, "/v3/kv/put", &format!(r#"{{"key":"aw==","value":"{value}"}}"#));
    assert_eq!(answer.status, 429);
    assert!(answer.text().contains("grpc: received message larger than max ("), "{}", answer.text());
    // A body beyond all bounds is not even kept.
    let spaces = format!(r#"{{"key":"aw=="{}}}"#, " ".repeat(20 << 20));
    assert_eq!(post(&server, "/v3/kv/put", &spaces).status, 429);
    let answer = http1::request(server.address(), "POST", "/v3/kv/put", &[("grpc-timeout", "x")], b"{}");
    assert_eq!(answer.unwrap().text(), r#"{"code":3,"message":"invalid grpc-timeout: x"}"#);
}

/// A request whose answer is read line by line.
fn lines(server: &Server, path: &str, body: &str) -> impl Iterator<Item = Value> {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let len = body.len();
    write!(socket, "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n{body}").unwrap();
    let lines = BufReader::new(socket).lines().map(Result::unwrap);
    // What is no JSON are headers and marks of chunks.
    lines.filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(&line).unwrap())
}

fn streams() {
    let server = Server::start(&[]);
    let mut watch = lines(&server, "/v3/watch", r#"{"create_request":{"key":"aw==","prev_kv":true}}"#);
    assert_eq!(watch.next().unwrap()["result"]["created"], json!(true));
    put_ok(&server.client(), "k", "v");
    let event = &watch.next().unwrap()["result"]["events"][0];
    assert_eq!((&event["kv"]["value"], &event["type"]), (&json!("dg=="), &Value::Null));
    server.client().ok(proto::etcdserverpb::DeleteRangeRequest { key: "k".into(), ..Default::default() });
    let event = &watch.next().unwrap()["result"]["events"][0];
    assert_eq!((&event["type"], &event["prev_kv"]["value"]), (&json!("DELETE"), &json!("dg==")));

    ok(&server, "/v3/lease/grant", r#"{"TTL":"100","ID":"7"}"#);
    let alive: Vec<Value> =
        lines(&server, "/v3/lease/keepalive", "{\"ID\":\"7\"}{\"ID\":\"8\"}").take(2).collect();
    let results = |index: usize| (&alive[index]["result"]["ID"], &alive[index]["result"]["TTL"]);
    assert_eq!(results(0), (&json!("7"), &json!("100")));
    assert_eq!(results(1), (&json!("8"), &Value::Null));
    // What cannot be understood ends the requests, and nobody is told.
    let answer = post(&server, "/v3/lease/keepalive", "x");
    assert_eq!((answer.status, answer.text(), answer.header("content-type")), (200, "", ""));

    let blobs = post(&server, "/v3/maintenance/snapshot", "{}");
    let last = blobs.text().lines().last().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(last.unwrap()["result"]["version"], json!("3.7.0"));
    assert_eq!(post(&server, "/v3/maintenance/snapshot", "{").status, 400);
}

/// Each route of contract/grpc.tsv leads to its method, which says no to an empty request in its own way.
fn every_route() {
    let server = Server::start(&[]);
    let contract = std::fs::read_to_string(e2e::root().join("contract/grpc.tsv")).unwrap();
    let mut routes = 0;
    for line in contract.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        // These wait for somebody, or for ever.
        if ["Watch", "Observe", "Lock", "Campaign"].contains(&columns[1]) {
            continue;
        }
        for path in columns[5].split("; ").filter_map(|route| route.strip_prefix("POST /v3/")) {
            for prefix in ["/v3/", "/v3beta/"] {
                let answer = post(&server, &format!("{prefix}{path}"), "{}");
                let text = answer.text();
                assert_ne!(text, r#"{"code":5,"message":"Not Found"}"#, "{path}");
                assert!(
                    ![404, 501].contains(&answer.status)
                        || text.contains("etcdserver: ")
                        || columns[1] == "Authenticate",
                    "{path}: {text}"
                );
            }
            routes += 1;
        }
    }
    assert!(routes > 40, "{routes}");
}

fn switched_off() {
    let server = Server::start(&["--enable-grpc-gateway=false"]);
    for path in ["/v3/kv/range", "/v3beta/kv/range"] {
        let answer = post(&server, path, r#"{"key":"aw=="}"#);
        assert_eq!((answer.status, answer.text()), (404, "404 page not found\n"));
    }
    put_ok(&server.client(), "k", "v");
}

/// A list leaves as it is read, and the connection serves on.
fn large_lists() {
    let server = Server::start(&[]);
    let client = server.client();
    let value = "x".repeat(10_000);
    for index in 0..200 {
        put_ok(&client, &format!("k{index:03}"), &value);
    }
    let reply = ok(&server, "/v3/kv/range", r#"{"key":"aw==","range_end":"bA=="}"#);
    let rows = reply["kvs"].as_array().unwrap();
    assert_eq!((rows.len(), &reply["count"]), (200, &json!("200")));
    assert!(rows.iter().all(|row| row["value"].as_str().unwrap().len() == 13_336));
}

fn other_hosts() {
    let server = Server::start(&["--host-whitelist=127.0.0.1", "--cors=http://a:80"]);
    let ask = |headers: &[(&str, &str)]| {
        http1::request(server.address(), "POST", "/v3/kv/range", headers, br#"{"key":"aw=="}"#).unwrap()
    };
    assert_eq!(ask(&[("Host", "evil.example")]).status, 421);
    let answer = ask(&[("Origin", "http://a:80")]);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "http://a:80"));
    assert_eq!(ask(&[("Origin", "http://b:80")]).header("access-control-allow-origin"), "");
}

/// A WebSocket, as a browser opens one.
struct Socket(TcpStream);

impl Socket {
    fn open(server: &Server, path: &str) -> Socket {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            socket,
            "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: Bearer, token.1\r\n\r\n"
        )
        .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        assert!(head.contains("sec-websocket-protocol: bearer\r\n"), "{head}");
        Socket(socket)
    }

    fn send(&mut self, flags: u8, payload: &[u8]) {
        let mask = [7, 1, 200, 9];
        let masked = payload.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let frame: Vec<u8> = [flags, 0x80 | u8::try_from(payload.len()).unwrap()]
            .into_iter()
            .chain(mask)
            .chain(masked)
            .collect();
        self.0.write_all(&frame).unwrap();
    }

    /// Flags and payload of the next frame.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let mut len = u64::from(head[1]);
        if len == 126 {
            let mut two = [0; 2];
            self.0.read_exact(&mut two).unwrap();
            len = u16::from_be_bytes(two).into();
        }
        assert!(len <= 0xffff, "longer than what tests ask for");
        let mut payload = vec![0; len as usize];
        self.0.read_exact(&mut payload).unwrap();
        (head[0], payload)
    }

    fn json(&mut self) -> Value {
        let (flags, payload) = self.frame();
        assert_eq!(flags, 0x81, "one text frame: {payload:?}");
        serde_json::from_slice(&payload).unwrap()
    }
}

fn web_sockets() {
    let server = Server::start(&[]);
    let mut socket = Socket::open(&server, "/v3/watch");
    // In two frames, with a ping between them.
    socket.send(0x01, br#"{"create_request":"#);
    socket.send(0x89, b"there?");
    assert_eq!(socket.frame(), (0x8a, b"there?".to_vec()));
    socket.send(0x80, br#"{"key":"aw=="}}"#);
    assert_eq!(socket.json()["result"]["created"], json!(true));
    put_ok(&server.client(), "k", "v");
    assert_eq!(socket.json()["result"]["events"][0]["kv"]["value"], json!("dg=="));
    socket.send(0x81, br#"{"cancel_request":{"watch_id":"0"}}"#);
    assert_eq!(socket.json()["result"]["canceled"], json!(true));
    socket.send(0x88, &1001u16.to_be_bytes());
    assert_eq!(socket.frame(), (0x88, 1001u16.to_be_bytes().to_vec()));
    assert_eq!(socket.0.read(&mut [0]).unwrap(), 0);

    // A call with one answer needs no more than one message, and an error is a message like any other.
    let mut socket = Socket::open(&server, "/v3/kv/range");
    socket.send(0x82, br#"{"key":"aw=="}"#);
    assert_eq!(socket.json()["count"], json!("1"));
    assert_eq!(socket.frame(), (0x88, 1000u16.to_be_bytes().to_vec()));
    let mut socket = Socket::open(&server, "/v3/nothing");
    assert_eq!(socket.json(), json!({"code":5,"message":"Not Found"}));
    // Frames that no client sends.
    let mut socket = Socket::open(&server, "/v3/watch");
    socket.0.write_all(&[0x81, 1, b'x']).unwrap();
    assert_eq!(socket.frame(), (0x88, 1002u16.to_be_bytes().to_vec()));
}

fn no_web_sockets() {
    let server = Server::shared();
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    for (method, status, text) in [("GET", 400, "Bad Request\n"), ("POST", 405, "Method Not Allowed\n")] {
        let answer = http1::request(server.address(), method, "/v3/watch", &upgrade, b"").unwrap();
        assert_eq!((answer.status, answer.text()), (status, text));
        assert_eq!(answer.header("sec-websocket-version"), "13");
    }
}
