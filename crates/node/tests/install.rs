//! A member that was away for long gets the leader's database.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[path = "support/crew.rs"]
mod crew;
mod support;

use std::sync::Arc;

use bytes::Bytes;
use crew::{Mate, Network, crew_with, leader, mate_config, wait_for};
use node::{Caller, Config, Port, WatchInput, WatchOutput};
use proto::etcdserverpb::{
    HashKvRequest, RangeRequest, SnapshotRequest, WatchCreateRequest, WatchRequest, WatchResponse,
    watch_request::RequestUnion,
};
use support::{compact, put, range, run, stall::StallingDisk};
use vfs::{CrashPlan, Disk, Fault, SimDisk};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Writes that a member misses: more than the others keep.
const MISSED: usize = 250;

/// Members that forget their logs soon.
fn forgetful(name: &str) -> Config {
    Config { snapshot_count: 30, snapshot_catchup_entries: 10, ..mate_config(name, &NAMES) }
}

fn put_many(mate: &Mate, from: usize, count: usize) -> i64 {
    let mut revision = 0;
    for n in from..from + count {
        let value = format!("{n}-{}", "x".repeat(2000));
        revision = put(&mate.port, &format!("k{:02}", n % 40), &value).unwrap().header.unwrap().revision;
    }
    revision
}

/// Writes more than members keep in memory for those who are behind, and has them forget it. Gives the last revision.
fn go_ahead(mate: &Mate) -> i64 {
    let last = put_many(mate, 0, MISSED);
    go_ahead_in_file(mate);
    last
}

/// A member forgets what is in the file, and for a client's snapshot everything gets there.
fn go_ahead_in_file(mate: &Mate) {
    run(&mate.port, mate.port.snapshot(Caller::default(), SnapshotRequest {})).unwrap();
}

/// The revision that a member has come to by itself; 0 when it does not answer.
fn own_revision(mate: &Mate) -> i64 {
    let request = RangeRequest { key: "k00".into(), serializable: true, ..Default::default() };
    range(&mate.port, request).map_or(0, |reply| reply.header.unwrap().revision)
}

fn hash(mate: &Mate, revision: i64) -> Option<u32> {
    let reply = run(&mate.port, mate.port.hash_kv(Caller::default(), HashKvRequest { revision }));
    reply.ok().map(|reply| reply.hash)
}

fn watch(port: &Port, start_revision: i64) -> (WatchInput, WatchOutput) {
    let (input, output) = port.open_watch(Caller::default());
    let create = WatchCreateRequest {
        key: Bytes::from_static(b"k"),
        range_end: Bytes::from_static(b"l"),
        start_revision,
        prev_kv: true,
        ..Default::default()
    };
    input.send(WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) });
    (input, output)
}

/// The revisions of events until `last` has come.
fn revisions_until(port: &Port, output: &mut WatchOutput, last: i64) -> Vec<i64> {
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        let frame = run(port, output.next()).unwrap().unwrap();
        let reply: WatchResponse =
            prost::Message::decode(&[frame.head(), frame.body()].concat()[..]).unwrap();
        assert!(!reply.canceled, "{}", reply.cancel_reason);
        for event in reply.events {
            let kv = event.kv.unwrap();
            assert!(kv.version == 1 || event.prev_kv.is_some(), "{kv:?}");
            seen.push(kv.mod_revision);
        }
    }
    seen
}

/// A follower of a new cluster, cut off; and what the others have come to since.
struct Lag {
    network: Network,
    mates: Vec<Mate>,
    behind: usize,
    ahead: usize,
    /// Revision of the last write.
    begun: i64,
}

fn fall_behind() -> Lag {
    let network = Network::default();
    let mates = crew_with(&network, &NAMES, forgetful);
    let begun = put_many(&mates[0], 0, 5);
    let ahead = leader(&mates);
    let behind = (ahead + 1) % 3;
    Lag { network, mates, behind, ahead, begun }
}

/// The follower's watchers see each revision once, in order, whether their last event was before the snapshot or not.
#[test]
fn watchers_on_a_lagging_follower_miss_nothing() {
    let Lag { network, mut mates, behind, ahead, begun } = fall_behind();
    wait_for("the follower", || (own_revision(&mates[behind]) == begun).then_some(()));
    let port = mates[behind].port.clone();
    let (_input, mut synced) = watch(&port, begun);
    let (_other, mut future) = watch(&port, begun + MISSED as i64 + 10);
    assert_eq!(revisions_until(&port, &mut synced, begun), [begun]);
    for round in 1..=2 {
        network.cut(mates[behind].id);
        let last = go_ahead(&mates[ahead]);
        network.mend(mates[behind].id);
        wait_for("the snapshot", || (network.snapshots() >= round).then_some(()));
        wait_for("the follower", || (own_revision(&mates[behind]) == last).then_some(()));
        let first = begun + 1 + MISSED as i64 * (round as i64 - 1);
        assert_eq!(revisions_until(&port, &mut synced, last), (first..=last).collect::<Vec<_>>());
        if round == 2 {
            let expected: Vec<i64> = (begun + MISSED as i64 + 10..=last).collect();
            assert_eq!(revisions_until(&port, &mut future, last), expected);
        }
        assert_eq!(hash(&mates[behind], last), hash(&mates[ahead], last));
    }
    let last = put_many(&mates[behind], 0, 3);
    assert_eq!(revisions_until(&port, &mut synced, last).len(), 3);
    mates[behind].stop(&network);
    mates[behind].restart(&network);
    mates[behind].published();
    assert_eq!(own_revision(&mates[behind]), last);
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}

/// A durable snapshot is acknowledged before it is installed: the leader counts on what came after, and need not send
/// another one because its log has moved on meanwhile.
#[test]
fn writes_go_on_while_a_member_installs() {
    let network = Network::default();
    let disks = NAMES.map(|_| SimDisk::new());
    let stalling: Vec<_> = disks.iter().map(|disk| StallingDisk::new(disk.clone())).collect();
    let start = |n: usize| {
        let shared = Arc::new(stalling[n].clone());
        Mate::start_through(&network, forgetful(NAMES[n]), disks[n].clone(), shared)
    };
    let mut mates: Vec<Mate> = (0..3).map(start).collect();
    mates.iter().for_each(Mate::published);
    let ahead = leader(&mates);
    let (behind, other) = ((ahead + 1) % 3, (ahead + 2) % 3);
    network.cut(mates[behind].id);
    let missed = go_ahead(&mates[ahead]);
    stalling[behind].stall_replacing(true);
    network.mend(mates[behind].id);
    wait_for("the snapshot", || (network.snapshots() > 0).then_some(()));
    // Without this one nothing is acknowledged that the member who installs does not have.
    network.cut(mates[other].id);
    let last = put_many(&mates[ahead], 0, MISSED);
    assert!(own_revision(&mates[behind]) < missed, "it was not held up");
    stalling[behind].stall_replacing(false);
    wait_for("the follower", || (own_revision(&mates[behind]) == last).then_some(()));
    assert_eq!(hash(&mates[behind], last), hash(&mates[ahead], last));
    network.mend(mates[other].id);
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}

/// A list that began before the snapshot goes on from what it was.
#[test]
fn a_list_under_way_goes_on_from_the_old_state() {
    let Lag { network, mut mates, behind, ahead, .. } = fall_behind();
    for n in 0..5_000 {
        if n % 500 == 0 {
            compact(&mates[ahead].port, own_revision(&mates[ahead]), false).unwrap();
        }
        put(&mates[ahead].port, &format!("list/{n:05}"), "v").unwrap();
    }
    let last = put_many(&mates[ahead], 0, 1);
    wait_for("the follower", || (own_revision(&mates[behind]) == last).then_some(()));
    let port = mates[behind].port.clone();
    let everything = RangeRequest {
        key: Bytes::from_static(b"list/"),
        range_end: Bytes::from_static(b"list0"),
        serializable: true,
        ..Default::default()
    };
    let mut list = run(&port, port.range(Caller::default(), everything)).unwrap();
    let mut bytes: Vec<u8> = run(&port, list.next_piece(1000)).unwrap().unwrap().to_vec();
    // A slow machine may have needed one before: the log is short.
    let before = network.snapshots();
    network.cut(mates[behind].id);
    let last = go_ahead(&mates[ahead]);
    network.mend(mates[behind].id);
    wait_for("the follower", || (own_revision(&mates[behind]) == last).then_some(()));
    assert!(network.snapshots() > before);
    while let Some(piece) = run(&port, list.next_piece(1000)).unwrap() {
        bytes.extend_from_slice(&piece);
    }
    let reply: proto::etcdserverpb::RangeResponse = prost::Message::decode(&bytes[..]).unwrap();
    assert_eq!((reply.kvs.len(), reply.count), (5_000, 5_000));
    assert!(reply.kvs.iter().all(|kv| kv.value == "v"));
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}

/// The power goes at an I/O of the installation: the member starts on whatever that leaves, and comes to the same state.
#[test]
fn power_loss_at_any_point_of_the_installation() {
    let every = if std::env::var_os("MAINSTAY_EXHAUSTIVE").is_some() { 1 } else { 7 };
    let Lag { network, mut mates, behind, ahead, .. } = fall_behind();
    mates[behind].kill(&network);
    let old = mates[behind].disk.clone();
    let last = go_ahead(&mates[ahead]);
    let third = 3 - ahead - behind;
    wait_for("the third", || (own_revision(&mates[third]) == last).then_some(()));
    go_ahead_in_file(&mates[third]);
    let (mut number, mut images) = (0, 0);
    loop {
        let disk = old.crash(CrashPlan::KeepUnsynced);
        disk.fail_at(number, Fault::Crash);
        meet_new_leader(&network, &mates, [ahead, third]);
        mates[behind].disk = disk.clone();
        if mates[behind].try_restart(&network) {
            let mate = &mates[behind];
            let through = || !disk.power_lost() && !mate.member().has_ended();
            wait_for("the end of the power or of the installation", || {
                (!through() || own_revision(mate) == last).then_some(())
            });
            let done = through();
            mates[behind].abandon(&network);
            if done {
                break;
            }
        }
        for plan in [CrashPlan::LoseUnsynced, CrashPlan::KeepUnsynced, CrashPlan::Seeded { seed: number }] {
            images += 1;
            let what = format!("power lost at I/O {number}, {plan:?}");
            meet_new_leader(&network, &mates, [ahead, third]);
            mates[behind].disk = disk.crash(plan);
            assert!(mates[behind].try_restart(&network), "{what}: does not start");
            wait_for(&what, || (own_revision(&mates[behind]) == last).then_some(()));
            assert_eq!(hash(&mates[behind], last), hash(&mates[ahead], last), "{what}");
            mates[behind].stop(&network);
        }
        number += every;
    }
    assert!(images > 20, "only {images} images: the installation was not met");
    assert!(network.snapshots() > 5, "{} snapshots", network.snapshots());
    mates[ahead].stop(&network);
    mates[third].stop(&network);
}

/// A leader that has not heard from the third member yet: who knows what it has acknowledged would wait for ever, since
/// it lives several lives from one disk.
fn meet_new_leader(network: &Network, mates: &[Mate], pair: [usize; 2]) {
    network.cut(mates[3 - pair[0] - pair[1]].id);
    let old = wait_for("a leader of two", || {
        pair.into_iter().find(|place| mates[*place].status().leader == mates[*place].id.0)
    });
    let next = if old == pair[0] { pair[1] } else { pair[0] };
    wait_for("a new leader", || {
        let _ = mates[old].move_leader(mates[next].id);
        (mates[next].status().leader == mates[next].id.0).then_some(())
    });
}

/// A damaged file is refused before raft hears of it.
#[test]
fn a_damaged_database_is_not_taken() {
    let Lag { network, mut mates, behind, ahead, .. } = fall_behind();
    put_many(&mates[ahead], 0, 40);
    let dir = std::path::Path::new("/data/member/snap");
    let image =
        run(&mates[ahead].port, mates[ahead].port.snapshot(Caller::default(), SnapshotRequest {})).unwrap();
    let mut content = vec![0; image.len() as usize];
    image.read_at(0, &mut content).unwrap();
    let applied = mates[ahead].status().raft_applied_index;
    let disk: Arc<dyn Disk> = Arc::new(mates[behind].disk.clone());
    let path = dir.join("tmp2");
    let file = disk.open(&path, vfs::OpenMode::Create).unwrap();
    file.write_all_at(&content, 0).unwrap();
    assert_eq!(node::check_received(Arc::clone(&disk), &path, applied), Ok(()));
    let late = node::check_received(Arc::clone(&disk), &path, applied + 1).unwrap_err();
    assert!(late.contains(&format!("not {}", applied + 1)), "{late}");
    let mut found = 0;
    for page in 2..content.len() / 4096 {
        // The head of each page: a flag that no page has.
        let at = page as u64 * 4096 + 8;
        let before = content[at as usize];
        file.write_all_at(&[before ^ 0x80], at).unwrap();
        found += usize::from(node::check_received(Arc::clone(&disk), &path, applied).is_err());
        file.write_all_at(&[before], at).unwrap();
    }
    assert!(found > 5, "{found} of {} damaged pages were noticed", content.len() / 4096);
    mates.iter_mut().for_each(|mate| mate.stop(&network));
}
