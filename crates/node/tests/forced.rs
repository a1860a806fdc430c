//! `--force-new-cluster`: what is left of a cluster goes on alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[path = "support/crew.rs"]
mod crew;
mod support;

use std::{
    pin::pin,
    task::{Context, Waker},
};

use crew::{Mate, Network, crew, join, leader, url, wait_for};
use node::Caller;
use proto::etcdserverpb::{PutRequest, RangeRequest};
use support::{get, put, range};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Two of three are gone for good; the third holds an entry that nobody committed.
fn survivor(network: &Network) -> Mate {
    let mut mates = crew(network, &NAMES);
    for n in 0..5 {
        put(&mates[0].port, &format!("k{n}"), "1").unwrap();
    }
    let at = leader(&mates);
    let revision = mates[at].status().header.unwrap().revision;
    wait_for("all writes on the survivor", || (revision_of(&mates[at]) == revision).then_some(()));
    network.cut(mates[at].id);
    let request = PutRequest { key: "unheard".into(), value: "v".into(), ..Default::default() };
    let port = mates[at].port.clone();
    let mut call = pin!(port.put(Caller::default(), request));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // Answers come in order: the core has taken the write, and a graceful stop brings it to the log.
    assert_eq!(revision_of(&mates[at]), revision);
    let mut survivor = mates.swap_remove(at);
    survivor.stop(network);
    mates.iter_mut().for_each(|mate| mate.stop(network));
    survivor.config.force_new_cluster = true;
    survivor
}

fn revision_of(mate: &Mate) -> i64 {
    let request = RangeRequest { key: "k0".into(), serializable: true, ..Default::default() };
    range(&mate.port, request).unwrap().header.unwrap().revision
}

#[test]
fn the_last_of_three_goes_on_with_its_data_and_grows_again() {
    let network = Network::default();
    let mut alone = survivor(&network);
    let (id, cluster) = (alone.id, alone.config.initial_cluster.clone());
    alone.restart(&network);
    alone.published();
    assert_eq!(alone.id, id, "it keeps its id");
    assert_eq!(get(&alone.port, "k4").as_deref(), Some("1"));
    assert_eq!(get(&alone.port, "unheard"), None, "nobody had committed it");
    assert_eq!(alone.members(true).iter().map(|member| member.id).collect::<Vec<_>>(), [id.0]);
    put(&alone.port, "after", "1").unwrap();

    // Without the flag it stays alone, whatever the other flags say.
    alone.stop(&network);
    alone.config.force_new_cluster = false;
    assert_eq!(alone.config.initial_cluster, cluster);
    alone.restart(&network);
    alone.published();
    assert_eq!(alone.members(true).len(), 1);
    assert_eq!(get(&alone.port, "after").as_deref(), Some("1"));

    alone.add(&url("d"), true).unwrap();
    let mut fourth = join(&network, "d", &[&alone]);
    wait_for("the learner to be ready", || alone.promote(fourth.id).ok());
    fourth.published();
    assert_eq!(get(&fourth.port, "k4").as_deref(), Some("1"));
    put(&fourth.port, "both", "1").unwrap();
    assert_eq!(get(&alone.port, "both").as_deref(), Some("1"));
    fourth.stop(&network);
    alone.stop(&network);
}

/// The changes are durable before the member runs: a power loss right after the start changes nothing.
#[test]
fn power_may_go_at_any_time() {
    let network = Network::default();
    let mut alone = survivor(&network);
    for _ in 0..3 {
        alone.restart(&network);
        alone.kill(&network);
    }
    alone.config.force_new_cluster = false;
    alone.restart(&network);
    alone.published();
    assert_eq!(alone.members(true).len(), 1);
    assert_eq!(get(&alone.port, "k0").as_deref(), Some("1"));
    assert_eq!(get(&alone.port, "unheard"), None);
    alone.stop(&network);
}
