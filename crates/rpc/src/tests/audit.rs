//! The audit log: every way in leaves a line, and no secret gets there.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::SeqCst},
};

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::{self as pb, watch_request::RequestUnion};
use serde_json::Value;

use super::{
    Harness,
    client::{Inbox, framed},
    config,
    http::ask,
};
use crate::{AuditLog, AuditOutput, Method, status::Reason};

struct Audited {
    harness: Harness,
    log: Arc<AuditLog>,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Audited {
    fn start(redact: bool) -> Audited {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let log = Arc::new(AuditLog::start(AuditOutput::File(path.clone()), redact).unwrap());
        let mut setup = config();
        setup.audit = Some(Arc::clone(&log));
        Audited { harness: Harness::start(setup), log, path, _dir: dir }
    }

    /// Closes the log; all its lines.
    fn lines(&self) -> Vec<Value> {
        self.log.close();
        let text = fs::read_to_string(&self.path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }
}

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";

#[tokio::test]
async fn who_did_what_with_what_result() {
    let audited = Audited::start(false);
    let client = audited.harness.client().await;
    audited.harness.knobs.auth.store(true, SeqCst);
    let put = pb::PutRequest { key: "a".into(), value: "hidden".into(), lease: 7, ..Default::default() };
    let body = framed(&put.encode_to_vec());
    assert_eq!(client.call(PUT, &[("token", "of-alice")], body).await.outcome.0, 0);
    *audited.harness.knobs.range_error.lock().unwrap() = Some(Reason::PermissionDenied);
    let range = pb::RangeRequest { key: "a".into(), range_end: "b".into(), ..Default::default() };
    let body = framed(&range.encode_to_vec());
    assert_eq!(client.call(RANGE, &[("token", "of-bob")], body).await.outcome.0, 7);
    // Refused before anybody is asked, and not even understood.
    assert_eq!(client.call(PUT, &[], framed(&[])).await.outcome.0, 3);
    assert_eq!(client.call(PUT, &[], framed(&[0xff])).await.outcome.0, 13);
    let lines = audited.lines();
    assert_eq!(lines.len(), 4, "{lines:?}");
    let [put, range, empty, broken] = &lines[..] else { unreachable!() };
    assert_eq!(put["user"], "alice");
    assert_eq!(put["method"], "etcdserverpb.KV/Put");
    assert_eq!(put["request"], serde_json::json!({ "key": "a", "lease": 7 }));
    assert_eq!((&put["code"], put["revision"].as_i64() > Some(0)), (&Value::from("OK"), true));
    assert!(put["remote"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!((&range["user"], &range["code"]), (&Value::from("bob"), &Value::from("PermissionDenied")));
    assert_eq!(range["error"], "etcdserver: permission denied");
    assert_eq!(range["request"], serde_json::json!({ "key": "a", "range_end": "b" }));
    assert_eq!(
        (&empty["code"], &broken["code"]),
        (&Value::from("InvalidArgument"), &Value::from("Internal"))
    );
    let text = fs::read_to_string(&audited.path).unwrap();
    assert!(!text.contains("hidden") && !text.contains("of-alice"), "{text}");
}

#[tokio::test]
async fn every_method_leaves_a_line() {
    let audited = Audited::start(true);
    let client = audited.harness.client().await;
    let mut called = Vec::new();
    for method in Method::ALL.iter().filter(|method| method.service() != "grpc.health.v1.Health") {
        // Empty messages: most are served, some refused.
        let path = format!("/{}/{}", method.service(), method.name());
        let (mut send, response) = client.open(&path, &[]).await;
        send.send_data(framed(&[]), true).unwrap();
        // Streams that go on are left by the client.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(300), async {
            super::client::collect(response.await.unwrap()).await
        })
        .await;
        called.push(path[1..].to_owned());
    }
    drop(client);
    super::flow::until(|| fs::read_to_string(&audited.path).unwrap().lines().count() >= called.len()).await;
    let mut found: Vec<_> =
        audited.lines().iter().map(|line| line["method"].as_str().unwrap().to_owned()).collect();
    found.sort();
    called.sort();
    assert_eq!(found, called);
}

#[tokio::test]
async fn watchers_and_the_gateway() {
    let audited = Audited::start(false);
    let client = audited.harness.client().await;
    let (mut send, response) = client.open("/etcdserverpb.Watch/Watch", &[]).await;
    let create = pb::WatchCreateRequest { key: "10".into(), range_end: "11".into(), ..Default::default() };
    let create = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    send.send_data(framed(&create.encode_to_vec()), true).unwrap();
    let mut inbox = Inbox::open(response).await;
    assert!(inbox.next::<pb::WatchResponse>().await.unwrap().created);
    let body = r#"{"key":"YQ==","value":"aGlkZGVu"}"#;
    let request = format!(
        "POST /v3/kv/put HTTP/1.1\r\nhost: h\r\nconnection: close\r\nauthorization: Bearer of-alice\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(ask(audited.harness.port(0), &request).await.0, 200);
    let lines = audited.lines();
    let [watch, put] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(watch["request"], serde_json::json!({ "create_request": { "key": "10", "range_end": "11" } }));
    assert_eq!((&watch["code"], &watch["watch_id"]), (&Value::from("OK"), &Value::from(0)));
    assert_eq!((&put["gateway"], &put["request"]), (&Value::from(true), &serde_json::json!({ "key": "a" })));
    assert_eq!(put["user"], "", "authentication is off");
}

#[tokio::test]
async fn no_secret_of_any_request_gets_there() {
    let audited = Audited::start(true);
    let client = audited.harness.client().await;
    let secret = "s3cr3t";
    let bytes = Bytes::from_static(b"s3cr3t");
    let compare = pb::Compare {
        key: bytes.clone(),
        target_union: Some(pb::compare::TargetUnion::Value(bytes.clone())),
        ..Default::default()
    };
    let put = pb::PutRequest { key: bytes.clone(), value: bytes.clone(), ..Default::default() };
    let op = pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) };
    let txn = pb::TxnRequest { compare: vec![compare], success: vec![op], ..Default::default() };
    let login = pb::AuthenticateRequest { name: "alice".into(), password: secret.into() };
    let user = pb::AuthUserAddRequest { name: "u".into(), password: secret.into(), ..Default::default() };
    let change = pb::AuthUserChangePasswordRequest {
        name: "u".into(),
        password: secret.into(),
        hashed_password: secret.into(),
    };
    let calls = [
        ("/etcdserverpb.KV/Txn", txn.encode_to_vec()),
        ("/etcdserverpb.Auth/Authenticate", login.encode_to_vec()),
        ("/etcdserverpb.Auth/UserAdd", user.encode_to_vec()),
        ("/etcdserverpb.Auth/UserChangePassword", change.encode_to_vec()),
    ];
    for (path, message) in calls {
        client.call(path, &[("token", secret), ("authorization", secret)], framed(&message)).await;
    }
    assert_eq!(audited.lines().len(), 4);
    let text = fs::read_to_string(&audited.path).unwrap();
    assert!(!text.contains(secret) && !text.contains("czNjcjN0"), "{text}");
    assert!(text.contains("\"key\":\"#") && text.contains("\"name\":\"alice\""), "{text}");
}
