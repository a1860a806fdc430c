//! Versions of members, of their cluster and of their files, up and down; and how soon a new cluster has a leader.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[path = "support/crew.rs"]
mod crew;
mod support;

use std::time::{Duration, Instant};

use crew::{Mate, Network, crew_with, leader, mate_config, wait_for};
use node::{Caller, Config, Release};
use proto::etcdserverpb::{DowngradeRequest, downgrade_request::DowngradeAction};
use support::{get, put, run};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Waits until every member says this of itself: server, storage version, target of a downgrade.
fn all_are(mates: &[Mate], cluster: &str, status: (&str, &str, &str)) {
    for mate in mates {
        let known = || {
            let now = mate.status();
            let target = now.downgrade_info.map(|info| info.target_version).unwrap_or_default();
            let text = mate.member().handle().summary().cluster_version();
            let same = (now.version.as_str(), now.storage_version.as_str(), target.as_str()) == status;
            (same && text.as_deref() == Some(cluster)).then_some(())
        };
        wait_for(&format!("{cluster} {status:?} at {}", mate.config.name), known);
    }
}

fn restart_all(network: &Network, mates: &mut [Mate], release: Release) {
    for mate in mates {
        mate.stop(network);
        mate.config.release = release;
        mate.restart(network);
        mate.published();
    }
}

#[test]
fn a_cluster_stays_at_the_version_that_a_member_is_and_goes_up_and_down() {
    let network = Network::default();
    let old = |name: &str| Config { release: Release::V3_6, ..mate_config(name, &NAMES) };
    let mut mates = crew_with(&network, &NAMES, old);
    all_are(&mates, "3.6.0", ("3.6.14", "3.6.0", ""));
    put(&mates[0].port, "k", "1").unwrap();

    restart_all(&network, &mut mates, Release::V3_7);
    all_are(&mates, "3.7.0", ("3.7.1", "3.7.0", ""));

    // A member of the older version does not touch the newer files.
    mates[0].stop(&network);
    mates[0].config.release = Release::V3_6;
    assert!(!mates[0].try_restart(&network));
    mates[0].config.release = Release::V3_7;
    mates[0].restart(&network);
    mates[0].published();

    let first = leader(&mates);
    let port = &mates[first].port;
    let enable = DowngradeRequest { action: DowngradeAction::Enable.into(), version: "3.6.0".into() };
    run(port, port.downgrade(Caller::default(), enable)).unwrap();
    all_are(&mates, "3.6.0", ("3.7.1", "3.6.0", "3.6.0"));
    // The last one that arrives ends the downgrade; nothing raises the version again.
    restart_all(&network, &mut mates, Release::V3_6);
    all_are(&mates, "3.6.0", ("3.6.14", "3.6.0", ""));
    assert_eq!(get(&mates[2].port, "k").as_deref(), Some("1"));
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}

/// How long a new cluster takes to its first leader.
fn first_leader(advance: bool) -> (Duration, Duration) {
    let network = Network::default();
    let config = |name: &str| Config {
        election_ticks: 100,
        initial_election_tick_advance: advance,
        ..mate_config(name, &NAMES)
    };
    let timeout = config("a").tick * config("a").election_ticks;
    let begun = Instant::now();
    let mut mates = crew_with(&network, &NAMES, config);
    leader(&mates);
    let took = begun.elapsed();
    mates.iter_mut().for_each(|mate| mate.stop(&network));
    (took, timeout)
}

#[test]
fn the_first_election_comes_before_its_timeout_or_waits_for_all_of_it() {
    let (took, timeout) = first_leader(true);
    assert!(took < timeout, "{took:?} of {timeout:?}");
    let (took, timeout) = first_leader(false);
    assert!(took >= timeout, "{took:?} of {timeout:?}");
}
