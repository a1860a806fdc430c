//! One load: so many requests of a kind, so many at once, or so many a second.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use prost::Message;
use proto::etcdserverpb::{
    AuthEnableRequest, AuthRoleAddRequest, AuthUserAddRequest, AuthUserGrantRoleRequest, AuthenticateRequest,
};
use tokio::task::LocalSet;

use crate::{
    client::{Client, Target},
    process,
    requests::Worker,
};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Put of a random key.
    Put,
    /// Linearizable get of a random key.
    Get,
    /// The same from whatever the member has.
    SerializableGet,
    /// An update as kube-apiserver makes it: a transaction that puts if the key was not changed, and reads it otherwise.
    Update,
    /// All keys of the list, in one answer.
    List,
    /// The same in pages of 500, with the count.
    PagedList,
    /// The same as a stream.
    StreamedList,
    /// A new lease of an hour.
    Grant,
    /// What a control plane asks: 56 % reads, 40 % updates, 2.5 % leases, 1.5 % pages of a list.
    Kubernetes,
    /// A login, always of the same user: after the first one the password is remembered.
    Login,
}

impl Kind {
    const NAMES: [(&'static str, Kind); 10] = [
        ("put", Kind::Put),
        ("get", Kind::Get),
        ("serializable", Kind::SerializableGet),
        ("update", Kind::Update),
        ("list", Kind::List),
        ("pages", Kind::PagedList),
        ("stream", Kind::StreamedList),
        ("grant", Kind::Grant),
        ("kubernetes", Kind::Kubernetes),
        ("login", Kind::Login),
    ];

    pub(crate) fn from_name(name: &str) -> Option<Kind> {
        Kind::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    /// Requests in flight on each connection.
    pub(crate) in_flight: usize,
    /// Requests a second, however many are in flight: each is timed from when it was due.
    pub(crate) rate: Option<f64>,
    pub(crate) requests: u64,
    pub(crate) value_bytes: usize,
    /// Keys are drawn from so many; 0 writes each key once, in order.
    pub(crate) keys: u64,
}

impl Load {
    pub(crate) fn new(kind: Kind) -> Load {
        Load {
            kind,
            connections: 100,
            in_flight: 10,
            rate: None,
            requests: 100_000,
            value_bytes: 256,
            keys: 100_000,
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    pub(crate) worst: Duration,
    /// CPU seconds of this process.
    pub(crate) own_cpu: f64,
}

impl Outcome {
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests in {:.2} s: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, worst {:.2} ms; {:.1} µs of CPU each for the generator",
            self.requests,
            self.seconds,
            self.rate(),
            millis(self.p50),
            millis(self.p99),
            millis(self.p999),
            millis(self.worst),
            self.own_cpu * 1e6 / self.requests as f64
        )
    }
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Runs `load` on this thread; connections go to the targets in turn.
pub(crate) fn run(targets: &[Target], load: &Load) -> Result<Outcome> {
    blocking(drive(targets, *load))
}

/// Runs one piece of asynchronous work on this thread.
pub(crate) fn blocking<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(13).build()?;
    LocalSet::new().block_on(&runtime, work)
}

/// What the workers of one load share.
pub(crate) struct Progress {
    left: Cell<u64>,
    /// Microseconds.
    latencies: RefCell<Vec<u32>>,
    random: Cell<u64>,
}

impl Progress {
    fn new(load: &Load) -> Progress {
        Progress {
            left: Cell::new(load.requests),
            latencies: RefCell::new(Vec::with_capacity(load.requests as usize)),
            random: Cell::new(0x9e37_79b9_7f4a_7c15),
        }
    }

    /// The number of the next request; `None` when there is none.
    fn take(&self) -> Option<u64> {
        let left = self.left.get().checked_sub(1)?;
        self.left.set(left);
        Some(left)
    }

    pub(crate) fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        x
    }

    fn took(&self, time: Duration) {
        self.latencies.borrow_mut().push(time.as_micros().min(u128::from(u32::MAX)) as u32);
    }

    fn outcome(&self, seconds: f64, own_cpu: f64) -> Outcome {
        let mut latencies = self.latencies.borrow_mut();
        latencies.sort_unstable();
        let at = |share: f64| {
            let place = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
            Duration::from_micros(latencies.get(place).copied().unwrap_or(0).into())
        };
        Outcome {
            requests: latencies.len() as u64,
            seconds,
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            worst: at(1.0),
            own_cpu,
        }
    }
}

/// As [`run`], beside other work of this thread.
pub(crate) async fn drive(targets: &[Target], load: Load) -> Result<Outcome> {
    drive_while(targets, load, &|| false).await
}

/// As [`drive`]; a load with a rate goes on while `busy`.
pub(crate) async fn drive_while(targets: &[Target], load: Load, busy: &dyn Fn() -> bool) -> Result<Outcome> {
    let progress = Rc::new(Progress::new(&load));
    let mut clients = Vec::new();
    for target in targets.iter().cycle().take(load.connections) {
        clients.push(Client::to(target).await?);
    }
    if load.kind == Kind::Login {
        let first = clients.first().context("a load without connections")?;
        make_user(first).await?;
    }
    let cpu = process::cpu_secs(std::process::id())?;
    let begun = Instant::now();
    match load.rate {
        None => closed(&clients, load, &progress).await?,
        Some(rate) => open(&clients, load, rate, &progress, busy).await?,
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(progress.outcome(seconds, process::cpu_secs(std::process::id())? - cpu))
}

/// So many at once.
async fn closed(clients: &[Client], load: Load, progress: &Rc<Progress>) -> Result<()> {
    let mut workers = Vec::new();
    for (number, client) in clients.iter().cycle().take(clients.len() * load.in_flight).enumerate() {
        let mut worker = Worker::new(client.clone(), load, number as u64);
        let progress = Rc::clone(progress);
        workers.push(tokio::task::spawn_local(async move {
            while let Some(number) = progress.take() {
                let begun = Instant::now();
                worker.ask(number, &progress).await?;
                progress.took(begun.elapsed());
            }
            anyhow::Ok(())
        }));
    }
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

/// So many a second. Who is late is late for what it cannot help, too: the time counts from when a request was due.
async fn open(
    clients: &[Client],
    load: Load,
    rate: f64,
    progress: &Rc<Progress>,
    busy: &dyn Fn() -> bool,
) -> Result<()> {
    ensure!(load.kind != Kind::Update, "an update needs the answer to the one before it");
    let begun = Instant::now();
    let mut asked = Vec::new();
    for (number, client) in (0..).zip(clients.iter().cycle()) {
        if number >= load.requests && !busy() {
            break;
        }
        let due = begun + Duration::from_secs_f64(number as f64 / rate);
        // A timer is too coarse. Nothing else is to be done on this processor.
        while Instant::now() < due {
            tokio::task::yield_now().await;
        }
        let mut worker = Worker::new(client.clone(), load, number);
        let progress = Rc::clone(progress);
        asked.push(tokio::task::spawn_local(async move {
            worker.ask(number, &progress).await?;
            progress.took(due.elapsed());
            anyhow::Ok(())
        }));
    }
    for one in asked {
        one.await??;
    }
    Ok(())
}

const USER: &str = "root";
const PASSWORD: &str = "bench";
pub(crate) const LOGIN: &str = "/etcdserverpb.Auth/Authenticate";

/// The login of the user that the load makes.
pub(crate) fn login() -> Vec<u8> {
    AuthenticateRequest { name: USER.into(), password: PASSWORD.into() }.encode_to_vec()
}

/// Makes the user that logs in, unless a run before has.
async fn make_user(client: &Client) -> Result<()> {
    if client.call(LOGIN, &login()).await.is_ok() {
        return Ok(());
    }
    let user = AuthUserAddRequest { name: USER.into(), password: PASSWORD.into(), ..Default::default() };
    let role = AuthRoleAddRequest { name: USER.into() };
    let grant = AuthUserGrantRoleRequest { user: USER.into(), role: USER.into() };
    client.call("/etcdserverpb.Auth/UserAdd", &user.encode_to_vec()).await?;
    client.call("/etcdserverpb.Auth/RoleAdd", &role.encode_to_vec()).await?;
    client.call("/etcdserverpb.Auth/UserGrantRole", &grant.encode_to_vec()).await?;
    client.call("/etcdserverpb.Auth/AuthEnable", &AuthEnableRequest {}.encode_to_vec()).await?;
    client.call(LOGIN, &login()).await?;
    Ok(())
}
