//! A server all of whose listeners are secure.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use e2e::server::{Exit, Server, poll};
use tempfile::TempDir;

use crate::{
    authority::{Authority, Identity, intermediate, leaf, revocations, root, with_serial},
    probe::{self, Speaks},
};

/// Revoked in [`Secure::new`]: a leaf, and an intermediate authority.
pub(crate) const REVOKED: u64 = 666;
pub(crate) const REVOKED_AUTHORITY: u64 = 667;

/// A server, its authority, and the files that it reads.
pub(crate) struct Secure {
    pub(crate) root: Authority,
    /// Below the root, and revoked by it.
    pub(crate) fallen: Authority,
    pub(crate) good: Identity,
    server: Server,
    dir: TempDir,
}

/// A secure listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) speaks: Speaks,
}

/// The files of a server.
pub(crate) struct Files {
    dir: PathBuf,
}

impl Files {
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.join(name), text).unwrap();
    }

    /// Both at once would be too much to ask of those who replace files.
    pub(crate) fn write_pair(&self, identity: &Identity) {
        let (chain, key) = identity.pem();
        self.write("cert.pem", &chain);
        self.write("key.pem", &key);
    }
}

/// Flags of a server on the files in `dir`, for clients and for members.
pub(crate) fn flags(dir: &Path, more: &[&str]) -> Vec<String> {
    let file = |name: &str| dir.join(name).display().to_string();
    let mut flags = vec![
        "--listen-client-urls=https://127.0.0.1:0".to_owned(),
        "--listen-client-http-urls=https://127.0.0.3:0".into(),
        "--listen-metrics-urls=https://127.0.0.1:0".into(),
        "--listen-peer-urls=https://127.0.0.1:0".into(),
        "--initial-advertise-peer-urls=https://127.0.0.1:2380".into(),
        "--initial-cluster=e2e=https://127.0.0.1:2380".into(),
        "--client-cert-auth".into(),
        "--peer-client-cert-auth".into(),
        format!("--client-crl-file={}", file("crl.pem")),
        format!("--peer-crl-file={}", file("crl.pem")),
    ];
    for prefix in ["", "peer-"] {
        flags.push(format!("--{prefix}cert-file={}", file("cert.pem")));
        flags.push(format!("--{prefix}key-file={}", file("key.pem")));
        flags.push(format!("--{prefix}trusted-ca-file={}", file("ca.pem")));
    }
    flags.extend(more.iter().map(|flag| (*flag).to_owned()));
    flags
}

impl Secure {
    pub(crate) fn new(more: &[&str]) -> Secure {
        Secure::try_new(more, |_, _| {}).unwrap_or_else(|exit| panic!("does not start: {exit:?}"))
    }

    /// As [`Secure::new`], with files that were changed before the start.
    pub(crate) fn try_new(more: &[&str], change: impl FnOnce(&Files, &Authority)) -> Result<Secure, Exit> {
        let dir = TempDir::new().unwrap();
        let root = root("root");
        let fallen = intermediate(&root, "fallen", with_serial(REVOKED_AUTHORITY));
        let files = Files { dir: dir.path().to_owned() };
        files.write("ca.pem", &root.pem());
        files.write("crl.pem", &revocations(&root, &[REVOKED, REVOKED_AUTHORITY], 2199));
        files.write_pair(&leaf(&root, |_| {}));
        change(&files, &root);
        let flags = flags(dir.path(), more);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let server = Server::start_unasked(&flags)?;
        Ok(Secure { good: leaf(&root, |_| {}), root, fallen, server, dir })
    }

    pub(crate) fn files(&self) -> Files {
        Files { dir: self.dir.path().to_owned() }
    }

    /// Every listener.
    pub(crate) fn doors(&self) -> [Door; 4] {
        let listeners = self.server.listeners();
        let door =
            |name, address: Option<SocketAddr>, speaks| Door { name, address: address.unwrap(), speaks };
        [
            door("grpc", listeners.grpc, Speaks::Grpc),
            door("http", listeners.http, Speaks::Http("/health")),
            door("metrics", listeners.metrics, Speaks::Http("/metrics")),
            door("peer", listeners.peer, Speaks::Http("/version")),
        ]
    }

    /// A good client is served.
    pub(crate) fn assert_serves(&self, door: &Door) {
        if let Err(error) = probe::knock(door, &probe::client(Some(&self.good))) {
            panic!("{}: a good client is refused: {error}", door.name);
        }
    }

    /// Where the log ends now.
    pub(crate) fn mark(&self) -> usize {
        self.server.log().len()
    }

    /// What the log says, behind a mark, about the connection from `local`; waits for it. The system gives the same
    /// port again, so lines before the connection's own time may be about another one.
    pub(crate) fn reason(&self, door: &Door, local: SocketAddr, since: usize) -> String {
        let local = local.to_string();
        let place = if door.name == "peer" { "peer endpoint" } else { "client endpoint" };
        let message = format!("rejected connection on {place}");
        let told = poll(|| {
            let log = self.server.log();
            let mut lines =
                log[since..].lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let line = lines.find(|line| line["remote-addr"] == *local && line["msg"] == *message)?;
            Some(line["error"].as_str().unwrap_or_default().to_owned())
        });
        told.unwrap_or_else(|| panic!("{}: the log says nothing about {local}", door.name))
    }

    /// The log, as far as it goes.
    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// One client knocks at every door, is refused with that reason, and good ones are not.
    pub(crate) fn assert_refused(&self, case: &str, doors: &[Door], client: &probe::Knocker, reason: &str) {
        for door in doors {
            let since = self.mark();
            let refusal = match probe::knock(door, client) {
                Ok(()) => panic!("{case}: let in at {}", door.name),
                Err(refusal) => refusal,
            };
            let told = self.reason(door, refusal.local, since);
            assert!(told.contains(reason), "{case} at {}: {told:?} does not say {reason:?}", door.name);
            self.assert_serves(door);
        }
    }
}
