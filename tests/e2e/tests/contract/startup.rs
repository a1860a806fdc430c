//! Starts that are refused: with the text of contract/errors.tsv, and with nothing changed on disk.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use e2e::{
    server::{Exit, Server, run},
    table,
};
use prost::Message;
use proto::{
    etcdserverpb::{InternalRaftRequest, MemberListRequest, Metadata, RequestHeader},
    membershippb::{Attributes, ClusterMemberAttrSetRequest},
    raftpb::{Entry, HardState},
    walpb,
};
use types::{Write, bucket};
use vfs::{Disk, LockKind, OpenMode, RealDisk};

use crate::{
    common::*,
    damage::{self, edit_db, edit_wal, kind, segment},
    gaps::KNOWN_GAPS,
};

e2e::cases! { KNOWN_GAPS;
    bootstrap_sources => "errors" ["ErrConflictBootstrapFlags"];
    advertise_client_urls => "errors" ["ErrUnsetAdvertiseClientURLsFlag"];
    log_rotation => "errors" ["ErrLogRotationInvalidLogOutput"];
    metrics_tls => "errors" ["metrics TLS"];
    local_name => "errors" ["local name"];
    duplicate_url => "errors" ["dup url"];
    storage_version => "errors" ["storage version"];
    cluster_version => "errors" ["downgrade panic"];
    learners => "errors" ["too many learners at boot"];
    db_missing => "errors" ["db missing"];
    db_snapshot_missing => "errors" ["db snapshot missing"];
    db_behind_snapshot => "errors" ["db behind snapshot"];
    wal_metadata => "errors" ["wal metadata"];
    wal_snapshot => "errors" ["wal snapshot"];
    wal_gap => "errors" ["wal gap"];
    wal_file => "errors" ["wal file"];
    wal_crc => "errors" ["wal crc"];
    wal_locked => "errors" ["wal locked"];
    raft_commit => "errors" ["raft commit"];
    unknown_member => "errors" ["unknown member"];
    nothing_is_changed_by_a_refusal => "errors" [];
    a_second_server_is_refused => "errors" [];
    another_cluster_is_refused => "errors" [];
    bootstrap_flags_are_ignored_later => "errors" [];
    a_missing_db_is_rebuilt => "errors" [];
    a_start_point_without_its_record_is_passed_over => "errors" [];
}

/// Starts a server that must not start.
fn refused(data: &Path, flags: &[&str]) -> Exit {
    match Server::start_on(data, flags) {
        Ok(_) => panic!("it starts"),
        Err(exit) => exit,
    }
}

/// The text of a row, as far as it has no placeholders.
pub(crate) fn assert_says(exit: &Exit, row: &str, parts: &[&str]) {
    let promised = table::row("errors", row);
    let text = promised.cell("message");
    let told: String = exit.log().iter().flat_map(|line| [&line["msg"], &line["error"]]).map(shown).collect();
    let told = told + &exit.stderr.replace("\\\"", "\"");
    for part in parts {
        assert!(text.contains(part), "{part} is not of {text}");
        assert!(told.contains(part), "not told: {part}\n{}", exit.stderr);
    }
    // A panic of Go has code 2, ours are told in order.
    assert!(matches!(exit.code, Some(1 | 2)), "{exit:?}");
}

fn shown(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned() + "\n"
}

fn message(row: &str) -> String {
    table::row("errors", row).cell("message").to_owned()
}

fn assert_flags_refused(flags: &[&str], row: &str) {
    let exit = run(flags, &[]);
    assert_says(&exit, row, &[&message(row)]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
}

fn bootstrap_sources() {
    let cluster = "--initial-cluster=default=http://127.0.0.1:1";
    assert_flags_refused(&[cluster, "--discovery-srv=example.com"], "ErrConflictBootstrapFlags");
    let discovery = ["--discovery-token=t", "--discovery-endpoints=http://d:1"];
    assert_flags_refused(&[&[cluster][..], &discovery].concat(), "ErrConflictBootstrapFlags");
}

fn advertise_client_urls() {
    assert_flags_refused(&["--listen-client-urls=http://127.0.0.1:0"], "ErrUnsetAdvertiseClientURLsFlag");
}

fn log_rotation() {
    let two = ["--enable-log-rotation", "--log-outputs=a.log,b.log"];
    assert_flags_refused(&two, "ErrLogRotationInvalidLogOutput");
    assert_flags_refused(
        &["--enable-log-rotation", "--log-outputs=stderr"],
        "ErrLogRotationInvalidLogOutput",
    );
}

/// Listeners of its own, so that it gets as far as the others.
const LISTEN: [&str; 3] = [
    "--listen-client-urls=http://127.0.0.1:0",
    "--listen-peer-urls=http://127.0.0.1:0",
    "--advertise-client-urls=http://127.0.0.1:1",
];

fn metrics_tls() {
    let flags = [&LISTEN[..], &["--listen-metrics-urls=https://127.0.0.1:0"]].concat();
    assert_flags_refused(&flags, "metrics TLS");
}

fn local_name() {
    let flags = [&LISTEN[..], &["--name=me", "--initial-cluster=other=http://127.0.0.1:1"]].concat();
    let exit = run(&flags, &[]);
    assert_says(&exit, "local name", &["couldn't find local name ", " in the initial cluster configuration"]);
    assert!(exit.stderr.contains("me"), "{exit:?}");
}

fn duplicate_url() {
    let urls = [
        "--initial-advertise-peer-urls=http://127.0.0.1:1",
        "--initial-cluster=default=http://127.0.0.1:1,b=http://127.0.0.1:1",
    ];
    let exit = run(&[&LISTEN[..], &urls].concat(), &[]);
    assert_says(&exit, "dup url", &["initial cluster ", " has duplicate url"]);
}

fn storage_version() {
    let data = damage::used();
    for version in ["3.8.0", "3.4.0"] {
        edit_db(data.path(), &[Write::put(bucket::META, bucket::meta::STORAGE_VERSION, version)]);
        let exit = refused(data.path(), &[]);
        assert_says(&exit, "storage version", &["version \"", "\" is not supported"]);
    }
}

fn cluster_version() {
    let data = damage::used();
    edit_db(data.path(), &[Write::put(bucket::CLUSTER, bucket::cluster::VERSION, "3.8.0")]);
    let exit = refused(data.path(), &[]);
    assert_says(&exit, "downgrade panic", &[&message("downgrade panic")]);
}

fn learners() {
    let data = damage::used();
    let learner = |id: u64| {
        let row = format!(r#"{{"id":{id},"peerURLs":["http://127.0.0.1:{id}"],"isLearner":true}}"#);
        Write::put(bucket::MEMBERS, format!("{id:x}"), row)
    };
    edit_db(data.path(), &[learner(7), learner(8)]);
    let exit = refused(data.path(), &[]);
    assert_says(&exit, "too many learners at boot", &[&message("too many learners at boot")]);
}

/// 14.13: there is a received snapshot of the start point, but it cannot stand for a database that is gone.
fn db_missing() {
    let data = damage::used_with_snapshot();
    damage::forget_sums(data.path());
    fs::rename(damage::db(data.path()), damage::received_snapshot(data.path())).unwrap();
    let files = damage::files(data.path());
    let exit = refused(data.path(), &[]);
    assert_says(&exit, "db missing", &["database file (", ") of the backend is missing"]);
    // etcd deletes it.
    assert_unchanged(&files, data.path(), "no database, but a received one");
}

fn db_snapshot_missing() {
    let data = damage::used_with_snapshot();
    damage::forget_sums(data.path());
    fs::remove_file(damage::db(data.path())).unwrap();
    let files = damage::files(data.path());
    for _ in 0..2 {
        let exit = refused(data.path(), &[]);
        assert_says(&exit, "db snapshot missing", &[&message("db snapshot missing")]);
        assert_unchanged(&files, data.path(), "no database");
    }
}

/// The database is of before the snapshot that the log starts from, and so is what stands where the snapshot of
/// that point belongs.
fn db_behind_snapshot() {
    let data = damage::used();
    let old = fs::read(damage::db(data.path())).unwrap();
    let server = Server::start_on(data.path(), &["--snapshot-count=2"]).unwrap();
    let client = server.client();
    for n in 0..20 {
        put_ok(&client, "k", &n.to_string());
    }
    server.stop();
    damage::forget_sums(data.path());
    fs::write(damage::received_snapshot(data.path()), &old).unwrap();
    fs::write(damage::db(data.path()), old).unwrap();
    let exit = refused(data.path(), &[]);
    assert_says(&exit, "db behind snapshot", &["database file (", ") does not match with snapshot (index "]);
}

fn with_other_metadata(records: &mut Vec<(i64, Bytes)>) {
    let at = records.iter().position(|(kind, _)| *kind == kind::ENTRY).unwrap();
    let other = Metadata { node_id: Some(1), cluster_id: Some(2) };
    records.insert(at, (kind::METADATA, other.encode_to_vec().into()));
}

fn wal_metadata() {
    let data = damage::used();
    edit_wal(data.path(), with_other_metadata);
    assert_says(&refused(data.path(), &[]), "wal metadata", &[&message("wal metadata")]);
}

fn without_snapshot(records: &mut Vec<(i64, Bytes)>) {
    records.retain(|(kind, _)| *kind != kind::SNAPSHOT);
}

/// The newest snapshot record once more, with another term.
fn with_other_term(records: &mut Vec<(i64, Bytes)>) {
    let at = records.iter().rposition(|(kind, _)| *kind == kind::SNAPSHOT).unwrap();
    let start = walpb::Snapshot::decode(&records[at].1[..]).unwrap();
    let other = walpb::Snapshot { term: Some(start.term() + 1), ..start };
    records.insert(at, (kind::SNAPSHOT, other.encode_to_vec().into()));
}

/// Without any record, 3.7.1 crashes where its text would be due.
fn wal_snapshot() {
    let data = damage::used();
    edit_wal(data.path(), without_snapshot);
    assert_says(&refused(data.path(), &[]), "wal snapshot", &[&message("wal snapshot")]);
    let data = damage::used_with_snapshot();
    edit_wal(data.path(), with_other_term);
    let exit = refused(data.path(), &[]);
    let mismatch = "wal: snapshot mismatch";
    assert!(table::row("errors", "wal snapshot").cell("raised_when").contains(mismatch));
    assert!(exit.fatal().to_string().contains(mismatch), "{exit:?}");
}

/// 14.14: what counts is the newest record within the commit index, whatever `.snap` files there are besides.
fn a_start_point_without_its_record_is_passed_over() {
    let data = damage::used_with_snapshot();
    edit_wal(data.path(), |records| {
        let at = records.iter().rposition(|(kind, _)| *kind == kind::SNAPSHOT).unwrap();
        records.remove(at);
    });
    let server = Server::start_on(data.path(), &[]).unwrap();
    assert_eq!(get(&server.client(), "k").as_deref(), Some("29"));
}

fn with_a_gap(records: &mut Vec<(i64, Bytes)>) {
    let entries: Vec<usize> = (0..records.len()).filter(|at| records[*at].0 == kind::ENTRY).collect();
    records.remove(entries[entries.len() / 2]);
}

fn wal_gap() {
    let data = damage::used();
    edit_wal(data.path(), with_a_gap);
    assert_says(&refused(data.path(), &[]), "wal gap", &[&message("wal gap")]);
}

fn rename_segment(data: &Path) {
    damage::forget_sums(data);
    let later = segment(data).with_file_name("0000000000000000-00000000000000ff.wal");
    fs::rename(segment(data), later).unwrap();
}

fn wal_file() {
    let data = damage::used();
    rename_segment(data.path());
    let exit = refused(data.path(), &[]);
    assert_says(&exit, "wal file", &["wal: file not found which matches the snapshot index '"]);
}

/// Flips a bit in the key of the first put.
fn flip_a_bit(data: &Path) {
    damage::forget_sums(data);
    let path = segment(data);
    let mut bytes = fs::read(&path).unwrap();
    let put = [&b"\x0a\x01a\x12\x01a"[..]].concat();
    let at = bytes.windows(put.len()).position(|window| window == put).expect("the first put is in the log");
    bytes[at + 2] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn wal_crc() {
    let data = damage::used();
    flip_a_bit(data.path());
    assert_says(&refused(data.path(), &[]), "wal crc", &[&message("wal crc")]);
}

fn wal_locked() {
    let data = damage::used();
    let held = RealDisk.open(&segment(data.path()), OpenMode::ReadWrite).unwrap();
    assert!(held.try_lock(LockKind::OpenFileDescription).unwrap());
    assert_says(&refused(data.path(), &[]), "wal locked", &[&message("wal locked")]);
}

fn with_commit(records: &mut Vec<(i64, Bytes)>, commit: u64) {
    let state = HardState { commit: Some(commit), ..damage::last_state(records) };
    records.push((kind::STATE, state.encode_to_vec().into()));
}

fn raft_commit() {
    let data = damage::used();
    edit_wal(data.path(), |records| with_commit(records, 999));
    assert_says(&refused(data.path(), &[]), "raft commit", &["state.commit ", " is out of range ["]);
}

/// Appends a committed entry that publishes the attributes of nobody.
fn with_unknown_member(records: &mut Vec<(i64, Bytes)>) {
    let (_, last) = records.iter().rev().find(|(kind, _)| *kind == kind::ENTRY).unwrap();
    let last = Entry::decode(&last[..]).unwrap();
    let request = InternalRaftRequest {
        header: Some(RequestHeader { id: 77, ..Default::default() }),
        cluster_member_attr_set: Some(ClusterMemberAttrSetRequest {
            member_id: 0xabc,
            member_attributes: Some(Attributes { name: "nobody".into(), ..Default::default() }),
        }),
        ..Default::default()
    };
    let index = last.index() + 1;
    let entry = Entry { index: Some(index), data: Some(request.encode_to_vec().into()), ..last };
    records.push((kind::ENTRY, entry.encode_to_vec().into()));
    with_commit(records, index);
}

fn unknown_member() {
    let data = damage::used();
    edit_wal(data.path(), with_unknown_member);
    assert_says(&refused(data.path(), &[]), "unknown member", &[&message("unknown member")]);
}

/// Whatever the text: the process ends with an error, and etcd's files are as they were.
fn nothing_is_changed_by_a_refusal() {
    let before = damage::used();
    type Damage = (&'static str, fn(&Path));
    let damages: [Damage; 10] = [
        ("storage version", |data| {
            edit_db(data, &[Write::put(bucket::META, bucket::meta::STORAGE_VERSION, "3.8.0")]);
        }),
        ("cluster version", |data| {
            edit_db(data, &[Write::put(bucket::CLUSTER, bucket::cluster::VERSION, "3.8.0")]);
        }),
        ("wal metadata", |data| edit_wal(data, with_other_metadata)),
        ("wal snapshot", |data| edit_wal(data, without_snapshot)),
        ("wal gap", |data| edit_wal(data, with_a_gap)),
        ("wal snapshot term", |data| edit_wal(data, with_other_term)),
        ("wal file", rename_segment),
        ("wal crc", flip_a_bit),
        ("raft commit", |data| edit_wal(data, |records| with_commit(records, 999))),
        ("no wal", |data| fs::remove_dir_all(data.join("member/wal")).unwrap()),
    ];
    for (name, damage) in damages {
        let dir = tempfile::TempDir::new().unwrap();
        copy(before.path(), dir.path());
        damage(dir.path());
        let files = damage::files(dir.path());
        let exit = refused(dir.path(), &[]);
        assert_eq!(exit.code, Some(1), "{name}: {exit:?}");
        assert!(exit.log().iter().any(|line| line["level"] == "fatal"), "{name}: {exit:?}");
        assert_unchanged(&files, dir.path(), name);
    }
}

fn assert_unchanged(before: &BTreeMap<PathBuf, Vec<u8>>, data: &Path, what: &str) {
    let after = damage::files(data);
    let all = before.keys().chain(after.keys());
    let changed: Vec<_> = all.filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "{what}: {changed:?}");
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in damage::files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    }
}

/// The first goes on; etcd would wait for it to end.
fn a_second_server_is_refused() {
    let dir = tempfile::TempDir::new().unwrap();
    let first = Server::start_on(dir.path(), &[]).unwrap();
    let exit = refused(dir.path(), &[]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let told = exit.fatal().to_string();
    assert!(told.contains("another process") && told.contains("member/snap/db"), "{told}");
    put_ok(&first.client(), "k", "v");
    drop(exit);
    first.signal("KILL");
    drop(first);
    let next = Server::start_on(dir.path(), &[]).unwrap();
    assert_eq!(get(&next.client(), "k").as_deref(), Some("v"));
}

/// The log of one cluster, the database of another.
fn another_cluster_is_refused() {
    let (one, other) = (damage::used(), damage::used_with(&["--initial-cluster-token=another"]));
    for data in [&one, &other] {
        damage::forget_sums(data.path());
    }
    fs::copy(damage::db(other.path()), damage::db(one.path())).unwrap();
    let files = damage::files(one.path());
    let exit = refused(one.path(), &[]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let told = exit.fatal().to_string();
    assert!(told.contains("different members or clusters"), "{told}");
    assert_unchanged(&files, one.path(), "another cluster");
}

/// 8.9: with a log, flags for the start of a cluster count no more.
fn bootstrap_flags_are_ignored_later() {
    let data = damage::used();
    let ids = |flags: &[&str]| {
        let server = Server::start_on(data.path(), flags).unwrap();
        let client = server.client();
        assert_eq!(get(&client, "a").as_deref(), Some("a"));
        let reply = client.ok(MemberListRequest::default());
        let header = reply.header.unwrap();
        server.stop();
        (header.cluster_id, header.member_id, reply.members[0].peer_ur_ls.clone())
    };
    let first = ids(&[]);
    assert_eq!(first.2, [e2e::server::PEER_URL]);
    let again = ids(&["--initial-cluster-token=another", "--initial-cluster-state=existing"]);
    assert_eq!(again, first);
}

/// 14.13: the log starts at the beginning, so nothing is lost without a database.
fn a_missing_db_is_rebuilt() {
    let data = damage::used();
    damage::forget_sums(data.path());
    fs::remove_file(damage::db(data.path())).unwrap();
    let server = Server::start_on(data.path(), &[]).unwrap();
    let reply = server.client().ok(prefix("a"));
    assert_eq!((pairs(&reply), revision(&reply.header)), (vec!["a=a".to_owned()], 4));
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    assert!(disk.exists(&damage::db(data.path())).unwrap());
}
