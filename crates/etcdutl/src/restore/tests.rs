#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::path::PathBuf;

use bolt::{Db, Options};
use cluster::Version;
use sha2::{Digest, Sha256};
use types::{Revision, Write, bucket, bucket::meta};

use super::*;
use crate::{Code, hashkv::hash_kv, status::status};

/// A folder with snapshots that our own writer made, and a place for what is restored.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let bench = Bench { dir: tempfile::tempdir().unwrap() };
        let db = bench.db(300);
        let mut bytes = std::fs::read(&db).unwrap();
        std::fs::write(bench.path("copy.db"), &bytes).unwrap();
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        bytes.extend(digest);
        std::fs::write(bench.path("s.db"), bytes).unwrap();
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Rows of `keys` keys, a tombstone, a member of another cluster, a lease.
    fn db(&self, keys: i64) -> PathBuf {
        let path = self.path("made.db");
        let mut db = Db::open(dbfile::disk(), &path, Options::default()).unwrap();
        for name in bucket::ALL {
            db.create_bucket(name).unwrap();
        }
        let row = |key: &str, revision: i64| {
            let value = [b'v'; 200];
            let fields = mvcc::KeyValue {
                key: key.as_bytes(),
                create_revision: revision,
                mod_revision: revision,
                version: 1,
                value: &value,
                lease: 0,
            };
            let mut row = Vec::new();
            fields.encode(&mut row);
            row
        };
        for n in 0..keys {
            let revision = Revision::new(n + 2, 0);
            let row = row(&format!("key{n}"), revision.main);
            db.apply(&Write::put(bucket::KEY, revision.encode().to_vec(), row)).unwrap();
        }
        let gone = Revision::new(keys + 2, 0);
        let mut tombstone = Vec::new();
        mvcc::KeyValue {
            key: b"key0",
            create_revision: 0,
            mod_revision: 0,
            version: 0,
            value: b"",
            lease: 0,
        }
        .encode(&mut tombstone);
        db.apply(&Write::put(bucket::KEY, gone.encode_tombstone().to_vec(), tombstone)).unwrap();
        let other = cluster::Member { id: types::MemberId(7), ..cluster::Member::default() };
        db.apply(&cluster::member_row(&other)).unwrap();
        for (key, value) in [(meta::TERM, 5_u64), (meta::CONSISTENT_INDEX, 1000)] {
            db.apply(&Write::put(bucket::META, key.to_vec(), value.to_be_bytes().to_vec())).unwrap();
        }
        db.apply(&Write::put(bucket::META, meta::STORAGE_VERSION.to_vec(), "3.7.0")).unwrap();
        db.commit().unwrap();
        path
    }

    fn restore(&self, snapshot: &str, target: &str) -> Restore {
        Restore {
            snapshot: self.text(snapshot),
            name: "default".into(),
            data_dir: self.text(target),
            wal_dir: String::new(),
            advertise_peer_urls: "http://localhost:2380".into(),
            initial_cluster: "default=http://localhost:2380".into(),
            initial_cluster_token: "etcd-cluster".into(),
            skip_hash_check: false,
            memory_map_bytes: 0,
            bump_revision: 0,
            mark_compacted: false,
        }
    }
}

#[test]
fn a_member_of_a_new_cluster() {
    let bench = Bench::new();
    let restore = Restore {
        name: "b".into(),
        initial_cluster: "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3".into(),
        advertise_peer_urls: "http://127.0.0.1:2".into(),
        ..bench.restore("s.db", "r")
    };
    restore.run(Log::Silent).unwrap();
    let db = bench.path("r/member/snap/db");
    let before = status(&bench.path("s.db"), None).unwrap();
    let after = status(&db, None).unwrap();
    assert_eq!((after.revision, after.total_key), (302, 299));
    assert_eq!((before.revision, before.total_key, before.version.as_str()), (302, 299, "3.7.0"));
    assert_eq!(hash_kv(&db, 0, None).unwrap(), hash_kv(&bench.path("s.db"), 0, None).unwrap());

    let log = wal::read(&*dbfile::disk(), &bench.path("r/member/wal"), None).unwrap();
    let opened = dbfile::open(&db, For::Reading, None).unwrap();
    let state = crate::report::small_state(&opened.snapshot()).unwrap();
    let ids: Vec<u64> = state.cluster.members().map(|member| member.id.0).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(log.start.conf_state.voters, ids);
    assert_eq!((log.start.index, log.start.term, log.hard_state.commit), (3, 1, 3));
    assert_eq!(log.hard_state.vote, ids[0]);
    let local = state.cluster.members().find(|member| member.name == "b").unwrap().id;
    assert_eq!(log.metadata.node_id, local);
    assert_eq!(state.cluster.removed().count(), 0);
    let get = |key: &[u8]| opened.snapshot().get(bucket::META, key).unwrap().unwrap();
    assert_eq!(get(meta::CONSISTENT_INDEX), 3_u64.to_be_bytes()[..]);
    assert_eq!(get(meta::TERM), 1_u64.to_be_bytes()[..]);
    let snap = bench.path("r/member/snap/0000000000000001-0000000000000003.snap");
    assert!(wal::snap::read(&*dbfile::disk(), &snap).unwrap().data.starts_with(b"{\"Root\""));
    let report = crate::report::read(&bench.path("r"), None).unwrap();
    assert!(!report.blocked() && report.remarks.is_empty(), "{:?}", report.remarks);
}

#[test]
fn revisions_are_bumped() {
    let bench = Bench::new();
    let restore = Restore { bump_revision: 1000, mark_compacted: true, ..bench.restore("s.db", "r") };
    restore.run(Log::Silent).unwrap();
    let found = hash_kv(&bench.path("r/member/snap/db"), 0, None).unwrap();
    assert_eq!((found.revision, found.compacted), (1302, 1302));
    let too_far = Restore { bump_revision: u64::MAX, mark_compacted: true, ..bench.restore("s.db", "r2") };
    assert!(too_far.run(Log::Silent).unwrap_err().text.contains("too much"));
    let alone = Restore { bump_revision: 1, ..bench.restore("s.db", "r3") };
    assert_eq!(alone.run(Log::Silent).unwrap_err().code, Code::BadArgs);
}

#[test]
fn damage_is_refused_before_anything_is_written() {
    let bench = Bench::new();
    let good = std::fs::read(bench.path("s.db")).unwrap();
    let refused = |bytes: &[u8], skip: bool, what: &str| {
        std::fs::write(bench.path("bad.db"), bytes).unwrap();
        let restore = Restore { skip_hash_check: skip, ..bench.restore("bad.db", "target/r") };
        assert!(restore.run(Log::Silent).is_err(), "{what}");
        assert!(!bench.path("target").exists(), "{what}: something was written");
    };
    let opened = dbfile::open(&bench.path("s.db"), For::Reading, None).unwrap();
    let unused = opened.snapshot().unused_pages().unwrap();
    drop(opened);
    let mut in_use = 0;
    for block in 0..good.len().div_ceil(4096) {
        let at = block * 4096;
        let mut one = good.clone();
        one[at + (block * 37) % 4096.min(good.len() - at)] ^= 1;
        refused(&one, false, &format!("a bit in block {block}"));
        refused(&good[..at], false, &format!("cut before block {block}"));
        if at + 4096 <= good.len() && !unused.contains(block as u64) {
            in_use += 1;
            let mut whole = good.clone();
            whole[at..at + 4096].fill(0xa5);
            refused(&whole, true, &format!("page {block} overwritten"));
            whole[at..at + 4096].fill(0);
            refused(&whole, true, &format!("page {block} zeroed"));
        }
    }
    assert!(in_use > 15, "{in_use}");
    refused(&good[..good.len() - 32], false, "no digest");
    refused(&[&good[..], b"x"].concat(), false, "a byte more");
    refused(b"", false, "nothing");
}

#[test]
fn a_database_file_needs_to_be_asked_for() {
    let bench = Bench::new();
    let error = bench.restore("copy.db", "r").run(Log::Silent).unwrap_err();
    assert_eq!(error.text, "snapshot missing hash but --skip-hash-check=false");
    let skipping = Restore { skip_hash_check: true, ..bench.restore("copy.db", "r") };
    skipping.run(Log::Silent).unwrap();
    // The target is taken now.
    let again = skipping.run(Log::Silent).unwrap_err();
    assert!(again.text.ends_with("not empty or could not be read"), "{again}");
    let elsewhere = Restore { wal_dir: bench.text("r/member/wal"), ..bench.restore("s.db", "r2") };
    assert!(elsewhere.run(Log::Silent).unwrap_err().text.starts_with("wal-dir "));
}

#[test]
fn defragmented_files_hold_the_same_and_less() {
    let bench = Bench::new();
    bench.restore("s.db", "r").run(Log::Silent).unwrap();
    let path = bench.path("r/member/snap/db");
    let before = (hash_kv(&path, 0, None).unwrap(), status(&path, None).unwrap());
    let data_dir = bench.text("r");
    crate::defrag::defrag(&data_dir, None, Log::Silent).unwrap();
    let after = (hash_kv(&path, 0, None).unwrap(), status(&path, None).unwrap());
    assert_eq!((before.0, before.1.hash), (after.0, after.1.hash));
    assert!(after.1.total_size <= before.1.total_size);
    let db = dbfile::open(&path, For::Reading, None).unwrap();
    let held = crate::defrag::defrag(&data_dir, Some(std::time::Duration::ZERO), Log::Silent).unwrap_err();
    assert!(held.text.contains("timeout"), "{held}");
    drop(db);
    let absent = crate::defrag::defrag(&bench.text("absent"), None, Log::Silent).unwrap_err();
    assert!(absent.text.ends_with("no such file or directory)"), "{absent}");
}

#[test]
fn storage_versions_go_there_and_back() {
    let bench = Bench::new();
    bench.restore("s.db", "r").run(Log::Silent).unwrap();
    let stored = || status(&bench.path("r/member/snap/db"), None).unwrap().version;
    let migrate = |minor, force| {
        let target = Version::new(3, minor, 0);
        let data_dir = bench.text("r");
        crate::migrate::Migrate { data_dir, target, force, patience: None }.run(Log::Silent)
    };
    for (minor, version) in [(6, "3.6.0"), (5, ""), (7, "3.7.0"), (7, "3.7.0")] {
        migrate(minor, false).unwrap();
        assert_eq!(stored(), version);
    }
    assert_eq!(
        migrate(9, false).unwrap_err().text,
        "cannot create migration plan: version \"3.8.0\" is not supported"
    );
    assert_eq!(stored(), "3.7.0");
    migrate(9, true).unwrap();
    assert_eq!(stored(), "3.9.0");
    let report = crate::report::read(&bench.path("r"), None).unwrap();
    assert!(report.blocked() && report.to_table().contains("BLOCKS: the storage version is 3.9"));
}

#[test]
fn a_report_says_what_a_snapshot_holds() {
    let bench = Bench::new();
    let report = crate::report::read(&bench.path("s.db"), None).unwrap();
    assert!(!report.blocked());
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["origin"]["sha_256"], "right");
    assert_eq!((&json["keys"]["keys"], &json["keys"]["rows"]), (&299.into(), &301.into()));
    assert_eq!(json["keys"]["revision"], 302);
    assert_eq!(json["versions"]["storage_version"], "3.7.0");
    assert_eq!(json["members"]["members"][0]["id"], "7");
    assert_eq!(json["starts"], true);
    assert!(report.to_table().contains("Nothing here should surprise."), "{}", report.to_table());

    let mut bytes = std::fs::read(bench.path("s.db")).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(bench.path("bad.db"), bytes).unwrap();
    assert!(crate::report::read(&bench.path("bad.db"), None).unwrap().blocked());
    assert!(crate::report::read(&bench.path("absent"), None).is_err());
}

#[test]
fn a_report_says_what_a_log_is_like() {
    use std::io::Write;
    let bench = Bench::new();
    bench.restore("s.db", "r").run(Log::Silent).unwrap();
    let segment = bench.path("r/member/wal/0000000000000000-0000000000000000.wal");
    let sound = std::fs::read(&segment).unwrap();
    // A frame of 96 bytes, of which power left twenty.
    let torn = [&96_u64.to_le_bytes()[..], &[0x5a; 20]].concat();
    std::fs::OpenOptions::new().append(true).open(&segment).unwrap().write_all(&torn).unwrap();
    let report = crate::report::read(&bench.path("r"), None).unwrap();
    assert!(!report.blocked() && report.to_table().contains("a power loss tore"), "{}", report.to_table());
    assert_eq!(std::fs::read(&segment).unwrap().len(), sound.len() + torn.len(), "it was changed");

    // Damage before the end is none that a power loss makes.
    let mut damaged = sound.clone();
    damaged[60] ^= 1;
    std::fs::write(&segment, damaged).unwrap();
    assert!(crate::report::read(&bench.path("r"), None).unwrap().blocked());
    std::fs::remove_file(&segment).unwrap();
    let gone = crate::report::read(&bench.path("r"), None).unwrap();
    assert!(gone.blocked() && gone.to_json().contains("there is no log"));
    std::fs::create_dir(bench.path("elsewhere")).unwrap();
    std::fs::write(bench.path("elsewhere").join(segment.file_name().unwrap()), sound).unwrap();
    assert!(!crate::report::read(&bench.path("r"), Some(&bench.path("elsewhere"))).unwrap().blocked());
}
