//! Small clusters under loss, reordering, duplication, partitions and crashes, each run from a seed.
//!
//! Checked throughout: one leader per term, every leader has all that was applied, logs that agree in one entry
//! agree before it, all members apply the same entries, reads see all that was applied before them. After the
//! network heals, a leader is elected and everybody catches up.
//!
//! `CONSENSUS_SEEDS` sets how many seeds per scenario are run.

mod checks;
mod cluster;
mod member;
mod random;

use cluster::{Cluster, Scenario};
use random::Random;

const STEPS: usize = 4000;

fn run(name: &str, scenario: &Scenario) {
    let seeds = std::env::var("CONSENSUS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(300);
    let mut applied = 0;
    for seed in 0..seeds {
        let outcome = std::panic::catch_unwind(|| {
            let mut cluster = Cluster::new(scenario, Random::new(seed));
            for _ in 0..STEPS {
                cluster.random_step();
            }
            cluster.heal();
            cluster.applied()
        });
        match outcome {
            Ok(entries) => applied += entries,
            Err(panic) => {
                println!("scenario {name:?} fails with seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{name}: {seeds} seeds, {applied} entries applied");
    assert!(applied > 20 * seeds, "hardly anything was applied");
}

#[test]
fn defaults() {
    run("defaults", &Scenario::default());
}

#[test]
fn synchronous_writes() {
    run("synchronous writes", &Scenario { asynchronous: false, ..Scenario::default() });
}

#[test]
fn without_pre_vote_and_check_quorum() {
    run("bare elections", &Scenario { guarded: false, ..Scenario::default() });
}

#[test]
fn tiny_messages_and_windows() {
    run("tiny windows", &Scenario { tiny: true, ..Scenario::default() });
}

#[test]
fn conf_changes() {
    run("conf changes", &Scenario { conf_changes: true, ..Scenario::default() });
}

#[test]
fn conf_changes_with_bare_elections() {
    let scenario = Scenario { conf_changes: true, guarded: false, ..Scenario::default() };
    run("conf changes, bare", &scenario);
}

#[test]
fn conf_changes_with_synchronous_writes() {
    let scenario = Scenario { conf_changes: true, asynchronous: false, ..Scenario::default() };
    run("conf changes, synchronous", &scenario);
}

#[test]
fn a_seed_repeats_exactly() {
    let trace = || {
        let mut cluster =
            Cluster::new(&Scenario { conf_changes: true, ..Scenario::default() }, Random::new(77));
        (0..STEPS).for_each(|_| cluster.random_step());
        cluster.heal();
        cluster.trace()
    };
    assert_eq!(trace(), trace());
}
