//! Disks that get full and free again, over and over, under a cluster with a load: nobody stops, nothing is lost, and
//! writes return by themselves. `MAINSTAY_EXHAUSTIVE=1` does it a thousand times.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::{env, time::Duration};

use sim::{FaultKind, Options, run_with};

#[test]
fn disks_get_full_and_free_again() {
    let wanted = if env::var_os("MAINSTAY_EXHAUSTIVE").is_some() { 1_000 } else { 20 };
    let (mut freed, mut refused, mut written) = (0, 0, 0);
    for seed in 1..1_000 {
        // No fault but this one: whoever stops, stops for lack of space.
        let options = Options {
            faults: vec![FaultKind::FullDisk],
            fault_gap: 6_000_000_000,
            think: 100_000_000,
            value_bytes_max: 20_000,
            members: if seed % 4 == 0 { 1 } else { 3 },
            ..Options::steady()
        };
        let report =
            run_with(seed, options, Duration::from_secs(300), false).unwrap_or_else(|f| panic!("{f}"));
        let count = |what: &str| report.counters.get(what).copied().unwrap_or(0);
        freed += count("disk freed");
        refused += count("refused for lack of space");
        written += count("put");
        if freed >= wanted {
            break;
        }
    }
    println!("{freed} cycles, {refused} calls refused, {written} puts");
    assert!(freed >= wanted, "{freed} cycles of {wanted}");
    assert!(refused > wanted, "disks were full: {refused}");
    assert!(written > 20 * wanted, "writes return: {written}");
}
