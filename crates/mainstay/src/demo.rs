//! Members for the eye: one that is served on a loopback port from an empty directory, with a put, a get and a watch on
//! it, or a whole cluster.

mod certificates;
mod cluster;

use std::{net::TcpListener, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use client::{Client, Settings, Watches};
use cmdline::{Flag, Flags, Kind};
use proto::{
    etcdserverpb::{PutRequest, RangeRequest, ResponseHeader, WatchCreateRequest},
    mvccpb::event::EventType,
};
use tokio::runtime;

use crate::{
    corruption::Checks,
    plan,
    server::{Network, Plan, Running},
};

const FLAGS: &[Flag] = &[
    Flag::switch("stay", "one member: go on serving until a signal comes"),
    Flag::new("nodes", Kind::Int, "1", "so many members, with TLS from two on"),
    Flag::new("load", Kind::Int, "0", "a cluster: puts a second"),
    Flag::new("kill-leader-every", Kind::Duration, "0s", "a cluster: kill whoever leads, again and again"),
    Flag::new("for", Kind::Duration, "0s", "a cluster: end after this time; 0 for when a signal comes"),
];

/// Runs the demonstration that the words behind `demo` ask for.
///
/// # Errors
/// When words are not understood, a member does not start, or does not answer as it must.
pub fn run(words: &[String]) -> Result<ExitCode> {
    let mut flags = Flags::of(FLAGS);
    let rest = cmdline::parse_flags(&mut flags, words).map_err(|error| anyhow!("{error}\n\n{}", usage()))?;
    ensure!(rest.is_empty(), "{:?} is not expected here\n\n{}", rest[0], usage());
    let time = |name| {
        Some(flags.nanos(name)).filter(|nanos| *nanos > 0).map(|nanos| Duration::from_nanos(nanos as u64))
    };
    let members = usize::try_from(flags.int("nodes")).ok().filter(|count| (1..=7).contains(count));
    let plan = cluster::Plan {
        members: members.context("--nodes must be between 1 and 7")?,
        load: u64::try_from(flags.int("load")).context("--load is below 0")?,
        kill_every: time("kill-leader-every"),
        time: time("for"),
    };
    if plan.members == 1 && plan.load == 0 && plan.kill_every.is_none() && plan.time.is_none() {
        return one(flags.bool("stay"));
    }
    cluster::run(&plan)?;
    Ok(ExitCode::SUCCESS)
}

fn usage() -> String {
    let line = |flag: &Flag| format!("  --{:<20} {}\n", flag.name, flag.help);
    format!("mainstay demo:\n{}", FLAGS.iter().map(line).collect::<String>())
}

/// One member, shown at work.
fn one(stay: bool) -> Result<ExitCode> {
    let dir = Scratch::new()?;
    let (client, peer) = (free_address()?, free_address()?);
    let client_url = format!("http://{client}");
    let node = node::Config {
        initial_cluster: format!("demo=http://{peer}"),
        advertise_peer_urls: vec![format!("http://{peer}")],
        advertise_client_urls: vec![client_url.clone()],
        ..node::Config::new("demo", &dir.0)
    };
    let network = Network {
        listen: rpc::Listen {
            listeners: vec![rpc::Listener::parse(&client_url, rpc::Traffic::All)?],
            ..rpc::Listen::default()
        },
        ..plan::network_defaults()
    };
    let checks = Checks::default();
    let running = Running::start(Plan { node, peers: None, checks, network })?;
    println!("a member serves {client_url} from {}", dir.0.display());
    // The runtime goes with its connections: the member would wait for them when it stops.
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(show(&client))?;
    if stay {
        println!("it goes on serving; press Ctrl-C to stop it, for example after:");
        println!("  etcdctl --endpoints={client_url} get --prefix greeting");
        crate::server::wait_for_signal()?;
    }
    running.stop()?;
    println!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// A put, a get, and a watch that sees both what was and what comes.
async fn show(address: &str) -> Result<()> {
    let client =
        Client::open(&Settings { endpoints: vec![address.to_owned()], ..Settings::default() }).await?;
    let put = |value: &'static str| PutRequest {
        key: "greeting".into(),
        value: value.into(),
        ..Default::default()
    };
    let reply = client.put(put("hello")).await?;
    println!("put    greeting = hello      at revision {}", revision(reply.header.as_ref()));

    let reply = client.range(RangeRequest { key: "greeting".into(), ..Default::default() }).await?;
    let kv = reply.kvs.first().context("the key that was put is not there")?;
    ensure!(kv.value == "hello", "the value is another one");
    println!("get    greeting = {}      at revision {}", text(&kv.value), revision(reply.header.as_ref()));

    let mut watches = Watches::new(&client, true);
    let start_revision = kv.mod_revision;
    watches.add(WatchCreateRequest { key: "greeting".into(), start_revision, ..Default::default() }).await;
    client.put(put("hello, world")).await?;
    let mut seen = 0;
    while seen < 2 {
        for event in watches.next().await?.reply.events {
            let what = if event.r#type() == EventType::Put { "put" } else { "delete" };
            let kv = event.kv.context("an event without a pair")?;
            println!(
                "watch  {} = {}      {what} at revision {}",
                text(&kv.key),
                text(&kv.value),
                kv.mod_revision
            );
            seen += 1;
        }
    }
    Ok(())
}

fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// A directory that goes with the demonstration.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        let path = std::env::temp_dir().join(format!("mainstay-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
