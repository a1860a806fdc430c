//! What is measured: each work on a fresh cluster, and its figures.

use std::{cell::Cell, fs, path::Path, time::Instant};

use anyhow::{Context, Result};

use super::Plan;
use crate::{
    authority::Authority,
    fanout::{Crowd, Watched},
    load::{self, Kind, Load, Outcome, millis},
    maintenance,
    process::{Cluster, Setup},
    requests::{PREFIX_KEY, key},
};

/// A piece of the comparison.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    /// For the table.
    pub(crate) what: &'static str,
    /// Whether it is about many keys, and left out where there shall be none.
    pub(crate) needs_keys: bool,
    pub(crate) run: fn(&Bench<'_>) -> Result<Vec<Figure>>,
}

/// A number that was measured.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// What and in which unit.
    pub(crate) name: String,
    pub(crate) value: f64,
}

/// Where a work runs.
pub(crate) struct Bench<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) command: &'a str,
    pub(crate) dir: &'a Path,
    pub(crate) authority: Option<(&'a Authority, &'a Path)>,
    pub(crate) core: Option<usize>,
    /// Puts a second that etcd has answered at most.
    pub(crate) etcd_rate: Option<f64>,
}

/// The work that says how many puts a second etcd can take.
pub(crate) const SATURATION: &str = "put";
/// Shares of that, in percent, at which latencies are measured.
pub(crate) const LEVELS: [u32; 5] = [10, 25, 50, 75, 90];

/// All of them, in the order in which they are run.
pub(crate) const WORKS: &[Work] = &[
    Work { name: SATURATION, what: "put, 256 B", needs_keys: false, run: |bench| puts(bench, 256, 1) },
    Work { name: "put-4k", what: "put, 4 KiB", needs_keys: false, run: |bench| puts(bench, 4096, 4) },
    Work { name: "latency", what: "put, 256 B, at a fixed rate", needs_keys: false, run: latencies },
    Work { name: "get", what: "linearizable get", needs_keys: false, run: |bench| gets(bench, Kind::Get) },
    Work {
        name: "serializable",
        what: "serializable get",
        needs_keys: false,
        run: |bench| gets(bench, Kind::SerializableGet),
    },
    Work { name: "update", what: "update as kube-apiserver does it", needs_keys: false, run: updates },
    Work { name: "list", what: "list of 10,000 × 1 KiB", needs_keys: false, run: lists },
    Work { name: "kubernetes", what: "mixed load of a control plane", needs_keys: false, run: kubernetes },
    Work {
        name: "watch-100",
        what: "100 watchers of one key",
        needs_keys: false,
        run: |bench| one_key(bench, 100),
    },
    Work {
        name: "watch-1000",
        what: "1,000 watchers of one key",
        needs_keys: false,
        run: |bench| one_key(bench, 1_000),
    },
    Work { name: "watch-keys", what: "10,000 watchers of 10,000 keys", needs_keys: false, run: own_keys },
    Work { name: "leases", what: "leases", needs_keys: false, run: leases },
    Work { name: "memory", what: "memory and restart", needs_keys: true, run: memory },
    Work { name: "stalls", what: "puts beside maintenance", needs_keys: true, run: stalls },
];

impl Bench<'_> {
    fn start(&self) -> Result<Cluster> {
        fs::create_dir_all(self.dir)?;
        let Bench { command, dir, authority, core, .. } = *self;
        Cluster::set_up(&Setup { command, dir, members: self.plan.members, authority, core })
    }

    fn requests(&self, share: u64) -> u64 {
        (self.plan.requests / share).max(1)
    }
}

fn figure(name: impl Into<String>, value: f64) -> Figure {
    Figure { name: name.into(), value }
}

/// Rows of a load that saturates the server: rate, latencies, CPU of both sides.
fn saturate(cluster: &Cluster, load: Load, one: &str, figures: &mut Vec<Figure>) -> Result<Outcome> {
    let before = cluster.cpu_secs()?;
    let outcome = load::run(&cluster.targets, &load)?;
    let cpu = cluster.cpu_secs()? - before;
    let each = 1e6 / outcome.requests as f64;
    figures.push(figure(format!("{one}s/s"), outcome.rate()));
    figures.push(figure(format!("{one} p50, ms"), millis(outcome.p50)));
    figures.push(figure(format!("{one} p99, ms"), millis(outcome.p99)));
    figures.push(figure(format!("CPU per {one}, µs"), cpu * each));
    figures.push(figure(format!("generator's CPU per {one}, µs"), outcome.own_cpu * each));
    figures
        .push(figure(format!("generator's processor, {one}s, %"), 100.0 * outcome.own_cpu / outcome.seconds));
    Ok(outcome)
}

fn puts(bench: &Bench<'_>, value_bytes: usize, share: u64) -> Result<Vec<Figure>> {
    let cluster = bench.start()?;
    let load = Load { value_bytes, ..Load::new(Kind::Put) };
    load::run(&cluster.targets, &Load { requests: bench.requests(share * 10), ..load })?;
    let mut figures = Vec::new();
    let before = cluster.written_bytes()?;
    let load = Load { requests: bench.requests(share), ..load };
    let outcome = saturate(&cluster, load, "put", &mut figures)?;
    let written = cluster.written_bytes()? - before;
    figures.push(figure("bytes to disk per put", written as f64 / outcome.requests as f64));
    cluster.stop()?;
    Ok(figures)
}

fn latencies(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let most =
        bench.etcd_rate.context("latencies are measured at shares of etcd's rate: add the work `put`")?;
    let cluster = bench.start()?;
    load::run(&cluster.targets, &Load { requests: bench.requests(10), ..Load::new(Kind::Put) })?;
    let mut figures = Vec::new();
    for level in LEVELS {
        let rate = most * f64::from(level) / 100.0;
        let load = Load { rate: Some(rate), requests: bench.requests(5), ..Load::new(Kind::Put) };
        let outcome = load::run(&cluster.targets, &load)?;
        for (name, time) in [("p50", outcome.p50), ("p99", outcome.p99), ("p99.9", outcome.p999)] {
            figures.push(figure(format!("put {name} at {level} % of etcd's rate, ms"), millis(time)));
        }
    }
    cluster.stop()?;
    Ok(figures)
}

fn gets(bench: &Bench<'_>, kind: Kind) -> Result<Vec<Figure>> {
    let cluster = bench.start()?;
    load::run(&cluster.targets, &Load { requests: 100_000, keys: 0, ..Load::new(Kind::Put) })?;
    let mut figures = Vec::new();
    saturate(&cluster, Load { requests: bench.requests(1), ..Load::new(kind) }, "get", &mut figures)?;
    cluster.stop()?;
    Ok(figures)
}

fn updates(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let cluster = bench.start()?;
    let load = Load { value_bytes: 1024, ..Load::new(Kind::Update) };
    load::run(&cluster.targets, &Load { requests: bench.requests(10), ..load })?;
    let mut figures = Vec::new();
    saturate(&cluster, Load { requests: bench.requests(2), ..load }, "update", &mut figures)?;
    cluster.stop()?;
    Ok(figures)
}

fn lists(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let cluster = bench.start()?;
    let fill = Load { requests: 10_000, value_bytes: 1024, keys: 0, ..Load::new(Kind::Put) };
    load::run(&cluster.targets, &fill)?;
    let mut figures = Vec::new();
    for (kind, one) in
        [(Kind::List, "list"), (Kind::PagedList, "paged list"), (Kind::StreamedList, "streamed list")]
    {
        let requests = bench.requests(1_000);
        let load = Load { requests, connections: 4, in_flight: 1, ..Load::new(kind) };
        saturate(&cluster, load, one, &mut figures)?;
    }
    cluster.stop()?;
    Ok(figures)
}

fn kubernetes(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    const PREFIXES: usize = 100;
    let cluster = bench.start()?;
    load::run(
        &cluster.targets,
        &Load { requests: 100_000, value_bytes: 1024, keys: 0, ..Load::new(Kind::Put) },
    )?;
    // Each prefix holds the keys of ten of the thousand who update.
    let prefix = |n: usize| Watched {
        key: format!("{PREFIX_KEY}namespace/object-{n:09}"),
        range_end: format!("{PREFIX_KEY}namespace/object-{n:09}:"),
    };
    let watched: Vec<Watched> = (0..PREFIXES).map(prefix).collect();
    let load = Load { requests: bench.requests(2), value_bytes: 1024, ..Load::new(Kind::Kubernetes) };
    let before = cluster.cpu_secs()?;
    let outcome = load::blocking(async {
        let _crowd = Crowd::open(&cluster.targets, 10, &watched).await?;
        load::drive(&cluster.targets, load).await
    })?;
    let each = 1e6 / outcome.requests as f64;
    let cpu = cluster.cpu_secs()? - before;
    cluster.stop()?;
    Ok(vec![
        figure("requests/s", outcome.rate()),
        figure("request p50, ms", millis(outcome.p50)),
        figure("request p99, ms", millis(outcome.p99)),
        figure("CPU per request, µs", cpu * each),
        figure("generator's CPU per request, µs", outcome.own_cpu * each),
        figure("generator's processor, requests, %", 100.0 * outcome.own_cpu / outcome.seconds),
    ])
}

/// All watch the same key.
fn one_key(bench: &Bench<'_>, watchers: u64) -> Result<Vec<Figure>> {
    let watched: Vec<Watched> =
        (0..watchers).map(|_| Watched { key: key(0), range_end: String::new() }).collect();
    let puts = (bench.requests(1) * 10 / watchers).max(100);
    watch(
        bench,
        &watched,
        Load { requests: puts, keys: 1, connections: 10, ..Load::new(Kind::Put) },
        watchers,
    )
}

/// Each watches another key.
fn own_keys(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    const KEYS: u64 = 10_000;
    let watched: Vec<Watched> =
        (0..KEYS).map(|n| Watched { key: key(n), range_end: String::new() }).collect();
    watch(bench, &watched, Load { requests: bench.requests(1), keys: KEYS, ..Load::new(Kind::Put) }, 1)
}

/// Puts, of each of which so many watchers hear.
fn watch(bench: &Bench<'_>, watched: &[Watched], load: Load, hearers: u64) -> Result<Vec<Figure>> {
    const CONNECTIONS: usize = 10;
    let cluster = bench.start()?;
    let events = load.requests * hearers;
    let (outcome, cpu, seconds) = load::blocking(async {
        let crowd = Crowd::open(&cluster.targets, CONNECTIONS, watched).await?;
        let before = cluster.cpu_secs()?;
        let begun = Instant::now();
        let outcome = load::drive(&cluster.targets, load).await?;
        crowd.arrived.wait_for(events).await;
        anyhow::Ok((outcome, cluster.cpu_secs()? - before, begun.elapsed().as_secs_f64()))
    })?;
    cluster.stop()?;
    Ok(vec![
        figure("watched puts/s", outcome.rate()),
        figure("events/s", events as f64 / seconds),
        figure("CPU per event, µs", cpu * 1e6 / events as f64),
        figure("generator's processor, watched puts, %", 100.0 * outcome.own_cpu / outcome.seconds),
    ])
}

fn leases(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    const IN_FLIGHT: usize = 1_000;
    let cluster = bench.start()?;
    let mut figures = Vec::new();
    let load = Load { requests: bench.requests(1), ..Load::new(Kind::Grant) };
    saturate(&cluster, load, "grant", &mut figures)?;
    let before = cluster.cpu_secs()?;
    let begun = Instant::now();
    let leases = load::blocking(maintenance::renew_all(&cluster.targets[0], IN_FLIGHT))?;
    figures.push(figure("renewals/s", leases as f64 / begun.elapsed().as_secs_f64()));
    figures.push(figure("CPU per renewal, µs", (cluster.cpu_secs()? - before) * 1e6 / leases as f64));
    cluster.stop()?;
    Ok(figures)
}

const MIB: f64 = (1 << 20) as f64;

fn memory(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let cluster = bench.start()?;
    let fill = Load { requests: bench.plan.keys, value_bytes: 512, keys: 0, ..Load::new(Kind::Put) };
    let before = cluster.cpu_secs()?;
    let filled = load::run(&cluster.targets, &fill)?;
    let mut figures = vec![
        figure("new keys/s", filled.rate()),
        figure("CPU per new key, µs", (cluster.cpu_secs()? - before) * 1e6 / filled.requests as f64),
        figure("resident after loading, MiB", cluster.resident_bytes()? as f64 / MIB),
        figure("of it no file's, MiB", cluster.anonymous_bytes()? as f64 / MIB),
    ];
    cluster.stop()?;
    let cluster = bench.start()?;
    figures.push(figure("restart to healthy, s", cluster.start_secs));
    figures.push(figure("resident after restart, MiB", cluster.resident_bytes()? as f64 / MIB));
    cluster.stop()?;
    Ok(figures)
}

/// The worst put, and the p99, of a steady trickle while a member is looked after.
fn stalls(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    const RATE: f64 = 500.0;
    const CALM_SECS: f64 = 3.0;
    let cluster = bench.start()?;
    // Every key is written twice, so that there is a history to forget.
    for _ in 0..2 {
        let fill = Load { requests: bench.plan.keys, value_bytes: 512, keys: 0, ..Load::new(Kind::Put) };
        load::run(&cluster.targets, &fill)?;
    }
    let target = &cluster.targets[0];
    let mut figures = Vec::new();
    for what in ["nothing", "a snapshot", "a compaction", "a defragmentation"] {
        let busy = Cell::new(true);
        let (outcome, seconds) = load::blocking(async {
            let job = async {
                let begun = Instant::now();
                match what {
                    "a snapshot" => drop(maintenance::snapshot(target).await?),
                    "a compaction" => maintenance::compact(target).await?,
                    "a defragmentation" => maintenance::defragment(target).await?,
                    _ => {}
                }
                busy.set(false);
                anyhow::Ok(begun.elapsed().as_secs_f64())
            };
            let trickle = Load {
                rate: Some(RATE),
                requests: (RATE * CALM_SECS) as u64,
                connections: 10,
                ..Load::new(Kind::Put)
            };
            // As long as the job, at least.
            let beside = async {
                let busy = || busy.get();
                load::drive_while(&cluster.targets, trickle, &busy).await
            };
            tokio::try_join!(beside, job)
        })?;
        figures.push(figure(format!("put p99 beside {what}, ms"), millis(outcome.p99)));
        figures.push(figure(format!("worst put beside {what}, ms"), millis(outcome.worst)));
        if what != "nothing" {
            figures.push(figure(format!("{what} takes, s"), seconds));
        }
    }
    cluster.stop()?;
    Ok(figures)
}
