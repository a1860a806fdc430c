//! A cluster as whole processes: started, measured, stopped.

use std::{
    fs,
    io::Read,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{authority::Authority, client::Target};

/// Clock ticks per second in `/proc`.
const TICKS_PER_SEC: f64 = 100.0;

/// How a cluster is started.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// Words; the binary first.
    pub(crate) command: &'a str,
    /// Where the members' directories are made.
    pub(crate) dir: &'a Path,
    pub(crate) members: usize,
    /// Certificates for everybody, and where they are; without them nobody uses TLS.
    pub(crate) authority: Option<(&'a Authority, &'a Path)>,
    /// The one processor that all members may use.
    pub(crate) core: Option<usize>,
}

impl<'a> Setup<'a> {
    /// Without TLS, on any processor.
    pub(crate) fn new(command: &'a str, dir: &'a Path, members: usize) -> Setup<'a> {
        Setup { command, dir, members, authority: None, core: None }
    }
}

/// Running members of one cluster; killed when dropped.
pub(crate) struct Cluster {
    members: Vec<Member>,
    /// Where clients find them, one for each member.
    pub(crate) addresses: Vec<String>,
    /// The same, with what clients show.
    pub(crate) targets: Vec<Target>,
    /// From start to healthy.
    pub(crate) start_secs: f64,
}

/// Ports of a member.
struct Ports {
    client: u16,
    peer: u16,
    metrics: u16,
}

impl Cluster {
    /// Starts `command` once for each member, below `dir`, and waits until all are healthy.
    pub(crate) fn start(command: &str, dir: &Path, members: usize) -> Result<Cluster> {
        Cluster::set_up(&Setup::new(command, dir, members))
    }

    /// As [`Cluster::start`].
    pub(crate) fn set_up(setup: &Setup<'_>) -> Result<Cluster> {
        let ports = (0..setup.members)
            .map(|_| Ok(Ports { client: free_port()?, peer: free_port()?, metrics: free_port()? }))
            .collect::<Result<Vec<_>>>()?;
        let scheme = if setup.authority.is_some() { "https" } else { "http" };
        let entry = |(n, ports): (usize, &Ports)| format!("m{n}={scheme}://127.0.0.1:{}", ports.peer);
        let initial: Vec<String> = ports.iter().enumerate().map(entry).collect();
        let begun = Instant::now();
        let mut members = Vec::new();
        for (n, ports) in ports.iter().enumerate() {
            members.push(Member::start(setup, &format!("m{n}"), ports, &initial.join(","))?);
        }
        let addresses: Vec<String> =
            ports.iter().map(|ports| format!("127.0.0.1:{}", ports.client)).collect();
        let tls = setup.authority.map(|(authority, _)| Arc::clone(&authority.client));
        let target = |address: &String| Target { address: address.clone(), tls: tls.clone() };
        let targets = addresses.iter().map(target).collect();
        let mut cluster = Cluster { members, addresses, targets, start_secs: 0.0 };
        let deadline = begun + Duration::from_secs(120);
        for (member, ports) in cluster.members.iter_mut().zip(&ports) {
            while !is_healthy(&format!("127.0.0.1:{}", ports.metrics)) {
                if let Some(status) = member.0.try_wait()? {
                    bail!("{} ended: {status}", setup.command);
                }
                if Instant::now() > deadline {
                    bail!("{} did not become healthy", setup.command);
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        cluster.start_secs = begun.elapsed().as_secs_f64();
        Ok(cluster)
    }

    /// CPU seconds so far, user and system, of all members.
    pub(crate) fn cpu_secs(&self) -> Result<f64> {
        self.members.iter().map(Member::cpu_secs).sum()
    }

    /// Resident bytes of all members now.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        self.members.iter().map(Member::resident_bytes).sum()
    }

    /// The part of them that is no file's.
    pub(crate) fn anonymous_bytes(&self) -> Result<u64> {
        self.members.iter().map(|member| member.status_bytes("RssAnon:")).sum()
    }

    /// Bytes that all members have sent to their disks so far.
    pub(crate) fn written_bytes(&self) -> Result<u64> {
        self.members.iter().map(Member::written_bytes).sum()
    }

    /// Most resident bytes of all members since [`Cluster::reset_peak`]: the sum of each one's own peak.
    pub(crate) fn resident_peak(&self) -> Result<u64> {
        self.members.iter().map(Member::resident_peak).sum()
    }

    /// Forgets the peak so far.
    pub(crate) fn reset_peak(&self) -> Result<()> {
        self.members.iter().try_for_each(|member| {
            let path = format!("/proc/{}/clear_refs", member.0.id());
            fs::write(&path, "5").with_context(|| format!("writing {path}"))
        })
    }

    /// Asks all to stop and waits.
    pub(crate) fn stop(mut self) -> Result<()> {
        for member in &self.members {
            Command::new("kill").arg("-TERM").arg(member.0.id().to_string()).status()?;
        }
        for member in &mut self.members {
            member.0.wait()?;
        }
        Ok(())
    }
}

/// One process.
struct Member(Child);

impl Member {
    fn start(setup: &Setup<'_>, name: &str, ports: &Ports, initial: &str) -> Result<Member> {
        let scheme = if setup.authority.is_some() { "https" } else { "http" };
        let pinned = setup.core.map(|core| format!("taskset -c {core} {}", setup.command));
        let mut words = pinned.as_deref().unwrap_or(setup.command).split_whitespace();
        let binary = words.next().context("an empty command")?;
        let Ports { client, peer, metrics } = ports;
        let child = Command::new(binary)
            .args(words)
            .arg(format!("--name={name}"))
            .arg(format!("--data-dir={}", setup.dir.join(name).display()))
            .arg(format!("--listen-client-urls={scheme}://127.0.0.1:{client}"))
            .arg(format!("--advertise-client-urls={scheme}://127.0.0.1:{client}"))
            .arg(format!("--listen-peer-urls={scheme}://127.0.0.1:{peer}"))
            .arg(format!("--initial-advertise-peer-urls={scheme}://127.0.0.1:{peer}"))
            .arg(format!("--listen-metrics-urls=http://127.0.0.1:{metrics}"))
            .arg(format!("--initial-cluster={initial}"))
            .args(setup.authority.map(|(_, dir)| Authority::flags(dir)).unwrap_or_default())
            .arg("--quota-backend-bytes=8589934592")
            .arg("--log-level=error")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {binary}"))?;
        Ok(Member(child))
    }

    fn cpu_secs(&self) -> Result<f64> {
        cpu_secs(self.0.id())
    }

    /// Bytes that went to a disk; none in a file system in memory.
    fn written_bytes(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/io", self.0.id()))?;
        let line =
            text.lines().find_map(|line| line.strip_prefix("write_bytes: ")).context("no write_bytes")?;
        Ok(line.trim().parse()?)
    }

    fn resident_bytes(&self) -> Result<u64> {
        self.status_bytes("VmRSS:")
    }

    fn resident_peak(&self) -> Result<u64> {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CPU seconds so far of a process, user and system, with its threads.
pub(crate) fn cpu_secs(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(") ").context("no command name in stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / TICKS_PER_SEC)
}

/// Keeps this process on one processor from here on.
pub(crate) fn pin(core: usize) -> Result<()> {
    let pid = std::process::id().to_string();
    let done = Command::new("taskset").args(["-acp", &core.to_string(), &pid]).stdout(Stdio::null()).status();
    let done = done.context("running taskset, which keeps server and generator apart (util-linux)")?;
    ensure!(done.success(), "taskset: {done}");
    Ok(())
}

fn is_healthy(address: &str) -> bool {
    let ask = || -> Result<bool> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        std::io::Write::write_all(&mut socket, b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer.contains("\"health\":\"true\""))
    };
    ask().unwrap_or(false)
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
