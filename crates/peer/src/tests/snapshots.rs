//! Snapshots with their files.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use consensus::{Message, MessageKind};
use node::PeerInput;
use types::{
    MemberId,
    raft::{ConfState, Snapshot, SnapshotMeta},
};

use super::harness::{Member, ask, plain, until};
use crate::{Image, incoming::file_name};

/// A file in memory that can break.
struct File {
    bytes: Vec<u8>,
    broken_at: u64,
    read: Arc<AtomicU64>,
}

impl Image for File {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, String> {
        if offset >= self.broken_at {
            return Err("damaged".into());
        }
        let rest = &self.bytes[offset as usize..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.read.fetch_add(len as u64, Ordering::SeqCst);
        Ok(len)
    }
}

fn file(len: usize) -> File {
    let bytes = (0..len).map(|n| (n * 7 % 251) as u8).collect();
    File { bytes, broken_at: u64::MAX, read: Arc::default() }
}

fn snapshot(from: &Member, to: &Member, index: u64) -> Message {
    let conf_state = ConfState { voters: vec![from.id.0, to.id.0], ..ConfState::default() };
    let meta = SnapshotMeta { index, term: 4, conf_state };
    let mut message = plain(MessageKind::Snapshot, from, to, 4);
    message.snapshot = Some(Box::new(Snapshot { meta, data: b"members".to_vec().into() }));
    message
}

fn ended(to: MemberId, delivered: bool) -> PeerInput {
    PeerInput::SnapshotSent { to, delivered }
}

#[test]
fn a_file_arrives_whole_and_then_the_message() {
    let (mut a, mut b) = (Member::start(0xa), Member::start(0xb));
    a.knows(&[&b]);
    b.knows(&[&a]);
    for (index, len) in [(0x123, (7 << 20) + 13), (0x124, 1)] {
        let message = snapshot(&a, &b, index);
        let image = file(len);
        let bytes = image.bytes.clone();
        a.transport.send_file(message.clone(), image);
        assert_eq!(b.messages(1), [message]);
        assert_eq!(a.input(), ended(b.id, true));
        assert_eq!(std::fs::read(b.snap_path(&file_name(index))).unwrap(), bytes);
    }
    assert_eq!(b.snap_files(), ["0000000000000123.snap.db", "0000000000000124.snap.db"]);
    // Once more: the first one stays.
    a.transport.send_file(snapshot(&a, &b, 0x123), file(50));
    assert_eq!(b.messages(1).len(), 1);
    assert_eq!(a.input(), ended(b.id, true));
    assert_eq!(std::fs::metadata(b.snap_path(&file_name(0x123))).unwrap().len(), (7 << 20) + 13);
    assert_eq!(b.snap_files().len(), 2);
}

#[test]
fn a_broken_file_leaves_nothing_behind() {
    let (mut a, mut b) = (Member::start(0xa), Member::start(0xb));
    a.knows(&[&b]);
    b.knows(&[&a]);
    let mut image = file(6 << 20);
    image.broken_at = 4 << 20;
    a.transport.send_file(snapshot(&a, &b, 9), image);
    assert_eq!(a.input(), PeerInput::Unreachable(b.id));
    assert_eq!(a.input(), ended(b.id, false));
    until("nothing is left", || b.snap_files().is_empty());
    assert!(b.inputs.try_recv().is_err());
}

#[test]
fn an_end_that_comes_too_early_leaves_nothing_behind() {
    let a = Member::start(0xa);
    let b = Member::start(0xb);
    let mut head = bytes::BytesMut::new();
    crate::wire::encode_framed(&snapshot(&b, &a, 9), &mut head);
    let headers = "POST /raft/snapshot HTTP/1.1\r\nhost: h\r\nx-server-version: 3.7.0\r\nx-min-cluster-version: 3.0.0\r\n\
                   x-etcd-cluster-id: c1\r\n";
    let mut stream = std::net::TcpStream::connect(a.address).unwrap();
    let request = format!("{headers}content-length: {}\r\n\r\n", head.len() + 1000);
    std::io::Write::write_all(&mut stream, &[request.as_bytes(), &head, &[1; 999]].concat()).unwrap();
    until("it has begun", || a.snap_files().len() == 1);
    drop(stream);
    until("nothing is left", || a.snap_files().is_empty());
    // Without any file it is refused.
    let (code, _, text) = ask(a.address, &headers.replace("host: h\r\n", ""), &head);
    assert_eq!((code, text.as_str()), (500, "failed to save KV snapshot (the file is empty)\n"));
    assert!(a.snap_files().is_empty());
    assert!(a.inputs.try_recv().is_err());
}

#[test]
fn the_checksum_goes_behind_the_file() {
    let mut a = Member::start(0xa);
    let (socket, address) = super::listener::bind();
    let other = MemberId(0xc);
    node::Peers::set_peers(
        &mut a.transport,
        vec![node::PeerAddress { id: other, urls: vec![format!("http://{address}")] }],
    );
    let b = Member::start(0xb);
    let mut message = snapshot(&a, &b, 9);
    message.to = other.0;
    let image = file(1000);
    let wanted = format!("\r\n0\r\nx-mainstay-file-crc32c: {:08x}\r\n\r\n", crc32c::crc32c(&image.bytes));
    a.transport.send_file(message, image);
    // Other connections are probes and streams.
    loop {
        let (mut stream, _) = socket.accept().unwrap();
        let (mut all, mut some) = (Vec::new(), [0; 4096]);
        stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        while let Ok(read @ 1..) = std::io::Read::read(&mut stream, &mut some) {
            all.extend_from_slice(&some[..read]);
            if !all.starts_with(b"POST /raft/snapshot") || all.ends_with(wanted.as_bytes()) {
                break;
            }
        }
        if all.starts_with(b"POST /raft/snapshot") {
            assert!(all.ends_with(wanted.as_bytes()), "{}", String::from_utf8_lossy(&all));
            return;
        }
    }
}

/// A bit of a value leaves a database as good as before, as far as anybody can see.
#[test]
fn a_file_that_changes_on_its_way_is_refused() {
    let a = Member::start(0xa);
    let b = Member::start(0xb);
    let mut head = bytes::BytesMut::new();
    crate::wire::encode_framed(&snapshot(&b, &a, 9), &mut head);
    let sent = vec![7; 3000];
    let post = |came: &[u8]| {
        let mut stream = std::net::TcpStream::connect(a.address).unwrap();
        let sum = format!("{:08x}", crc32c::crc32c(&sent));
        let chunks = [&head[..], came].concat();
        let request = format!(
            "POST /raft/snapshot HTTP/1.1\r\nhost: h\r\nconnection: close\r\nx-server-version: 3.7.0\r\n\
             x-min-cluster-version: 3.0.0\r\nx-etcd-cluster-id: c1\r\ntransfer-encoding: chunked\r\n\
             trailer: x-mainstay-file-crc32c\r\n\r\n{:x}\r\n",
            chunks.len()
        );
        let end = format!("\r\n0\r\nx-mainstay-file-crc32c: {sum}\r\n\r\n");
        std::io::Write::write_all(&mut stream, &[request.as_bytes(), &chunks, end.as_bytes()].concat())
            .unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        answer
    };
    let mut came = sent.clone();
    came[1234] ^= 4;
    let answer = post(&came);
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("damaged on its way"), "{answer}");
    assert!(a.inputs.try_recv().is_err(), "raft has not heard of it");
    until("nothing is left", || a.snap_files().is_empty());
    let answer = post(&sent);
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(std::fs::read(a.snap_path(&file_name(9))).unwrap(), sent);
}

#[test]
fn every_failure_is_reported_once() {
    let (mut a, b) = (Member::start(0xa), Member::start(0xb));
    a.transport.send_file(snapshot(&a, &b, 9), file(10));
    assert_eq!(a.input(), PeerInput::Unreachable(b.id));
    assert_eq!(a.input(), ended(b.id, false), "nobody knows where it is");
    a.knows(&[&b]);
    std::fs::remove_dir_all(b.snap_path("")).unwrap();
    a.transport.send_file(snapshot(&a, &b, 9), file(5 << 20));
    assert_eq!(a.input(), PeerInput::Unreachable(b.id));
    assert_eq!(a.input(), ended(b.id, false), "no directory");
    // The receiver goes away, or is removed, in the middle: the reader of the file stops with it.
    let (socket, silent) = super::listener::bind();
    let other = MemberId(0xc);
    let address = node::PeerAddress { id: other, urls: vec![format!("http://{silent}")] };
    node::Peers::set_peers(&mut a.transport, vec![address]);
    let mut message = snapshot(&a, &b, 9);
    message.to = other.0;
    let image = file(64 << 20);
    let read = Arc::clone(&image.read);
    a.transport.send_file(message, image);
    until("it has begun", || read.load(Ordering::SeqCst) > 0);
    a.knows(&[]);
    assert_eq!(a.input(), PeerInput::Unreachable(other));
    assert_eq!(a.input(), ended(other, false), "hung up");
    assert!(read.load(Ordering::SeqCst) < 64 << 20, "it was not read ahead of the receiver");
    drop(socket);
}
