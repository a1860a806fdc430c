//! The crate graph and the determinism of the core, as ARCHITECTURE.md states them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Rows from the bottom up; a crate may depend on crates of its own row that are named before it, and on rows below.
const ROWS: [&[&str]; 6] = [
    &["types", "vfs", "proto", "wal", "bolt"],
    &["mvcc", "lease", "auth", "cluster", "consensus", "watch", "state"],
    &["telemetry", "config", "cmdline", "node"],
    &["peer", "rpc", "client", "discovery", "etcdutl", "etcdctl"],
    &["mainstay"],
    &["sim", "e2e", "xtask"],
];

/// Crates that are not in `crates/`, and where they are.
const BESIDE: [(&str, &str); 3] = [("sim", "tests/sim"), ("e2e", "tests/e2e"), ("xtask", "xtask")];

/// Edges that rows allow and we do not want: the rules of the style page, one line each.
const FORBIDDEN: [(&str, &str); 6] = [
    ("lease", "mvcc"), // `lease` hands keys to `state`, `state` deletes them in `mvcc`
    ("mvcc", "lease"),
    ("consensus", "wal"), // the caller syncs
    ("watch", "bolt"),    // history comes through `mvcc`
    ("rpc", "mvcc"),
    ("rpc", "peer"), // the binary mounts one on the other
];

/// Crates whose code decides: same inputs, same outputs.
const DETERMINISTIC: [&str; 11] =
    ["types", "proto", "wal", "bolt", "mvcc", "lease", "auth", "cluster", "consensus", "watch", "state"];

/// What deterministic code never names, and why.
const BANNED: [(&str, &str); 13] = [
    ("std::time::Instant", "clock"),
    ("Instant::now", "clock"),
    ("SystemTime", "clock"),
    ("std::thread", "thread"),
    ("thread::spawn", "thread"),
    ("std::net", "socket"),
    ("std::env", "environment"),
    ("std::fs", "files only through vfs"),
    ("rand::", "randomness"),
    ("getrandom", "randomness"),
    ("HashMap", "iteration order"),
    ("HashSet", "iteration order"),
    ("RandomState", "randomness"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace exists")
}

/// Our crates that `name` depends on, dev-dependencies left out.
fn dependencies(manifest: &str, ours: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut in_dependencies = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line == "[dependencies]";
        } else if in_dependencies {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if ours.contains(name) {
                found.insert(name.to_string());
            }
        }
    }
    found
}

fn manifest_path(name: &str) -> PathBuf {
    let beside = BESIDE.iter().find(|(beside, _)| *beside == name);
    let dir = beside.map_or(format!("crates/{name}"), |(_, dir)| dir.to_string());
    root().join(dir).join("Cargo.toml")
}

#[test]
fn dependencies_point_down_only() {
    let order: Vec<&str> = ROWS.concat();
    let ours: BTreeSet<&str> = order.iter().copied().collect();
    let on_disk: BTreeSet<String> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let is_beside = |name: &str| BESIDE.iter().any(|(beside, _)| *beside == name);
    let listed: BTreeSet<String> =
        ours.iter().filter(|name| !is_beside(name)).map(|name| name.to_string()).collect();
    assert_eq!(on_disk, listed, "a crate is missing in ROWS, or ROWS names one that is gone");

    let position: BTreeMap<&str, usize> = order.iter().enumerate().map(|(i, n)| (*n, i)).collect();
    let mut edges = 0;
    for name in &order {
        let manifest = fs::read_to_string(manifest_path(name)).unwrap();
        for dependency in dependencies(&manifest, &ours) {
            edges += 1;
            assert!(
                position[dependency.as_str()] < position[name],
                "{name} depends on {dependency}, which stands above it"
            );
            assert!(
                !FORBIDDEN.contains(&(name, dependency.as_str())),
                "{name} depends on {dependency}: see FORBIDDEN"
            );
        }
    }
    assert!(edges > 30, "only {edges} edges found: the reading of manifests is broken");
}

fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the directory is readable") {
        let path = entry.expect("the directory is readable").path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Code without comments, and without what follows the first `#[cfg(test)]`: tests may do as they please.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(n, line)| (n + 1, line.split("//").next().unwrap_or_default()))
}

/// Whether a file is nothing but tests.
fn is_test(file: &Path) -> bool {
    file.file_name().is_some_and(|n| n == "tests.rs") || file.iter().any(|part| part == "tests")
}

/// Messages that can hold a transaction: nothing but `proto::decode` bounds how deep these are.
const UNBOUNDED: [&str; 3] = ["TxnRequest::", "RequestOp::", "InternalRaftRequest::"];
/// How `prost` reads a message.
const READING: [&str; 4] = ["decode(", "decode_length_delimited(", "merge(", "merge_length_delimited("];

#[test]
fn transactions_are_decoded_in_one_place() {
    let mut read = 0;
    let mut files = Vec::new();
    rust_files(&root().join("crates"), &mut files);
    for file in files.iter().filter(|file| !is_test(file)) {
        let text = fs::read_to_string(file).unwrap();
        for (number, line) in code(&text) {
            read += 1;
            for message in UNBOUNDED {
                let reads =
                    line.split(message).skip(1).any(|rest| READING.iter().any(|r| rest.starts_with(r)));
                assert!(
                    !reads,
                    "{}:{number}: {message}decode is not bounded: use proto::decode",
                    file.display()
                );
            }
        }
    }
    assert!(read > 10_000, "only {read} lines read: the scan is broken");
}

#[test]
fn core_crates_are_deterministic() {
    let mut read = 0;
    for name in DETERMINISTIC {
        let mut files = Vec::new();
        rust_files(&root().join("crates").join(name).join("src"), &mut files);
        for file in files {
            if is_test(&file) {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in code(&text) {
                read += 1;
                for (word, why) in BANNED {
                    assert!(!line.contains(word), "{}:{number}: {word} ({why})", file.display());
                }
            }
        }
    }
    assert!(read > 1000, "only {read} lines read: the scan is broken");
}
