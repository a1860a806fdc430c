//! The damage matrix: bits, zeroed and swapped sectors in log, database and side files, at rest and under members that
//! run, in clusters of 1, 3 and 5. Checkers are on as ever: no wrong answer, nothing acknowledged is lost. In clusters
//! the damage heals by itself where the log still names what is lost. `MAINSTAY_EXHAUSTIVE=1` takes a hundred times as
//! much.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::{collections::BTreeMap, env, time::Duration};

use sim::{FaultKind, Options, run_with};

const KINDS: [FaultKind; 3] = [FaultKind::BitRot, FaultKind::ZeroedSector, FaultKind::SwappedSectors];

/// What became of the damage done to clusters of one size.
#[derive(Debug, Default)]
struct Row {
    hurt: u64,
    repaired: u64,
    impossible: u64,
    waited: u64,
    refused: u64,
    checked: u64,
}

fn row(members: usize, kind: FaultKind, seeds: u64) -> Row {
    let mut row = Row::default();
    for seed in 1..=seeds {
        let options = Options {
            members,
            // Members are restarted, so that what lies at rest is met.
            faults: vec![kind, kind, FaultKind::Kill, FaultKind::Stop],
            fault_gap: 4_000_000_000,
            think: 200_000_000,
            snapshot_count: if seed % 2 == 0 { 50 } else { 10_000 },
            catchup_entries: 50,
            ..Options::steady()
        };
        let report =
            run_with(seed, options, Duration::from_secs(300), false).unwrap_or_else(|f| panic!("{f}"));
        let count = |what: &str| report.counters.get(what).copied().unwrap_or(0);
        row.hurt += count("member hurt");
        row.repaired += count("log repaired from others") + count("database repaired from others");
        row.impossible += count("repair was not possible");
        row.waited += count("repair waits for others");
        row.refused += count("hurt member refused to start");
        row.checked += report.checked;
    }
    row
}

#[test]
fn no_damage_gives_a_wrong_answer_and_clusters_heal() {
    let seeds = if env::var_os("MAINSTAY_EXHAUSTIVE").is_some() { 100 } else { 1 };
    let mut sums: BTreeMap<usize, Row> = BTreeMap::new();
    for members in [1, 3, 5] {
        for kind in KINDS {
            let row = row(members, kind, seeds);
            println!("{members} members, {kind:?}: {row:?}");
            let sum = sums.entry(members).or_default();
            sum.hurt += row.hurt;
            sum.repaired += row.repaired;
            sum.impossible += row.impossible;
            sum.checked += row.checked;
        }
    }
    for (members, sum) in &sums {
        assert!(sum.hurt >= 3 * seeds, "{members} members were hurt {} times", sum.hurt);
        if *members > 1 {
            assert!(sum.repaired > 0, "{members} members: nothing was repaired: {sum:?}");
        }
    }
}
