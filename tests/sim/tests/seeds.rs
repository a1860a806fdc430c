//! The simulator as every change meets it: same seed, same events; and some minutes on seeds that passed before.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::{collections::BTreeSet, time::Duration};

use sim::{Options, Report, run, run_with};

/// `cargo xtask sim --twice 200` is the same for more of them.
const SEEDS_TWICE: u64 = 6;

fn passed(seed: u64, duration: Duration) -> Report {
    run(seed, duration).unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn a_seed_says_everything() {
    let duration = Duration::from_secs(30);
    let mut traces = BTreeSet::new();
    for seed in 0..SEEDS_TWICE {
        let (first, second) = (passed(seed, duration), passed(seed, duration));
        assert_eq!(first, second, "seed {seed} does not replay");
        assert!(first.events > 1000, "seed {seed} is dull: {first:?}");
        traces.insert(first.trace);
    }
    assert_eq!(traces.len() as u64, SEEDS_TWICE, "different seeds are different runs");
}

/// Fresh seeds are for `cargo xtask sim`: what they find is seldom the fault of the change at hand.
#[test]
fn these_seeds_find_nothing() {
    let reports: Vec<Report> = (1..=8).map(|seed| passed(seed, Duration::from_secs(60))).collect();
    let sum = |what: fn(&Report) -> u64| reports.iter().map(what).sum::<u64>();
    assert!(sum(|report| report.checked) > 100, "{reports:?}");
    println!("{} answers checked, {} events", sum(|report| report.checked), sum(|report| report.events));
}

/// With everything switched on at once, every kind of call is answered and members crash and come back.
#[test]
fn a_steady_cluster_does_everything() {
    let options = Options { think: 100_000_000, fault_gap: 3_000_000_000, ..Options::steady() };
    let report = run_with(7, options, Duration::from_secs(120), false).unwrap_or_else(|f| panic!("{f}"));
    for what in [
        "put",
        "delete",
        "txn",
        "range",
        "serializable range",
        "compact",
        "lease grant",
        "lease keepalive",
        "hash",
        "watch opened",
        "watch event",
        "crash",
        "lease expired",
        "term with a leader",
    ] {
        assert!(report.counters.get(what).copied().unwrap_or(0) > 0, "no {what}: {:?}", report.counters);
    }
}
