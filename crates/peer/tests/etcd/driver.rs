//! Raft without a state machine: what is committed is listed, what is to be sent goes to the transport.

use std::{
    collections::BTreeSet,
    fs::File,
    net::TcpListener,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cluster::{InitialCluster, bootstrap_entries, cluster_id};
use consensus::{AppendWork, ConfChangeV2, Config, MemLog, Message, MessageKind, RawNode, RoleKind};
use node::{PeerAddress, PeerInput, Peers};
use peer::{Image, Transport};
use prost::Message as _;
use proto::etcdserverpb::{InternalRaftRequest, PutRequest, RequestHeader};
use types::{
    MemberId,
    raft::{Entry, EntryKind, HardState, Snapshot},
};
use vfs::RealDisk;

use crate::{
    listener::Listener,
    process::{Plan, TOKEN},
};

const TICK: Duration = Duration::from_millis(100);

enum Event {
    Peer(PeerInput),
    Propose(Bytes),
    TakeLead,
    Stop,
}

/// What the test looks at.
#[derive(Default)]
struct Seen {
    keys: BTreeSet<String>,
    snapshots: Vec<u64>,
    delivered: usize,
    leads: bool,
    connected: BTreeSet<String>,
}

pub(crate) struct Driver {
    events: Sender<Event>,
    seen: Arc<Mutex<Seen>>,
    told_to_stop: Arc<AtomicBool>,
    snap_dir: PathBuf,
    thread: Option<JoinHandle<()>>,
    _listener: Listener,
}

struct SnapFile(File);

impl Image for SnapFile {
    fn len(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, String> {
        self.0.read_exact_at(buf, offset).map(|()| buf.len()).map_err(|error| error.to_string())
    }
}

fn snap_path(dir: &std::path::Path, index: u64) -> PathBuf {
    dir.join(format!("{index:016x}.snap.db"))
}

impl Driver {
    /// Starts member `b` with the log that every initial member starts with.
    pub(crate) fn start(plan: &Plan, socket: TcpListener) -> Driver {
        let members = InitialCluster::parse(&plan.initial_cluster()).unwrap().members(TOKEN).unwrap();
        let ours = members.iter().find(|member| member.name == "b").unwrap();
        let ids: Vec<MemberId> = members.iter().map(|member| member.id).collect();
        let entries = bootstrap_entries(&members);
        let hard_state = HardState { term: 1, vote: 0, commit: entries.len() as u64 };
        let log = MemLog::restore(hard_state, Snapshot::default(), entries).unwrap();
        let node = RawNode::new(Config { seed: 7, ..Config::new(ours.id.0) }, log).unwrap();

        let (events, received) = channel();
        let inputs = events.clone();
        let told_to_stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&told_to_stop);
        let snap_dir = plan.dir("snap");
        std::fs::create_dir(&snap_dir).unwrap();
        let mut transport = Transport::start(peer::Config {
            release: node::Release::default(),
            id: ours.id,
            cluster: cluster_id(ids),
            urls: ours.peer_urls.clone(),
            dial_timeout: Duration::from_secs(2),
            tls: None,
            disk: Arc::new(RealDisk),
            snap_dir: snap_dir.clone(),
            check: Arc::new(|_, _| Ok(())),
            donor: None,
            deliver: Arc::new(move |input| inputs.send(Event::Peer(input)).is_ok()),
            on_removed: Arc::new(move || told.store(true, Ordering::SeqCst)),
        })
        .unwrap();
        let listener = Listener::serve(socket, transport.server(), None, plan.version);
        let others = members.iter().filter(|member| member.id != ours.id);
        transport.set_peers(others.map(|m| PeerAddress { id: m.id, urls: m.peer_urls.clone() }).collect());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let names = members.iter().map(|member| (member.id, member.name.clone())).collect();
        let raft = Raft { node, transport, seen: Arc::clone(&seen), snap_dir: snap_dir.clone(), names };
        let thread = Some(std::thread::spawn(move || raft.run(&received)));
        Driver { events, seen, told_to_stop, snap_dir, thread, _listener: listener }
    }

    fn look<T>(&self, at: impl FnOnce(&Seen) -> T) -> T {
        at(&self.seen.lock().unwrap())
    }

    pub(crate) fn keys(&self) -> BTreeSet<String> {
        self.look(|seen| seen.keys.clone())
    }

    pub(crate) fn snapshots(&self) -> Vec<u64> {
        self.look(|seen| seen.snapshots.clone())
    }

    pub(crate) fn snap_path(&self, index: u64) -> PathBuf {
        snap_path(&self.snap_dir, index)
    }

    pub(crate) fn delivered(&self) -> usize {
        self.look(|seen| seen.delivered)
    }

    pub(crate) fn leads(&self) -> bool {
        self.look(|seen| seen.leads)
    }

    pub(crate) fn is_connected_to(&self, name: &str) -> bool {
        self.look(|seen| seen.connected.contains(name))
    }

    pub(crate) fn was_told_to_stop(&self) -> bool {
        self.told_to_stop.load(Ordering::SeqCst)
    }

    pub(crate) fn take_lead(&self) {
        self.events.send(Event::TakeLead).unwrap();
    }

    pub(crate) fn propose_put(&self, key: &'static str, value: &'static str) {
        let put = PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
        // Nobody waits for a request of this number.
        let header = RequestHeader { id: 1 << 50, ..RequestHeader::default() };
        let request =
            InternalRaftRequest { header: Some(header), put: Some(put), ..InternalRaftRequest::default() };
        self.events.send(Event::Propose(request.encode_to_vec().into())).unwrap();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.events.send(Event::Stop);
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

struct Raft {
    node: RawNode<MemLog>,
    transport: Transport,
    seen: Arc<Mutex<Seen>>,
    snap_dir: PathBuf,
    names: Vec<(MemberId, String)>,
}

impl Raft {
    fn run(mut self, events: &Receiver<Event>) {
        let mut next_tick = Instant::now() + TICK;
        loop {
            match events.recv_timeout(next_tick.saturating_duration_since(Instant::now())) {
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Event::Peer(input)) => self.input(input),
                Ok(Event::Propose(data)) => self.node.propose(data).unwrap(),
                Ok(Event::TakeLead) => self.node.transfer_leader(self.node.id()),
                Err(RecvTimeoutError::Timeout) => {
                    self.node.tick();
                    next_tick = Instant::now() + TICK;
                }
            }
            while self.node.has_ready() {
                self.ready();
            }
            let connected = self.names.iter().filter(|(id, _)| self.transport.active_since(*id).is_some());
            let mut seen = self.seen.lock().unwrap();
            seen.connected = connected.map(|(_, name)| name.clone()).collect();
            seen.leads = self.node.basic_status().soft_state.role == RoleKind::Leader;
        }
    }

    fn input(&mut self, input: PeerInput) {
        match input {
            PeerInput::Messages(messages) => {
                for message in messages {
                    match self.node.step(message) {
                        Ok(()) | Err(consensus::Error::ProposalDropped | consensus::Error::UnknownPeer) => {}
                        Err(error) => panic!("raft does not take what etcd sent: {error}"),
                    }
                }
            }
            PeerInput::Unreachable(id) => self.node.report_unreachable(id.0),
            PeerInput::SnapshotSent { to, delivered } => {
                self.node.report_snapshot(to.0, delivered);
                self.seen.lock().unwrap().delivered += usize::from(delivered);
            }
            PeerInput::Turn(turn) => drop(turn),
        }
    }

    fn send(&mut self, messages: Vec<Message>) {
        let (snapshots, others) =
            messages.into_iter().partition::<Vec<_>, _>(|message| message.kind == MessageKind::Snapshot);
        self.transport.send(others);
        for message in snapshots {
            let index = message.snapshot.as_ref().unwrap().meta.index;
            let file = File::open(snap_path(&self.snap_dir, index)).unwrap();
            self.transport.send_file(message, SnapFile(file));
        }
    }

    fn ready(&mut self) {
        let ready = self.node.ready();
        self.send(ready.messages);
        if let Some(AppendWork { hard_state, entries, snapshot, responses, ack }) = ready.append {
            if let Some(snapshot) = snapshot {
                self.seen.lock().unwrap().snapshots.push(snapshot.meta.index);
                self.node.store_mut().apply_snapshot(snapshot).unwrap();
            }
            if let Some(state) = hard_state {
                self.node.store_mut().set_hard_state(state);
            }
            self.node.store_mut().append(entries).unwrap();
            let answers = self.node.persisted(responses, ack);
            self.send(answers);
        }
        if let Some(work) = ready.apply {
            for entry in &work.entries {
                self.apply(entry);
            }
            self.node.applied(&work.ack.unwrap());
        }
    }

    fn apply(&mut self, entry: &Entry) {
        if let Some(change) = ConfChangeV2::from_entry(entry).unwrap() {
            self.node.apply_conf_change(change).unwrap();
            return;
        }
        assert_eq!(entry.kind, EntryKind::Normal);
        if let Ok(InternalRaftRequest { put: Some(put), .. }) =
            InternalRaftRequest::decode(entry.data.clone())
        {
            let key = String::from_utf8(put.key.to_vec()).unwrap();
            self.seen.lock().unwrap().keys.insert(key);
        }
    }
}
