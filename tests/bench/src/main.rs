//! Load on running members, and paired runs of two clusters.
//!
//! `bench load ADDRESS ...` drives what runs; `bench compare ...` starts clusters of two binaries in turn with equal
//! flags, runs the same loads against each, and prints a table with ratios. CPU time per request is read from the
//! operating system for the whole processes of all members: it is the figure that noise cannot move.
//!
//! `bench ranges`, `bench slow` and `bench storm` hold a server to what it promises when clients ask too much of it;
//! they fail when it does not keep it.

mod authority;
mod client;
mod compare;
mod fanout;
mod load;
mod maintenance;
mod process;
mod ranges;
mod requests;
mod slow;
mod storm;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::{
    client::Target,
    load::{Kind, Load},
};

const USAGE: &str = "usage:
  bench load ADDRESS[,ADDRESS...] KIND [--connections N] [--in-flight N] [--rate N] [--requests N] [--value BYTES] [--keys N]
  bench compare MAINSTAY ETCD [--requests N] [--rounds N] [--keys N] [--members N] [--tls 1] [--pinned 0] [--only WORK,...] [--out DIR]
  bench ranges SERVER [--clients N] [--mib N]            lists of so many MiB at once
  bench slow SERVER [--watchers N] [--connections N] [--rate N] [--value BYTES] [--secs N]
  bench storm SERVER [--requests N]                      logins beside other requests
KIND: put, get (linearizable), serializable, update (a transaction), list, pages, stream (of all keys), grant (a lease), kubernetes
(a mix), login (as root; makes the user and enables authentication). With --rate so many a second are asked, and timed from when due.
WORK: put, put-4k, latency, get, serializable, update, list, kubernetes, watch-100, watch-1000, watch-keys, leases; with --keys
also memory and stalls";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["load", addresses, kind, rest @ ..] => {
            let kind = Kind::from_name(kind).with_context(|| format!("unknown kind {kind}\n{USAGE}"))?;
            let targets: Vec<Target> = addresses.split(',').map(Target::plain).collect();
            let mut load = Load::new(kind);
            options(rest, |name, value| {
                match name {
                    "--connections" => load.connections = value as usize,
                    "--in-flight" => load.in_flight = value as usize,
                    "--rate" => load.rate = Some(value as f64),
                    "--requests" => load.requests = value,
                    "--value" => load.value_bytes = value as usize,
                    "--keys" => load.keys = value,
                    _ => bail!("unknown option {name}\n{USAGE}"),
                }
                Ok(())
            })?;
            println!("{}", load::run(&targets, &load)?);
            Ok(())
        }
        ["compare", mainstay, etcd, rest @ ..] => {
            let mut plan = compare::Plan::new(mainstay, etcd);
            let mut rest = rest.to_vec();
            plan.only = take(&mut rest, "--only")
                .map_or(Vec::new(), |names| names.split(',').map(str::to_string).collect());
            plan.out = take(&mut rest, "--out").map(PathBuf::from);
            options(&rest, |name, value| {
                match name {
                    "--requests" => plan.requests = value,
                    "--rounds" => plan.rounds = value as usize,
                    "--keys" => plan.keys = value,
                    "--members" => plan.members = value as usize,
                    "--tls" => plan.tls = value != 0,
                    "--pinned" => plan.pinned = value != 0,
                    _ => bail!("unknown option {name}\n{USAGE}"),
                }
                Ok(())
            })?;
            compare::run(&plan)
        }
        ["ranges", server, rest @ ..] => {
            let mut plan = ranges::Plan::default();
            options(rest, |name, value| {
                match name {
                    "--clients" => plan.clients = value as usize,
                    "--mib" => plan.mib = value,
                    _ => bail!("unknown option {name}\n{USAGE}"),
                }
                Ok(())
            })?;
            ranges::run(server, &plan)
        }
        ["slow", server, rest @ ..] => {
            let mut plan = slow::Plan::default();
            options(rest, |name, value| {
                match name {
                    "--watchers" => plan.watchers = value as usize,
                    "--connections" => plan.connections = value as usize,
                    "--rate" => plan.rate = value,
                    "--value" => plan.value_bytes = value as usize,
                    "--secs" => plan.secs = value,
                    _ => bail!("unknown option {name}\n{USAGE}"),
                }
                Ok(())
            })?;
            slow::run(server, &plan)
        }
        ["storm", server, rest @ ..] => {
            let mut requests = 20_000;
            options(rest, |name, value| {
                match name {
                    "--requests" => requests = value,
                    _ => bail!("unknown option {name}\n{USAGE}"),
                }
                Ok(())
            })?;
            storm::run(server, requests)
        }
        _ => bail!("{USAGE}"),
    }
}

/// Takes an option out that is no number.
fn take<'a>(words: &mut Vec<&'a str>, name: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == name).filter(|at| at + 1 < words.len())?;
    let value = words.remove(at + 1);
    words.remove(at);
    Some(value)
}

/// `--name value` pairs with whole numbers.
fn options(words: &[&str], mut set: impl FnMut(&str, u64) -> Result<()>) -> Result<()> {
    for pair in words.chunks(2) {
        let [name, value] = pair else { bail!("{} needs a value\n{USAGE}", pair[0]) };
        set(name, value.replace('_', "").parse().with_context(|| format!("{name} {value}"))?)?;
    }
    Ok(())
}
