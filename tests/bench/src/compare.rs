//! Two clusters in turn, the same loads, one table.

mod plot;
mod report;
mod works;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use self::{
    report::{Report, Side},
    works::{Bench, WORKS, Work},
};
use crate::{authority::Authority, process};

/// What to compare.
pub(crate) struct Plan {
    mainstay: String,
    etcd: String,
    /// Of the loads that saturate a server; others are sized by it.
    pub(crate) requests: u64,
    pub(crate) rounds: usize,
    /// In each cluster; requests go to all of them.
    pub(crate) members: usize,
    /// Keys of 512 bytes for memory, restarts and stalls; 0 leaves those out.
    pub(crate) keys: u64,
    /// Clients and members show each other certificates.
    pub(crate) tls: bool,
    /// Members on one processor, the generator on another.
    pub(crate) pinned: bool,
    /// Names of works; all, if there are none.
    pub(crate) only: Vec<String>,
    /// Where `bench.json` and plots go.
    pub(crate) out: Option<PathBuf>,
}

/// Processors of members and of the generator.
const CORES: (usize, usize) = (0, 1);

impl Plan {
    pub(crate) fn new(mainstay: &str, etcd: &str) -> Plan {
        Plan {
            mainstay: mainstay.into(),
            etcd: etcd.into(),
            requests: 100_000,
            rounds: 3,
            members: 1,
            keys: 0,
            tls: false,
            pinned: true,
            only: Vec::new(),
            out: None,
        }
    }

    fn works(&self) -> Result<Vec<&'static Work>> {
        if let Some(unknown) = self.only.iter().find(|name| WORKS.iter().all(|work| work.name != **name)) {
            let names: Vec<&str> = WORKS.iter().map(|work| work.name).collect();
            bail!("no work is called {unknown}; there are {}", names.join(", "));
        }
        let wanted = |work: &&Work| {
            let named = self.only.iter().any(|name| name == work.name);
            named || self.only.is_empty() && (self.keys > 0 || !work.needs_keys)
        };
        Ok(WORKS.iter().filter(wanted).collect())
    }
}

/// Runs everything and prints the table.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let works = plan.works()?;
    let scratch = tempfile::tempdir()?;
    let certificates = scratch.path().join("certificates");
    fs::create_dir(&certificates)?;
    let authority = if plan.tls { Some(Authority::create(&certificates)?) } else { None };
    if plan.pinned {
        process::pin(CORES.1)?;
    }
    let mut report = Report::new(plan);
    // What etcd can take at most: loads below that are the same for both.
    let mut etcd_rate = None;
    for round in 0..plan.rounds {
        for work in &works {
            // etcd is the first to be measured, and then each by turns.
            let sides =
                if round % 2 == 0 { [Side::Etcd, Side::Mainstay] } else { [Side::Mainstay, Side::Etcd] };
            for side in sides {
                eprintln!("round {} of {}: {} of {}", round + 1, plan.rounds, work.name, side.name());
                let dir = scratch.path().join("run");
                let command = if side == Side::Etcd { &plan.etcd } else { &plan.mainstay };
                let core = plan.pinned.then_some(CORES.0);
                let authority = authority.as_ref().map(|authority| (authority, certificates.as_path()));
                let bench = Bench { plan, command, dir: &dir, authority, core, etcd_rate };
                let figures =
                    (work.run)(&bench).with_context(|| format!("{} of {}", work.name, side.name()))?;
                if side == Side::Etcd && work.name == works::SATURATION {
                    etcd_rate = figures.first().map(|figure| figure.value);
                }
                report.add(work, side, figures);
                fs::remove_dir_all(&dir)?;
            }
        }
    }
    println!("{}", report.table());
    if let Some(out) = &plan.out {
        fs::create_dir_all(out)?;
        fs::write(out.join("bench.json"), report.json())?;
        if let Some(plot) = report.plot() {
            fs::write(out.join("latency.svg"), plot)?;
        }
    }
    Ok(())
}
