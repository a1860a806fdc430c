//! Hashes by etcd's own code: recorded ones of compactions, and of databases that this store wrote.
//!
//! For the latter `MAINSTAY_ETCDUTL` names an `etcdutl` binary of etcd 3.7; `MAINSTAY_CASES` how many databases to compare (20).
//! They are skipped when the first is not set.

use std::{fs, path::Path, process::Command};

use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};

use types::KeyRange;

use super::{
    harness::{Harness, TxnOp},
    random::{Held, acts, run},
};
use crate::KvHash;

#[test]
fn etcd_hashes_our_databases_the_same() {
    let Ok(etcdutl) = std::env::var("MAINSTAY_ETCDUTL") else {
        println!("skipped: MAINSTAY_ETCDUTL is not set");
        return;
    };
    let cases = std::env::var("MAINSTAY_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(20);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut runner = TestRunner::deterministic();
    let mut compared = 0;
    for _ in 0..cases {
        let mut harness = Harness::new();
        for act in acts().new_tree(&mut runner).unwrap().current() {
            run(&mut harness, &mut Held::default(), act);
        }
        harness.settle();
        // Stored hashes are etcd's before the restart that `etcdutl` is.
        harness.crash();
        fs::write(&path, harness.file()).unwrap();
        for at in harness.store.compacted().max(1)..=harness.store.revision() {
            assert_eq!(harness.hash(at), hash(&etcdutl, &path, at), "at {at}: {:#?}", harness.model);
            compared += 1;
        }
    }
    println!("{compared} hashes of {cases} databases equal");
}

/// The hash that a compaction computes while it runs cannot be had from a file: these were recorded from a server.
#[test]
fn compactions_store_the_hashes_that_etcd_stores() {
    let mut harness = Harness::new();
    let mut compared = 0;
    for line in include_str!("compaction_hashes.txt").lines().filter(|line| !line.starts_with('#')) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["put", key, value] => drop(harness.put(key, value)),
            ["del", key] => drop(harness.delete(key)),
            ["delall"] => drop(harness.txn(&[TxnOp::Delete(KeyRange::all())])),
            ["compact", at, hash, compacted] => {
                harness.compact(at.parse().unwrap()).unwrap();
                harness.settle();
                let stored = harness.store.compaction_hashes().pop().unwrap();
                let expected = KvHash {
                    hash: hash.parse().unwrap(),
                    revision: at.parse().unwrap(),
                    compacted: compacted.parse().unwrap(),
                };
                assert_eq!(stored, expected);
                compared += 1;
            }
            _ => panic!("{line}"),
        }
    }
    assert_eq!(compared, 16);
}

fn hash(etcdutl: &str, path: &Path, at: i64) -> u32 {
    let at = format!("--rev={at}");
    let output = Command::new(etcdutl).args(["hashkv", "-w", "json", &at]).arg(path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    u32::try_from(answer["hash"].as_u64().unwrap()).unwrap()
}
