//! Messages over streams, over requests of their own, over TLS.

use std::sync::Arc;

use consensus::{Message, MessageKind};
use node::{PeerAddress, PeerInput, Peers};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use types::{ClusterId, MemberId, raft::Entry};

use super::harness::{Member, Secure, append, plain, until};

/// Every kind that goes without a file, with every field in use somewhere.
fn every_kind(from: &Member, to: &Member) -> Vec<Message> {
    let mut all = Vec::new();
    for (n, kind) in MessageKind::ALL.into_iter().enumerate() {
        if kind == MessageKind::Snapshot {
            continue;
        }
        let n = n as u64;
        let mut message = plain(kind, from, to, n + 1);
        if kind != MessageKind::Append {
            message.log_term = n;
            message.index = n * 1000;
            message.commit = n * 999;
            message.reject = n.is_multiple_of(2);
            message.reject_hint = u64::MAX - n;
            message.context = vec![7; n as usize].into();
        }
        if matches!(kind, MessageKind::Propose | MessageKind::ReadIndex | MessageKind::ReadIndexResp) {
            message.entries = vec![Entry { data: vec![9; 20].into(), ..Entry::default() }];
        }
        all.push(message);
    }
    all
}

/// Appends that continue each other, jump, and hold large entries.
fn appends(from: &Member, to: &Member) -> Vec<Message> {
    vec![
        append(from, to, 10, &[1, 0, 3]),
        append(from, to, 13, &[100]),
        append(from, to, 14, &[]),
        append(from, to, 14, &[8 << 20, 5]),
        append(from, to, 3, &[1 << 20]),
        append(from, to, 4, &[70_000, 60_000]),
    ]
}

fn by_kind(mut messages: Vec<Message>) -> Vec<Message> {
    // Appends have a connection of their own: only within a connection is there an order.
    messages.sort_by_key(|message| message.kind);
    messages
}

fn exchange(a: &mut Member, b: &mut Member) {
    for _ in 0..2 {
        let mut sent = every_kind(a, b);
        sent.retain(|message| message.kind != MessageKind::Append);
        sent.extend(appends(a, b));
        a.transport.send(sent.clone());
        assert_eq!(by_kind(b.messages(sent.len())), by_kind(sent));
        std::mem::swap(a, b);
    }
}

#[test]
fn every_kind_arrives_over_streams_both_ways() {
    let (mut a, mut b) = (Member::start(0xa), Member::start(0xb));
    a.knows(&[&b]);
    b.knows(&[&a]);
    a.wait_streams(&b);
    b.wait_streams(&a);
    exchange(&mut a, &mut b);
    assert!(a.transport.active_since(b.id).is_some());
    assert!(a.transport.active_since(MemberId(99)).is_none());
}

#[test]
fn without_streams_messages_are_posted_and_the_sender_is_answered() {
    let (mut a, b) = (Member::start(0xa), Member::start(0xb));
    // Nobody told `b` of `a`: it refuses the dial and learns where to answer.
    a.knows(&[&b]);
    for message in [plain(MessageKind::Vote, &a, &b, 7), append(&a, &b, 5, &[3 << 20])] {
        a.transport.send(vec![message.clone()]);
        assert_eq!(b.messages(1), [message]);
    }
    let answer = plain(MessageKind::VoteResp, &b, &a, 7);
    let mut b = b;
    b.transport.send(vec![answer.clone()]);
    assert_eq!(a.messages(1), [answer]);
    assert!(b.transport.active_since(a.id).is_none(), "it is no member");
}

#[test]
fn who_is_gone_is_hung_up_on() {
    let (mut a, mut b) = (Member::start(0xa), Member::start(0xb));
    a.knows(&[&b]);
    b.knows(&[&a]);
    a.wait_streams(&b);
    a.knows(&[]);
    a.transport.send(vec![plain(MessageKind::Heartbeat, &a, &b, 1)]);
    // It comes back, and everything works again.
    a.knows(&[&b]);
    a.wait_streams(&b);
    let beat = plain(MessageKind::Heartbeat, &a, &b, 2);
    a.transport.send(vec![beat.clone()]);
    assert_eq!(b.messages(1), [beat]);
}

#[test]
fn other_addresses_are_tried_and_failures_are_reported() {
    let (mut a, mut b) = (Member::start(0xa), Member::start(0xb));
    let (socket, dead) = super::listener::bind();
    drop(socket);
    let dead = format!("http://{dead}");
    a.transport.set_peers(vec![PeerAddress { id: b.id, urls: vec![dead.clone()] }]);
    a.transport.send(vec![plain(MessageKind::Vote, &a, &b, 1)]);
    assert_eq!(a.input(), PeerInput::Unreachable(b.id));
    assert!(a.transport.active_since(b.id).is_none());
    a.transport.set_peers(vec![PeerAddress { id: b.id, urls: vec![dead, b.url.clone()] }]);
    b.knows(&[&a]);
    b.wait_streams(&a);
    until("active", || a.transport.active_since(b.id).is_some());
}

/// A certificate that is its own authority, for both ends.
fn secure() -> Secure {
    let issued = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = || PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let chain = vec![issued.cert.der().clone()];
    let mut roots = RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let roots = Arc::new(roots);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
        .build()
        .unwrap();
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), key())
        .unwrap();
    // What Go's listener offers: it has no name for HTTP/1.1.
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key())
        .unwrap();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let client = Arc::new(client);
    Secure { client: Arc::new(move || Ok(Arc::clone(&client))), server: Arc::new(server) }
}

#[test]
fn everything_goes_over_tls_too() {
    let secure = secure();
    let mut a = Member::start_with(0xa, ClusterId(5), Some(secure.clone()));
    let mut b = Member::start_with(0xb, ClusterId(5), Some(secure));
    a.knows(&[&b]);
    b.knows(&[&a]);
    a.wait_streams(&b);
    b.wait_streams(&a);
    exchange(&mut a, &mut b);
}
