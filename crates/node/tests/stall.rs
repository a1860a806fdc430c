//! Disks that stall: leadership goes where the disk works, and stays where no disk does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[path = "support/crew.rs"]
mod crew;
mod support;

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use consensus::MessageKind;
use crew::{Mate, Network, assert_equal_hashes, leader, mate_config, wait_for};
use node::{Caller, Config, Error};
use proto::etcdserverpb::{LeaseGrantRequest, LeaseTimeToLiveRequest, PutRequest};
use support::{get, put, run, stall::StallingDisk};
use vfs::SimDisk;

const NAMES: [&str; 3] = ["a", "b", "c"];
/// Long enough that nobody is elected because the machine is busy.
const TICK: Duration = Duration::from_millis(60);
const ELECTION_TIMEOUT: Duration = Duration::from_millis(600);

fn stalling_crew(network: &Network) -> (Vec<Mate>, Vec<StallingDisk>) {
    let disks: Vec<_> = NAMES.iter().map(|_| SimDisk::new()).collect();
    let stalling: Vec<_> = disks.iter().map(|disk| StallingDisk::new(disk.clone())).collect();
    let start = |(n, name): (usize, &&str)| {
        let config = Config { tick: TICK, ..mate_config(name, &NAMES) };
        Mate::start_through(network, config, disks[n].clone(), Arc::new(stalling[n].clone()))
    };
    let mates: Vec<Mate> = NAMES.iter().enumerate().map(start).collect();
    mates.iter().for_each(Mate::published);
    (mates, stalling)
}

fn stalled_for(mate: &Mate, time: Duration) {
    let summary = mate.member().handle().summary();
    wait_for("the stall to be noticed", || summary.disk_stalled().filter(|stalled| *stalled > time));
}

/// Begins a call, and has the member see it.
fn begin<F: Future>(mate: &Mate, call: Pin<&mut F>) {
    assert!(call.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    mate.status();
}

fn write(key: &'static str) -> PutRequest {
    PutRequest { key: key.into(), value: "v".into(), ..Default::default() }
}

/// The stalled leader's own write is committed by the others; its client learns of it when the disk is back.
#[test]
fn a_leader_whose_disk_stalls_hands_over() {
    let network = Network::default();
    let (mut mates, disks) = stalling_crew(&network);
    let old = leader(&mates);
    let other = (old + 1) % 3;
    let grant = LeaseGrantRequest { id: 7, ttl: 5 };
    run(&mates[old].port, mates[old].port.lease_grant(Caller::default(), grant)).unwrap();
    let term = mates[other].status().raft_term;

    disks[old].stall(true);
    let port = mates[old].port.clone();
    let mut call = pin!(port.put(Caller::default(), write("stalled")));
    begin(&mates[old], call.as_mut());
    stalled_for(&mates[old], Duration::ZERO);
    let new = wait_for("another leader", || {
        let status = mates[other].status();
        mates.iter().position(|mate| mate.id.0 == status.leader && mate.id != mates[old].id)
    });
    assert!(mates[new].status().raft_term > term);
    let done = wait_for("a write without the stalled member", || put(&mates[new].port, "after", "1").ok());
    assert_eq!(get(&mates[new].port, "stalled").as_deref(), Some("v"), "the others had it");
    // The new leader knows when the lease ends; it never ends earlier for a change of leaders.
    let ask = LeaseTimeToLiveRequest { id: 7, keys: false };
    let left = run(&mates[new].port, mates[new].port.lease_time_to_live(Caller::default(), ask)).unwrap();
    assert!(left.ttl >= 4, "{left:?}");

    disks[old].stall(false);
    run(&port, call).unwrap();
    assert_eq!(get(&mates[old].port, "after").as_deref(), Some("1"));
    assert!(mates[old].member().handle().summary().disk_stalled().is_none());
    assert_equal_hashes(&mates, done.header.unwrap().revision);
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}

/// When nobody can be asked to take over, the others find out by silence.
#[test]
fn a_stalled_leader_that_cannot_hand_over_steps_down() {
    let network = Network::default();
    let (mut mates, disks) = stalling_crew(&network);
    network.drop_all(MessageKind::TimeoutNow);
    let old = leader(&mates);
    let other = (old + 1) % 3;
    disks[old].stall(true);
    let port = mates[old].port.clone();
    let mut call = pin!(port.put(Caller::default(), write("stalled")));
    begin(&mates[old], call.as_mut());
    wait_for("another leader", || {
        let leader = mates[other].status().leader;
        (leader != 0 && leader != mates[old].id.0).then_some(())
    });
    wait_for("a write without the stalled member", || put(&mates[other].port, "after", "1").ok());
    disks[old].stall(false);
    // Its leader is gone, and with it the certainty of what became of the write.
    assert!(matches!(run(&port, call), Ok(_) | Err(Error::Timeout | Error::LeaderChanged)));
    assert_eq!(get(&mates[old].port, "stalled").as_deref(), Some("v"));
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}

/// A leader that is no slower than the others stays: an election would gain nothing.
#[test]
fn nobody_hands_over_while_all_disks_stall() {
    let network = Network::default();
    let (mut mates, disks) = stalling_crew(&network);
    let old = leader(&mates);
    let term = mates[old].status().raft_term;
    disks.iter().for_each(|disk| disk.stall(true));
    let port = mates[old].port.clone();
    let mut call = pin!(port.put(Caller::default(), write("k")));
    begin(&mates[old], call.as_mut());
    stalled_for(&mates[old], 3 * ELECTION_TIMEOUT);
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // The leader's first: nobody gets ahead of it.
    disks[old].stall(false);
    disks.iter().for_each(|disk| disk.stall(false));
    run(&port, call).unwrap();
    assert_eq!(leader(&mates), old);
    assert_eq!(mates[old].status().raft_term, term);
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}
