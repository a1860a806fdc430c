//! Lists of a GiB, several at once, by clients that keep nothing of them: a server must not hold what it sends.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use prost::Message;
use proto::etcdserverpb::{PutRequest, RangeRequest, RangeResponse};
use tokio::task::LocalSet;

use crate::{
    client::{Client, PREFIX},
    process::Cluster,
};

/// How much.
pub(crate) struct Plan {
    pub(crate) clients: usize,
    /// Bytes of the list, in values of one MiB.
    pub(crate) mib: u64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { clients: 16, mib: 1024 }
    }
}

/// For all of them, tries again included.
const TIME: Duration = Duration::from_secs(120);
/// What the server may hold beyond what it holds at rest, in bytes.
const BYTES_MAX: u64 = 512 << 20;
/// More entries than a server keeps in memory.
const ENTRIES_KEPT: u64 = 20_000;
const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";

/// Runs it and prints the figures.
///
/// # Errors
/// When the server answers wrongly, too late, or holds too much.
pub(crate) fn run(server: &str, plan: &Plan) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cluster = Cluster::start(server, scratch.path(), 1)?;
    LocalSet::new().block_on(&runtime, fill(&cluster.addresses[0], plan.mib))?;
    cluster.stop()?;
    // What it needed to be filled is not what it needs to be read.
    let cluster = Cluster::start(server, scratch.path(), 1)?;
    LocalSet::new().block_on(&runtime, read(&cluster, plan))?;
    cluster.stop()
}

fn key(n: u64) -> Vec<u8> {
    format!("/big/{n:06}").into_bytes()
}

async fn fill(address: &str, mib: u64) -> Result<()> {
    let client = Client::connect(address).await?;
    for n in 0..mib {
        // No two blocks of it are equal, so that a block in the wrong place shows.
        let value: Vec<u8> = (0..1u64 << 17)
            .flat_map(|i| (n << 32 | i).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
            .collect();
        let put = PutRequest { key: key(n).into(), value: value.into(), ..PutRequest::default() };
        client.call(PUT, &put.encode_to_vec()).await?;
    }
    // Servers keep the newest entries of their log in memory, for other members; these shall not be the large ones.
    for n in 0..ENTRIES_KEPT {
        let put = PutRequest { key: (n % 100).to_string().into(), ..PutRequest::default() };
        client.call(PUT, &put.encode_to_vec()).await?;
    }
    Ok(())
}

/// Length and checksum of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum {
    len: usize,
    crc: u32,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        self.crc = crc32c::crc32c_append(self.crc, bytes);
    }
}

/// What the whole list must be, from its keys one at a time.
async fn expected(client: &Client, mib: u64) -> Result<Sum> {
    let mut sum = Sum { len: 0, crc: 0 };
    for n in 0..mib {
        let request = RangeRequest { key: key(n).into(), ..RangeRequest::default() };
        let reply = client.call(RANGE, &request.encode_to_vec()).await?;
        let mut reply = RangeResponse::decode(&reply[PREFIX..])?;
        ensure!(reply.count == 1, "key {n} is not there");
        reply.count = 0;
        if n > 0 {
            reply.header = None;
        }
        sum.add(&reply.encode_to_vec());
    }
    sum.add(&RangeResponse { count: mib as i64, ..RangeResponse::default() }.encode_to_vec());
    Ok(sum)
}

async fn read(cluster: &Cluster, plan: &Plan) -> Result<()> {
    let address = &cluster.addresses[0];
    let client = Client::connect(address).await?;
    let expected = expected(&client, plan.mib).await?;
    // By now it has given back what its start needed.
    let idle = cluster.resident_bytes()?;
    let clients = connect(address, plan.clients).await?;
    cluster.reset_peak()?;
    let begun = Instant::now();
    let tasks: Vec<_> =
        clients.into_iter().map(|client| tokio::task::spawn_local(list(client, expected, begun))).collect();
    let mut first_try = 0;
    let mut slowest = Duration::ZERO;
    for task in tasks {
        let Listed { tries, took } = task.await??;
        first_try += usize::from(tries == 1);
        slowest = slowest.max(took);
    }
    let above = cluster.resident_peak()?.saturating_sub(idle);
    println!(
        "{} lists of {} MiB at once: {first_try} answered at the first try, all after {:.1} s; {} MiB at rest, at most {} MiB above it",
        plan.clients,
        plan.mib,
        slowest.as_secs_f64(),
        idle >> 20,
        above >> 20
    );
    ensure!(first_try * 2 >= plan.clients, "fewer than half were answered at the first try");
    ensure!(above <= BYTES_MAX, "too much memory");
    Ok(())
}

async fn connect(address: &str, count: usize) -> Result<Vec<Rc<Client>>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(Rc::new(Client::connect(address).await?));
    }
    Ok(clients)
}

struct Listed {
    tries: u32,
    took: Duration,
}

/// Asks until it is answered, as long as there is time.
async fn list(client: Rc<Client>, expected: Sum, begun: Instant) -> Result<Listed> {
    let request = RangeRequest { key: "/big/".into(), range_end: "/big0".into(), ..RangeRequest::default() };
    let request = request.encode_to_vec();
    let mut tries = 0;
    loop {
        tries += 1;
        match sum(&client, &request).await {
            Ok(sum) => {
                ensure!(sum == expected, "the list is {sum:?}, not {expected:?}");
                let took = begun.elapsed();
                ensure!(took <= TIME, "answered after {took:?}");
                return Ok(Listed { tries, took });
            }
            Err(error) => {
                let late = begun.elapsed() > TIME;
                ensure!(!late, error.context(format!("still refused after {tries} tries")));
                // Clients wait before they try again.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn sum(client: &Client, request: &[u8]) -> Result<Sum> {
    let mut body = client.begin(RANGE, request, true).await?;
    let mut sum = Sum { len: 0, crc: 0 };
    let mut prefix = Vec::with_capacity(PREFIX);
    while let Some(chunk) = body.chunk().await? {
        let missing = (PREFIX - prefix.len()).min(chunk.len());
        prefix.extend_from_slice(&chunk[..missing]);
        sum.add(&chunk[missing..]);
    }
    let announced = prefix.last_chunk::<4>().map(|len| u32::from_be_bytes(*len) as usize);
    ensure!(announced.context("no message")? == sum.len, "{announced:?} announced, {} came", sum.len);
    Ok(sum)
}
