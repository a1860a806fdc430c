//! Network threads: starting them, and stopping them in order.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc as std_mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant as StdInstant},
};

use tokio::{
    net::{TcpStream, UnixStream},
    runtime,
    sync::{Semaphore, mpsc, watch},
    task::{JoinSet, LocalSet},
    time::{Instant, interval},
};

use crate::{
    budget::{Budget, Share},
    config::{Common, Config},
    connection::{self, Incoming},
    exchange::Templates,
    listen::{Accepted, Bound, Desk, Listening, Purpose, RawStream, Reception},
    member::Member,
    metrics::Metrics,
    offenders::Offenders,
    passwords::Passwords,
    sockets::Sockets,
    thread::{Phase, Thread},
    wire::Socket,
};

/// Threads for password hashing, snapshots and metrics, per network thread.
const BLOCKING_THREADS_MAX: usize = 4;
/// So many election timeouts without a leader end the streams that asked for one.
const LEADERLESS_TIMEOUTS_MAX: u32 = 3;
/// Threads end this soon after being told to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why nobody can be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A number that cannot be.
    #[error("{0}")]
    Config(&'static str),
    /// A thread or its runtime cannot be started.
    #[error("cannot start a network thread: {0}")]
    Thread(std::io::Error),
}

/// Network threads that serve clients and other members.
pub struct Server {
    addresses: Vec<Bound>,
    metrics: Arc<Metrics>,
    phase: watch::Sender<Phase>,
    threads: Vec<JoinHandle<()>>,
    /// Closed when the last thread has ended.
    ended: std_mpsc::Receiver<()>,
}

/// Starts the threads that serve who connects to `sockets`. `make_member` is called once on each thread.
///
/// # Errors
/// When a thread cannot be had; nothing is left running then.
pub fn serve<M: Member>(
    config: Config,
    sockets: Sockets,
    make_member: impl Fn() -> M + Send + Clone + 'static,
) -> Result<Server, ServeError> {
    if config.network_threads == 0 {
        return Err(ServeError::Config("at least one network thread is needed"));
    }
    if !(4..=31).contains(&config.bcrypt_cost) {
        return Err(ServeError::Config("bcrypt cost must be from 4 to 31"));
    }
    let Sockets { listening, purposes, addresses } = sockets;
    let metrics = Arc::new(Metrics::new(config.network_threads));
    let (phase, phase_receiver) = watch::channel(Phase::Serving);
    let (ended_sender, ended) = std_mpsc::channel();
    let shared = Shared::new(&config, &metrics, purposes, phase_receiver);
    let mut server = Server { addresses, metrics, phase, threads: Vec::new(), ended };
    server.start(config.network_threads, &shared, listening, make_member, ended_sender)?;
    Ok(server)
}

/// What every thread gets.
#[derive(Clone)]
struct Shared {
    common: Arc<Common>,
    purposes: Arc<[Purpose]>,
    budget: Arc<Budget>,
    places: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
    election_timeout: Duration,
}

impl Shared {
    fn new(
        config: &Config,
        metrics: &Arc<Metrics>,
        purposes: Vec<Purpose>,
        phase: watch::Receiver<Phase>,
    ) -> Shared {
        let limits = config.limits.clone();
        Shared {
            budget: Budget::new(limits.bytes_in_flight_max),
            places: Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS))),
            purposes: purposes.into(),
            phase,
            election_timeout: config.election_timeout,
            common: Arc::new(Common {
                limits,
                keepalive: config.keepalive,
                passwords: Passwords::new(config.bcrypt_cost),
                tokens: Arc::clone(&config.tokens),
                handling_histogram: config.handling_histogram,
                pages: config.pages.clone(),
                notify: Arc::clone(&config.notify),
                metrics: Arc::clone(metrics),
                offenders: Offenders::default(),
                audit: config.audit.clone(),
                epoch: Instant::now(),
            }),
        }
    }
}

impl Server {
    fn start<M: Member>(
        &mut self,
        count: usize,
        shared: &Shared,
        listening: Vec<Listening>,
        make_member: impl Fn() -> M + Send + Clone + 'static,
        ended: std_mpsc::Sender<()>,
    ) -> Result<(), ServeError> {
        let (desks, inboxes): (Vec<_>, Vec<_>) = (0..count)
            .map(|_| {
                let (sender, inbox) = mpsc::unbounded_channel();
                let load = Arc::new(AtomicUsize::new(0));
                (Desk { sender, load: Arc::clone(&load) }, (inbox, load))
            })
            .unzip();
        // The first thread accepts for all.
        let mut listening = Some(listening);
        for (index, (inbox, load)) in inboxes.into_iter().enumerate() {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(BLOCKING_THREADS_MAX)
                .build()
                .map_err(ServeError::Thread)?;
            let (shared, desks, make_member) = (shared.clone(), desks.clone(), make_member.clone());
            let (ended, sockets) = (ended.clone(), listening.take().unwrap_or_default());
            let body = move || {
                let floor = Floor { index, inbox, load, desks, sockets };
                LocalSet::new().block_on(&runtime, floor.run(shared, make_member));
                runtime.shutdown_background();
                drop(ended);
            };
            let thread = std::thread::Builder::new()
                .name(format!("net-{index}"))
                .stack_size(proto::STACK_BYTES)
                .spawn(body);
            self.threads.push(thread.map_err(ServeError::Thread)?);
        }
        Ok(())
    }

    /// Where the listeners listen, in the order of the configuration.
    pub fn addresses(&self) -> &[Bound] {
        &self.addresses
    }

    /// The counters of this server.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Stops: no new connections and calls, streams end, calls may finish for `grace`; then everything closes.
    /// Blocks until all threads have ended.
    pub fn shutdown(mut self, grace: Duration) {
        self.stop(grace);
    }

    fn stop(&mut self, grace: Duration) {
        for (phase, patience) in [(Phase::Draining, grace), (Phase::Closing, CLOSE_TIMEOUT)] {
            // An error means that all threads have ended.
            let _ = self.phase.send(phase);
            let start = StdInstant::now();
            while let Err(std_mpsc::RecvTimeoutError::Timeout) =
                self.ended.recv_timeout(patience.saturating_sub(start.elapsed()))
            {
                if start.elapsed() >= patience {
                    break;
                }
            }
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// One network thread's part of the work.
struct Floor {
    index: usize,
    inbox: mpsc::UnboundedReceiver<Accepted>,
    load: Arc<AtomicUsize>,
    desks: Vec<Desk>,
    /// Listeners to accept on; only the first thread has some.
    sockets: Vec<Listening>,
}

impl Floor {
    async fn run<M: Member>(self, shared: Shared, make_member: impl Fn() -> M) {
        let Floor { index, mut inbox, load, desks, sockets } = self;
        let (leaderless_sender, leaderless) = watch::channel(0);
        let (errand_sender, mut errands_new) = mpsc::unbounded_channel();
        let thread = Rc::new(Thread {
            member: make_member(),
            metrics: Arc::clone(&shared.common.metrics),
            shard: shared.common.metrics.shard(index),
            share: Share::new(Arc::clone(&shared.budget)),
            templates: Rc::new(Templates::new()),
            phase: shared.phase.clone(),
            leaderless,
            errands: errand_sender,
            common: Arc::clone(&shared.common),
        });
        let mut helpers = JoinSet::new();
        let member = thread.member.clone();
        helpers.spawn_local(async move { member.drive().await });
        helpers.spawn_local(watch_leader(thread.member.clone(), shared.election_timeout, leaderless_sender));
        let reception = Rc::new(Reception {
            desks,
            places: Arc::clone(&shared.places),
            keepalive: shared.common.keepalive,
            phase: shared.phase.clone(),
            notify: Arc::clone(&shared.common.notify),
        });
        for (listener, socket) in sockets.into_iter().enumerate() {
            helpers.spawn_local(Rc::clone(&reception).run(listener, socket));
        }
        let mut phase = shared.phase.clone();
        let mut connections = JoinSet::new();
        let mut errands = JoinSet::new();
        let mut draining = false;
        // Errors mean that the server is gone, which is the same as being told to stop.
        while !draining || !connections.is_empty() || !errands.is_empty() || !errands_new.is_empty() {
            tokio::select! {
                _ = phase.wait_for(|phase| *phase >= Phase::Draining), if !draining => draining = true,
                Some(accepted) = inbox.recv(), if !draining => {
                    let purpose = shared.purposes[accepted.listener].clone();
                    let guard = Load { load: Arc::clone(&load), thread: Rc::clone(&thread) };
                    connections.spawn_local(serve_one(guard, accepted, purpose));
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                Some(errand) = errands_new.recv() => drop(errands.spawn_local(errand)),
                Some(_) = errands.join_next(), if !errands.is_empty() => {}
                _ = shared_closing(shared.phase.clone()), if draining => break,
            }
        }
    }
}

async fn shared_closing(mut phase: watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase >= Phase::Closing).await;
}

/// Counts a connection while it lives.
struct Load<M> {
    load: Arc<AtomicUsize>,
    thread: Rc<Thread<M>>,
}

impl<M> Drop for Load<M> {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Relaxed);
        self.thread.shard.connections.store(self.load.load(Relaxed) as u64, Relaxed);
    }
}

async fn serve_one<M: Member>(guard: Load<M>, accepted: Accepted, purpose: Purpose) {
    let Accepted { socket, remote, permit, .. } = accepted;
    guard.thread.shard.connections.store(guard.load.load(Relaxed) as u64, Relaxed);
    let socket = match socket {
        RawStream::Tcp(stream) => TcpStream::from_std(stream).map(Socket::Tcp),
        RawStream::Unix(stream) => UnixStream::from_std(stream).map(Socket::Unix),
    };
    // A socket that cannot be registered is closed.
    if let Ok(socket) = socket {
        let incoming = Incoming { socket, remote, traffic: purpose.traffic, tls: purpose.tls };
        connection::serve(Rc::clone(&guard.thread), incoming).await;
    }
    drop(permit);
}

/// Counts up whenever the member has been without a leader for too long (contract/semantics.md 5.16).
async fn watch_leader<M: Member>(member: M, election_timeout: Duration, lost: watch::Sender<u64>) {
    let mut ticks = interval(election_timeout.max(Duration::from_millis(1)));
    let mut without = 0;
    loop {
        ticks.tick().await;
        without = if member.has_leader() { 0 } else { without + 1 };
        if without >= LEADERLESS_TIMEOUTS_MAX {
            lost.send_modify(|count| *count += 1);
        }
    }
}
