//! Etcd and etcdctl as processes.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::listener::bind;

/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const TOKEN: &str = "peer-test";

/// Waits until `what` holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Who is where.
pub(crate) struct Plan {
    folder: PathBuf,
    pub(crate) version: &'static str,
    clients: [SocketAddr; 2],
    peers: [SocketAddr; 2],
    ours: Option<SocketAddr>,
    dir: TempDir,
}

impl Plan {
    pub(crate) fn new(folder: PathBuf, version: &'static str) -> Plan {
        // Held until all are known, so that they differ.
        let sockets = [bind(), bind(), bind(), bind()];
        let [a, b, c, d] = sockets.map(|(_socket, address)| address);
        Plan {
            folder,
            version,
            clients: [a, b],
            peers: [c, d],
            ours: None,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn with_ours(mut self, address: SocketAddr) -> Plan {
        self.ours = Some(address);
        self
    }

    pub(crate) fn initial_cluster(&self) -> String {
        let [a, c] = self.peers;
        format!("a=http://{a},b=http://{},c=http://{c}", self.ours.unwrap())
    }

    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn binary(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-{}", self.version))
    }

    fn ctl(&self) -> PathBuf {
        // Every etcdctl speaks with every etcd.
        self.folder.join("etcdctl-3.7")
    }
}

/// A running etcd; killed when it is dropped.
pub(crate) struct Etcd {
    child: Option<Child>,
    ctl: PathBuf,
    client: String,
    dir: PathBuf,
    log: PathBuf,
}

impl Etcd {
    pub(crate) fn start(plan: &Plan, name: &str, state: &str) -> Etcd {
        let n = usize::from(name == "c");
        let client = format!("http://{}", plan.clients[n]);
        let peer = format!("http://{}", plan.peers[n]);
        let (dir, log) = (plan.dir(name), plan.dir(&format!("{name}.log")));
        let catch_up = if plan.version == "3.5" {
            "--experimental-snapshot-catchup-entries"
        } else {
            "--snapshot-catchup-entries"
        };
        let output = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let child = Command::new(plan.binary("etcd"))
            .args(["--name", name, "--initial-cluster-state", state, "--initial-cluster-token", TOKEN])
            .args(["--data-dir".as_ref(), dir.as_os_str()])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &plan.initial_cluster()])
            .args(["--snapshot-count", "10", catch_up, "5"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("etcd starts");
        Etcd { child: Some(child), ctl: plan.ctl(), client, dir, log }
    }

    fn ctl(&self, args: &[&str], input: &str) -> Option<String> {
        let mut child = Command::new(&self.ctl)
            .args(["--endpoints", &self.client, "--command-timeout", "3s"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcdctl starts");
        // It may be gone before it reads all.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    pub(crate) fn put(&self, key: &str, value: &str) {
        until(&format!("{key} is put"), || self.ctl(&["put", key, value], "").is_some());
    }

    /// Puts a value that is too long for an argument.
    pub(crate) fn put_large(&self, key: &str, value: &str) {
        until(&format!("{key} is put"), || self.ctl(&["put", key], value).is_some());
    }

    /// A linearizable read: it asks the leader for an index.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let text = self.ctl(&["get", key, "--print-value-only"], "")?;
        let value = text.trim_end_matches('\n');
        (!value.is_empty()).then(|| value.to_owned())
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn wipe(&self) {
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            println!("{}", tail(&self.log));
        }
    }
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let end = &lines[lines.len().saturating_sub(40)..];
    format!("end of {}:\n{}", log.display(), end.join("\n"))
}
