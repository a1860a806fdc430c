//! Leases whose renewal has to wait for the log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{
    future::Future,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use bolt::{Db, Op};
use bytes::Bytes;
use node::{Caller, Config, Error, Port};
use prost::Message;
use proto::{
    etcdserverpb::{
        AlarmRequest, AlarmType, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseTimeToLiveRequest,
        LeaseTimeToLiveResponse, alarm_request::AlarmAction,
    },
    leasepb,
};
use support::{run, stall::StallingDisk, start_with};
use types::bucket;
use vfs::{CrashPlan, SimDisk};

const ID: i64 = 7;
const TTL: i64 = 3600;

fn config() -> Config {
    Config { lease_checkpoint: true, ..support::config(Path::new("/data")) }
}

fn left(port: &Port) -> LeaseTimeToLiveResponse {
    let query = LeaseTimeToLiveRequest { id: ID, ..LeaseTimeToLiveRequest::default() };
    run(port, port.lease_time_to_live(Caller::default(), query)).unwrap()
}

fn renew(port: &Port) -> Result<i64, Error> {
    run(port, port.lease_keep_alive(Caller::default(), LeaseKeepAliveRequest { id: ID })).map(|r| r.ttl)
}

fn grant(port: &Port, ttl: i64) {
    run(port, port.lease_grant(Caller::default(), LeaseGrantRequest { ttl, id: ID })).unwrap();
}

/// Notes in the backend that the lease had `remaining_ttl` left, as a checkpoint would have.
fn checkpoint(disk: &SimDisk, remaining_ttl: i64) {
    let options = bolt::Options { side_dir: Some("/data/member/mainstay".into()), ..Default::default() };
    let mut db = Db::open(Arc::new(disk.clone()), Path::new("/data/member/snap/db"), options).unwrap();
    let row = leasepb::Lease { id: ID, ttl: TTL, remaining_ttl }.encode_to_vec();
    let key = Bytes::copy_from_slice(&ID.to_be_bytes());
    db.apply(&Op { bucket: bucket::LEASE, key, value: Some(row.into()) }).unwrap();
    db.commit().unwrap();
}

/// What a client was told about its lease holds after a crash: the checkpoint from before does not come back.
#[test]
fn a_renewal_is_answered_when_the_checkpoint_is_durably_gone() {
    let disk = SimDisk::new();
    let member = start_with(config(), Arc::new(disk.clone()));
    grant(&member.handle().port(), TTL);
    member.stop().unwrap();
    checkpoint(&disk, 400);

    let stalling = StallingDisk::new(disk.clone());
    let member = start_with(config(), Arc::new(stalling.clone()));
    let port = member.handle().port();
    assert!(left(&port).ttl <= 401, "the checkpoint counts");
    stalling.stall(true);
    {
        let mut renewal = pin!(port.lease_keep_alive(Caller::default(), LeaseKeepAliveRequest { id: ID }));
        let mut poll = || renewal.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending());
        // Answers come in order: the one to the renewal would be here, too.
        assert!(left(&port).ttl > TTL / 2, "the lease is renewed at once");
        assert!(poll().is_pending(), "answered before it is durable");
        stalling.stall(false);
    }
    assert_eq!(renew(&port), Ok(TTL));
    let image = disk.crash(CrashPlan::LoseUnsynced);
    assert!(left(&port).ttl > TTL / 2);
    member.stop().unwrap();

    let member = start_with(config(), Arc::new(image));
    assert!(left(&member.handle().port()).ttl > TTL / 2, "the checkpoint is back");
    member.stop().unwrap();
}

/// With a CORRUPT alarm nothing is revoked. Who renews a lease that has expired is told so in the end.
#[test]
fn the_renewal_of_a_lease_that_cannot_be_revoked_times_out() {
    let config = Config { tick: Duration::from_millis(10), ..config() };
    let member = start_with(config, Arc::new(SimDisk::new()));
    let port = member.handle().port();
    let alarm =
        AlarmRequest { action: AlarmAction::Activate.into(), member_id: 1, alarm: AlarmType::Corrupt.into() };
    grant(&port, 1);
    run(&port, port.alarm(Caller::default(), alarm)).unwrap();
    assert_eq!(left(&port).granted_ttl, 1);
    while left(&port).ttl >= 0 {}
    assert_eq!(renew(&port), Err(Error::Timeout));
    member.stop().unwrap();
}
