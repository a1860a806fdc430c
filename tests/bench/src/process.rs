//! A cluster as whole processes: started, measured, stopped.

use std::{
    fs,
    io::Read,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// Clock ticks per second in `/proc`.
const TICKS_PER_SEC: f64 = 100.0;

/// Running members of one cluster; killed when dropped.
pub(crate) struct Cluster {
    members: Vec<Member>,
    /// Where clients find them, one for each member.
    pub(crate) addresses: Vec<String>,
    /// From start to healthy.
    pub(crate) start_secs: f64,
}

impl Cluster {
    /// Starts `command` (words; the binary first) once for each member, below `dir`, and waits until all are healthy.
    pub(crate) fn start(command: &str, dir: &Path, members: usize) -> Result<Cluster> {
        let ports = (0..members).map(|_| Ok((free_port()?, free_port()?))).collect::<Result<Vec<_>>>()?;
        let entry = |(n, (_, peer)): (usize, &(u16, u16))| format!("m{n}=http://127.0.0.1:{peer}");
        let initial: Vec<String> = ports.iter().enumerate().map(entry).collect();
        let begun = Instant::now();
        let mut cluster = Cluster { members: Vec::new(), addresses: Vec::new(), start_secs: 0.0 };
        for (n, (client, peer)) in ports.iter().enumerate() {
            let name = format!("m{n}");
            let dir = dir.join(&name);
            cluster.members.push(Member::start(command, &name, &dir, *client, *peer, &initial.join(","))?);
            cluster.addresses.push(format!("127.0.0.1:{client}"));
        }
        let deadline = begun + Duration::from_secs(120);
        for (member, address) in cluster.members.iter_mut().zip(&cluster.addresses) {
            while !is_healthy(address) {
                if let Some(status) = member.0.try_wait()? {
                    bail!("{command} ended: {status}");
                }
                if Instant::now() > deadline {
                    bail!("{command} did not become healthy");
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
    fn start(command: &str, name: &str, dir: &Path, client: u16, peer: u16, initial: &str) -> Result<Member> {
        let mut words = command.split_whitespace();
        let binary = words.next().context("an empty command")?;
        let child = Command::new(binary)
            .args(words)
            .arg(format!("--name={name}"))
            .arg(format!("--data-dir={}", dir.display()))
            .arg(format!("--listen-client-urls=http://127.0.0.1:{client}"))
            .arg(format!("--advertise-client-urls=http://127.0.0.1:{client}"))
            .arg(format!("--listen-peer-urls=http://127.0.0.1:{peer}"))
            .arg(format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"))
            .arg(format!("--initial-cluster={initial}"))
            .arg("--quota-backend-bytes=8589934592")
            .arg("--log-level=error")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {binary}"))?;
        Ok(Member(child))
    }

    fn cpu_secs(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let (_, rest) = text.rsplit_once(") ").context("no command name in stat")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / TICKS_PER_SEC)
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
