//! What is turned down, and how: status and text as etcd has them.

use bytes::BytesMut;
use consensus::MessageKind;
use node::{PeerInput, Peers};
use types::ClusterId;

use super::harness::{Member, ask, plain, until};
use crate::wire::encode_message;

const GOOD: &str = "x-server-from: b\r\nx-server-version: 3.6.14\r\nx-min-cluster-version: 3.0.0\r\n\
                    x-etcd-cluster-id: c1\r\n";

#[test]
fn requests_are_checked_in_etcds_order() {
    let (mut a, b) = (Member::start(0xa), Member::start(0xb));
    a.knows(&[&b]);
    a.transport.set_removed(vec![types::MemberId(0xdead)]);
    let old = GOOD.replace("3.6.14", "2.3.0");
    let demanding = GOOD.replace("3.0.0", "3.8.0");
    let unreadable = GOOD.replace("3.6.14", "three");
    let other = GOOD.replace("c1", "c2");
    let silent = "x-etcd-cluster-id: c1\r\n";
    let to = format!("{GOOD}x-raft-to: a\r\n");
    let wrong_to = format!("{GOOD}x-raft-to: b\r\n");
    let version = "incompatible version\n";
    let cluster = "cluster ID mismatch\n";
    for (line, headers, status, text) in [
        ("POST /raft/stream/message/b", &to[..], 405, "Method Not Allowed\n"),
        ("GET /raft/stream/message/b", &old, 412, version),
        ("GET /raft/stream/message/b", &demanding, 412, version),
        ("GET /raft/stream/message/b", &unreadable, 412, version),
        ("GET /raft/stream/message/b", silent, 412, version),
        ("GET /raft/stream/message/b", &other, 412, cluster),
        ("GET /raft/stream/msgappv3/b", &to, 404, "invalid path\n"),
        ("GET /raft/stream/b", &to, 404, "invalid path\n"),
        ("GET /raft/stream/msgapp/xyz", &to, 404, "invalid from\n"),
        ("GET /raft/stream/msgapp/dead", &to, 410, "removed member\n"),
        ("GET /raft/stream/msgapp/c", &to, 404, "error sender not found\n"),
        ("GET /raft/stream/msgapp/b", GOOD, 412, "to field mismatch\n"),
        ("GET /raft/stream/msgapp/b", &wrong_to, 412, "to field mismatch\n"),
        ("GET /raft", GOOD, 405, "Method Not Allowed\n"),
        ("POST /raft", &old, 412, version),
        ("POST /raft", &other, 412, cluster),
        ("GET /raft/snapshot", GOOD, 405, "Method Not Allowed\n"),
        ("POST /raft/snapshot", &other, 412, cluster),
        ("POST /raft/snapshot", GOOD, 400, "failed to decode raft message (unexpected EOF)\n"),
    ] {
        let (code, head, body) = ask(a.address, &format!("{line} HTTP/1.1\r\n{headers}"), b"");
        assert_eq!((code, body.as_str()), (status, text), "{line} {headers}");
        assert!(head.contains("content-type: text/plain; charset=utf-8\r\n"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff\r\n"), "{head}");
        assert_eq!(head.contains("x-etcd-cluster-id: c1\r\n"), status != 405, "{head}");
        if line.starts_with("GET /raft/stream") {
            assert!(head.contains("x-server-version: 3.7.1\r\n"), "{head}");
        }
        if status == 405 {
            assert!(head.contains("allow: get\r\n") || head.contains("allow: post\r\n"), "{head}");
        }
    }
}

#[test]
fn posted_messages_are_read_with_care() {
    let (mut a, b) = (Member::start(0xa), Member::start(0xb));
    a.knows(&[&b]);
    a.transport.set_removed(vec![types::MemberId(0xdead)]);
    let post = |path: &str, body: &[u8]| ask(a.address, &format!("POST {path} HTTP/1.1\r\n{GOOD}"), body);
    let encoded = |message| {
        let mut bytes = BytesMut::new();
        encode_message(&message, &mut bytes);
        bytes
    };
    let (code, _, text) = post("/raft", b"\x0b\xff garbage");
    assert_eq!((code, text.as_str()), (400, "error unmarshalling raft message\n"));
    let mut message = plain(MessageKind::Vote, &b, &a, 3);
    message.from = 0xdead;
    let (code, head, text) = post("/raft", &encoded(message.clone()));
    assert_eq!((code, text.as_str()), (403, r#"{"message":"cannot process message from removed member"}"#));
    assert!(head.contains("content-type: application/json\r\n"));
    message.from = 0xb;
    message.to = 0xc;
    let (code, _, text) = post("/raft", &encoded(message.clone()));
    assert_eq!((code, text.as_str()), (500, "error processing raft message\n"));
    // The file of a snapshot without one, and something else than a snapshot.
    message.to = 0xa;
    let bytes = encoded(message);
    let framed = [&(bytes.len() as u64).to_be_bytes()[..], &bytes, b"file"].concat();
    let (code, _, text) = post("/raft/snapshot", &framed);
    assert_eq!((code, text.as_str()), (400, "wrong raft message type\n"));
    let (code, _, text) = post("/raft/snapshot", &(65u64 << 20).to_be_bytes());
    let limit = "failed to decode raft message (rafthttp: error limit exceeded)\n";
    assert_eq!((code, text.as_str()), (400, limit));
    assert!(a.snap_files().is_empty());
    assert!(a.inputs.try_recv().is_err(), "raft heard nothing of it");
}

#[test]
fn a_removed_member_is_told() {
    let (mut a, mut b) = (Member::start(0xa), Member::start(0xb));
    a.knows(&[&b]);
    b.knows(&[&a]);
    b.wait_streams(&a);
    a.transport.set_removed(vec![b.id]);
    a.knows(&[]);
    b.wait_removed();
    // A message of its own finds no ear either.
    until("posted in vain", || {
        b.transport.send(vec![plain(MessageKind::Vote, &b, &a, 9)]);
        b.inputs.try_iter().any(|input| input == PeerInput::Unreachable(a.id))
    });
    assert!(a.inputs.try_iter().all(|input| !matches!(input, PeerInput::Messages(_))));
}

#[test]
fn another_cluster_is_not_spoken_with() {
    let mut a = Member::start_with(0xa, ClusterId(1), None);
    let mut b = Member::start_with(0xb, ClusterId(2), None);
    a.knows(&[&b]);
    b.knows(&[&a]);
    a.transport.send(vec![plain(MessageKind::Vote, &a, &b, 1)]);
    assert_eq!(a.input(), PeerInput::Unreachable(b.id));
    assert!(a.transport.active_since(b.id).is_none());
    assert!(b.inputs.try_recv().is_err());
}
