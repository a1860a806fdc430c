//! The audit log of a running server (docs/audit.md).

use std::{fs, path::Path};

use e2e::server::{Server, poll};
use proto::etcdserverpb as pb;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    common::*,
    grpc::login::{authenticate, login, people},
};

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// User, method, code of a line.
fn told(line: &Value) -> (&str, &str, &str) {
    let text = |name: &str| line[name].as_str().unwrap_or_default();
    (text("user"), text("method").rsplit('/').next().unwrap(), text("code"))
}

#[test]
fn a_server_writes_who_did_what() {
    let dir = TempDir::new().unwrap();
    let (path, moved) = (dir.path().join("audit.log"), dir.path().join("audit.log.1"));
    let flag = format!("--mainstay-audit-log={}", path.display());
    let server = Server::start(&[&flag, "--bcrypt-cost=4"]);
    let client = server.client();
    people(&client);
    let (ann, bob) = (login(&client, "ann"), login(&client, "bob"));
    assert!(client.call(authenticate("ann", "wrong")).is_err());
    bob.ok(put("key", "hidden"));
    ann.ok(range("key"));
    assert_eq!(ann.fails(put("key", "hidden")).code, 7);
    assert_eq!(client.fails(range("key")).code, 3);
    // Moved away and opened anew, as logrotate has it.
    fs::rename(&path, &moved).unwrap();
    let reopened = poll(|| {
        ann.ok(range("key"));
        path.exists().then_some(())
    });
    assert!(reopened.is_some(), "the file is not opened anew");
    server.stop();
    let (before, after) = (lines(&moved), lines(&path));
    let of = |user: &str, method: &str, code: &str| {
        let found = before.iter().find(|line| told(line) == (user, method, code));
        found.unwrap_or_else(|| panic!("{user} {method} {code} is not in {before:#?}")).clone()
    };
    let written = of("bob", "Put", "OK");
    assert_eq!(written["request"], serde_json::json!({ "key": "key" }));
    assert!(written["revision"].as_i64() > Some(1) && written["remote"].as_str().unwrap().contains(':'));
    assert_eq!(of("ann", "Put", "PermissionDenied")["error"], "etcdserver: permission denied");
    assert_eq!(of("", "Range", "InvalidArgument")["error"], "etcdserver: user name is empty");
    let failed = of("", "Authenticate", "InvalidArgument");
    assert_eq!(failed["request"], serde_json::json!({ "name": "ann" }));
    assert_eq!(of("", "UserAdd", "OK")["request"]["name"], "ann");
    assert!(after.iter().all(|line| told(line) == ("ann", "Range", "OK")), "{after:#?}");
    let text = fs::read_to_string(&moved).unwrap();
    assert!(!text.contains("hidden") && !text.contains("secret") && !text.contains("wrong"));
}

#[test]
fn keys_can_stay_unseen_and_standard_error_is_a_place() {
    let server = Server::start(&["--mainstay-audit-log=stderr", "--mainstay-audit-log-redact-keys"]);
    let client = server.client();
    client.ok(put("visible-key", "v"));
    let mut stream = watch(&client);
    create_ok(&mut stream, pb::WatchCreateRequest { key: text("visible-key"), ..Default::default() });
    let seen = poll(|| {
        let lines = server.log_lines();
        let created = lines.iter().any(|line| line["request"]["create_request"]["key"].is_string());
        created.then_some(lines)
    });
    let lines = seen.expect("the watcher leaves a line");
    let written = lines.iter().find(|line| told(line) == ("", "Put", "OK")).expect("the put leaves a line");
    let sum = written["request"]["key"].as_str().unwrap();
    assert!(sum.starts_with('#') && sum.len() == 17, "{sum}");
    assert!(!server.log().contains("visible-key"));
}

#[test]
fn a_place_that_cannot_be_opened_is_told() {
    let exit = e2e::server::run(&["--mainstay-audit-log=/nowhere/audit.log"], &[]);
    assert_eq!(exit.code, Some(1));
    let told = "the audit log /nowhere/audit.log cannot be opened";
    assert!(exit.stderr.contains(told), "{}", exit.stderr);
}
