//! Damage on the disk of one member of three, and the others give it back what it lost: processes and their own
//! transport, where `crates/node/tests/repair.rs` has a network of function calls.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::{
    client::Client,
    cluster::Cluster,
    server::{command, poll},
};
use proto::etcdserverpb::{HashKvRequest, PutRequest, RangeRequest};

const KEYS: usize = 300;
const BLOCK: u64 = 4096;

fn put(client: &Client, n: usize) {
    let value = format!("{n}-").repeat(200);
    client.ok(PutRequest { key: format!("key-{n:04}").into(), value: value.into(), ..Default::default() });
}

fn count(client: &Client, serializable: bool) -> i64 {
    let all = RangeRequest {
        key: "key-".into(),
        range_end: "key.".into(),
        serializable,
        count_only: true,
        ..Default::default()
    };
    client.call(all).map_or(-1, |reply| reply.count)
}

/// The newest segment of a log.
fn segment(data: &Path) -> PathBuf {
    let files = fs::read_dir(data.join("member/wal")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "wal")).max().unwrap()
}

fn database(data: &Path) -> PathBuf {
    data.join("member/snap/db")
}

/// Turns over a byte in the middle of each block that holds something, from one on.
fn damage(path: &Path, from: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut changed = 0;
    let mut block = vec![0; BLOCK as usize];
    for at in (from * BLOCK..file.metadata().unwrap().len()).step_by(BLOCK as usize) {
        let read = file.read_at(&mut block, at).unwrap();
        if let Some(place) = (read / 2..read).find(|place| block[*place] != 0) {
            file.write_all_at(&[!block[place]], at + place as u64).unwrap();
            changed += 1;
        }
    }
    assert!(changed > 5, "{} has only {changed} blocks", path.display());
}

fn hash(client: &Client, revision: i64) -> (u32, i64) {
    let hash = client.ok(HashKvRequest { revision });
    (hash.hash, hash.compact_revision)
}

fn caught_up(cluster: &Cluster, hurt: usize, other: usize, keys: usize) {
    let client = cluster.members[hurt].client();
    let found = poll(|| (count(&client, true) == keys as i64).then_some(()));
    assert!(found.is_some(), "it holds {} of {keys}: {}", count(&client, true), cluster.members[hurt].log());
    let revision = client.ok(HashKvRequest::default()).hash_revision;
    assert_eq!(hash(&client, revision), hash(&cluster.members[other].client(), revision));
}

#[test]
fn a_member_with_a_damaged_log_and_database_comes_back_by_itself() {
    let mut cluster = Cluster::start(3, &["--snapshot-count=100"]);
    let (leader, others) = cluster.leader();
    let hurt = others[0];
    let client = cluster.members[leader].client();
    (0..KEYS).for_each(|n| put(&client, n));
    let own = cluster.members[hurt].client();
    assert!(poll(|| (count(&own, true) == KEYS as i64).then_some(())).is_some());
    let data = cluster.members[hurt].data().to_owned();
    let mut keys = KEYS;
    for round in 0..3 {
        // In the first round it stops in good order, then it is killed: rows of the last second may be missing.
        if round == 0 {
            cluster.members[hurt].signal("TERM");
            cluster.members[hurt].wait();
            damage(&segment(&data), 0);
            damage(&database(&data), 2);
        } else {
            cluster.members[hurt].kill();
            match round {
                1 => damage(&database(&data), 2),
                _ => fs::remove_file(database(&data)).unwrap(),
            }
        }
        (keys..keys + 50).for_each(|n| put(&client, n));
        keys += 50;
        cluster.restart(hurt);
        let log = cluster.members[hurt].log();
        assert_eq!(log.contains("repaired the write-ahead log"), round == 0, "{log}");
        assert!(log.contains("replaced the damaged database"), "{log}");
        caught_up(&cluster, hurt, leader, keys);
    }
    assert!(data.join("member/mainstay/db.damaged").exists(), "the damaged file is kept");
}

#[test]
fn a_member_that_meets_damage_while_it_serves_starts_again_with_a_sound_database() {
    let mut cluster = Cluster::start(3, &[]);
    let (leader, others) = cluster.leader();
    let hurt = others[0];
    let client = cluster.members[leader].client();
    // More than the cache of pages holds, so that reads come to the disk.
    let large = "x".repeat(200 << 10);
    (0..KEYS).for_each(|n| {
        let key = format!("key-{n:04}");
        client.ok(PutRequest { key: key.into(), value: large.clone().into(), ..Default::default() });
    });
    let own = cluster.members[hurt].client();
    assert!(poll(|| (count(&own, true) == KEYS as i64).then_some(())).is_some());
    let pid = cluster.members[hurt].pid();
    let data = cluster.members[hurt].data().to_owned();
    damage(&database(&data), 2);
    // Whoever asks now gets what is right, or nothing; what is in memory is still there.
    let met = (0..KEYS).any(|n| {
        let key = format!("key-{n:04}");
        let reply = own.call(RangeRequest { key: key.into(), serializable: true, ..Default::default() });
        reply.is_ok_and(|reply| {
            assert!(reply.kvs[0].value == large, "a wrong answer");
            false
        }) || cluster.members[hurt].log().contains("a read failed")
    });
    assert!(met, "nothing was read from the disk");
    let healed = poll(|| {
        let log = cluster.members[hurt].log();
        let served = log.matches("ready to serve client requests").count() == 2;
        (served && log.contains("replaced the damaged database")).then_some(())
    });
    assert!(healed.is_some(), "{}", cluster.members[hurt].log());
    let client = cluster.client_of(hurt);
    assert!(poll(|| (count(&client, true) == KEYS as i64).then_some(())).is_some());
    assert_eq!(cluster.members[hurt].pid(), pid, "in the same process");
}

/// What `mainstay repair` says is lost; fails when it says that nothing is.
fn binary_repair(data: &Path) -> String {
    let program = command().get_program().to_owned();
    let output = Command::new(program).args(["repair", "--show-loss"]).arg(data).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_lone_member_refuses_and_leaves_everything_as_it_is() {
    let mut cluster = Cluster::start(1, &[]);
    let client = cluster.members[0].client();
    (0..KEYS).for_each(|n| put(&client, n));
    cluster.members[0].signal("TERM");
    cluster.members[0].wait();
    let data = cluster.members[0].data().to_owned();
    damage(&database(&data), 2);
    let before = fs::read(database(&data)).unwrap();
    let fatal = cluster.restart_refused(0).fatal().to_string();
    assert!(fatal.contains("no other member is known") && fatal.contains("damaged"), "{fatal}");
    let shown = binary_repair(&data);
    assert!(shown.contains("bucket key: everything from revision"), "{shown}");
    assert!(shown.contains("nothing is lost; "), "the log is sound: {shown}");
    assert!(fs::read(database(&data)).unwrap() == before, "the file was changed");
}
