//! One load: so many requests of a kind, so many at once, on so many connections.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use prost::Message;
use proto::etcdserverpb::{
    AuthEnableRequest, AuthRoleAddRequest, AuthUserAddRequest, AuthUserGrantRoleRequest, AuthenticateRequest,
    PutRequest, RangeRequest,
};
use tokio::task::LocalSet;

use crate::client::Client;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Put of a random key.
    Put,
    /// Linearizable get of a random key.
    Get,
    /// All keys of the list, in one answer.
    List,
    /// A login, always of the same user: after the first one the password is remembered.
    Login,
}

impl Kind {
    pub(crate) fn from_name(name: &str) -> Option<Kind> {
        match name {
            "put" => Some(Kind::Put),
            "get" => Some(Kind::Get),
            "list" => Some(Kind::List),
            "login" => Some(Kind::Login),
            _ => None,
        }
    }
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    /// Requests in flight on each connection.
    pub(crate) in_flight: usize,
    pub(crate) requests: u64,
    pub(crate) value_bytes: usize,
    /// Keys are drawn from so many; 0 writes each key once, in order.
    pub(crate) keys: u64,
}

impl Load {
    pub(crate) fn new(kind: Kind) -> Load {
        Load { kind, connections: 100, in_flight: 10, requests: 100_000, value_bytes: 256, keys: 100_000 }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
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
            "{} requests in {:.2} s: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms",
            self.requests,
            self.seconds,
            self.rate(),
            self.p50.as_secs_f64() * 1e3,
            self.p99.as_secs_f64() * 1e3
        )
    }
}

/// Runs `load` on this thread; connections go to the addresses in turn.
pub(crate) fn run(addresses: &[String], load: &Load) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, drive(addresses, *load))
}

struct Progress {
    left: Cell<u64>,
    /// Microseconds.
    latencies: RefCell<Vec<u32>>,
    random: Cell<u64>,
}

impl Progress {
    /// The number of the next request; `None` when there is none.
    fn take(&self) -> Option<u64> {
        let left = self.left.get().checked_sub(1)?;
        self.left.set(left);
        Some(left)
    }

    fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        x
    }
}

async fn drive(addresses: &[String], load: Load) -> Result<Outcome> {
    let progress = Rc::new(Progress {
        left: Cell::new(load.requests),
        latencies: RefCell::new(Vec::with_capacity(load.requests as usize)),
        random: Cell::new(0x9e37_79b9_7f4a_7c15),
    });
    let mut clients = Vec::new();
    for address in addresses.iter().cycle().take(load.connections) {
        clients.push(Client::connect(address).await?);
    }
    if load.kind == Kind::Login {
        let first = clients.first().context("a load without connections")?;
        make_user(first).await?;
    }
    let begun = Instant::now();
    let mut workers = Vec::new();
    for client in &clients {
        for _ in 0..load.in_flight {
            workers.push(tokio::task::spawn_local(work(client.clone(), load, Rc::clone(&progress))));
        }
    }
    for worker in workers {
        worker.await??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let mut latencies = progress.latencies.borrow_mut();
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
        Duration::from_micros(latencies.get(place).copied().unwrap_or(0).into())
    };
    Ok(Outcome { requests: load.requests, seconds, p50: at(0.5), p99: at(0.99) })
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

async fn work(client: Client, load: Load, progress: Rc<Progress>) -> Result<()> {
    while let Some(number) = progress.take() {
        let (path, message) = request(&load, number, &progress);
        let begun = Instant::now();
        let reply = client.call(path, &message).await?;
        let micros = begun.elapsed().as_micros().min(u128::from(u32::MAX)) as u32;
        progress.latencies.borrow_mut().push(micros);
        if load.kind == Kind::List {
            anyhow::ensure!(reply.len() > 1_000_000, "a list of {} bytes", reply.len());
        }
    }
    Ok(())
}

fn request(load: &Load, number: u64, progress: &Progress) -> (&'static str, Vec<u8>) {
    let drawn = if load.keys == 0 { number } else { progress.random() % load.keys };
    let key = format!("/registry/bench/namespace/object-{drawn:010}");
    match load.kind {
        Kind::Put => {
            let value = vec![b'v'; load.value_bytes];
            let put = PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
            ("/etcdserverpb.KV/Put", put.encode_to_vec())
        }
        Kind::Get => {
            let range = RangeRequest { key: key.into(), ..RangeRequest::default() };
            ("/etcdserverpb.KV/Range", range.encode_to_vec())
        }
        Kind::Login => (LOGIN, login()),
        Kind::List => {
            let range = RangeRequest {
                key: "/registry/bench/".into(),
                range_end: "/registry/bench0".into(),
                ..RangeRequest::default()
            };
            ("/etcdserverpb.KV/Range", range.encode_to_vec())
        }
    }
}
