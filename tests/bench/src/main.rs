//! Load on running members, and paired runs of two clusters.
//!
//! `bench load ADDRESS ...` drives what runs; `bench compare ...` starts clusters of two binaries in turn with equal
//! flags, runs the same loads against each, and prints a table with ratios. CPU time per request is read from the
//! operating system for the whole processes of all members: it is the figure that noise cannot move.
//!
//! `bench ranges`, `bench slow` and `bench storm` hold a server to what it promises when clients ask too much of it;
//! they fail when it does not keep it.

mod client;
mod compare;
mod load;
mod process;
mod ranges;
mod slow;
mod storm;

use anyhow::{Context, Result, bail};

use crate::load::{Kind, Load};

const USAGE: &str = "usage:
  bench load ADDRESS[,ADDRESS...] KIND [--connections N] [--in-flight N] [--requests N] [--value BYTES] [--keys N]
  bench compare MAINSTAY ETCD [--requests N] [--rounds N] [--keys N] [--members N]
  bench ranges SERVER [--clients N] [--mib N]            lists of so many MiB at once
  bench slow SERVER [--watchers N] [--connections N] [--rate N] [--value BYTES] [--secs N]
  bench storm SERVER [--requests N]                      logins beside other requests
KIND: put, get (linearizable), list (10,000 keys of 1 KiB), login (as root; makes the user and enables authentication)";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["load", addresses, kind, rest @ ..] => {
            let kind = Kind::from_name(kind).with_context(|| format!("unknown kind {kind}\n{USAGE}"))?;
            let addresses: Vec<String> = addresses.split(',').map(str::to_string).collect();
            let mut load = Load::new(kind);
            options(rest, |name, value| {
                match name {
                    "--connections" => load.connections = value as usize,
                    "--in-flight" => load.in_flight = value as usize,
                    "--requests" => load.requests = value,
                    "--value" => load.value_bytes = value as usize,
                    "--keys" => load.keys = value,
                    _ => bail!("unknown option {name}\n{USAGE}"),
                }
                Ok(())
            })?;
            println!("{}", load::run(&addresses, &load)?);
            Ok(())
        }
        ["compare", mainstay, etcd, rest @ ..] => {
            let mut plan = compare::Plan::new(mainstay, etcd);
            options(rest, |name, value| {
                match name {
                    "--requests" => plan.requests = value,
                    "--rounds" => plan.rounds = value as usize,
                    "--keys" => plan.keys = value,
                    "--members" => plan.members = value as usize,
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

/// `--name value` pairs with whole numbers.
fn options(words: &[&str], mut set: impl FnMut(&str, u64) -> Result<()>) -> Result<()> {
    for pair in words.chunks(2) {
        let [name, value] = pair else { bail!("{} needs a value\n{USAGE}", pair[0]) };
        set(name, value.replace('_', "").parse().with_context(|| format!("{name} {value}"))?)?;
    }
    Ok(())
}
