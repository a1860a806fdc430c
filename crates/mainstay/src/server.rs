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

use crate::{
    corruption::{self, Checks},
    discover, notify,
    peers::{self, Between, PeerPlan, ToLeader},
    plan,
    scrape::Scraper,
    self_signed,
};

/// How long calls may go on after the server was told to stop, besides two election timeouts: as long as any call may
/// take, so that none is cut off.
const GRACE: Duration = Duration::from_secs(5);
/// How long a member may take until it has published itself, before that is logged.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(30);

/// How often a member whose database turns out to be damaged starts again in the same process. More is no accident.
const REPAIRS_MAX: u32 = 3;
/// Between two looks whether the member has ended by itself.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Runs a member until it ends or a signal stops it. The signal is then raised again with its default effect, so
/// that whoever waits sees what ended the process; process 1 exits with 0 instead.
///
/// # Errors
/// When the member does not start, or could not go on.
pub fn run_server(mut settings: Settings) -> Result<ExitCode> {
    self_signed::make(&mut settings)?;
    let mut plan = plan::plan(&settings)?;
    // This may take for ever: a signal ends it.
    discover::find_members(&mut plan.node, &settings)?;
    // Caught from here on, so that a stop during the start is not lost.
    let stop = StopSignal::catch()?;
    let mut repairs = 0;
    let (signal, stopped) = loop {
        let running = Running::start(plan)?;
        notify::ready();
        let signal = stop.wait(|| running.has_ended());
        if let Some(signal) = signal {
            line!(Info, "received signal; shutting down", "signal" => signal_name(signal));
        }
        let damaged = running.is_damaged();
        let stopped = running.stop();
        if signal.is_some() || !damaged || repairs == REPAIRS_MAX {
            break (signal, stopped);
        }
        // The log is as it was, so nothing is lost by going on: a start takes a sound database from another member.
        repairs += 1;
        line!(Warn, "starting again, to repair the database from other members", "starts" => repairs);
        plan = plan::plan(&settings)?;
    };
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
    /// The way to other members; `None` for one that has none.
    pub peers: Option<PeerPlan>,
    /// Comparisons with other members.
    pub checks: Checks,
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
    /// `--auth-token`; the member's configuration names the same kind.
    pub tokens: Arc<rpc::Tokens>,
    /// `--metrics=extensive`.
    pub extensive_metrics: bool,
    /// `--cors`.
    pub cors: Vec<String>,
    /// `--host-whitelist`.
    pub host_whitelist: Vec<String>,
    /// `--enable-grpc-gateway`.
    pub gateway: bool,
    /// `--mainstay-audit-log`.
    pub audit: Option<config::Audit>,
}

/// A running server.
pub struct Running {
    member: node::Member,
    /// What other members ask.
    peers: rpc::Server,
    clients: rpc::Server,
    /// Where it listens, in the order of the plan.
    addresses: Vec<rpc::Bound>,
    /// See [`GRACE`].
    grace: Duration,
    /// Compares this member with the others.
    checks: Option<JoinHandle<()>>,
    audit: Option<Arc<rpc::AuditLog>>,
}

impl Running {
    /// Starts the member and, once it has published itself, opens the client listeners.
    ///
    /// # Errors
    /// When the directory cannot be served from, or a listener cannot be opened.
    pub fn start(plan: Plan) -> Result<Running> {
        let Plan { node: mut config, peers, checks, network } = plan;
        // First, so that a wrong address or certificate is told before anything is written.
        let (for_peers, for_clients) = split(&network.listen);
        let peer_sockets = rpc::open(&for_peers)?;
        let sockets = rpc::open(&for_clients)?;
        let audit = network.audit.clone().map(open_audit_log).transpose()?;
        let election_timeout = config.tick * config.election_ticks;
        let patience = config.request_timeout();
        let check_first = checks.initial && !node::is_new(&config, &RealDisk)?;
        let (member, between, questions) = match peers {
            None => (node::start(config, Arc::new(RealDisk))?, None, None),
            Some(plan) => {
                peers::ask_cluster(&mut config, &plan)?;
                let (member, server, questions) = peers::start(config, plan)?;
                let between: Arc<dyn rpc::BetweenMembers> = Arc::new(Between(server));
                (member, Some(between), Some(questions))
            }
        };
        let handle = member.handle();
        let counters = Arc::new(OnceLock::new());
        let mut config = rpc_config(&network, election_timeout, &handle, Arc::clone(&counters));
        config.pages.between_members = between;
        config.network_threads = 1;
        // What others ask is not passed on: whoever asks wants this member's answer.
        let for_members = handle.clone();
        let doors = move || rpc::Door::new(&for_members);
        // Without the others there may be no leader, and nobody is published without one.
        let peers = serve(config, peer_sockets, doors, &member)?;
        for (listener, bound) in for_peers.listeners.iter().zip(peers.addresses()) {
            announce(listener, bound);
        }
        if let Some(questions) = questions.clone().filter(|_| check_first)
            && let Err(error) = corruption::check_initially(&handle, questions, patience)
        {
            // The first reason counts.
            let _ = member.stop();
            return Err(error);
        }
        let begun = Instant::now();
        while !member.wait_published(PUBLISH_PATIENCE) {
            if member.has_ended() {
                let reason = member.stop().err().unwrap_or_default();
                anyhow::bail!("the member ended while it started: {reason}");
            }
            line!(Warn, "the member has not published itself yet", "took" => format!("{:?}", begun.elapsed()));
        }
        let mut config = rpc_config(&network, election_timeout, &member.handle(), Arc::clone(&counters));
        config.audit = audit.clone();
        let checks = match questions.clone() {
            Some(questions) => corruption::start(checks, &handle, questions, patience)?,
            None => None,
        };
        let to_leader = questions.map(|questions| Arc::new(ToLeader(questions)) as Arc<dyn rpc::AskLeader>);
        let doors = move || match to_leader.clone() {
            Some(to_leader) => rpc::Door::forwarding(&handle, to_leader, patience),
            None => rpc::Door::new(&handle),
        };
        let clients = serve(config, sockets, doors, &member)?;
        // Set once: this is the only server for clients of this call.
        let _ = counters.set(Arc::clone(clients.metrics()));
        for (listener, bound) in for_clients.listeners.iter().zip(clients.addresses()) {
            announce(listener, bound);
        }
        line!(Info, "ready to serve client requests");
        let addresses = peers.addresses().iter().chain(clients.addresses()).cloned().collect();
        let grace = GRACE + 2 * election_timeout;
        Ok(Running { member, peers, clients, addresses, grace, checks, audit })
    }

    /// Whether the member has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.member.has_ended()
    }

    /// Whether it has ended, or is about to, because its database is damaged.
    fn is_damaged(&self) -> bool {
        self.member.handle().summary().is_damaged()
    }

    /// Where it listens, in the order of the plan.
    pub fn addresses(&self) -> &[rpc::Bound] {
        &self.addresses
    }

    /// Stops: clients first, then the member, which hands over leadership and makes everything durable.
    ///
    /// # Errors
    /// Why the member could not go on.
    pub fn stop(self) -> Result<()> {
        self.clients.shutdown(self.grace);
        if let Some(audit) = &self.audit {
            audit.close();
        }
        let stopped = self.member.stop();
        // It ends with the member; if it panicked, it has said so.
        let _ = self.checks.map(JoinHandle::join);
        self.peers.shutdown(Duration::ZERO);
        stopped.map_err(anyhow::Error::msg)
    }
}

fn open_audit_log(settings: config::Audit) -> Result<Arc<rpc::AuditLog>> {
    let name = settings.file.as_ref().map_or("standard error".into(), |path| path.display().to_string());
    let output = settings.file.map_or(rpc::AuditOutput::Stderr, rpc::AuditOutput::File);
    let log = rpc::AuditLog::start(output, settings.redact_keys)
        .with_context(|| format!("the audit log {name} cannot be opened"))?;
    Ok(Arc::new(log))
}

/// What other members connect to, and what all others do. The plan has them in this order.
fn split(listen: &rpc::Listen) -> (rpc::Listen, rpc::Listen) {
    let (peers, clients) =
        listen.listeners.iter().cloned().partition(|listener| listener.traffic == rpc::Traffic::Peer);
    let with = |listeners| rpc::Listen { listeners, ..listen.clone() };
    (with(peers), with(clients))
}

fn serve(
    config: rpc::Config,
    sockets: rpc::Sockets,
    doors: impl Fn() -> rpc::Door + Send + Clone + 'static,
    member: &node::Member,
) -> Result<rpc::Server> {
    let served = rpc::serve(config, sockets, doors).context("the network threads do not start");
    if served.is_err() {
        line!(Error, "stopping", "local-member-id" => member.handle().summary().member_id.to_string());
    }
    served
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
    network: &Network,
    election_timeout: Duration,
    handle: &node::NodeHandle,
    counters: Arc<OnceLock<Arc<rpc::Metrics>>>,
) -> rpc::Config {
    let scraper = Scraper::new(counters, network.extensive_metrics);
    let (versions, vars) = (handle.summary(), handle.summary());
    rpc::Config {
        limits: network.limits.clone(),
        network_threads: network.network_threads,
        keepalive: network.keepalive,
        election_timeout,
        bcrypt_cost: network.bcrypt_cost,
        tokens: Arc::clone(&network.tokens),
        handling_histogram: network.extensive_metrics,
        pages: rpc::Pages {
            metrics: Arc::new(move |_| scraper.page()),
            versions: Arc::new(move || rpc::Versions {
                server: versions.release.text().into(),
                cluster: versions.cluster_version(),
                storage: versions.storage_version(),
            }),
            debug_vars: Arc::new(move || debug_vars(&vars)),
            cors: network.cors.clone(),
            host_whitelist: network.host_whitelist.clone(),
            gateway: network.gateway,
            between_members: None,
        },
        notify: Arc::new(notify),
        audit: None,
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
        Notice::LoginFailed { user, error } => {
            line!(Warn, "invalid authentication was requested", "user" => user, "error" => error);
        }
        Notice::Unhealthy { path, output } => {
            line!(Warn, "serving health check failed", "path" => path, "output" => output);
        }
    }
}
