//! A server as a whole process: started, measured, stopped.

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

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    /// From start to healthy.
    pub(crate) start_secs: f64,
}

impl Server {
    /// Starts `command` (words; the binary first) on `dir` and waits until it is healthy.
    pub(crate) fn start(command: &str, dir: &Path) -> Result<Server> {
        let (client, peer) = (free_port()?, free_port()?);
        let mut words = command.split_whitespace();
        let binary = words.next().context("an empty command")?;
        let begun = Instant::now();
        let child = Command::new(binary)
            .args(words)
            .arg("--name=bench")
            .arg(format!("--data-dir={}", dir.display()))
            .arg(format!("--listen-client-urls=http://127.0.0.1:{client}"))
            .arg(format!("--advertise-client-urls=http://127.0.0.1:{client}"))
            .arg(format!("--listen-peer-urls=http://127.0.0.1:{peer}"))
            .arg(format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"))
            .arg(format!("--initial-cluster=bench=http://127.0.0.1:{peer}"))
            .arg("--quota-backend-bytes=8589934592")
            .arg("--log-level=error")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {binary}"))?;
        let mut server = Server { child, address: format!("127.0.0.1:{client}"), start_secs: 0.0 };
        let deadline = begun + Duration::from_secs(120);
        while !server.is_healthy() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{command} ended: {status}");
            }
            if Instant::now() > deadline {
                bail!("{command} did not become healthy");
            }
            thread::sleep(Duration::from_millis(5));
        }
        server.start_secs = begun.elapsed().as_secs_f64();
        Ok(server)
    }

    fn is_healthy(&self) -> bool {
        let ask = || -> Result<bool> {
            let mut socket = TcpStream::connect(&self.address)?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            std::io::Write::write_all(&mut socket, b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer)?;
            Ok(answer.contains("\"health\":\"true\""))
        };
        ask().unwrap_or(false)
    }

    /// CPU seconds so far, user and system.
    pub(crate) fn cpu_secs(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, rest) = text.rsplit_once(") ").context("no command name in stat")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / TICKS_PER_SEC)
    }

    /// Resident bytes now.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// Asks it to stop and waits.
    pub(crate) fn stop(mut self) -> Result<()> {
        Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
