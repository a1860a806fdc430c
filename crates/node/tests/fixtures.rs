//! Directories that real etcd wrote: a member starts on a copy of each and gives the hashes that etcd gave.
//!
//! `MAINSTAY_FIXTURES` names a folder made by `tests/interop/suite/cmd/fixtures`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{env, fs, path::Path, sync::Arc};

use node::{Caller, Config, Port};
use proto::etcdserverpb::{HashKvRequest, LeaseLeasesRequest, MemberListRequest, RangeRequest};
use serde_json::Value;
use support::{config, put, run, start_with};
use vfs::RealDisk;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn directories_of_etcd_give_equal_hashes() {
    let Some(folder) = env::var_os("MAINSTAY_FIXTURES") else {
        println!("skipped: MAINSTAY_FIXTURES is not set");
        return;
    };
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check(&path);
            seen += 1;
        }
    }
    assert!(seen > 0, "no fixture in the folder");
}

fn check(fixture: &Path) {
    let name = fixture.file_name().unwrap().to_string_lossy().into_owned();
    let described = fs::read_to_string(fixture.with_extension("json")).unwrap();
    let described: Value = serde_json::from_str(&described).unwrap();
    let dir = tempfile::tempdir().unwrap();
    copy(fixture, dir.path());
    let config = Config { name: "m0".into(), ..config(dir.path()) };

    let member = start_with(config.clone(), Arc::new(RealDisk));
    let port = member.handle().port();
    let internal = Caller::internal;
    assert_eq!(revision(&port), described["revision"], "{name}");
    let all = RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        count_only: true,
        ..Default::default()
    };
    assert_eq!(run(&port, port.range(internal(), all)).unwrap().count(), described["keys"], "{name}");
    let mut hashes = 0;
    for row in described["hashes"].as_array().unwrap() {
        let revision = row["revision"].as_i64().unwrap();
        let reply = run(&port, port.hash_kv(internal(), HashKvRequest { revision }));
        let reply = reply.unwrap_or_else(|e| panic!("{name} at {revision}: {e}"));
        assert_eq!(Value::from(reply.hash), row["hash"], "{name} at {revision}");
        assert_eq!(reply.compact_revision, row["compact_revision"], "{name} at {revision}");
        hashes += 1;
    }
    let leases = run(&port, port.lease_leases(internal(), LeaseLeasesRequest {})).unwrap().leases.len();
    let members =
        run(&port, port.member_list(internal(), MemberListRequest { linearizable: true })).unwrap().members;
    assert_eq!(members.len(), 1, "{name}");
    println!("{name}: {hashes} hashes equal, {leases} leases");
    let open = put(&port, "mainstay", "was here");
    member.stop().unwrap();

    // And once more on what we wrote.
    let member = start_with(config, Arc::new(RealDisk));
    let port = member.handle().port();
    let expected = described["revision"].as_i64().unwrap() + i64::from(open.is_ok());
    assert_eq!(revision(&port), expected, "{name}");
    member.stop().unwrap();
}

fn revision(port: &Port) -> i64 {
    let request = RangeRequest { key: "x".into(), ..Default::default() };
    run(port, port.range(Caller::internal(), request)).unwrap().header().unwrap().revision
}
