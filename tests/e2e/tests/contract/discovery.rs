//! Finding the first members with a discovery service: another server of ours.

use e2e::server::{Exit, Server};
use proto::etcdserverpb::{MemberListRequest, PutRequest, RangeRequest};

use crate::{gaps::KNOWN_GAPS, startup::assert_says};

e2e::cases! { KNOWN_GAPS;
    size_not_found => "errors" ["discovery size"];
    bad_size => "errors" ["discovery bad size"];
    full => "errors" ["discovery full"];
    invalid_url => "errors" ["discovery url"];
    a_cluster_of_one_finds_itself => "errors" [];
    discovery_is_for_new_clusters => "errors" [];
}

/// Writes what a token holds.
fn register(service: &Server, token: &str, rows: &[(&str, &str)]) {
    for (key, value) in rows {
        let key = format!("/_etcd/registry/{token}/{key}").into();
        service.client().ok(PutRequest { key, value: (*value).to_owned().into(), ..PutRequest::default() });
    }
}

fn flags(service: &Server, token: &str) -> Vec<String> {
    vec![format!("--discovery-token={token}"), format!("--discovery-endpoints=http://{}", service.address())]
}

fn start(service: &Server, token: &str, more: &[&str]) -> Result<Server, Exit> {
    let dir = tempfile::tempdir().unwrap();
    let flags = flags(service, token);
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Server::start_on(&dir.path().join("data"), &flags)
}

fn refused(token: &str, rows: &[(&str, &str)], row: &str) {
    let service = Server::shared();
    register(&service, token, rows);
    let Err(exit) = start(&service, token, &[]) else { panic!("it starts") };
    let promised = e2e::table::row("errors", row);
    assert_says(&exit, row, &[promised.cell("message")]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
}

fn size_not_found() {
    refused("nobody", &[], "discovery size");
}

fn bad_size() {
    refused("bad-size", &[("_config/size", "many")], "discovery bad size");
}

fn full() {
    let rows = [("_config/size", "1"), ("members/abc", "x=http://127.0.0.1:1")];
    refused("full", &rows, "discovery full");
}

fn invalid_url() {
    let rows = [("_config/size", "2"), ("members/abc", "x=nowhere")];
    refused("invalid-url", &rows, "discovery url");
}

fn a_cluster_of_one_finds_itself() {
    let service = Server::shared();
    register(&service, "one", &[("_config/size", "1")]);
    let server = start(&service, "one", &["--name=alone"]).expect("it starts");
    let members = server.client().ok(MemberListRequest { linearizable: true }).members;
    assert_eq!(members.len(), 1);
    let id = members[0].id;
    let key = format!("/_etcd/registry/one/members/{id:x}");
    let found = service.client().ok(RangeRequest { key: key.into(), ..RangeRequest::default() }).kvs;
    assert_eq!(found.len(), 1, "it has registered under its id");
    assert_eq!(found[0].value, format!("alone={}", members[0].peer_ur_ls[0]));
}

fn discovery_is_for_new_clusters() {
    let service = Server::shared();
    register(&service, "join", &[("_config/size", "1")]);
    let Err(exit) = start(&service, "join", &["--initial-cluster-state=existing"]) else {
        panic!("it starts")
    };
    let text = "discovery URL should not be set when joining existing initial cluster";
    assert!(exit.stderr.contains(text), "{}", exit.stderr);
}
