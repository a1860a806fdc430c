//! Two clusters in turn, the same loads, one table.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{
    load::{self, Kind, Load},
    process::Cluster,
};

/// What to compare.
pub(crate) struct Plan {
    mainstay: String,
    etcd: String,
    pub(crate) requests: u64,
    pub(crate) rounds: usize,
    /// In each cluster; requests go to all of them.
    pub(crate) members: usize,
    /// Keys of 512 bytes for the memory and restart rows; 0 leaves those out.
    pub(crate) keys: u64,
}

impl Plan {
    pub(crate) fn new(mainstay: &str, etcd: &str) -> Plan {
        Plan {
            mainstay: mainstay.into(),
            etcd: etcd.into(),
            requests: 100_000,
            rounds: 3,
            members: 1,
            keys: 0,
        }
    }
}

/// Figures of one server, by row.
type Figures = Vec<(&'static str, f64)>;

/// Runs everything and prints the table.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        eprintln!("round {} of {}", round + 1, plan.rounds);
        ours.push(measure(&plan.mainstay, plan).context("mainstay")?);
        theirs.push(measure(&plan.etcd, plan).context("etcd")?);
    }
    println!("{} member(s) each\n", plan.members);
    println!("| figure (median of {}) | mainstay | etcd | mainstay / etcd |\n|---|---|---|---|", plan.rounds);
    for row in 0..ours[0].len() {
        let (a, b) = (median(&ours, row), median(&theirs, row));
        println!("| {} | {} | {} | {:.2} |", ours[0][row].0, short(a), short(b), a / b);
    }
    Ok(())
}

fn median(runs: &[Figures], row: usize) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(|run| run[row].1).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn short(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn measure(command: &str, plan: &Plan) -> Result<Figures> {
    let scratch = tempfile::tempdir()?;
    let mut figures = Figures::new();
    let dir = scratch.path().join("small");
    let cluster = Cluster::start(command, &dir, plan.members)?;
    load_row(&cluster, Load { requests: plan.requests, ..Load::new(Kind::Put) }, &PUT, &mut figures)?;
    load_row(&cluster, Load { requests: plan.requests, ..Load::new(Kind::Get) }, &GET, &mut figures)?;
    cluster.stop()?;

    let cluster = Cluster::start(command, &scratch.path().join("list"), plan.members)?;
    let fill = Load { requests: 10_000, value_bytes: 1024, keys: 0, ..Load::new(Kind::Put) };
    load::run(&cluster.addresses, &fill)?;
    let list = Load { requests: 100, connections: 4, in_flight: 1, ..Load::new(Kind::List) };
    load_row(&cluster, list, &LIST, &mut figures)?;
    cluster.stop()?;

    if plan.keys > 0 {
        memory_rows(command, scratch.path().join("memory"), plan, &mut figures)?;
    }
    Ok(figures)
}

/// Names of the rows of one load: rate, p50, p99, CPU.
type Names = [&'static str; 4];
const PUT: Names = ["put/s", "put p50, ms", "put p99, ms", "CPU per put, µs"];
const GET: Names = ["linearizable get/s", "get p50, ms", "get p99, ms", "CPU per get, µs"];
const LIST: Names = ["list of 10,000 × 1 KiB /s", "list p50, ms", "list p99, ms", "CPU per list, µs"];

fn load_row(cluster: &Cluster, load: Load, names: &Names, figures: &mut Figures) -> Result<()> {
    let before = cluster.cpu_secs()?;
    let outcome = load::run(&cluster.addresses, &load)?;
    let cpu = cluster.cpu_secs()? - before;
    figures.push((names[0], outcome.rate()));
    figures.push((names[1], outcome.p50.as_secs_f64() * 1e3));
    figures.push((names[2], outcome.p99.as_secs_f64() * 1e3));
    figures.push((names[3], cpu * 1e6 / outcome.requests as f64));
    Ok(())
}

fn memory_rows(command: &str, dir: PathBuf, plan: &Plan, figures: &mut Figures) -> Result<()> {
    const MIB: f64 = (1 << 20) as f64;
    let cluster = Cluster::start(command, &dir, plan.members)?;
    let fill = Load { requests: plan.keys, value_bytes: 512, keys: 0, ..Load::new(Kind::Put) };
    load::run(&cluster.addresses, &fill)?;
    figures.push(("resident after loading, MiB", cluster.resident_bytes()? as f64 / MIB));
    cluster.stop()?;
    let cluster = Cluster::start(command, &dir, plan.members)?;
    figures.push(("restart to healthy, s", cluster.start_secs));
    figures.push(("resident after restart, MiB", cluster.resident_bytes()? as f64 / MIB));
    cluster.stop()
}
