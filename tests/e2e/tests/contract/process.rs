//! The process: how it begins, what it tells, how it ends (contract/semantics.md 11.8).

use std::{
    os::unix::{net::UnixDatagram, process::ExitStatusExt},
    process::Command,
};

use e2e::{
    binary, http1,
    server::{Server, run_command},
};
use proto::etcdserverpb as pb;

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    signals_end_it => "http" [];
    systemd_is_told => "http" [];
    commands_that_are_not_there_say_so => "flags" [];
    the_log_is_etcds => "http" [];
    the_name_decides_what_it_is => "flags" [];
    peers_are_told_who_this_is => "http" [
        "GET /members (peer)", "GET /raft/probing (peer)", "GET /version (client-http, peer)", "GET / (client-http, peer)",
    ];
}

fn signals_end_it() {
    for (name, number) in [("TERM", 15), ("INT", 2)] {
        let dir = tempfile::TempDir::new().unwrap();
        let mut server = Server::start_on(dir.path(), &[]).unwrap();
        let client = server.client();
        put_ok(&client, "k", "v");
        // An open stream does not hold it up.
        let mut stream = watch(&client);
        create_ok(&mut stream, create("k"));
        server.signal(name);
        assert_eq!(server.wait().signal(), Some(number));
        assert!(server.log().contains("received signal; shutting down"));
        let again = Server::start_on(dir.path(), &[]).unwrap();
        assert_eq!(get(&again.client(), "k").as_deref(), Some("v"));
    }
}

fn systemd_is_told() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(e2e::PATIENCE)).unwrap();
    let server = Server::start_with(&[], &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let mut told = [0; 64];
    let length = socket.recv(&mut told).unwrap();
    assert_eq!(&told[..length], b"READY=1");
    put_ok(&server.client(), "k", "v");
}

fn commands_that_are_not_there_say_so() {
    if binary::is_etcd() {
        return;
    }
    for command in ["gateway", "grpc-proxy"] {
        let exit = run_command(Command::new(binary::mainstay()).arg(command));
        assert_eq!(exit.code, Some(2), "{command}");
        assert!(exit.stderr.starts_with(&format!("{command} is not there yet")), "{exit:?}");
    }
    let exit = run_command(Command::new(binary::mainstay()).arg("nonsense"));
    assert_eq!(exit.code, Some(2));
    assert!(exit.stderr.contains("unknown command \"nonsense\""), "{exit:?}");
}

/// Lines that people look for.
fn the_log_is_etcds() {
    let server = Server::start(&[]);
    let lines = server.log_lines();
    for text in [
        "Running: ",
        "published local member to cluster through raft",
        "serving client traffic insecurely; this is strongly discouraged!",
        "ready to serve client requests",
    ] {
        assert!(lines.iter().any(|line| line["msg"] == text), "{text}");
    }
    assert_eq!(lines.len(), server.log().lines().count(), "all of it is JSON");
    for key in ["level", "ts", "caller", "msg"] {
        assert!(lines.iter().all(|line| line[key].is_string()), "{key}");
    }
}

/// Called `etcd` it takes etcd's command line as it is.
fn the_name_decides_what_it_is() {
    if binary::is_etcd() {
        return;
    }
    let dir = tempfile::TempDir::new().unwrap();
    let etcd = dir.path().join("etcd");
    std::os::unix::fs::symlink(binary::mainstay(), &etcd).unwrap();
    let exit = run_command(Command::new(&etcd).arg("--version"));
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.starts_with("etcd Version: 3.7.1\n"), "{exit:?}");
    let exit = run_command(
        Command::new(&etcd).args(["--data-dir=/dev/null/e2e", "--listen-peer-urls=http://127.0.0.1:0"]),
    );
    assert_eq!(exit.code, Some(1), "{exit:?}");
}

fn peers_are_told_who_this_is() {
    let server = Server::start(&[]);
    let peer = server.listeners().peer.expect("the peer listener is announced");
    let header = server.client().ok(pb::MemberListRequest::default()).header.unwrap();
    let answer = http1::get(peer, "/members").unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.header("x-etcd-cluster-id"), format!("{:x}", header.cluster_id));
    let members = answer.json();
    let member = &members[0];
    assert_eq!((members.as_array().unwrap().len(), member["id"].as_u64()), (1, Some(header.member_id)));
    assert_eq!(member["peerURLs"], serde_json::json!([e2e::server::PEER_URL]));
    assert_eq!(
        (&member["name"], &member["clientURLs"]),
        (&"e2e".into(), &serde_json::json!(["http://127.0.0.1:2379"]))
    );
    assert_eq!(member.get("isLearner"), None);
    assert_eq!(http1::request(peer, "POST", "/members", &[], b"").unwrap().status, 405);

    let probe = http1::get(peer, "/raft/probing").unwrap();
    assert_eq!((probe.status, &probe.json()["OK"]), (200, &true.into()));
    assert!(probe.json()["Now"].as_str().is_some_and(|now| now.starts_with("20")), "{}", probe.text());

    let version = http1::get(peer, "/version").unwrap();
    assert_eq!(version.text(), r#"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}"#);
    for path in ["/", "/health", "/metrics", "/nothing"] {
        let answer = http1::get(peer, path).unwrap();
        assert_eq!((answer.status, answer.text()), (404, "404 page not found\n"), "{path}");
    }
    // 9.15: no gRPC for clients there.
    let refused = std::panic::catch_unwind(|| e2e::client::Client::connect(peer).call(range("k")));
    assert!(!matches!(refused, Ok(Ok(_))), "a client is served on the peer port");
}
