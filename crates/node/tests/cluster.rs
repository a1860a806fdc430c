//! Clusters of several members, through the real threads and a network in memory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[path = "support/crew.rs"]
mod crew;
mod support;

use std::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Waker},
    thread,
};

use crew::{Mate, Network, assert_equal_hashes, crew, join, leader, mate_config, url, wait_for};
use node::{BootError, Caller, ClusterRejection, Error, NodeHandle, PeerAddress, Rejection};
use proto::etcdserverpb::{PutRequest, RangeRequest};
use support::{get, put, range, run};
use types::MemberId;

const NAMES: [&str; 3] = ["a", "b", "c"];

fn rejected(rejection: ClusterRejection) -> Error {
    Error::Rejected(Rejection::Cluster(rejection))
}

/// What a member holds itself, whatever the others do.
fn own(mate: &Mate, key: &str) -> Option<String> {
    let request = RangeRequest { key: key.to_string().into(), serializable: true, ..Default::default() };
    let reply = range(&mate.port, request).unwrap();
    reply.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
}

#[test]
fn three_members_replicate_and_do_without_one() {
    let network = Network::default();
    let mut mates = crew(&network, &NAMES);
    let ids = mates[0].members(true);
    assert_eq!(ids.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().len(), 3);
    assert!(ids.iter().all(|member| NAMES.contains(&member.name.as_str()) && !member.is_learner));
    for (n, mate) in mates.iter().enumerate() {
        put(&mate.port, &format!("k{n}"), "1").unwrap();
        assert_eq!(get(&mates[(n + 1) % 3].port, &format!("k{n}")).as_deref(), Some("1"));
    }
    let cluster_version =
        wait_for("the cluster version", || mates[1].member().handle().summary().cluster_version());
    assert_eq!(cluster_version, "3.7.0");

    let first = leader(&mates);
    mates[first].kill(&network);
    let other = (first + 1) % 3;
    // What is sent to the old leader is lost with it.
    let done = wait_for("a write without the old leader", || put(&mates[other].port, "after", "1").ok());
    let last = done.header.unwrap().revision;
    let second = leader(&mates);
    assert_ne!(first, second);
    assert_eq!(get(&mates[other].port, "after").as_deref(), Some("1"));

    mates[first].restart(&network);
    mates[first].published();
    assert_eq!(get(&mates[first].port, "after").as_deref(), Some("1"));
    assert_equal_hashes(&mates, last);
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}

/// Without a quorum nothing is acknowledged. What is proposed while nobody leads waits for the next leader.
#[test]
fn a_minority_acknowledges_nothing_until_it_is_none() {
    let network = Network::default();
    let mut mates = crew(&network, &NAMES);
    let old = leader(&mates);
    network.cut(mates[old].id);
    let (b, c) = ((old + 1) % 3, (old + 2) % 3);
    wait_for("a write of the majority", || put(&mates[b].port, "k", "majority").ok());
    wait_for("the old leader to step down", || (mates[old].status().leader == 0).then_some(()));
    let request = PutRequest { key: "late".into(), value: "v".into(), ..Default::default() };
    let port = mates[old].port.clone();
    let mut call = pin!(port.put(Caller::default(), request));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // Answers come in order: a refusal would be here, too.
    assert_eq!(own(&mates[old], "k"), None, "a serializable read is old");
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    network.mend(mates[old].id);
    run(&port, call).unwrap();
    assert_eq!(get(&mates[c].port, "late").as_deref(), Some("v"));
    assert_eq!(own(&mates[old], "k").as_deref(), Some("majority"));
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}

/// Leadership goes round, and at last its holder stops, while everybody writes over every member: raft drops what comes
/// in between, and still no call fails.
#[test]
fn no_write_is_lost_while_leadership_moves() {
    let network = Network::default();
    let mut mates = crew(&network, &NAMES);
    let over = AtomicBool::new(false);
    let write = |handle: NodeHandle| {
        let (port, mut written) = (handle.port(), 0);
        while !over.load(Ordering::Relaxed) {
            match put(&port, "k", "1") {
                Ok(_) => written += 1,
                Err(error) => return (written, Some(error)),
            }
        }
        (written, None)
    };
    thread::scope(|scope| {
        let writers: Vec<_> = mates
            .iter()
            .map(|mate| (mate.id, mate.member().handle()))
            .map(|(id, handle)| (id, scope.spawn(|| write(handle))))
            .collect();
        for _ in 0..20 {
            let old = leader(&mates);
            mates[old].move_leader(mates[(old + 1) % 3].id).unwrap();
        }
        let old = leader(&mates);
        let stopped = mates[old].id;
        mates[old].stop(&network);
        put(&mates[(old + 1) % 3].port, "k", "1").unwrap();
        put(&mates[(old + 2) % 3].port, "k", "1").unwrap();
        over.store(true, Ordering::Relaxed);
        for (id, writer) in writers {
            let (written, error) = writer.join().unwrap();
            assert!(written > 0);
            assert_eq!(error, (id == stopped).then_some(Error::Stopped), "after {written} writes");
        }
    });
    for mate in mates.iter_mut().filter(|mate| mate.member.is_some()) {
        mate.stop(&network);
    }
}

#[test]
fn a_learner_joins_is_promoted_and_replaces_the_leader() {
    let network = Network::default();
    let mut mates = crew(&network, &NAMES);
    put(&mates[0].port, "k", "1").unwrap();
    let old = leader(&mates);
    let added = mates[(old + 1) % 3].add(&url("d"), true).unwrap();
    let learner = added.member.unwrap();
    assert!(learner.is_learner && learner.name.is_empty() && added.members.len() == 4);
    assert_eq!(added.members.iter().filter(|member| member.is_learner).count(), 1);
    let header = added.header.unwrap();
    assert_eq!((header.revision, header.member_id), (0, mates[(old + 1) % 3].id.0));

    let id = MemberId(learner.id);
    assert_eq!(mates[old].add(&url("e"), true), Err(rejected(ClusterRejection::TooManyLearners)));
    assert_eq!(mates[old].add(&url("a"), false), Err(rejected(ClusterRejection::PeerUrlExists)));
    assert_eq!(mates[old].promote(id), Err(Error::LearnerNotReady));
    assert_eq!(mates[old].promote(MemberId(5)), Err(rejected(ClusterRejection::IdNotFound)));
    assert_eq!(mates[old].promote(mates[old].id), Err(rejected(ClusterRejection::NotLearner)));
    assert_eq!(mates[(old + 1) % 3].promote(id), Err(Error::NotLeader), "the leader has to be asked");
    assert_eq!(mates[old].move_leader(id), Err(Error::BadLeaderTransferee));

    let d = join(&network, "d", &[&mates[old]]);
    assert_eq!(d.id, id);
    d.published();
    assert!(d.member().handle().summary().is_learner() && d.status().is_learner);
    assert_eq!(own(&d, "k").as_deref(), Some("1"));
    assert_eq!(network.peers_of(id).len(), 3);
    mates.push(d);

    let promoted = wait_for("the learner to be ready", || mates[old].promote(id).ok());
    assert!(promoted.members.iter().all(|member| !member.is_learner));
    wait_for("the learner to know", || (!mates[3].member().handle().summary().is_learner()).then_some(()));

    // The leader removes itself, stops, and is missed by nobody.
    let gone = mates[old].id;
    assert_eq!(mates[old].remove(gone).unwrap().members.len(), 3);
    wait_for("the removed member to stop", || mates[old].member().has_ended().then_some(()));
    mates[old].stop(&network);
    let next = leader(&mates);
    put(&mates[next].port, "k", "2").unwrap();
    assert_eq!(get(&mates[3].port, "k").as_deref(), Some("2"));
    let wanted: Vec<PeerAddress> = mates[next]
        .members(true)
        .into_iter()
        .filter(|member| member.id != mates[next].id.0)
        .map(|member| PeerAddress { id: MemberId(member.id), urls: member.peer_ur_ls })
        .collect();
    assert_eq!(network.peers_of(mates[next].id), wanted);
    assert_eq!(mates[next].remove(gone), Err(rejected(ClusterRejection::IdRemoved)));

    // It does not come back.
    let refused =
        node::start(mates[old].config.clone(), std::sync::Arc::new(mates[old].disk.clone())).unwrap_err();
    assert!(
        matches!(&refused, BootError::Mismatch(text) if text.contains("permanently removed")),
        "{refused}"
    );
    mates.remove(old);
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}

/// A member that dies at any point of its joining goes on where it was.
#[test]
fn a_joining_member_survives_power_loss() {
    let network = Network::default();
    let mut mates = crew(&network, &["a"]);
    for n in 0..50 {
        put(&mates[0].port, &format!("k{n}"), "v").unwrap();
    }
    mates[0].add(&url("b"), true).unwrap();
    // Nobody talks to it: it has an empty log when the power goes.
    let mut b = join(&network, "b", &[&mates[0]]);
    network.cut(b.id);
    b.kill(&network);
    // The settings count for a member without a log only.
    b.config.running_cluster = None;
    b.restart(&network);
    b.published();
    b.kill(&network);
    b.restart(&network);
    b.published();
    assert_eq!(own(&b, "k49").as_deref(), Some("v"));
    let id = b.id;
    wait_for("the learner to be ready", || mates[0].promote(id).ok());
    mates.push(b);
    put(&mates[1].port, "k", "quorum of two").unwrap();
    // Of two voters one may go, while both are there.
    mates[0].remove(id).unwrap();
    put(&mates[0].port, "k", "quorum of one").unwrap();
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}

/// `--strict-reconfig-check` (contract/semantics.md 8.3).
#[test]
fn changes_that_endanger_the_quorum_are_refused() {
    let network = Network::default();
    let mut mates = crew(&network, &NAMES);
    let lead = leader(&mates);
    let (down, other) = ((lead + 1) % 3, (lead + 2) % 3);
    network.cut(mates[down].id);
    assert_eq!(mates[lead].add(&url("d"), false), Err(Error::Unhealthy));
    assert_eq!(mates[lead].add(&url("d"), true), Err(Error::Unhealthy), "for learners, too");
    assert_eq!(mates[lead].remove(mates[other].id), Err(Error::Unhealthy));
    assert_eq!(mates[lead].remove(mates[lead].id), Err(Error::Unhealthy));
    mates[lead].remove(mates[down].id).expect("a member that is down protects nothing");
    network.mend(mates[down].id);

    // One of two is down by name: it never started.
    assert_eq!(mates[lead].members(true).len(), 2);
    let added = mates[lead].add(&url("d"), false).unwrap().member.unwrap();
    assert_eq!(mates[lead].add(&url("e"), false), Err(Error::NotEnoughStarted));
    assert_eq!(mates[lead].remove(mates[other].id), Err(Error::NotEnoughStarted));
    mates[lead].remove(MemberId(added.id)).unwrap();
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}

#[test]
fn without_the_check_they_are_not() {
    let network = Network::default();
    let start = |name: &&str| {
        let config = node::Config { strict_reconfig_check: false, ..mate_config(name, &NAMES) };
        Mate::start(&network, config, vfs::SimDisk::new())
    };
    let mut mates: Vec<Mate> = NAMES.iter().map(start).collect();
    mates.iter().for_each(Mate::published);
    let lead = leader(&mates);
    network.cut(mates[(lead + 1) % 3].id);
    let added = mates[lead].add(&url("d"), false).unwrap();
    assert_eq!(added.members.len(), 4);
    network.mend(mates[(lead + 1) % 3].id);
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}

#[test]
fn the_last_voter_stays_whatever_the_flags_say() {
    let network = Network::default();
    let config = node::Config { strict_reconfig_check: false, ..mate_config("a", &["a"]) };
    let mut a = Mate::start(&network, config, vfs::SimDisk::new());
    a.published();
    assert_eq!(a.remove(a.id), Err(Error::NotEnoughStarted));
    put(&a.port, "k", "1").unwrap();
    a.stop(&network);
}

#[test]
fn leadership_moves_when_asked_and_when_the_leader_stops() {
    let network = Network::default();
    let mut mates = crew(&network, &NAMES);
    let old = leader(&mates);
    let next = (old + 1) % 3;
    assert_eq!(mates[next].move_leader(mates[next].id), Err(Error::NotLeader));
    mates[old].move_leader(mates[old].id).unwrap();
    mates[old].move_leader(mates[next].id).unwrap();
    assert_eq!(mates[old].status().leader, mates[next].id.0, "answered when it leads");
    let term = mates[next].status().raft_term;
    mates[next].stop(&network);
    let last = leader(&mates);
    put(&mates[last].port, "k", "1").unwrap();
    assert_eq!(mates[last].status().raft_term, term + 1, "handed over, without a failed election");
    mates.iter_mut().filter(|mate| mate.member.is_some()).for_each(|mate| mate.stop(&network));
}

/// A conf change counts only when the commit index that covers it is durable: whoever starts in an older configuration
/// than the others may count votes that are none.
#[test]
fn a_change_is_applied_when_its_commit_is_durable() {
    let network = Network::default();
    let mut mates = crew(&network, &["a"]);
    for n in 0..10 {
        let is_learner = true;
        let added = mates[0].add(&url(&format!("l{n}")), is_learner).unwrap().member.unwrap();
        let image = mates[0].disk.crash(vfs::CrashPlan::LoseUnsynced);
        let found = wal::read(&image, "/data/member/wal".as_ref(), None).unwrap();
        let change =
            found.entries.iter().rev().find(|entry| entry.kind == types::raft::EntryKind::ConfChange);
        let change = change.expect("the change is in the log");
        let text = String::from_utf8_lossy(&change.data).into_owned();
        assert!(text.contains(&added.id.to_string()), "{text}");
        assert!(found.hard_state.commit >= change.index, "{:?} before {}", found.hard_state, change.index);
        mates[0].remove(MemberId(added.id)).unwrap();
    }
    mates[0].stop(&network);
}
