//! Several members as processes, on ports of the loopback interface that were free a moment ago.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use proto::etcdserverpb::{MemberAddRequest, StatusRequest};
use tempfile::TempDir;

use crate::{
    client::Client,
    server::{Exit, Server, poll},
};

/// Tries to start a cluster whose ports somebody else took.
const TRIES: usize = 10;
/// Elections that are quick, and do not come because the machine is busy.
const TIMING: [&str; 2] = ["--heartbeat-interval=50", "--election-timeout=500"];

/// The members of one cluster. All are killed when it is dropped.
pub struct Cluster {
    /// By position; one that was killed stays in its place.
    pub members: Vec<Server>,
    /// What each was started with.
    flags: Vec<Vec<String>>,
    dir: TempDir,
    /// `NAME=URL` of all.
    entries: Vec<String>,
    extra: Vec<String>,
}

impl Cluster {
    /// Starts a new cluster and waits until all serve.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(size: usize, extra: &[&str]) -> Cluster {
        for _ in 1..TRIES {
            let mut cluster = Cluster::launch(size, extra);
            let ended = cluster.members.iter_mut().filter_map(Server::wait_ready).count();
            if ended == 0 {
                return cluster;
            }
            let taken = |member: &Server| member.log().contains("address already in use");
            assert!(cluster.members.iter().any(taken), "a member ended: {}", cluster.members[0].log());
        }
        panic!("somebody takes our ports again and again");
    }

    fn launch(size: usize, extra: &[&str]) -> Cluster {
        let dir = TempDir::new().expect("a directory");
        let extra = extra.iter().map(|flag| (*flag).to_owned()).collect();
        let mut cluster = Cluster { members: Vec::new(), flags: Vec::new(), dir, entries: Vec::new(), extra };
        // All listeners are held until all ports are known, so that they differ.
        let held: Vec<_> = (0..size).map(|_| free()).collect();
        let urls: Vec<_> = held.iter().map(url).collect();
        cluster.entries = urls.iter().enumerate().map(|(n, url)| format!("m{n}={url}")).collect();
        drop(held);
        for url in urls {
            cluster.add_process(&url, "new");
        }
        cluster
    }

    fn add_process(&mut self, peer: &str, state: &str) {
        let flags = self.flags_of(self.members.len(), peer, state);
        self.members.push(launch(self.data(self.members.len()), &flags));
        self.flags.push(flags);
    }

    /// The flags of the member at a position, less its data directory.
    pub fn flags_of(&self, n: usize, peer: &str, state: &str) -> Vec<String> {
        let mut flags = vec![
            format!("--name=m{n}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={}", self.entries.join(",")),
            format!("--initial-cluster-state={state}"),
        ];
        flags.extend(TIMING.iter().map(|flag| (*flag).to_owned()));
        flags.extend(self.extra.iter().cloned());
        flags
    }

    /// What `--initial-cluster` says.
    pub fn entries(&self) -> &[String] {
        &self.entries
    }

    fn data(&self, n: usize) -> PathBuf {
        self.dir.path().join(format!("m{n}"))
    }

    /// Adds a learner by the first member, starts it, and gives its id.
    ///
    /// # Panics
    /// When it cannot be added.
    pub fn join_learner(&mut self) -> u64 {
        let peer = url(&free());
        let request = MemberAddRequest { peer_ur_ls: vec![peer.clone()], is_learner: true };
        let client = self.members[0].client();
        // Refused until all have been in touch for a while.
        let added = poll(|| client.call(request.clone()).ok()).expect("a healthy cluster takes a learner");
        self.entries.push(format!("m{}={peer}", self.members.len()));
        self.add_process(&peer, "existing");
        added.member.expect("the reply names it").id
    }

    /// Starts the member at a position again, which has ended.
    ///
    /// # Panics
    /// When it does not serve.
    pub fn restart(&mut self, n: usize) {
        self.members[n] = launch(self.data(n), &self.flags[n]);
        assert_eq!(self.members[n].wait_ready(), None, "it ended: {}", self.members[n].log());
    }

    /// Starts the member at a position again, which has ended, and gives how it ends.
    ///
    /// # Panics
    /// When it serves.
    pub fn restart_refused(&mut self, n: usize) -> Exit {
        self.members[n] = launch(self.data(n), &self.flags[n]);
        let code = self.members[n].wait_ready().expect("it does not serve");
        Exit { code, stdout: String::new(), stderr: self.members[n].log() }
    }

    /// A connection to the member at a position, which need not be ready.
    ///
    /// # Panics
    /// When it listens nowhere.
    pub fn client_of(&mut self, n: usize) -> Client {
        let found = poll(|| self.members[n].looks_where_it_listens().then_some(()));
        assert!(found.is_some(), "it listens nowhere: {}", self.members[n].log());
        self.members[n].client()
    }

    /// The member id at a position.
    pub fn id(&self, n: usize) -> u64 {
        status(&self.members[n].client()).0
    }

    /// The position of the leader that all of `members` know.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn leader_among(&self, members: &[usize]) -> usize {
        let clients: Vec<Client> = members.iter().map(|n| self.members[*n].client()).collect();
        let found = poll(|| {
            let known: Vec<_> = clients.iter().map(status).collect();
            let leader = known[0].1;
            let agreed = known.iter().all(|(_, other)| *other == leader);
            let at = known.iter().position(|(id, _)| *id == leader);
            at.filter(|_| agreed).map(|at| members[at])
        });
        found.expect("a leader that all know")
    }

    /// The position of the leader, and those of the others, when all run.
    pub fn leader(&self) -> (usize, Vec<usize>) {
        let all: Vec<usize> = (0..self.members.len()).collect();
        let leader = self.leader_among(&all);
        (leader, all.into_iter().filter(|n| *n != leader).collect())
    }
}

/// The id of a member, and of the leader that it knows.
fn status(client: &Client) -> (u64, u64) {
    let status = client.ok(StatusRequest {});
    (status.header.expect("replies have headers").member_id, status.leader)
}

fn launch(data: PathBuf, flags: &[String]) -> Server {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Server::launch(TempDir::new().expect("a directory"), data, &flags, &[])
}

fn free() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

fn url(listener: &TcpListener) -> String {
    let address: SocketAddr = listener.local_addr().expect("a bound socket has an address");
    format!("http://{address}")
}
