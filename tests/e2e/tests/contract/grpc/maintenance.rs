//! Maintenance.

use e2e::server::Server;
use proto::etcdserverpb::{
    self as pb, AlarmMember, AlarmRequest, AlarmType, DefragmentRequest, DowngradeRequest, HashKvRequest,
    HashRequest, MoveLeaderRequest, SnapshotRequest, SnapshotResponse, StatusRequest,
    alarm_request::AlarmAction, downgrade_request::DowngradeAction,
};
use sha2::{Digest, Sha256};

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    alarms_are_raised_listed_and_cleared => "grpc" ["etcdserverpb.Maintenance/Alarm"];
    status_of_one_member => "grpc" ["etcdserverpb.Maintenance/Status"];
    defragment_keeps_everything => "grpc" ["etcdserverpb.Maintenance/Defragment"];
    hash_covers_all_buckets => "grpc" ["etcdserverpb.Maintenance/Hash"];
    hash_kv_by_revision => "grpc" ["etcdserverpb.Maintenance/HashKV"];
    snapshot_is_a_file_with_its_digest => "grpc" ["etcdserverpb.Maintenance/Snapshot"];
    move_leader_to_oneself => "grpc" ["etcdserverpb.Maintenance/MoveLeader"];
    downgrade_is_validated_enabled_and_canceled => "grpc" ["etcdserverpb.Maintenance/Downgrade"];
}

fn alarm(action: AlarmAction, member_id: u64, alarm: AlarmType) -> AlarmRequest {
    AlarmRequest { action: action as i32, member_id, alarm: alarm as i32 }
}

/// 9.2, 9.4.
fn alarms_are_raised_listed_and_cleared() {
    let server = Server::start(&[]);
    let client = server.client();
    let list = |kind| client.ok(alarm(AlarmAction::Get, 0, kind)).alarms;
    assert_eq!(list(AlarmType::None), []);
    let no_space = AlarmMember { member_id: 5, alarm: AlarmType::Nospace as i32 };
    for _ in 0..2 {
        let raised = client.ok(alarm(AlarmAction::Activate, 5, AlarmType::Nospace));
        assert_eq!(raised.alarms, [no_space], "idempotent");
        assert_eq!(revision(&raised.header), 1);
    }
    assert_eq!(client.ok(alarm(AlarmAction::Activate, 5, AlarmType::None)).alarms, []);
    assert_eq!((list(AlarmType::None), list(AlarmType::Corrupt)), (vec![no_space], vec![]));
    assert_eq!(client.fails(put("k", "v")), promised("ErrGRPCNoSpace"));
    client.ok(delete("k"));
    let status = client.ok(StatusRequest {});
    assert_eq!(spaced(&status.errors), ["memberID:5 alarm:NOSPACE"]);
    let health = server.get("/health");
    assert_eq!(
        (health.status, health.text()),
        (503, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n")
    );
    assert_eq!(server.get("/health?exclude=NOSPACE").status, 200);

    assert_eq!(
        client.ok(alarm(AlarmAction::Deactivate, 0, AlarmType::Nospace)).alarms,
        [],
        "0 is an id like another"
    );
    assert_eq!(list(AlarmType::None).len(), 1);
    assert_eq!(client.ok(alarm(AlarmAction::Deactivate, 5, AlarmType::Nospace)).alarms, [no_space]);
    assert_eq!(list(AlarmType::None), []);
    put_ok(&client, "k", "v");
    assert_eq!(server.get("/health").status, 200);
}

/// 9.5.
fn status_of_one_member() {
    let server = Server::start(&[]);
    let client = server.client();
    put_ok(&client, "k", "v");
    let status = client.ok(StatusRequest {});
    let header = status.header.unwrap();
    assert_eq!((status.version.as_str(), status.storage_version.as_str()), ("3.7.1", "3.7.0"));
    assert_eq!((status.leader, header.revision), (header.member_id, 2));
    assert_eq!(status.raft_term, header.raft_term);
    assert!(status.raft_index >= 4 && status.raft_applied_index == status.raft_index, "{status:?}");
    assert!(status.db_size > 0 && (1..=status.db_size).contains(&status.db_size_in_use), "{status:?}");
    assert_eq!(status.db_size_quota, 2 << 30);
    assert_eq!((status.is_learner, status.errors.len()), (false, 0));
    assert_eq!(status.downgrade_info, Some(pb::DowngradeInfo::default()));
    for (flag, quota) in [("--quota-backend-bytes=12345678", 12_345_678), ("--quota-backend-bytes=-1", -1)] {
        let server = Server::start(&[flag]);
        assert_eq!(server.client().ok(StatusRequest {}).db_size_quota, quota, "{flag}");
    }
}

/// 9.6.
fn defragment_keeps_everything() {
    let server = Server::start(&[]);
    let client = server.client();
    let value = "x".repeat(10_000);
    for n in 0..100 {
        put_ok(&client, &format!("k{n:03}"), &value);
    }
    put_ok(&client, "keep", "this");
    // The file follows its contents; what it never held cannot be given back.
    let grown = e2e::server::poll(|| (client.ok(StatusRequest {}).db_size > 1_000_000).then_some(()));
    assert!(grown.is_some());
    client.ok(pb::DeleteRangeRequest { range_end: after("k0"), ..delete("k0") });
    let now = revision(&client.ok(range("keep")).header);
    client.ok(pb::CompactionRequest { revision: now, physical: true });
    let hash = client.ok(HashKvRequest { revision: 0 }).hash;
    let before = client.ok(StatusRequest {});
    let reply = client.ok(DefragmentRequest {});
    assert_eq!(reply.header, None);
    let after = client.ok(StatusRequest {});
    assert!(after.db_size < before.db_size, "{} of {} bytes", after.db_size, before.db_size);
    assert_eq!(client.ok(HashKvRequest { revision: 0 }).hash, hash);
    let read = client.ok(range("keep"));
    assert_eq!((pairs(&read), revision(&read.header)), (vec!["keep=this".to_owned()], now));
}

/// 9.7.
fn hash_covers_all_buckets() {
    let server = Server::start(&[]);
    let client = server.client();
    let hash = || client.ok(HashRequest {});
    let first = hash();
    assert_eq!((first.hash, revision(&first.header)), (hash().hash, 1));
    put_ok(&client, "k", "v");
    let second = hash();
    assert_ne!(second.hash, first.hash);
    grant(&client, 100);
    assert_ne!(hash().hash, second.hash, "leases are hashed, too");
}

/// 9.7.
fn hash_kv_by_revision() {
    let server = Server::start(&[]);
    let client = server.client();
    let empty = client.ok(HashKvRequest { revision: 0 });
    assert_eq!((empty.hash, empty.compact_revision, empty.hash_revision), (1_084_519_789, -1, 1));
    for value in ["2", "3", "4"] {
        put_ok(&client, "k", value);
    }
    let at = |revision| client.ok(HashKvRequest { revision });
    let (third, now) = (at(3), at(0));
    assert_eq!((now.hash_revision, now.compact_revision, revision(&now.header)), (4, -1, 4));
    assert_ne!(third.hash, now.hash);
    assert_eq!(at(4).hash, now.hash);
    assert_eq!(client.fails(HashKvRequest { revision: 5 }), promised("ErrGRPCFutureRev"));
    client.ok(pb::CompactionRequest { revision: 3, physical: true });
    let compacted = at(3);
    assert_eq!((compacted.hash_revision, compacted.compact_revision), (3, -1), "as the compaction stored it");
    assert_eq!(at(0).compact_revision, 3);
    assert_eq!(client.fails(HashKvRequest { revision: 2 }), promised("ErrGRPCCompacted"));
}

/// 9.8.
fn snapshot_is_a_file_with_its_digest() {
    let server = Server::start(&[]);
    let client = server.client();
    for n in 0..50 {
        put_ok(&client, &format!("k{n}"), &"v".repeat(2000));
    }
    let mut stream = client.open::<SnapshotRequest, SnapshotResponse>("etcdserverpb.Maintenance/Snapshot");
    stream.send(&SnapshotRequest {});
    stream.finish();
    let mut messages = stream.rest().unwrap_or_else(|status| panic!("{status}"));
    let digest = messages.pop().unwrap();
    let mut file = Vec::new();
    let total: usize = messages.iter().map(|message| message.blob.len()).sum();
    for message in &messages {
        assert!(message.blob.len() <= 32 << 10);
        file.extend_from_slice(&message.blob);
        assert_eq!(message.remaining_bytes as usize, total - file.len());
        assert_eq!((message.header.is_none(), message.version.as_str()), (true, "3.7.0"));
    }
    assert_eq!(digest.remaining_bytes, 0);
    assert_eq!(&digest.blob[..], &Sha256::digest(&file)[..]);
    assert_eq!(file.len() % 512, 0);
    // The file is a database with everything in it.
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("db");
    std::fs::write(&path, &file).unwrap();
    let disk = std::sync::Arc::new(vfs::RealDisk);
    let options = bolt::Options { read_only: true, ..bolt::Options::default() };
    let db = bolt::Db::open(disk, &path, options).unwrap();
    let mut cursor = db.snapshot().cursor("key").unwrap();
    let mut rows = 0;
    while cursor.next().unwrap().is_some() {
        rows += 1;
    }
    assert_eq!(rows, 50);
}

/// 9.9.
fn move_leader_to_oneself() {
    let server = Server::shared();
    let client = server.client();
    let leader = client.ok(StatusRequest {}).leader;
    assert_eq!(client.ok(MoveLeaderRequest { target_id: leader }).header, None);
    assert_eq!(client.fails(MoveLeaderRequest { target_id: 1 }), promised("ErrGRPCBadLeaderTransferee"));
}

/// 9.10. One server after the other may find all of its kind at the target and clear the flag, so each step asks
/// for what holds at once.
fn downgrade_is_validated_enabled_and_canceled() {
    let server = Server::start(&[]);
    let client = server.client();
    let ask = |action: DowngradeAction, version: &str| DowngradeRequest {
        action: action as i32,
        version: version.into(),
    };
    for version in ["3.6", "3.6.0", "3.6.5"] {
        let reply = client.ok(ask(DowngradeAction::Validate, version));
        assert_eq!(reply.version, "3.7", "{version}");
        assert_eq!(revision(&reply.header), 1);
    }
    assert!(!client.ok(StatusRequest {}).downgrade_info.unwrap().enabled, "validating changes nothing");
    assert_eq!(client.ok(ask(DowngradeAction::Cancel, "")).version, "3.7", "OK although there is none");
    assert_eq!(client.ok(ask(DowngradeAction::Enable, "3.6.0")).version, "3.7");
    let info = client.ok(StatusRequest {}).downgrade_info.unwrap();
    assert_eq!((info.enabled, info.target_version.as_str()), (true, "3.6.0"));
    assert_eq!(client.fails(ask(DowngradeAction::Validate, "3.6")), promised("ErrGRPCDowngradeInProcess"));
    client.ok(ask(DowngradeAction::Cancel, ""));
    let info = client.ok(StatusRequest {}).downgrade_info.unwrap();
    assert_eq!((info.enabled, info.target_version.as_str()), (false, ""));
}
