//! The peer port, as a member without a process sees it: a learner that was added, whose part the test plays.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use e2e::{
    PATIENCE, binary,
    client::Client,
    http1::{self, Answer},
    server::{Server, poll},
};
use prost::Message;
use proto::{
    etcdserverpb::{self as pb, MemberAddRequest, MemberRemoveRequest},
    leasepb,
    raftpb::{self, MessageType},
};

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    streams_begin_with_what_the_leader_has_to_say => "http" [
        "GET /raft/stream/msgapp/<from-id-hex> (peer)", "GET /raft/stream/message/<from-id-hex> (peer)",
    ];
    messages_are_taken => "http" ["POST /raft (peer)"];
    snapshots_are_taken => "http" ["POST /raft/snapshot (peer)"];
    promotions_are_passed_on => "http" ["POST /members/promote/<id-decimal> (peer)"];
    hashes_are_compared => "http" ["GET /members/hashkv (peer)"];
    leases_are_passed_on => "http" ["POST /leases (peer)", "POST /leases/internal (peer)"];
    downgrades_are_asked_for => "http" ["GET /downgrade/enabled (peer)"];
    strangers_are_refused => "errors" [
        "rafthttp incompatible", "rafthttp cluster id", "rafthttp removed", "rafthttp wrong target",
        "rafthttp removed stream", "rafthttp unknown sender", "rafthttp to",
    ];
    promotions_are_refused => "errors" ["learner ready http", "not learner http", "id not found http"];
    unknown_leases_are_refused => "errors" ["leasehttp missing"];
}

/// One comes every five seconds.
const SIGNS_OF_LIFE_MAX: usize = 4;

/// A member alone, and a learner that has no process.
struct Ghost {
    server: Server,
    client: Client,
    peer: SocketAddr,
    /// In hex.
    cluster: String,
    own: u64,
    ghost: u64,
}

impl Ghost {
    fn rise() -> Ghost {
        let server = Server::start(&[]);
        let client = server.client();
        let header = client.ok(pb::MemberListRequest::default()).header.unwrap();
        // Port 3 is nobody's.
        let request = MemberAddRequest { peer_ur_ls: vec!["http://127.0.0.1:3".into()], is_learner: true };
        let ghost = client.ok(request).member.unwrap().id;
        let peer = server.listeners().peer.expect("the peer listener is announced");
        let cluster = format!("{:x}", header.cluster_id);
        Ghost { server, client, peer, cluster, own: header.member_id, ghost }
    }

    /// The headers of a member's request, with some in another way.
    fn headers(&self, other: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        let usual = [
            ("X-Server-From", format!("{:x}", self.ghost)),
            ("X-Server-Version", "3.7.0".into()),
            ("X-Min-Cluster-Version", "3.0.0".into()),
            ("X-Etcd-Cluster-ID", self.cluster.clone()),
            ("X-Raft-To", format!("{:x}", self.own)),
        ];
        let changed =
            |name: &str| other.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        usual.into_iter().map(|(name, value)| (name, changed(name).unwrap_or(value))).collect()
    }

    fn ask(&self, method: &str, path: &str, other: &[(&'static str, &str)], body: &[u8]) -> Answer {
        let headers = self.headers(other);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        http1::request(self.peer, method, path, &headers, body).unwrap()
    }

    fn refused(
        &self,
        method: &str,
        path: &str,
        other: &[(&'static str, &str)],
        body: &[u8],
    ) -> (u16, String) {
        let answer = self.ask(method, path, other, body);
        (answer.status, answer.text().trim_end().to_owned())
    }

    fn remove(&self) {
        self.client.ok(MemberRemoveRequest { id: self.ghost });
    }

    fn stream(&self, kind: &str) -> String {
        format!("/raft/stream/{kind}/{:x}", self.ghost)
    }

    /// A message from the ghost that changes nothing.
    fn message(&self) -> raftpb::Message {
        raftpb::Message {
            r#type: Some(MessageType::MsgHeartbeatResp.into()),
            from: Some(self.ghost),
            to: Some(self.own),
            term: Some(self.client.ok(pb::StatusRequest {}).raft_term),
            ..Default::default()
        }
    }

    /// Opens a stream; gives its head and a reader of its body.
    fn open(&self, kind: &str) -> (String, Body) {
        let mut socket = TcpStream::connect(self.peer).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = format!("GET {} HTTP/1.1\r\nHost: peer\r\n", self.stream(kind));
        for (name, value) in self.headers(&[]) {
            request += &format!("{name}: {value}\r\n");
        }
        socket.write_all(format!("{request}\r\n").as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        (String::from_utf8(head).unwrap().to_ascii_lowercase(), Body { socket, rest: Vec::new() })
    }
}

/// The body of an endless answer.
struct Body {
    socket: TcpStream,
    /// What has come in chunks and was not asked for.
    rest: Vec<u8>,
}

impl Body {
    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.rest.len() < length {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                let mut byte = [0];
                self.socket.read_exact(&mut byte).unwrap();
                line.push(byte[0]);
            }
            let size = std::str::from_utf8(&line).unwrap().trim();
            let mut chunk = vec![0; usize::from_str_radix(size, 16).unwrap() + 2];
            self.socket.read_exact(&mut chunk).unwrap();
            self.rest.extend_from_slice(&chunk[..chunk.len() - 2]);
        }
        self.rest.drain(..length).collect()
    }

    fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.take(8).try_into().unwrap())
    }

    /// A message behind its length.
    fn message(&mut self) -> raftpb::Message {
        let length = self.number();
        raftpb::Message::decode(&self.take(length as usize)[..]).unwrap()
    }
}

/// 15.4, 15.5: one stream has appends in a form of their own, the other has all else.
fn streams_begin_with_what_the_leader_has_to_say() {
    let ghost = Ghost::rise();
    for kind in ["msgapp", "message"] {
        let (head, mut body) = ghost.open(kind);
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert!(head.contains("x-server-version: 3.7.1\r\n"), "{head}");
        assert!(head.contains(&format!("x-etcd-cluster-id: {}\r\n", ghost.cluster)), "{head}");
        // A follower that gives a sign of life is told what it lacks.
        assert_eq!(ghost.ask("POST", "/raft", &[], &ghost.message().encode_to_vec()).status, 204);
        let found = (0..SIGNS_OF_LIFE_MAX).find_map(|_| match kind {
            // Kinds of frames: 0 is a sign of life, 1 entries that follow the last, 2 a whole message.
            "msgapp" => match body.take(1)[0] {
                0 => None,
                2 => Some(body.message()),
                other => panic!("a frame of kind {other} comes before any whole message"),
            },
            // A message without receiver is a sign of life.
            _ => Some(body.message()).filter(|message| message.to() != 0),
        });
        let message = found.expect("the leader has something to say");
        assert_eq!((message.to(), message.from()), (ghost.ghost, ghost.own));
        // Appends take the other stream while theirs is not open.
        let appends = message.r#type() == MessageType::MsgApp;
        assert!(appends || kind == "message", "{message:?}");
    }
    assert_eq!(ghost.ask("POST", &ghost.stream("message"), &[], b"").status, 405);
    assert_eq!(ghost.ask("GET", "/raft/stream/other/1", &[], b"").status, 404);
}

fn messages_are_taken() {
    let ghost = Ghost::rise();
    let message = ghost.message().encode_to_vec();
    let taken = ghost.ask("POST", "/raft", &[], &message);
    assert_eq!((taken.status, taken.text()), (204, ""));
    assert_eq!(taken.header("x-etcd-cluster-id"), ghost.cluster);
    assert_eq!(ghost.ask("POST", "/raft", &[], b"\xff\xff").status, 400);
    assert_eq!(ghost.ask("GET", "/raft", &[], b"").status, 405);
    put_ok(&ghost.client, "k", "still serving");
}

/// 15.8. A snapshot that is older than what the member has is received, and changes nothing.
fn snapshots_are_taken() {
    let ghost = Ghost::rise();
    put_ok(&ghost.client, "k", "v");
    let mut database = Vec::new();
    let mut stream =
        ghost.client.open::<pb::SnapshotRequest, pb::SnapshotResponse>("etcdserverpb.Maintenance/Snapshot");
    stream.send(&pb::SnapshotRequest {});
    stream.finish();
    for part in stream.rest().unwrap() {
        database.extend_from_slice(&part.blob);
    }
    // The sum at the end is not part of the file.
    database.truncate(database.len() / 4096 * 4096);
    let snapshot = |message: raftpb::Message, file: &[u8]| {
        let message = message.encode_to_vec();
        [&(message.len() as u64).to_be_bytes()[..], &message, file].concat()
    };
    let meta = raftpb::SnapshotMetadata {
        conf_state: Some(raftpb::ConfState { voters: vec![ghost.own], ..Default::default() }),
        index: Some(3),
        term: Some(1),
    };
    let message = raftpb::Message {
        r#type: Some(MessageType::MsgSnap.into()),
        snapshot: Some(raftpb::Snapshot { data: None, metadata: Some(meta) }),
        ..ghost.message()
    };
    let path = "/raft/snapshot";
    let taken = ghost.ask("POST", path, &[], &snapshot(message.clone(), &database));
    assert_eq!((taken.status, taken.text()), (204, ""));
    assert_eq!(taken.header("x-etcd-cluster-id"), ghost.cluster);
    let broken = ghost.ask("POST", path, &[], &snapshot(ghost.message(), b""));
    assert_eq!(broken.status, 400, "no snapshot: {}", broken.text());
    assert_eq!(ghost.ask("POST", path, &[], b"\0\0\0\0\0\0\0\x02\xff\xff").status, 400);
    assert_eq!(ghost.ask("GET", path, &[], b"").status, 405);
    assert_eq!(ghost.refused("POST", path, &[("X-Etcd-Cluster-ID", "1")], b"").0, 412);
    ghost.remove();
    let status = if binary::is_etcd() { 500 } else { 403 };
    assert_eq!(ghost.ask("POST", path, &[], &snapshot(message, &database)).status, status);
    assert_eq!(get(&ghost.client, "k").as_deref(), Some("v"));
}

fn promotions_are_passed_on() {
    let ghost = Ghost::rise();
    let path = |id: u64| format!("/members/promote/{id}");
    assert_eq!(ghost.ask("POST", &path(1), &[], b"").status, 404);
    assert_eq!(ghost.ask("POST", &path(ghost.own), &[], b"").status, 412);
    assert_eq!(ghost.ask("POST", &path(ghost.ghost), &[], b"").status, 412);
    assert_eq!(ghost.ask("GET", &path(ghost.ghost), &[], b"").status, 405);
    let answer = ghost.ask("POST", "/members/promote/x", &[], b"");
    assert_eq!(answer.status, 404, "{}", answer.text());
}

fn promotions_are_refused() {
    let ghost = Ghost::rise();
    for (id, status, row) in [
        (1, 404, "id not found http"),
        (ghost.own, 412, "not learner http"),
        (ghost.ghost, 412, "learner ready http"),
    ] {
        let refused = ghost.refused("POST", &format!("/members/promote/{id}"), &[], b"");
        assert_eq!(refused, (status, promised(row).message));
    }
}

fn hashes_are_compared() {
    let ghost = Ghost::rise();
    let path = "/members/hashkv";
    for value in ["1", "2", "3"] {
        put_ok(&ghost.client, "k", value);
    }
    let own = ghost.client.ok(pb::HashKvRequest { revision: 3 });
    let answer = ghost.ask("GET", path, &[], br#"{"revision":3}"#);
    assert_eq!((answer.status, answer.header("x-etcd-cluster-id")), (200, ghost.cluster.as_str()));
    let hash = answer.json();
    assert_eq!(hash["hash"], own.hash);
    assert_eq!((&hash["compact_revision"], &hash["hash_revision"]), (&(-1).into(), &3.into()));
    assert_eq!(hash["header"]["revision"], 4);
    ghost.client.ok(compact(3));
    for (body, text) in [
        (&br#"{"revision":2}"#[..], "mvcc: required revision has been compacted"),
        (br#"{"revision":9}"#, "mvcc: required revision is a future revision"),
    ] {
        let (status, refusal) = ghost.refused("GET", path, &[], body);
        assert!(status == 400 && refusal.contains(text), "{status} {refusal}");
    }
    assert_eq!(ghost.ask("GET", path, &[], b"{").status, 400);
    assert_eq!(ghost.ask("POST", path, &[], br#"{"revision":3}"#).status, 405);
    let elsewhere = ghost.ask("GET", path, &[("X-Etcd-Cluster-ID", "1")], br#"{"revision":3}"#);
    assert_eq!(elsewhere.status, 412);
}

fn keepalive(id: i64) -> Vec<u8> {
    pb::LeaseKeepAliveRequest { id }.encode_to_vec()
}

fn time_to_live(id: i64) -> Vec<u8> {
    let request = pb::LeaseTimeToLiveRequest { id, keys: true };
    leasepb::LeaseInternalRequest { lease_time_to_live_request: Some(request) }.encode_to_vec()
}

fn leases_are_passed_on() {
    let ghost = Ghost::rise();
    let id = grant(&ghost.client, 100);
    ghost.client.ok(pb::PutRequest { lease: id, ..put("k", "v") });
    let renewed = ghost.ask("POST", "/leases", &[], &keepalive(id));
    assert_eq!(renewed.status, 200);
    let reply = pb::LeaseKeepAliveResponse::decode(&renewed.body[..]).unwrap();
    assert_eq!((reply.id, reply.ttl, reply.header), (id, 100, None));
    let asked = ghost.ask("POST", "/leases/internal", &[], &time_to_live(id));
    assert_eq!(asked.status, 200);
    let reply = leasepb::LeaseInternalResponse::decode(&asked.body[..]).unwrap();
    let reply = reply.lease_time_to_live_response.unwrap();
    assert_eq!((reply.id, reply.granted_ttl, reply.keys), (id, 100, vec![text("k")]));
    assert!((90..=100).contains(&reply.ttl), "{}", reply.ttl);
    for path in ["/leases", "/leases/internal"] {
        assert_eq!(ghost.ask("GET", path, &[], b"").status, 405);
        assert_eq!(ghost.ask("POST", path, &[], b"\xff").status, 400);
        assert_eq!(ghost.ask("POST", path, &[], &[0; 70_000]).status, 413);
    }
}

fn unknown_leases_are_refused() {
    let ghost = Ghost::rise();
    let missing = (404, promised("leasehttp missing").message);
    assert_eq!(ghost.refused("POST", "/leases", &[], &keepalive(77)), missing);
    assert_eq!(ghost.refused("POST", "/leases/internal", &[], &time_to_live(77)), missing);
}

/// 15.11. A version that cannot be gone back to is not "enabled".
fn downgrades_are_asked_for() {
    let server = Server::start(&[]);
    let client = server.client();
    let peer = server.listeners().peer.unwrap();
    let ask = || http1::get(peer, "/downgrade/enabled").unwrap();
    assert_eq!((ask().status, ask().text()), (200, "false"));
    let header = client.ok(pb::MemberListRequest::default()).header.unwrap();
    assert_eq!(ask().header("x-etcd-cluster-id"), format!("{:x}", header.cluster_id));
    let downgrade = |action: pb::downgrade_request::DowngradeAction| {
        client.call(pb::DowngradeRequest { action: action.into(), version: "3.6.0".into() })
    };
    // Refused until the version of the cluster is decided.
    let enabled = poll(|| downgrade(pb::downgrade_request::DowngradeAction::Enable).ok());
    assert!(enabled.is_some(), "the downgrade is not enabled in time");
    assert_eq!((ask().status, ask().text()), (200, "true"));
    downgrade(pb::downgrade_request::DowngradeAction::Cancel).unwrap();
    assert_eq!(ask().text(), "false");
    assert_eq!(http1::request(peer, "POST", "/downgrade/enabled", &[], b"").unwrap().status, 405);
}

fn strangers_are_refused() {
    let ghost = Ghost::rise();
    let message = ghost.message().encode_to_vec();
    let text = |row: &str| promised(row).message;
    let streams = ["msgapp", "message"].map(|kind| ghost.stream(kind));
    let raft = |other: &[(&'static str, &str)], body: &[u8]| ghost.refused("POST", "/raft", other, body);
    let stream = |path: &str, other: &[(&'static str, &str)]| ghost.refused("GET", path, other, b"");

    for other in [("X-Server-Version", "2.9.0"), ("X-Min-Cluster-Version", "3.8.0")] {
        assert_eq!(raft(&[other], &message), (412, text("rafthttp incompatible")));
        for path in &streams {
            assert_eq!(stream(path, &[other]), (412, text("rafthttp incompatible")));
        }
    }
    let other = ("X-Etcd-Cluster-ID", "cafe");
    assert_eq!(raft(&[other], &message), (412, text("rafthttp cluster id")));
    for path in &streams {
        assert_eq!(stream(path, &[other]), (412, text("rafthttp cluster id")));
        assert_eq!(stream(path, &[("X-Raft-To", "cafe")]), (412, text("rafthttp to")));
    }
    assert_eq!(stream("/raft/stream/message/cafe", &[]), (404, text("rafthttp unknown sender")));
    let astray = raftpb::Message { to: Some(0xcafe), ..ghost.message() }.encode_to_vec();
    // The reason stands in the log: its like as an answer would have a member of etcd end itself.
    // (etcd tears the connection then, in the middle of its answer.)
    if !binary::is_etcd() {
        assert_eq!(raft(&[], &astray), (500, "error processing raft message".into()));
        let logged = "rejected Raft message to mismatch member";
        assert!(ghost.server.log().contains(logged), "{}", text("rafthttp wrong target"));
    }

    ghost.remove();
    if !binary::is_etcd() {
        assert_json(raft(&[], &message), &text("rafthttp removed"));
    }
    for path in &streams {
        assert_eq!(stream(path, &[]), (410, text("rafthttp removed stream")));
    }
}

/// 403 with a JSON body that says why.
fn assert_json((status, body): (u16, String), message: &str) {
    let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
    assert_eq!((status, body["message"].as_str()), (403, Some(message)));
}
