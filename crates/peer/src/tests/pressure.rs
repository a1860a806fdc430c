//! Bounds: who does not read, and a core that does not keep up.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{atomic::Ordering, mpsc::RecvTimeoutError},
    time::Duration,
};

use consensus::MessageKind;
use node::{PeerAddress, PeerInput, Peers};

use super::harness::{Member, append, plain};
use crate::Stream;

/// Dials a stream by hand and reads no further than the head of the answer.
fn dial(to: &Member, from: &Member, kind: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to.address).unwrap();
    let head = format!(
        "GET /raft/stream/{kind}/{} HTTP/1.1\r\nhost: h\r\nx-server-version: 3.6.0\r\nx-min-cluster-version: 3.0.0\r\n\
         x-etcd-cluster-id: c1\r\nx-raft-to: {}\r\n\r\n",
        from.id, to.id
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    stream
}

#[test]
fn who_reads_nothing_costs_no_more_than_a_queue() {
    let (mut a, b) = (Member::start(0xa), Member::start(0xb));
    let (socket, nowhere) = super::listener::bind();
    a.transport.set_peers(vec![PeerAddress { id: b.id, urls: vec![format!("http://{nowhere}")] }]);
    let lazy = dial(&a, &b, "msgapp");
    let peer = a.transport.shared().peer(b.id.0).unwrap();
    let queue = peer.queue(Stream::MsgApp);
    let failures = telemetry::metrics().network_peer_sent_failures_total.with(&["b"]);
    let before = failures.value();
    let message = append(&a, &b, 1, &[1 << 20]);
    let mut sent = 0;
    while failures.value() == before {
        a.transport.send(vec![message.clone()]);
        sent += 1;
        assert!(sent < 1000, "a GiB was taken");
    }
    assert_eq!(a.input(), PeerInput::Unreachable(b.id));
    assert!(queue.bytes() <= 128 << 20, "{}", queue.bytes());
    // When the connection goes, so does what was meant for it, and raft is told once more.
    drop(lazy);
    assert_eq!(a.input(), PeerInput::Unreachable(b.id));
    assert_eq!((queue.bytes(), queue.is_open()), (0, false));
    drop(socket);
}

#[test]
fn small_messages_are_bounded_in_number() {
    let (mut a, b) = (Member::start(0xa), Member::start(0xb));
    let (socket, nowhere) = super::listener::bind();
    a.transport.set_peers(vec![PeerAddress { id: b.id, urls: vec![format!("http://{nowhere}")] }]);
    let beat = plain(MessageKind::Heartbeat, &a, &b, 1);
    // Nobody dialled: these go to the pipeline, which holds 64 and has 4 under way.
    a.transport.send(vec![beat; 100]);
    assert_eq!(a.input(), PeerInput::Unreachable(b.id));
    drop(socket);
}

#[test]
fn a_newer_stream_takes_over() {
    let (mut a, b) = (Member::start(0xa), Member::start(0xb));
    let (socket, nowhere) = super::listener::bind();
    a.transport.set_peers(vec![PeerAddress { id: b.id, urls: vec![format!("http://{nowhere}")] }]);
    let mut old = dial(&a, &b, "message");
    let mut new = dial(&a, &b, "message");
    old.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut rest = Vec::new();
    // Ends with the last chunk of its answer.
    while !rest.ends_with(b"0\r\n\r\n") {
        let mut piece = [0; 1000];
        let read = old.read(&mut piece).unwrap();
        assert!(read > 0, "{rest:?}");
        rest.extend_from_slice(&piece[..read]);
    }
    a.transport.send(vec![plain(MessageKind::TimeoutNow, &a, &b, 1)]);
    new.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut seen = Vec::new();
    // Kind 14, to 11, from 10.
    while !seen.windows(6).any(|bytes| bytes == [0x08, 14, 0x10, 0xb, 0x18, 0xa]) {
        let mut piece = [0; 1000];
        let read = new.read(&mut piece).unwrap();
        assert!(read > 0, "{seen:?}");
        seen.extend_from_slice(&piece[..read]);
    }
    drop(socket);
}

#[test]
fn a_core_that_does_not_keep_up_gets_one_batch_of_a_connection() {
    let (mut a, mut b) = (Member::start(0xa), Member::start(0xb));
    a.knows(&[&b]);
    b.knows(&[&a]);
    a.wait_streams(&b);
    b.turns.store(true, Ordering::SeqCst);
    // Larger than what a connection brings at once, so each is a batch.
    let sent: Vec<_> = (0..20).map(|n| append(&a, &b, n, &[1 << 20])).collect();
    a.transport.send(sent.clone());
    let next = || b.inputs.recv_timeout(Duration::from_secs(20)).unwrap();
    let mut got = Vec::new();
    while got.len() < sent.len() {
        let PeerInput::Messages(messages) = next() else { panic!("no messages") };
        got.extend(messages);
        let turn = next();
        assert!(matches!(turn, PeerInput::Turn(_)));
        // While it is held nothing may come.
        let patience = Duration::from_millis(if got.len() == 1 { 300 } else { 0 });
        assert_eq!(b.inputs.recv_timeout(patience), Err(RecvTimeoutError::Timeout));
        drop(turn);
    }
    assert_eq!(got, sent);
}
