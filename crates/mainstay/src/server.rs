//! A member with its network side: started, announced, stopped.

use std::{
    process::ExitCode,
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use config::Settings;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::{Handle, Signals},
    low_level::emulate_default_handler,
};
use telemetry::line;
use vfs::RealDisk;

use crate::{notify, plan, scrape::Scraper};

/// How long calls may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(1);
/// How long a member may take until it has published itself, before that is logged.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks whether the member has ended by itself.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Runs a member until it ends or a signal stops it. The signal is then raised again with its default effect, so
/// that whoever waits sees what ended the process; process 1 exits with 0 instead.
///
/// # Errors
/// When the member does not start, or could not go on.
pub fn run_server(settings: Settings) -> Result<ExitCode> {
    // Caught from here on, so that a stop during the start is not lost.
    let stop = StopSignal::catch()?;
    let running = Running::start(plan::plan(&settings))?;
    notify::ready();
    let signal = stop.wait(|| running.has_ended());
    if let Some(signal) = signal {
        line!(Info, "received signal; shutting down", "signal" => signal_name(signal));
    }
    let stopped = running.stop();
    drop(stop);
    stopped?;
    telemetry::log::flush();
    match signal {
        Some(signal) if std::process::id() != 1 => {
            emulate_default_handler(signal).context("the signal cannot be raised again")?;
            Ok(ExitCode::FAILURE)
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Waits for a signal that asks the process to stop.
///
/// # Errors
/// When signals cannot be caught.
pub fn wait_for_signal() -> Result<()> {
    StopSignal::catch()?.wait(|| false);
    Ok(())
}

/// SIGINT and SIGTERM, caught by a thread of their own.
struct StopSignal {
    received: Receiver<i32>,
    handle: Handle,
    waiter: Option<JoinHandle<()>>,
}

impl StopSignal {
    fn catch() -> Result<StopSignal> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals cannot be caught")?;
        let (sender, received) = channel();
        let handle = signals.handle();
        let waiter = thread::Builder::new().name("signals".into()).spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // Nobody listens any more when the member ended by itself.
                let _ = sender.send(signal);
            }
        })?;
        Ok(StopSignal { received, handle, waiter: Some(waiter) })
    }

    /// The signal; `None` when `ended` said yes before one came.
    fn wait(&self, ended: impl Fn() -> bool) -> Option<i32> {
        loop {
            match self.received.recv_timeout(WATCH_INTERVAL) {
                Ok(signal) => return Some(signal),
                Err(RecvTimeoutError::Timeout) if !ended() => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

impl Drop for StopSignal {
    fn drop(&mut self) {
        self.handle.close();
        // It has nothing left to do but to end.
        let _ = self.waiter.take().map(JoinHandle::join);
    }
}

fn signal_name(signal: i32) -> &'static str {
    if signal == SIGINT { "interrupt" } else { "terminated" }
}

/// Everything that a running server is made from.
pub struct Plan {
    /// The member.
    pub node: node::Config,
    /// The network side; its pages and notices are filled in here.
    pub network: Network,
}

/// The network side, as far as the settings decide it.
pub struct Network {
    /// Where to listen, for what, and with what certificates.
    pub listen: rpc::Listen,
    /// Bounds.
    pub limits: rpc::Limits,
    /// Threads that speak with clients.
    pub network_threads: usize,
    /// `--grpc-keepalive-*`.
    pub keepalive: rpc::Keepalive,
    /// `--bcrypt-cost`.
    pub bcrypt_cost: u32,
    /// `--metrics=extensive`.
    pub extensive_metrics: bool,
    /// `--cors`.
    pub cors: Vec<String>,
    /// `--host-whitelist`.
    pub host_whitelist: Vec<String>,
}

/// A running server.
pub struct Running {
    member: node::Member,
    network: rpc::Server,
}

impl Running {
    /// Starts the member and, once it has published itself, opens the client listeners.
    ///
    /// # Errors
    /// When the directory cannot be served from, or a listener cannot be opened.
    pub fn start(plan: Plan) -> Result<Running> {
        let Plan { node: config, network } = plan;
        // First, so that a wrong address or certificate is told before anything is written.
        let sockets = rpc::open(&network.listen)?;
        let listeners = network.listen.listeners.clone();
        let election_timeout = config.tick * config.election_ticks;
        let member = node::start(config, Arc::new(RealDisk))?;
        let begun = Instant::now();
        while !member.wait_published(PUBLISH_PATIENCE) {
            if member.has_ended() {
                let reason = member.stop().err().unwrap_or_default();
                anyhow::bail!("the member ended while it started: {reason}");
            }
            line!(Warn, "the member has not published itself yet", "took" => format!("{:?}", begun.elapsed()));
        }
        let handle = member.handle();
        let counters = Arc::new(OnceLock::new());
        let config = rpc_config(network, election_timeout, &handle, Arc::clone(&counters));
        let network = match rpc::serve(config, sockets, move || rpc::Door::new(&handle)) {
            Ok(network) => network,
            Err(error) => {
                // Nobody has connected yet; what the member says of its own stop matters less than this.
                let _ = member.stop();
                return Err(error).context("the network threads do not start");
            }
        };
        // Set once: this is the only server of this call.
        let _ = counters.set(Arc::clone(network.metrics()));
        for (listener, bound) in listeners.iter().zip(network.addresses()) {
            announce(listener, bound);
        }
        line!(Info, "ready to serve client requests");
        Ok(Running { member, network })
    }

    /// Whether the member has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.member.has_ended()
    }

    /// Where it listens, in the order of the plan.
    pub fn addresses(&self) -> &[rpc::Bound] {
        self.network.addresses()
    }

    /// Stops: clients first, then the member, which makes everything durable.
    ///
    /// # Errors
    /// Why the member could not go on.
    pub fn stop(self) -> Result<()> {
        self.network.shutdown(GRACE);
        self.member.stop().map_err(anyhow::Error::msg)
    }
}

/// Logs what a listener serves, in etcd's words.
fn announce(listener: &rpc::Listener, bound: &rpc::Bound) {
    let address = bound.to_string();
    let traffic = match listener.traffic {
        rpc::Traffic::Peer => return line!(Info, "serving peer traffic", "address" => address),
        rpc::Traffic::Metrics => {
            let scheme = if listener.secure { "https" } else { "http" };
            return line!(Info, "serving metrics", "address" => format!("{scheme}://{address}"));
        }
        rpc::Traffic::All => "grpc+http",
        rpc::Traffic::Grpc => "grpc",
        rpc::Traffic::Http => "http",
    };
    if listener.secure {
        line!(Info, "serving client traffic securely", "traffic" => traffic, "address" => address);
    } else {
        line!(Info, "serving client traffic insecurely; this is strongly discouraged!",
            "traffic" => traffic, "address" => address);
    }
}

fn rpc_config(
    network: Network,
    election_timeout: Duration,
    handle: &node::NodeHandle,
    counters: Arc<OnceLock<Arc<rpc::Metrics>>>,
) -> rpc::Config {
    let scraper = Scraper::new(counters, network.extensive_metrics);
    let (versions, vars) = (handle.summary(), handle.summary());
    rpc::Config {
        limits: network.limits,
        network_threads: network.network_threads,
        keepalive: network.keepalive,
        election_timeout,
        bcrypt_cost: network.bcrypt_cost,
        handling_histogram: network.extensive_metrics,
        pages: rpc::Pages {
            metrics: Arc::new(move |_| scraper.page()),
            versions: Arc::new(move || rpc::Versions {
                server: node::SERVER_VERSION.into(),
                cluster: versions.cluster_version(),
                storage: versions.storage_version(),
            }),
            debug_vars: Arc::new(move || debug_vars(&vars)),
            cors: network.cors,
            host_whitelist: network.host_whitelist,
            // This member is alone.
            between_members: None,
        },
        notify: Arc::new(notify),
    }
}

/// The variables of `/debug/vars`, by name.
fn debug_vars(summary: &node::Summary) -> Vec<(String, String)> {
    let quote = |text: String| format!("{text:?}");
    let cmdline: Vec<String> = std::env::args().map(quote).collect();
    let status = format!(
        "{{\"id\":\"{}\",\"term\":{},\"commit\":{},\"applied\":{},\"lead\":\"{}\"}}",
        summary.member_id,
        summary.term(),
        summary.committed(),
        summary.applied(),
        summary.leader().unwrap_or_default()
    );
    vec![
        ("cmdline".into(), format!("[{}]", cmdline.join(","))),
        ("file_descriptor_limit".into(), telemetry::fd_limit().unwrap_or(0).to_string()),
        ("memstats".into(), "{}".into()),
        ("raft.status".into(), status),
    ]
}

fn notify(notice: rpc::Notice) {
    use rpc::Notice;
    match notice {
        Notice::Rejected { at_peer_listener: false, remote, error } => {
            line!(Warn, "rejected connection on client endpoint", "remote-addr" => remote, "error" => error);
        }
        Notice::Rejected { at_peer_listener: true, remote, error } => {
            line!(Warn, "rejected connection on peer endpoint", "remote-addr" => remote, "error" => error);
        }
        Notice::AcceptFailed { error } => line!(Warn, "accept failed; trying again", "error" => error),
        Notice::TlsReloadFailed { error } => {
            line!(Warn, "changed TLS files cannot be used; the old ones stay in force", "error" => error);
        }
        Notice::Unhealthy { path, output } => {
            line!(Warn, "serving health check failed", "path" => path, "output" => output);
        }
    }
}
