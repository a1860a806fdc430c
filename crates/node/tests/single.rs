//! A cluster of one, through the real threads, on a real and on a simulated disk.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{
    future::Future,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use node::{Caller, Port};
use proto::etcdserverpb::{
    DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest, RangeResponse,
    RequestOp, StatusRequest, TxnRequest, WatchCreateRequest, WatchRequest, WatchResponse,
    request_op::Request, watch_request::RequestUnion,
};
use support::{compact, get, put, range, run, stall::StallingDisk, start, start_with};
use vfs::{RealDisk, SimDisk};

#[test]
fn put_get_restart_get() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk);
    let member = start(dir.path(), disk.clone());
    let port = member.handle().port();
    let first = put(&port, "a", "1").unwrap().header.unwrap();
    assert_eq!(first.revision, 2);
    assert!(first.member_id != 0 && first.cluster_id != 0 && first.raft_term >= 2);
    assert_eq!(put(&port, "a", "2").unwrap().header.unwrap().revision, 3);
    assert_eq!(get(&port, "a").as_deref(), Some("2"));
    member.stop().unwrap();

    let member = start(dir.path(), disk);
    let port = member.handle().port();
    assert_eq!(get(&port, "a").as_deref(), Some("2"));
    let old = range(&port, RangeRequest { key: Bytes::from_static(b"a"), revision: 2, ..Default::default() })
        .unwrap();
    assert_eq!(old.kvs[0].value, "1");
    assert_eq!(old.header.unwrap().revision, 3);
    member.stop().unwrap();
}

#[test]
fn the_file_is_locked_while_a_member_runs() {
    let dir = tempfile::tempdir().unwrap();
    let member = start(dir.path(), Arc::new(RealDisk));
    let second = node::start(support::config(dir.path()), Arc::new(RealDisk));
    assert!(second.is_err(), "two members on one directory");
    member.stop().unwrap();
}

#[test]
fn everything_acknowledged_survives_power_loss() {
    let disk = SimDisk::new();
    let dir = Path::new("/data");
    let member = start(dir, Arc::new(disk.clone()));
    let port = member.handle().port();
    for n in 0..200 {
        put(&port, &format!("k{n}"), &format!("v{n}")).unwrap();
    }
    // The image is taken while the member runs: nothing is closed, nothing is flushed.
    let image = disk.crash(vfs::CrashPlan::LoseUnsynced);
    member.stop().unwrap();

    let member = start(dir, Arc::new(image));
    let port = member.handle().port();
    for n in 0..200 {
        assert_eq!(get(&port, &format!("k{n}")), Some(format!("v{n}")));
    }
    member.stop().unwrap();
}

#[test]
fn watch_sees_past_and_present() {
    let disk = SimDisk::new();
    let member = start(Path::new("/data"), Arc::new(disk));
    let port = member.handle().port();
    put(&port, "w", "1").unwrap();
    let (input, mut output) = port.open_watch(Caller::default());
    let create =
        WatchCreateRequest { key: Bytes::from_static(b"w"), start_revision: 2, ..Default::default() };
    input.send(WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) });
    put(&port, "w", "2").unwrap();
    let mut next = || -> WatchResponse {
        let frame = run(&port, output.next()).unwrap().unwrap();
        let bytes = [frame.head(), frame.body()].concat();
        prost::Message::decode(&bytes[..]).unwrap()
    };
    assert!(next().created);
    let mut values = Vec::new();
    while values.len() < 2 {
        values.extend(next().events.into_iter().map(|event| event.kv.unwrap().value));
    }
    assert_eq!(values, ["1", "2"]);
    member.stop().unwrap();
}

#[test]
fn leases_compaction_and_status() {
    let disk = SimDisk::new();
    let member = start(Path::new("/data"), Arc::new(disk.clone()));
    let port = member.handle().port();
    let grant =
        run(&port, port.lease_grant(Caller::default(), LeaseGrantRequest { ttl: 100, id: 5 })).unwrap();
    assert_eq!((grant.id, grant.ttl), (5, 100));
    let leased = PutRequest { key: Bytes::from_static(b"l"), lease: 5, ..Default::default() };
    run(&port, port.put(Caller::default(), leased)).unwrap();
    run(&port, port.lease_revoke(Caller::default(), LeaseRevokeRequest { id: 5 })).unwrap();
    assert_eq!(get(&port, "l"), None);

    for n in 0..50 {
        put(&port, "c", &n.to_string()).unwrap();
    }
    compact(&port, 40, true).unwrap();
    let old =
        range(&port, RangeRequest { key: Bytes::from_static(b"c"), revision: 39, ..Default::default() });
    assert_eq!(old.unwrap_err(), node::Error::Rejected(node::Rejection::Compacted));
    let status = run(&port, port.status(Caller::default(), StatusRequest {})).unwrap();
    assert_eq!(status.version, "3.7.1");
    assert_eq!(status.storage_version, "3.7.0");
    assert_eq!(status.leader, status.header.unwrap().member_id);
    member.stop().unwrap();
}

/// A compaction that is refused because another one got as far answers when that one is on the disk; nothing
/// else happens on this member that would cause a commit.
#[test]
fn a_physical_compaction_is_answered_on_an_idle_member() {
    let disk = SimDisk::new();
    // Commits at once, so that the end of a compaction is durable before anybody asks for it.
    let config =
        node::Config { backend_batch_interval: Duration::ZERO, ..support::config(Path::new("/data")) };
    let member = start_with(config, Arc::new(disk));
    let port = member.handle().port();
    for round in 1..20 {
        for n in 0..10 {
            put(&port, "c", &n.to_string()).unwrap();
        }
        let revision = 10 * round;
        compact(&port, revision, round % 2 == 0).unwrap();
        let refused = compact(&port, revision, true).unwrap_err();
        assert_eq!(refused, node::Error::Rejected(node::Rejection::Compacted));
    }
    member.stop().unwrap();
}

/// Chunks are in key order whatever the sort target, so that no key comes twice or never.
#[test]
fn a_streamed_range_without_order_ignores_the_sort_target() {
    let disk = SimDisk::new();
    let member = start(Path::new("/data"), Arc::new(disk));
    let port = member.handle().port();
    // Later keys have the lower revisions.
    for n in (0..50).rev() {
        put(&port, &format!("k{n:02}"), "v").unwrap();
    }
    let all = Bytes::from_static(b"\0");
    let request = RangeRequest { key: all.clone(), range_end: all, sort_target: 3, ..Default::default() };
    let mut stream = port.range_stream(Caller::default(), request, 1 << 20);
    let mut keys = Vec::new();
    while let Some(mut chunk) = run(&port, stream.next()).unwrap() {
        let mut bytes = Vec::new();
        while let Some(piece) = run(&port, chunk.next_piece(1000)).unwrap() {
            bytes.extend_from_slice(&piece);
        }
        let chunk: RangeResponse = prost::Message::decode(&bytes[..]).unwrap();
        keys.extend(chunk.kvs.into_iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()));
    }
    let expected: Vec<String> = (0..50).map(|n| format!("k{n:02}")).collect();
    assert_eq!(keys, expected);
    member.stop().unwrap();
}

/// Puts `key-00000` and so on.
fn put_many(port: &Port, keys: usize) {
    for chunk in (0..keys).collect::<Vec<_>>().chunks(100) {
        let success = chunk.iter().map(|n| RequestOp {
            request: Some(Request::RequestPut(PutRequest {
                key: format!("key-{n:05}").into(),
                value: format!("value-{n}").into(),
                ..Default::default()
            })),
        });
        let txn = TxnRequest { success: success.collect(), ..Default::default() };
        run(port, port.txn(Caller::default(), txn)).unwrap();
    }
}

fn many() -> RangeRequest {
    RangeRequest { key: "key-".into(), range_end: "key.".into(), ..Default::default() }
}

/// Compaction waits for large ranges under way, but not for those whose client left before the answer came.
#[test]
fn a_large_range_that_nobody_waits_for_does_not_hold_up_compaction() {
    let member = start(Path::new("/data"), Arc::new(SimDisk::new()));
    let port = member.handle().port();
    put_many(&port, 5000);
    for answered_before in [false, true] {
        {
            let mut call = pin!(port.range(Caller::default(), many()));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            if answered_before {
                // The core handles calls in order, so the answer is here when this one's is.
                put(&port, "other", "1").unwrap();
            }
        }
        let revision = put(&port, "key-00000", "new").unwrap().header.unwrap().revision;
        compact(&port, revision, true).unwrap();
    }
    member.stop().unwrap();
}

#[test]
fn a_large_range_comes_in_slices_at_its_revision() {
    let disk = SimDisk::new();
    let member = start(Path::new("/data"), Arc::new(disk));
    let port = member.handle().port();
    const KEYS: usize = 10_000;
    put_many(&port, KEYS);
    let mut reply = run(&port, port.range(Caller::default(), many())).unwrap();
    let announced = reply.encoded_len();
    let mut bytes = run(&port, reply.next_piece(1000)).unwrap().unwrap().to_vec();
    assert_eq!(reply.count(), KEYS as i64);
    // The rest is read after everything has changed and was compacted.
    let gone = DeleteRangeRequest { key: "key-".into(), range_end: "key.".into(), ..Default::default() };
    let revision = run(&port, port.delete_range(Caller::default(), gone)).unwrap().header.unwrap().revision;
    compact(&port, revision, false).unwrap();
    put(&port, "key-00000", "again").unwrap();
    while let Some(piece) = run(&port, reply.next_piece(50_000)).unwrap() {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(bytes.len(), announced);
    let whole: proto::etcdserverpb::RangeResponse = prost::Message::decode(&bytes[..]).unwrap();
    assert_eq!(whole.count, KEYS as i64);
    let found: Vec<String> =
        whole.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.value).into_owned()).collect();
    assert_eq!(found, (0..KEYS).map(|n| format!("value-{n}")).collect::<Vec<_>>());
    member.stop().unwrap();
}

/// A log that does not get on takes no more than its bound, whether or not clients wait for their answers.
#[test]
fn a_stalled_log_holds_a_bounded_number_of_bytes() {
    let stalling = StallingDisk::new(SimDisk::new());
    let config = node::Config { log_queue_bytes_max: 1 << 20, ..support::config(Path::new("/data")) };
    let member = start_with(config, Arc::new(stalling.clone()));
    let port = member.handle().port();
    stalling.stall(true);
    let value = Bytes::from(vec![b'v'; 100 << 10]);
    let mut answered = None;
    for n in 0..100 {
        let key = Bytes::from(format!("k{n}"));
        let request = PutRequest { key, value: value.clone(), ..Default::default() };
        let mut call = pin!(port.put(Caller::default(), request));
        let mut poll = || call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending());
        // Answered after the put was looked at, without the log.
        run(&port, port.status(Caller::default(), StatusRequest {})).unwrap();
        if let Poll::Ready(answer) = poll() {
            answered = Some((n, answer));
            break;
        }
    }
    let (taken, answer) = answered.expect("puts are refused in the end");
    assert_eq!(answer, Err(node::Error::TooManyRequests));
    assert!((10..20).contains(&taken), "{taken} puts were taken");
    stalling.stall(false);
    // Again as soon as the log has caught up.
    while put(&port, "after", "1") == Err(node::Error::TooManyRequests) {}
    assert_eq!(get(&port, "k0").map(|value| value.len()), Some(100 << 10), "it was taken, so it is there");
    member.stop().unwrap();
}

/// Raft forgets entries long before a snapshot of its log is due; nothing of that shows.
#[test]
fn a_short_raft_log_loses_nothing() {
    let disk = SimDisk::new();
    let config = node::Config {
        snapshot_catchup_entries: 3,
        snapshot_count: 300,
        backend_batch_interval: Duration::ZERO,
        ..support::config(Path::new("/data"))
    };
    let member = start_with(config.clone(), Arc::new(disk.clone()));
    let port = member.handle().port();
    for n in 0..1000 {
        put(&port, &format!("k{n}"), "v").unwrap();
    }
    let image = disk.crash(vfs::CrashPlan::LoseUnsynced);
    member.stop().unwrap();
    for disk in [disk, image] {
        let member = start_with(config.clone(), Arc::new(disk));
        let port = member.handle().port();
        assert_eq!(put(&port, "last", "v").unwrap().header.unwrap().revision, 1002);
        for n in 0..1000 {
            assert_eq!(get(&port, &format!("k{n}")).as_deref(), Some("v"));
        }
        member.stop().unwrap();
    }
}
