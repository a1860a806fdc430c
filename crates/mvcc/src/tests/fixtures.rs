//! Databases that real etcd wrote, read here: same contents, same hashes.
//!
//! `MAINSTAY_FIXTURES` names a folder with, per data directory `NAME`, a description `NAME.json` (revision,
//! `compact_revision`, number of `keys`, `hashes` at several revisions) and `NAME.keys.tsv` (hex key, create, mod,
//! version, lease, length of the value), all as told by etcd booted on a copy. Skipped when it is not set.

use std::{fs, path::Path};

use serde_json::Value;
use types::KeyRange;
use vfs::{Disk as _, OpenMode, SimDisk};

use super::harness::{Harness, open_db};
use crate::{KeyValue, Keys};

#[test]
fn databases_of_etcd_read_and_hash_the_same() {
    let Ok(folder) = std::env::var("MAINSTAY_FIXTURES") else {
        println!("skipped: MAINSTAY_FIXTURES is not set");
        return;
    };
    let folder = Path::new(&folder);
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for name in names {
        check(folder, &name);
    }
}

fn check(folder: &Path, name: &str) {
    let described: Value =
        serde_json::from_slice(&fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap();
    let mut harness = load(&folder.join(name).join("member/snap/db"));
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let (revision, compacted) = (number(&described["revision"]), number(&described["compact_revision"]));
    let complete =
        harness.store.revision() == revision && harness.store.compacted().max(0) == compacted.max(0);
    while harness.store.compaction_finished() < harness.store.compacted() {
        harness.settle();
    }
    let mut compared = 0;
    for hash in described["hashes"].as_array().unwrap() {
        let (at, expected) = (number(&hash["revision"]), number(&hash["hash"]));
        let same_compaction = number(&hash["compact_revision"]).max(-1) == harness.store.compacted();
        if at <= harness.store.revision() && same_compaction {
            assert_eq!(i64::from(harness.hash(at)), expected, "{name} at {at}");
            compared += 1;
        }
    }
    if complete {
        assert_eq!(compared, described["hashes"].as_array().unwrap().len(), "{name}");
        assert_eq!(harness.store.key_count() as i64, number(&described["keys"]), "{name}");
        let expected = fs::read_to_string(folder.join(format!("{name}.keys.tsv"))).unwrap();
        assert_eq!(list(&harness), expected.trim_end(), "{name}");
    }
    println!(
        "{name}: revision {} of {revision}, {} keys, {compared} hashes equal",
        harness.store.revision(),
        harness.store.key_count()
    );
}

/// Copies a file into memory and opens it.
fn load(path: &Path) -> Harness {
    let disk = SimDisk::new();
    let file = disk.open(Path::new("/db"), OpenMode::Create).unwrap();
    file.write_all_at(&fs::read(path).unwrap(), 0).unwrap();
    drop(file);
    disk.make_durable();
    let db = open_db(&disk);
    Harness::on(disk, db)
}

/// All pairs as the key files have them.
fn list(harness: &Harness) -> String {
    let listing = harness.store.range(&KeyRange::all(), 0, 0, Keys::Include).unwrap();
    let lines = listing.rows.iter().map(|row| {
        let bytes = harness.store.fetch(row).unwrap();
        let pair = KeyValue::decode(&bytes).unwrap();
        assert_eq!(
            (pair.key, pair.create_revision, pair.mod_revision, pair.version),
            (&row.key[..], row.create_revision, row.rev.main, row.version)
        );
        let key: String = row.key.iter().map(|byte| format!("{byte:02x}")).collect();
        let (create, version, lease) = (row.create_revision, row.version, pair.lease);
        format!("{key}\t{create}\t{}\t{version}\t{lease}\t{}", row.rev.main, pair.value.len())
    });
    lines.collect::<Vec<_>>().join("\n")
}
