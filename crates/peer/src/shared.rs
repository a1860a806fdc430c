//! Who the others are, seen by the core, by the tasks and by those who answer requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::AtomicU64},
};

use consensus::Message;
use node::{PeerAddress, PeerInput, Turn};
use telemetry::{line, metrics};
use tokio::{runtime::Handle, sync::Semaphore};
use types::MemberId;

use crate::{
    Stream,
    compat::{self, PEER_URLS, SERVER_FROM},
    config::Config,
    dial::Dialer,
    peer::Peer,
    pipeline, prober, reader,
    urls::Picker,
    versions,
    wire::Decoded,
};

/// Senders outside the configuration whose addresses are kept, to answer them.
const REMOTES_MAX: usize = 64;
/// Bytes of posted messages held at once, over all connections.
const POSTED_BYTES_MAX: usize = 1 << 30;
/// Snapshot files received at once.
const SNAPSHOTS_MAX: usize = 4;
/// Members helped at once: it costs much reading.
const DONATIONS_MAX: usize = 1;

/// What a transport and its servers share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) dialer: Dialer,
    pub(crate) runtime: Handle,
    /// Bytes of posted messages.
    pub(crate) posted: Arc<Semaphore>,
    /// Snapshot files being received.
    pub(crate) snapshots: Arc<Semaphore>,
    /// Members being helped.
    pub(crate) donations: Arc<Semaphore>,
    /// Numbers the temporary names of snapshot files.
    pub(crate) received: AtomicU64,
    others: RwLock<Others>,
}

#[derive(Default)]
struct Others {
    peers: BTreeMap<u64, Arc<Peer>>,
    /// Senders that this member does not know as members, yet: it lags behind. They are answered.
    remotes: BTreeMap<u64, Arc<Peer>>,
    removed: BTreeSet<u64>,
    stopped: bool,
}

/// Why a message is not for this member's raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwanted {
    Removed,
    Mismatch,
}

impl Unwanted {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Unwanted::Removed => "cannot process message from removed member",
            Unwanted::Mismatch => "cannot process message to mismatch member",
        }
    }
}

impl Shared {
    pub(crate) fn new(config: Config, runtime: Handle) -> Shared {
        Shared {
            dialer: Dialer { tls: config.tls.clone(), timeout: config.dial_timeout },
            config,
            runtime,
            posted: Arc::new(Semaphore::new(POSTED_BYTES_MAX)),
            snapshots: Arc::new(Semaphore::new(SNAPSHOTS_MAX)),
            donations: Arc::new(Semaphore::new(DONATIONS_MAX)),
            received: AtomicU64::new(0),
            others: RwLock::default(),
        }
    }

    /// A panic within leaves whole maps: every change is a single insertion or removal.
    fn read(&self) -> RwLockReadGuard<'_, Others> {
        self.others.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Others> {
        self.others.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A member of the configuration.
    pub(crate) fn peer(&self, id: u64) -> Option<Arc<Peer>> {
        self.read().peers.get(&id).cloned()
    }

    /// Whoever messages to `id` go to.
    pub(crate) fn receiver(&self, id: u64) -> Option<Arc<Peer>> {
        let others = self.read();
        others.peers.get(&id).or_else(|| others.remotes.get(&id)).cloned()
    }

    pub(crate) fn is_removed(&self, id: u64) -> bool {
        self.read().removed.contains(&id)
    }

    pub(crate) fn set_removed(&self, ids: Vec<MemberId>) {
        let mut others = self.write();
        others.removed = ids.into_iter().map(|id| id.0).collect();
        let Others { removed, remotes, .. } = &mut *others;
        remotes.retain(|id, remote| {
            let stays = !removed.contains(id);
            if !stays {
                remote.stop();
            }
            stays
        });
    }

    /// Takes over the configuration.
    pub(crate) fn set_peers(self: &Arc<Self>, named: Vec<PeerAddress>) {
        let mut others = self.write();
        if others.stopped {
            return;
        }
        let ids: BTreeSet<u64> = named.iter().map(|other| other.id.0).collect();
        let gone: Vec<u64> = others.peers.keys().filter(|id| !ids.contains(id)).copied().collect();
        for id in gone {
            if let Some(peer) = others.peers.remove(&id) {
                peer.stop();
                line!(Info, "removed remote peer", "local-member-id" => self.config.id.to_string(),
                    "removed-remote-peer-id" => peer.id.to_string());
            }
        }
        for PeerAddress { id, urls } in named {
            if id == self.config.id {
                continue;
            }
            match others.peers.get(&id.0) {
                Some(peer) => self.update(peer, &urls),
                None => {
                    if let Some(peer) = self.start_peer(id, &urls) {
                        others.peers.insert(id.0, peer);
                    }
                }
            }
            if let Some(remote) = others.remotes.remove(&id.0) {
                remote.stop();
            }
        }
    }

    fn update(self: &Arc<Self>, peer: &Arc<Peer>, urls: &[String]) {
        if peer.picker.update(urls) {
            peer.own_probes(self.start_probes(peer));
            line!(Info, "updated remote peer", "local-member-id" => self.config.id.to_string(),
                "updated-remote-peer-id" => peer.id.to_string(), "updated-remote-peer-urls" => urls.join(","));
        }
    }

    fn make(&self, id: MemberId, urls: &[String]) -> Option<Arc<Peer>> {
        let Some(picker) = Picker::new(urls) else {
            line!(Warn, "a member has no usable peer URL", "remote-peer-id" => id.to_string(),
                "remote-peer-urls" => urls.join(","));
            return None;
        };
        Some(Arc::new(Peer::new(self.config.id, id, picker)))
    }

    fn start_peer(self: &Arc<Self>, id: MemberId, urls: &[String]) -> Option<Arc<Peer>> {
        let peer = self.make(id, urls)?;
        self.start_pipeline(&peer);
        peer.own([Stream::MsgApp, Stream::Message].map(|stream| {
            let reading = reader::run(Arc::clone(self), Arc::clone(&peer), stream);
            self.runtime.spawn(reading).abort_handle()
        }));
        peer.own_probes(self.start_probes(&peer));
        line!(Info, "added remote peer", "local-member-id" => self.config.id.to_string(),
            "remote-peer-id" => id.to_string(), "remote-peer-urls" => urls.join(","));
        Some(peer)
    }

    fn start_pipeline(self: &Arc<Self>, peer: &Arc<Peer>) {
        let (holder, _) = peer.pipeline.attach();
        peer.own((0..pipeline::CONNECTIONS).map(|_| {
            let posting = pipeline::run(Arc::clone(self), Arc::clone(peer), holder);
            self.runtime.spawn(posting).abort_handle()
        }));
    }

    fn start_probes(self: &Arc<Self>, peer: &Arc<Peer>) -> Vec<tokio::task::AbortHandle> {
        let urls = || peer.picker.pick_all();
        let asking = versions::run(self.dialer.clone(), urls(), Arc::clone(peer));
        let mut tasks = vec![self.runtime.spawn(asking).abort_handle()];
        tasks.extend(prober::NAMES.map(|name| {
            let probing = prober::run(self.dialer.clone(), urls(), peer.id, name);
            self.runtime.spawn(probing).abort_handle()
        }));
        tasks
    }

    /// Remembers where to answer somebody who is no member as far as this one knows.
    pub(crate) fn add_remote(self: &Arc<Self>, id: u64, urls: &[String]) {
        let known = |others: &Others| {
            others.stopped
                || id == 0
                || id == self.config.id.0
                || others.peers.contains_key(&id)
                || others.remotes.contains_key(&id)
                || others.removed.contains(&id)
                || others.remotes.len() >= REMOTES_MAX
        };
        if known(&self.read()) {
            return;
        }
        let mut others = self.write();
        if known(&others) {
            return;
        }
        if let Some(remote) = self.make(MemberId(id), urls) {
            self.start_pipeline(&remote);
            line!(Info, "added new remote peer", "local-member-id" => self.config.id.to_string(),
                "remote-peer-id" => remote.id.to_string(), "remote-peer-urls" => urls.join(","));
            others.remotes.insert(id, remote);
        }
    }

    /// Remembers the sender of a request.
    pub(crate) fn add_sender(self: &Arc<Self>, headers: &http::HeaderMap) {
        if let Some(id) = compat::parse_id(compat::text(headers, SERVER_FROM)) {
            self.add_remote_of(id, headers);
        }
    }

    /// Remembers member `id`, which sent `headers`.
    pub(crate) fn add_remote_of(self: &Arc<Self>, id: u64, headers: &http::HeaderMap) {
        let urls = compat::text(headers, PEER_URLS);
        if !urls.is_empty() {
            let urls: Vec<String> = urls.split(',').map(str::to_owned).collect();
            self.add_remote(id, &urls);
        }
    }

    /// Hangs up on everybody.
    pub(crate) fn stop(&self) {
        let mut others = self.write();
        others.stopped = true;
        let Others { peers, remotes, .. } = &mut *others;
        for peer in std::mem::take(peers).into_values().chain(std::mem::take(remotes).into_values()) {
            peer.stop();
        }
    }

    /// Whether a message is for this member's raft; if not, that is logged.
    pub(crate) fn screen(&self, from: u64, to: u64) -> Result<(), Unwanted> {
        let local = || self.config.id.to_string();
        if self.is_removed(from) {
            line!(Warn, "rejected Raft message from removed member",
                "local-member-id" => local(), "removed-member-id" => MemberId(from).to_string());
            return Err(Unwanted::Removed);
        }
        if to != self.config.id.0 {
            line!(Warn, "rejected Raft message to mismatch member",
                "local-member-id" => local(), "mismatch-member-id" => MemberId(to).to_string());
            return Err(Unwanted::Mismatch);
        }
        Ok(())
    }

    /// The message for raft that a stream brought, if it is one; counts it.
    pub(crate) fn take_in(&self, decoded: Decoded, bytes: usize) -> Option<Message> {
        let count = |from: u64| {
            metrics()
                .network_peer_received_bytes_total
                .with(&[&MemberId(from).to_string()])
                .add(bytes as u64);
        };
        match decoded {
            Decoded::LinkHeartbeat => {
                count(0);
                None
            }
            Decoded::Ignored { kind, from } => {
                count(from);
                line!(Debug, "ignored a message that members do not send", "message-type" => kind);
                None
            }
            Decoded::Message(message) => {
                count(message.from);
                self.screen(message.from, message.to).ok()?;
                Some(message)
            }
        }
    }

    /// Gives the core a batch, and the turn behind it; `false` when nobody listens any more.
    pub(crate) fn hand_over(&self, messages: Vec<Message>, turn: Turn) -> bool {
        (self.config.deliver)(PeerInput::Messages(messages)) && (self.config.deliver)(PeerInput::Turn(turn))
    }

    pub(crate) fn report_unreachable(&self, id: MemberId) {
        (self.config.deliver)(PeerInput::Unreachable(id));
    }
}
