//! Thousands of watchers that read a message a second, while much is written: they must cost the server little
//! memory, others no time, and themselves no event.

mod crowd;
mod watcher;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
        mpsc::channel,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use prost::Message;
use proto::etcdserverpb::{PutRequest, PutResponse};
use tokio::{
    task::{JoinHandle, LocalSet},
    time::sleep_until,
};

use self::watcher::Watcher;
use crate::{client::Client, process::Cluster};

/// How much of what.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) watchers: usize,
    pub(crate) connections: usize,
    /// Writes a second.
    pub(crate) rate: u64,
    pub(crate) value_bytes: usize,
    pub(crate) secs: u64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { watchers: 10_000, connections: 100, rate: 1000, value_bytes: 3072, secs: 30 }
    }
}

/// Watchers that read what comes, each on a connection of its own.
const FAST: usize = 8;
/// What the server may hold beyond what it holds at rest, in bytes.
const BYTES_MAX: u64 = 512 << 20;
/// From a write's time to its event at a fast watcher.
const P99_MAX: Duration = Duration::from_millis(100);
/// Until then the slow ones' windows fill up: before that nobody can know that they are slow, and each event goes to
/// all of them. Counted apart.
const FILLING: Duration = Duration::from_secs(5);

/// Runs it and prints the figures.
///
/// # Errors
/// When an event is missing, the server holds too much, or fast watchers wait too long.
pub(crate) fn run(server: &str, plan: &Plan) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cluster = Cluster::start(server, scratch.path(), 1)?;
    LocalSet::new().block_on(&runtime, drive(&cluster, plan))?;
    cluster.stop()
}

/// What all share.
struct Test {
    begun: Instant,
    /// The revision of the last write once everything is written; before that -1.
    last: AtomicI64,
    /// What slow watchers got.
    messages: AtomicU64,
    events: AtomicU64,
}

impl Test {
    fn last(&self) -> Option<i64> {
        Some(self.last.load(Relaxed)).filter(|last| *last >= 0)
    }
}

/// What fast watchers and the writer see.
struct Times {
    test: Arc<Test>,
    /// From write to event, in microseconds: while windows fill up, and afterwards.
    latencies: [RefCell<Vec<u32>>; 2],
    /// When the first write was due, from `begun` on.
    writing: Cell<Duration>,
}

async fn drive(cluster: &Cluster, plan: &Plan) -> Result<()> {
    let address = &cluster.addresses[0];
    let writer = Client::connect(address).await?;
    let first = put(&writer, plan, 0, Duration::ZERO).await?;
    let test = Arc::new(Test {
        begun: Instant::now(),
        last: AtomicI64::new(-1),
        messages: AtomicU64::new(0),
        events: AtomicU64::new(0),
    });
    let idle = cluster.resident_bytes()?;
    cluster.reset_peak()?;
    let (ready, opened) = channel();
    let crowd = {
        let (address, plan, test) = (address.clone(), *plan, Arc::clone(&test));
        thread::spawn(move || crowd::run(&address, &plan, first, &test, &ready))
    };
    // Without a word from it, it has failed: what it says itself comes first then.
    if opened.recv().is_err() {
        return crowd.join().map_err(|_| anyhow!("the slow watchers' thread has panicked"))?;
    }
    let times = Rc::new(Times {
        test: Arc::clone(&test),
        latencies: [RefCell::default(), RefCell::default()],
        writing: Cell::default(),
    });
    let mut fast = Vec::new();
    for _ in 0..FAST {
        let client = Client::connect(address).await?;
        let watcher = Watcher::open(&client, first).await?;
        fast.push(tokio::task::spawn_local(read_fast(watcher, Rc::clone(&times))));
    }
    let created = cluster.resident_bytes()?.saturating_sub(idle);
    eprintln!(
        "{} watchers after {:.1} s, {} MiB",
        plan.watchers,
        test.begun.elapsed().as_secs_f64(),
        created >> 20
    );
    let cpu = cluster.cpu_secs()?;
    let put_p99 = write(&writer, plan, &times).await?;
    let (messages, events) = (test.messages.load(Relaxed), test.events.load(Relaxed));
    let cpu = cluster.cpu_secs()? - cpu;
    let above = cluster.resident_peak()?.saturating_sub(idle);
    for task in fast {
        task.await??;
    }
    crowd.join().map_err(|_| anyhow!("the slow watchers' thread has panicked"))??;
    let [filling, latencies] = &times.latencies;
    let first = percentile(&mut filling.borrow_mut(), 1000);
    let mut latencies = latencies.borrow_mut();
    let mut at = |share| percentile(&mut latencies, share);
    let p99 = at(990);
    println!(
        "{} slow watchers on {} connections, {} writes/s of {} bytes for {} s: fast watchers p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, in the first {} s at most {:.1} ms; put p99 {:.1} ms; slow ones got {:.2} messages/s each, {:.1} events a message, none skipped; at most {} MiB above rest, {:.2} processors",
        plan.watchers,
        plan.connections,
        plan.rate,
        plan.value_bytes,
        plan.secs,
        at(500).as_secs_f64() * 1e3,
        p99.as_secs_f64() * 1e3,
        at(999).as_secs_f64() * 1e3,
        FILLING.as_secs(),
        first.as_secs_f64() * 1e3,
        put_p99.as_secs_f64() * 1e3,
        messages as f64 / plan.secs as f64 / plan.watchers as f64,
        events as f64 / messages.max(1) as f64,
        above >> 20,
        cpu / plan.secs as f64
    );
    ensure!(above <= BYTES_MAX, "too much memory");
    ensure!(p99 <= P99_MAX, "fast watchers wait too long");
    Ok(())
}

/// What so many thousandths are at most; zero when there are none.
fn percentile(micros: &mut [u32], share: usize) -> Duration {
    micros.sort_unstable();
    let place = (micros.len() * share / 1000).min(micros.len().saturating_sub(1));
    Duration::from_micros(micros.get(place).copied().unwrap_or(0).into())
}

/// Writes in the rhythm of the plan, whether or not answers come; gives back the 99th percentile of their times, without those
/// of the first seconds.
async fn write(writer: &Client, plan: &Plan, times: &Rc<Times>) -> Result<Duration> {
    let begun = Instant::now();
    let test = &times.test;
    times.writing.set(begun - test.begun);
    let mut puts: Vec<JoinHandle<Result<(i64, Duration, Duration)>>> = Vec::new();
    for n in 0..plan.rate * plan.secs {
        let due = begun + Duration::from_secs_f64(n as f64 / plan.rate as f64);
        if due > Instant::now() {
            sleep_until(due.into()).await;
        }
        let sent = due - test.begun;
        let (writer, test, plan) = (writer.clone(), Arc::clone(test), *plan);
        puts.push(tokio::task::spawn_local(async move {
            let revision = put(&writer, &plan, n, sent).await?;
            Ok((revision, due - begun, test.begun.elapsed() - sent))
        }));
    }
    let (mut last, mut answers) = (0, Vec::new());
    for put in puts {
        let (revision, due, took) = put.await??;
        last = last.max(revision);
        if due >= FILLING {
            answers.push(took);
        }
    }
    test.last.store(last, Relaxed);
    // One more, so that whoever waits for events looks.
    put(writer, plan, 0, test.begun.elapsed()).await?;
    answers.sort_unstable();
    answers.get(answers.len() * 99 / 100).copied().context("all writes were made while windows filled up")
}

async fn put(client: &Client, plan: &Plan, n: u64, sent: Duration) -> Result<i64> {
    let mut value = vec![b'v'; plan.value_bytes.max(8)];
    value[..8].copy_from_slice(&(sent.as_nanos() as u64).to_le_bytes());
    let put = PutRequest {
        key: format!("/slow/{:04}", n % 1000).into(),
        value: value.into(),
        ..PutRequest::default()
    };
    let reply = client.call("/etcdserverpb.KV/Put", &put.encode_to_vec()).await?;
    let reply = PutResponse::decode(&reply[crate::client::PREFIX..])?;
    Ok(reply.header.context("no header")?.revision)
}

async fn read_fast(mut watcher: Watcher, times: Rc<Times>) -> Result<()> {
    let test = &times.test;
    while !watcher.is_done(test) {
        let response = watcher.next().await?;
        let now = test.begun.elapsed();
        for pair in response.events.iter().filter_map(|event| event.kv.as_ref()) {
            let sent = u64::from_le_bytes(pair.value[..8].try_into()?);
            let sent = Duration::from_nanos(sent);
            let took = now.saturating_sub(sent);
            let phase = usize::from(sent >= times.writing.get() + FILLING);
            times.latencies[phase].borrow_mut().push(took.as_micros() as u32);
        }
    }
    Ok(())
}
