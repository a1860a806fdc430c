//! One member: a transport, its listener, and what the core would get.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use consensus::{Message, MessageKind};
use node::{PeerAddress, PeerInput, Peers};
use tempfile::TempDir;
use types::{ClusterId, MemberId, raft::Entry};
use vfs::RealDisk;

use super::listener::{Listener, bind};
use crate::{Config, Stream, TlsSource, Transport};

/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Member {
    pub(super) transport: Transport,
    pub(super) inputs: Receiver<PeerInput>,
    pub(super) address: SocketAddr,
    pub(super) id: MemberId,
    pub(super) url: String,
    /// Whether turns go to `inputs`; else they come at once.
    pub(super) turns: Arc<AtomicBool>,
    removed: Arc<AtomicBool>,
    dir: TempDir,
    _listener: Listener,
}

/// Both sides of TLS between members.
#[derive(Clone)]
pub(super) struct Secure {
    pub(super) client: TlsSource,
    pub(super) server: Arc<rustls::ServerConfig>,
}

impl Member {
    pub(super) fn start(id: u64) -> Member {
        Member::start_with(id, ClusterId(0xc1), None)
    }

    pub(super) fn start_with(id: u64, cluster: ClusterId, secure: Option<Secure>) -> Member {
        static CRYPTO: Once = Once::new();
        CRYPTO.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
        let (socket, address) = bind();
        let scheme = if secure.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{address}");
        let (sender, inputs) = channel();
        let removed = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&removed);
        let turns = Arc::new(AtomicBool::new(false));
        let shown = Arc::clone(&turns);
        let deliver = move |input| {
            let passes = shown.load(Ordering::SeqCst) || !matches!(input, PeerInput::Turn(_));
            !passes || sender.send(input).is_ok()
        };
        let dir = tempfile::tempdir().unwrap();
        let id = MemberId(id);
        let transport = Transport::start(Config {
            release: node::Release::default(),
            id,
            cluster,
            urls: vec![url.clone()],
            dial_timeout: Duration::from_secs(2),
            tls: secure.as_ref().map(|secure| Arc::clone(&secure.client)),
            disk: Arc::new(RealDisk),
            snap_dir: dir.path().into(),
            check: Arc::new(|_, _| Ok(())),
            donor: None,
            deliver: Arc::new(deliver),
            on_removed: Arc::new(move || told.store(true, Ordering::SeqCst)),
        })
        .unwrap();
        let listener = Listener::serve(socket, transport.server(), secure.map(|secure| secure.server), "3.7");
        Member { transport, inputs, address, id, url, turns, removed, dir, _listener: listener }
    }

    pub(super) fn as_peer(&self) -> PeerAddress {
        PeerAddress { id: self.id, urls: vec![self.url.clone()] }
    }

    pub(super) fn knows(&mut self, others: &[&Member]) {
        self.transport.set_peers(others.iter().map(|other| other.as_peer()).collect());
    }

    pub(super) fn snap_files(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub(super) fn snap_path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn wait_removed(&self) {
        until("told to stop", || self.removed.load(Ordering::SeqCst));
    }

    /// Waits until the streams to `other` are there.
    pub(super) fn wait_streams(&self, other: &Member) {
        let streams = [Stream::MsgApp, Stream::Message];
        until("streams are there", || {
            let peer = self.transport.shared().peer(other.id.0);
            peer.is_some_and(|peer| streams.into_iter().all(|stream| peer.queue(stream).is_open()))
        });
    }

    /// The next thing for the core.
    pub(super) fn input(&self) -> PeerInput {
        self.inputs.recv_timeout(PATIENCE).expect("something comes")
    }

    /// The next `count` messages.
    pub(super) fn messages(&self, count: usize) -> Vec<Message> {
        let mut all = Vec::new();
        while all.len() < count {
            match self.input() {
                PeerInput::Messages(messages) => all.extend(messages),
                other => panic!("{other:?} instead of messages"),
            }
        }
        assert_eq!(all.len(), count);
        all
    }
}

/// Waits until `what` holds.
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends `head` and `body`, and reads status, headers in lower case, and body.
pub(super) fn ask(address: SocketAddr, head: &str, body: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("{head}host: h\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

pub(super) fn append(from: &Member, to: &Member, index: u64, sizes: &[usize]) -> Message {
    let entry = |(n, len): (usize, &usize)| Entry {
        term: 3,
        index: index + 1 + n as u64,
        data: vec![n as u8; *len].into(),
        ..Entry::default()
    };
    Message {
        kind: MessageKind::Append,
        from: from.id.0,
        to: to.id.0,
        term: 3,
        log_term: 3,
        index,
        entries: sizes.iter().enumerate().map(entry).collect(),
        commit: index,
        ..Message::default()
    }
}

pub(super) fn plain(kind: MessageKind, from: &Member, to: &Member, term: u64) -> Message {
    Message { kind, from: from.id.0, to: to.id.0, term, ..Message::default() }
}
