//! Several members in one process, and a network of function calls between them.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use consensus::{Message, MessageKind};
use node::{
    Caller, Config, Error, Member, NodeHandle, PeerAddress, PeerInput, Peers, Port, RunningCluster,
    SnapshotImage,
};
use proto::etcdserverpb::{self as pb, StatusRequest};
use types::{ClusterId, MemberId};
use vfs::{Disk, OpenMode, SimDisk};

use crate::support::{config, run};

/// Longer than any wait of a test that goes well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough ago for every check of how long members are in touch.
const LONG_AGO: Duration = Duration::from_secs(60);

/// Where messages go.
#[derive(Clone, Default)]
pub(crate) struct Network(Arc<Mutex<Wires>>);

#[derive(Default)]
struct Wires {
    members: BTreeMap<MemberId, NodeHandle>,
    /// Where databases are received.
    disks: BTreeMap<MemberId, Arc<dyn Disk>>,
    /// Snapshots that arrived.
    snapshots: usize,
    /// Messages that never arrive.
    dropped: Vec<MessageKind>,
    /// Members that nobody hears, and that hear nobody.
    cut: BTreeSet<MemberId>,
    /// Whom each member was last told to talk to.
    peers: BTreeMap<MemberId, Vec<PeerAddress>>,
}

impl Network {
    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cut(&self, id: MemberId) {
        self.wires().cut.insert(id);
    }

    pub(crate) fn mend(&self, id: MemberId) {
        self.wires().cut.remove(&id);
    }

    /// From now on no message of that kind arrives.
    pub(crate) fn drop_all(&self, kind: MessageKind) {
        self.wires().dropped.push(kind);
    }

    /// How many snapshots have arrived.
    pub(crate) fn snapshots(&self) -> usize {
        self.wires().snapshots
    }

    /// Whom that member talks to.
    pub(crate) fn peers_of(&self, id: MemberId) -> Vec<PeerAddress> {
        self.wires().peers.get(&id).cloned().unwrap_or_default()
    }
}

impl Wires {
    /// The way from one member to another, if it knows it. Who knows nobody yet answers whoever comes to it.
    fn way(&self, from: MemberId, to: MemberId) -> Option<&NodeHandle> {
        let peers = |id| self.peers.get(&id).map_or(&[][..], Vec::as_slice);
        let knows = |id, other| peers(id).iter().any(|peer| peer.id == other);
        let open = (knows(from, to) || peers(from).is_empty() && knows(to, from))
            && !self.cut.contains(&from)
            && !self.cut.contains(&to);
        self.members.get(&to).filter(|_| open)
    }
}

/// One member's door to the network.
struct Door {
    own: MemberId,
    network: Network,
}

impl Peers for Door {
    fn send(&mut self, messages: Vec<Message>) {
        let wires = self.network.wires();
        for message in messages {
            let to = MemberId(message.to);
            if wires.dropped.contains(&message.kind) {
                continue;
            }
            let delivered = message.kind != MessageKind::Snapshot
                && wires
                    .way(self.own, to)
                    .is_some_and(|member| member.peer_input(PeerInput::Messages(vec![message])));
            if !delivered && let Some(own) = wires.members.get(&self.own) {
                own.peer_input(PeerInput::Unreachable(to));
            }
        }
    }

    fn send_snapshot(&mut self, message: Message, file: SnapshotImage) {
        let to = MemberId(message.to);
        let mut wires = self.network.wires();
        let disk = wires.way(self.own, to).and(wires.disks.get(&to)).map(Arc::clone);
        let index = message.snapshot.as_ref().map_or(0, |snapshot| snapshot.meta.index);
        let received = disk.is_some_and(|disk| receive(&disk, index, &file).is_ok());
        let delivered = received
            && wires
                .way(self.own, to)
                .is_some_and(|member| member.peer_input(PeerInput::Messages(vec![message])));
        wires.snapshots += usize::from(delivered);
        if let Some(own) = wires.members.get(&self.own) {
            own.peer_input(PeerInput::SnapshotSent { to, delivered });
        }
    }

    fn set_peers(&mut self, others: Vec<PeerAddress>) {
        self.network.wires().peers.insert(self.own, others);
    }

    fn active_since(&self, id: MemberId) -> Option<Instant> {
        self.network.wires().way(self.own, id)?;
        Instant::now().checked_sub(LONG_AGO)
    }

    fn server_version(&self, id: MemberId) -> Option<String> {
        self.network.wires().way(self.own, id).map(|member| member.summary().release.text().to_string())
    }
}

/// What the receiving end of a transport does: the file is whole, checked and durable before raft hears of it.
fn receive(disk: &Arc<dyn Disk>, index: u64, image: &SnapshotImage) -> std::io::Result<()> {
    let dir = Path::new("/data/member/snap");
    let mut content = vec![0; image.len() as usize];
    image.read_at(0, &mut content).map_err(std::io::Error::other)?;
    let (part, whole) = (dir.join("tmp1"), dir.join(format!("{index:016x}.snap.db")));
    let file = disk.open(&part, OpenMode::Create)?;
    file.write_all_at(&content, 0)?;
    file.sync_data()?;
    node::check_received(Arc::clone(disk), &part, index).map_err(std::io::Error::other)?;
    disk.rename(&part, &whole)?;
    disk.sync_dir(dir)
}

/// A member of a crew.
pub(crate) struct Mate {
    pub(crate) id: MemberId,
    pub(crate) config: Config,
    pub(crate) disk: SimDisk,
    pub(crate) member: Option<Member>,
    pub(crate) port: Port,
}

impl Mate {
    pub(crate) fn start(network: &Network, config: Config, disk: SimDisk) -> Mate {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        Mate::start_through(network, config, disk, shared)
    }

    /// Starts a member that sees `disk` through `shared`.
    pub(crate) fn start_through(
        network: &Network,
        config: Config,
        disk: SimDisk,
        shared: Arc<dyn Disk>,
    ) -> Mate {
        let member = start(network, &config, shared);
        let id = member.handle().summary().member_id;
        let port = member.handle().port();
        Mate { id, config, disk, member: Some(member), port }
    }

    pub(crate) fn member(&self) -> &Member {
        self.member.as_ref().expect("it runs")
    }

    pub(crate) fn published(&self) {
        assert!(self.member().wait_published(PATIENCE), "{} did not publish itself", self.config.name);
    }

    /// The power goes: nothing that is not synced stays, and nobody hears of it.
    pub(crate) fn kill(&mut self, network: &Network) {
        network.cut(self.id);
        let image = self.disk.crash(vfs::CrashPlan::LoseUnsynced);
        self.stop(network);
        self.disk = image;
    }

    /// A graceful stop.
    pub(crate) fn stop(&mut self, network: &Network) {
        let stopped = self.member.take().expect("it runs").stop();
        network.wires().members.remove(&self.id);
        stopped.unwrap_or_else(|e| panic!("{e}"));
    }

    /// Stops a member whose disk may have failed.
    pub(crate) fn abandon(&mut self, network: &Network) {
        let _ = self.member.take().expect("it runs").stop();
        network.wires().members.remove(&self.id);
    }

    /// Starts it again.
    pub(crate) fn try_start(&mut self, network: &Network) -> Result<(), node::BootError> {
        network.mend(self.id);
        let member = try_start(network, &self.config, Arc::new(self.disk.clone()))?;
        self.port = member.handle().port();
        self.member = Some(member);
        Ok(())
    }

    /// Starts it again; `false` when that fails.
    pub(crate) fn try_restart(&mut self, network: &Network) -> bool {
        self.try_start(network).is_ok()
    }

    pub(crate) fn restart(&mut self, network: &Network) {
        network.mend(self.id);
        let member = start(network, &self.config, Arc::new(self.disk.clone()));
        self.port = member.handle().port();
        self.member = Some(member);
    }

    pub(crate) fn status(&self) -> pb::StatusResponse {
        run(&self.port, self.port.status(Caller::default(), StatusRequest {}))
            .unwrap_or_else(|e| panic!("{e}"))
    }

    pub(crate) fn members(&self, linearizable: bool) -> Vec<pb::Member> {
        let request = pb::MemberListRequest { linearizable };
        let reply = run(&self.port, self.port.member_list(Caller::default(), request));
        reply.unwrap_or_else(|e| panic!("{e}")).members
    }

    pub(crate) fn add(&self, url: &str, is_learner: bool) -> Result<pb::MemberAddResponse, Error> {
        let request = pb::MemberAddRequest { peer_ur_ls: vec![url.into()], is_learner };
        run(&self.port, self.port.member_add(Caller::default(), request))
    }

    pub(crate) fn remove(&self, id: MemberId) -> Result<pb::MemberRemoveResponse, Error> {
        run(&self.port, self.port.member_remove(Caller::default(), pb::MemberRemoveRequest { id: id.0 }))
    }

    pub(crate) fn promote(&self, id: MemberId) -> Result<pb::MemberPromoteResponse, Error> {
        run(&self.port, self.port.member_promote(Caller::default(), pb::MemberPromoteRequest { id: id.0 }))
    }

    pub(crate) fn move_leader(&self, id: MemberId) -> Result<pb::MoveLeaderResponse, Error> {
        run(&self.port, self.port.move_leader(Caller::default(), pb::MoveLeaderRequest { target_id: id.0 }))
    }
}

fn start(network: &Network, config: &Config, disk: Arc<dyn Disk>) -> Member {
    try_start(network, config, disk).unwrap_or_else(|e| panic!("{e}"))
}

fn try_start(network: &Network, config: &Config, disk: Arc<dyn Disk>) -> Result<Member, node::BootError> {
    let (network, own_disk) = (network.clone(), Arc::clone(&disk));
    let connect = move |handle: NodeHandle| -> std::io::Result<Box<dyn Peers>> {
        let own = handle.summary().member_id;
        network.wires().members.insert(own, handle);
        network.wires().disks.insert(own, Arc::clone(&own_disk));
        Ok(Box::new(Door { own, network }))
    };
    node::start_among(config.clone(), disk, connect)
}

/// The peer URL of a member.
pub(crate) fn url(name: &str) -> String {
    format!("http://{name}:2380")
}

/// Settings of member `name` among `names`.
pub(crate) fn mate_config(name: &str, names: &[&str]) -> Config {
    let cluster: Vec<String> = names.iter().map(|name| format!("{name}={}", url(name))).collect();
    Config {
        name: name.into(),
        initial_cluster: cluster.join(","),
        advertise_peer_urls: vec![url(name)],
        advertise_client_urls: vec![format!("http://{name}:2379")],
        tick: Duration::from_millis(20),
        seed: name.bytes().map(u64::from).sum(),
        ..config(Path::new("/data"))
    }
}

/// Starts a new cluster, and waits until all of its members can serve.
pub(crate) fn crew(network: &Network, names: &[&str]) -> Vec<Mate> {
    crew_with(network, names, |name| mate_config(name, names))
}

/// As [`crew`], with settings of its own.
pub(crate) fn crew_with(network: &Network, names: &[&str], config: impl Fn(&str) -> Config) -> Vec<Mate> {
    let start = |name: &&str| Mate::start(network, config(name), SimDisk::new());
    let mates: Vec<Mate> = names.iter().map(start).collect();
    mates.iter().for_each(Mate::published);
    mates
}

/// Starts a member that was added to the cluster of `mates`.
pub(crate) fn join(network: &Network, name: &str, mates: &[&Mate]) -> Mate {
    let known = mates[0].members(true);
    let address =
        |member: &pb::Member| PeerAddress { id: MemberId(member.id), urls: member.peer_ur_ls.clone() };
    let pair = |member: &pb::Member| {
        let name = if member.name.is_empty() { name } else { &member.name };
        format!("{name}={}", member.peer_ur_ls[0])
    };
    let initial: Vec<String> = known.iter().map(pair).collect();
    let id = ClusterId(mates[0].status().header.expect("replies have headers").cluster_id);
    let config = Config {
        initial_cluster: initial.join(","),
        join_existing: true,
        running_cluster: Some(RunningCluster {
            id,
            members: known.iter().map(address).collect(),
            started: Vec::new(),
        }),
        ..mate_config(name, &[name])
    };
    Mate::start(network, config, SimDisk::new())
}

/// Asks again and again, until `found` gives something.
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// The place of the member that all of `mates` that run take for their leader.
pub(crate) fn leader(mates: &[Mate]) -> usize {
    wait_for("a leader that all agree on", || {
        let running = || mates.iter().filter(|mate| mate.member.is_some());
        let leader = running().next()?.status().leader;
        let agreed = running().all(|mate| mate.status().leader == leader);
        mates.iter().position(|mate| agreed && mate.member.is_some() && mate.id.0 == leader)
    })
}

/// All members have the same history up to `revision`.
pub(crate) fn assert_equal_hashes(mates: &[Mate], revision: i64) {
    let hash = |mate: &Mate| {
        wait_for("the revision on every member", || {
            let request = pb::HashKvRequest { revision };
            run(&mate.port, mate.port.hash_kv(Caller::default(), request)).ok().map(|reply| reply.hash)
        })
    };
    let hashes: Vec<u32> = mates.iter().map(hash).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}
