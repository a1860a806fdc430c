use proptest::prelude::*;

use types::Moment;

use super::*;
use crate::{Checkpoint, TimeToLive};

const SEC: u64 = 1_000_000_000;

fn at(seconds: u64) -> Moment {
    Moment(seconds * SEC)
}

fn primary() -> Leases {
    let mut leases = Leases::new(Config::default());
    leases.promote(at(0), Duration::ZERO);
    leases
}

fn key_texts(keys: &[Key]) -> Vec<&str> {
    keys.iter().map(|key| std::str::from_utf8(key).unwrap()).collect()
}

#[test]
fn grant_checks_id_and_ttl() {
    let mut leases = Leases::new(Config::default());
    for (id, ttl, expected) in [
        (1, 5, Ok(5)),
        (-7, 1, Ok(2)),
        (2, 0, Ok(2)),
        (3, -1, Ok(2)),
        (4, TTL_SECS_MAX, Ok(TTL_SECS_MAX)),
        (1, 9, Err(LeaseError::Exists(LeaseId(1)))),
        (0, 9, Err(LeaseError::NotFound(LeaseId(0)))),
        (5, TTL_SECS_MAX + 1, Err(LeaseError::TtlTooLarge { ttl_secs: TTL_SECS_MAX + 1 })),
        // Upstream looks at the TTL before it looks for the id.
        (1, i64::MAX, Err(LeaseError::TtlTooLarge { ttl_secs: i64::MAX })),
    ] {
        assert_eq!(leases.grant(LeaseId(id), ttl).map(|granted| granted.ttl_secs), expected, "{id} {ttl}");
    }
    assert_eq!(leases.len(), 5);
}

#[test]
fn rows_are_etcds() {
    let mut leases = Leases::new(Config::default());
    let granted = leases.grant(LeaseId(-2), 300).unwrap();
    let key = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe][..];
    // leasepb.Lease: ID (field 1) as a ten-byte varint, TTL (field 2) = 300, RemainingTTL left out.
    let value = &[8, 254, 255, 255, 255, 255, 255, 255, 255, 255, 1, 16, 0xac, 2][..];
    assert_eq!(granted.writes, [Write::put(bucket::LEASE, key, value)]);

    let row = leases.checkpoint(LeaseId(-2), 77, true).unwrap();
    assert_eq!(row.value.unwrap(), [value, &[24, 77]].concat());
    assert_eq!(leases.checkpoint(LeaseId(-2), 78, false), None);
    assert_eq!(leases.checkpoint(LeaseId(9), 1, true), None);

    let revoked = leases.revoke(LeaseId(-2)).unwrap();
    assert_eq!(revoked.writes, [Write::delete(bucket::LEASE, key)]);
}

#[test]
fn revoke_gives_keys_in_byte_order_once() {
    let mut leases = Leases::new(Config::default());
    let (one, two) = (LeaseId(1), LeaseId(2));
    leases.grant(one, 10).unwrap();
    leases.grant(two, 10).unwrap();
    for key in ["b", "a", "c\0", "c", "moved", "gone"] {
        leases.attach(key.as_bytes(), one).unwrap();
    }
    leases.attach(b"moved", two).unwrap();
    assert_eq!(leases.detach(b"gone"), Some(one));
    assert_eq!(leases.detach(b"gone"), None);
    assert_eq!(leases.attach(b"a", LeaseId(3)), Err(LeaseError::NotFound(LeaseId(3))));

    let revoked = leases.revoke(one).unwrap();
    assert_eq!(key_texts(&revoked.keys), ["a", "b", "c", "c\0"]);
    assert_eq!(leases.lease_of(b"a"), None);
    assert_eq!(leases.lease_of(b"moved"), Some(two));
    assert_eq!(leases.revoke(one), Err(LeaseError::NotFound(one)));
    assert_eq!((leases.len(), leases.attached_len()), (1, 1));
}

#[test]
fn followers_never_expire() {
    let mut leases = Leases::new(Config::default());
    leases.grant(LeaseId(1), 5).unwrap();
    assert_eq!(leases.expired(at(1_000_000), 10), []);
    assert_eq!(leases.renew(LeaseId(1), at(0)), Err(LeaseError::NotPrimary));
    assert_eq!(leases.time_to_live(LeaseId(1), at(0)), Err(LeaseError::NotPrimary));
    assert_eq!(leases.checkpoints_due(at(1_000_000), 10), []);
}

#[test]
fn expiry_is_at_the_deadline_and_retried() {
    let mut leases = primary();
    leases.grant(LeaseId(1), 5).unwrap();
    leases.arm(at(100));
    assert_eq!(leases.expired(Moment(105 * SEC - 1), 10), []);
    assert_eq!(leases.expired(at(105), 10), [LeaseId(1)]);
    // Not again until the retry time; its TTL goes negative meanwhile and it cannot be renewed.
    assert_eq!(leases.expired(at(111), 10), []);
    assert_eq!(leases.time_to_live(LeaseId(1), at(107)).unwrap().remaining_secs, -2);
    assert_eq!(leases.renew(LeaseId(1), at(107)), Err(LeaseError::Expired(LeaseId(1))));
    assert_eq!(leases.expired(at(112), 10), [LeaseId(1)]);
    leases.revoke(LeaseId(1)).unwrap();
    assert_eq!(leases.expired(at(1000), 10), []);
    assert_eq!(leases.renew(LeaseId(1), at(1000)), Err(LeaseError::NotFound(LeaseId(1))));
}

#[test]
fn expired_respects_the_limit_and_order() {
    let mut leases = primary();
    for id in 1..=5 {
        leases.grant(LeaseId(id), 10 - id).unwrap();
    }
    leases.arm(at(0));
    assert_eq!(leases.expired(at(20), 2), [LeaseId(5), LeaseId(4)]);
    assert_eq!(leases.expired(at(20), 9), [LeaseId(3), LeaseId(2), LeaseId(1)]);
}

#[test]
fn the_clock_of_a_grant_starts_at_the_next_call_with_a_time() {
    let mut leases = primary();
    leases.grant(LeaseId(1), 5).unwrap();
    assert_eq!(
        leases.time_to_live(LeaseId(1), at(50)),
        Ok(TimeToLive { remaining_secs: 5, granted_secs: 5 })
    );
    assert_eq!(leases.expired(at(50), 10), []);
    assert_eq!(leases.expired(at(55), 10), [LeaseId(1)]);

    leases.grant(LeaseId(2), 5).unwrap();
    assert_eq!(leases.renew(LeaseId(2), at(60)), Ok(5));
    leases.arm(at(62)); // must not start it over
    assert_eq!(leases.time_to_live(LeaseId(2), at(62)).unwrap().remaining_secs, 3);
}

#[test]
fn time_to_live_is_cut_off() {
    let mut leases = primary();
    leases.grant(LeaseId(1), 5).unwrap();
    leases.arm(at(0));
    for (nanos, secs) in
        [(0, 5), (1, 4), (SEC, 4), (SEC + 1, 3), (5 * SEC, 0), (6 * SEC - 1, 0), (6 * SEC, -1)]
    {
        assert_eq!(leases.time_to_live(LeaseId(1), Moment(nanos)).unwrap().remaining_secs, secs, "{nanos}");
    }
    assert_eq!(leases.time_to_live(LeaseId(2), at(0)), Err(LeaseError::NotFound(LeaseId(2))));
}

#[test]
fn promotion_starts_over_with_the_checkpoint_or_the_full_ttl() {
    let mut leases = primary();
    leases.grant(LeaseId(1), 1000).unwrap();
    leases.grant(LeaseId(2), 1000).unwrap();
    leases.arm(at(0));
    leases.checkpoint(LeaseId(2), 400, true);
    leases.demote();
    assert!(!leases.is_primary());
    leases.promote(at(900), Duration::from_secs(1));
    assert_eq!(leases.time_to_live(LeaseId(1), at(900)).unwrap().remaining_secs, 1001);
    assert_eq!(leases.time_to_live(LeaseId(2), at(900)).unwrap().remaining_secs, 401);
    assert!(leases.has_checkpoint(LeaseId(2)) && !leases.has_checkpoint(LeaseId(1)));
    // A renew gives the full TTL even where a checkpoint is set.
    assert_eq!(leases.renew(LeaseId(2), at(900)), Ok(1000));
    assert_eq!(leases.time_to_live(LeaseId(2), at(900)).unwrap().remaining_secs, 1000);
}

#[test]
fn list_is_by_remaining_time_on_the_leader_and_by_id_elsewhere() {
    let mut leases = Leases::new(Config::default());
    for (id, ttl) in [(1, 30), (2, 10), (3, 20)] {
        leases.grant(LeaseId(id), ttl).unwrap();
    }
    assert_eq!(leases.list(), [1, 2, 3].map(LeaseId));
    leases.promote(at(0), Duration::ZERO);
    assert_eq!(leases.list(), [2, 3, 1].map(LeaseId));
    leases.renew(LeaseId(2), at(9)).unwrap();
    leases.renew(LeaseId(2), at(15)).unwrap();
    leases.grant(LeaseId(4), 2).unwrap();
    assert_eq!(leases.list(), [3, 2, 1, 4].map(LeaseId));
}

#[test]
fn checkpoints_come_every_interval_while_more_than_it_remains() {
    let mut leases = primary();
    leases.grant(LeaseId(1), 1000).unwrap();
    leases.grant(LeaseId(2), 300).unwrap();
    leases.arm(at(0));
    assert_eq!(leases.checkpoints_due(at(299), 10), []);
    let first = Checkpoint { id: LeaseId(1), remaining_secs: 700 };
    assert_eq!(leases.checkpoints_due(at(300), 10), [first]);
    assert_eq!(leases.checkpoints_due(at(599), 10), []);
    let second = Checkpoint { id: LeaseId(1), remaining_secs: 400 };
    assert_eq!(leases.checkpoints_due(at(600), 10), [second]);
    let third = Checkpoint { id: LeaseId(1), remaining_secs: 100 };
    assert_eq!(leases.checkpoints_due(at(900), 10), [third]);
    // 100 s remain: no more, until a renew gives it a long life again.
    assert_eq!(leases.checkpoints_due(at(999), 10), []);
    leases.renew(LeaseId(1), at(999)).unwrap();
    assert_eq!(leases.checkpoints_due(at(1298), 10), []);
    assert_eq!(leases.checkpoints_due(at(1299), 10).len(), 1);
}

#[test]
fn a_lease_renewed_at_the_moment_needs_no_checkpoint() {
    let mut leases = primary();
    leases.grant(LeaseId(1), 1000).unwrap();
    leases.arm(at(0));
    leases.renew(LeaseId(1), at(300)).unwrap();
    assert_eq!(leases.checkpoints_due(at(300), 10), []);
    assert_eq!(leases.checkpoints_due(at(600), 10).len(), 1);
    // Due together: at most `limit` per call.
    for id in 2..10 {
        leases.grant(LeaseId(id), 1000).unwrap();
    }
    leases.arm(at(600));
    assert_eq!(leases.checkpoints_due(at(900), 4).len(), 4);
    assert_eq!(leases.checkpoints_due(at(900), 100).len(), 5);
}

#[test]
fn restore_raises_ttls_and_refuses_foreign_rows() {
    let row = |id: i64, ttl, remaining_ttl| leasepb::Lease { id, ttl, remaining_ttl }.encode_to_vec();
    let rows = [(7i64.to_be_bytes(), row(7, 1, 0)), ((-7i64).to_be_bytes(), row(-7, 100, 50))];
    let mut leases = Leases::restore(Config::default(), rows).unwrap();
    let info: Vec<_> =
        leases.iter().map(|lease| (lease.id.0, lease.ttl_secs, lease.remaining_secs)).collect();
    assert_eq!(info, [(-7, 100, 50), (7, 2, 0)]);
    leases.promote(at(0), Duration::ZERO);
    assert_eq!(leases.list(), [7, -7].map(LeaseId));

    for (key, value) in [
        (&7i64.to_be_bytes()[..], row(8, 1, 0)),
        (&[7][..], row(7, 1, 0)),
        (&7i64.to_be_bytes()[..], vec![0xff]),
    ] {
        let refused = Leases::restore(Config::default(), [(key, value)]);
        assert!(matches!(refused, Err(LeaseError::Corrupt { .. })), "{refused:?}");
    }
}

#[test]
fn a_hundred_thousand_leases_are_promoted_renewed_and_expired() {
    let mut leases = primary();
    let count = 100_000;
    for id in 1..=count {
        leases.grant(LeaseId(id), 40).unwrap();
        leases.attach(&id.to_be_bytes(), LeaseId(id)).unwrap();
    }
    leases.promote(at(1), Duration::from_secs(1));
    for id in 1..=count {
        leases.renew(LeaseId(id), at(2)).unwrap();
    }
    leases.promote(at(10), Duration::from_secs(1));
    let last = leases.time_to_live(LeaseId(count), at(10)).unwrap().remaining_secs;
    assert!((41 + 130..41 + 135).contains(&last), "spread at 750 per second, {last}");
    let mut revoked = 0;
    let mut now = at(51);
    while revoked < count {
        for id in leases.expired(now, 500) {
            revoked += leases.revoke(id).unwrap().keys.len() as i64;
        }
        now = now + Duration::from_millis(500);
        assert!(now < at(300), "expiry does not keep up: {revoked}");
    }
    assert_eq!((leases.len(), leases.attached_len()), (0, 0));
}

/// The same, told the dull way: one list, looked through from end to end.
#[derive(Default)]
struct Model {
    leases: Vec<ModelLease>,
    primary: bool,
}

#[derive(Clone, Debug)]
struct ModelLease {
    id: i64,
    ttl: i64,
    remaining: i64,
    /// Nanoseconds; `None` = not started.
    deadline: Option<u64>,
    retry: u64,
    keys: Vec<u8>,
}

impl Model {
    fn find(&mut self, id: i64) -> Option<&mut ModelLease> {
        self.leases.iter_mut().find(|lease| lease.id == id)
    }

    fn expired(&mut self, now: u64, limit: usize) -> Vec<LeaseId> {
        if !self.primary {
            return Vec::new();
        }
        for lease in &mut self.leases {
            if lease.deadline.is_none() {
                lease.deadline = Some(now + lease.ttl as u64 * SEC);
                lease.retry = now + lease.ttl as u64 * SEC;
            }
        }
        let mut due: Vec<_> = self.leases.iter().map(|lease| (lease.retry, lease.id)).collect();
        due.retain(|&(at, _)| at <= now);
        due.sort_unstable();
        due.truncate(limit);
        for &(_, id) in &due {
            self.find(id).unwrap().retry = now + 7 * SEC;
        }
        due.into_iter().map(|(_, id)| LeaseId(id)).collect()
    }
}

#[derive(Clone, Debug)]
enum Op {
    Grant(i64, i64),
    Revoke(i64),
    Attach(u8, i64),
    Detach(u8),
    Renew(i64),
    Ttl(i64),
    Checkpoint(i64, i64),
    Expired(usize),
    Promote,
    Demote,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let id = -2i64..4;
    prop_oneof![
        (id.clone(), -1i64..6).prop_map(|(id, ttl)| Op::Grant(id, ttl)),
        id.clone().prop_map(Op::Revoke),
        (0u8..5, id.clone()).prop_map(|(key, id)| Op::Attach(key, id)),
        (0u8..5).prop_map(Op::Detach),
        id.clone().prop_map(Op::Renew),
        id.clone().prop_map(Op::Ttl),
        (id, 0i64..5).prop_map(|(id, remaining)| Op::Checkpoint(id, remaining)),
        (1usize..3).prop_map(Op::Expired),
        Just(Op::Promote),
        Just(Op::Demote),
        Just(Op::Restart),
    ]
}

/// Applies one operation to both and compares the answers. `rows` is the bucket as written so far.
fn step(op: Op, now: u64, leases: &mut Leases, model: &mut Model, rows: &mut BTreeMap<Bytes, Bytes>) {
    let mut writes = Vec::new();
    match op {
        Op::Grant(id, ttl) => {
            let granted = leases.grant(LeaseId(id), ttl);
            let expect = id != 0 && model.find(id).is_none();
            assert_eq!(granted.is_ok(), expect);
            if let Ok(granted) = granted {
                writes = granted.writes;
                let lease =
                    ModelLease { id, ttl: ttl.max(2), remaining: 0, deadline: None, retry: 0, keys: vec![] };
                assert_eq!(granted.ttl_secs, lease.ttl);
                model.leases.push(lease);
            }
        }
        Op::Revoke(id) => {
            let revoked = leases.revoke(LeaseId(id));
            let position = model.leases.iter().position(|lease| lease.id == id);
            assert_eq!(revoked.is_ok(), position.is_some());
            if let (Ok(revoked), Some(position)) = (revoked, position) {
                let mut keys = model.leases.remove(position).keys;
                keys.sort_unstable();
                assert_eq!(revoked.keys.iter().map(|key| key[0]).collect::<Vec<_>>(), keys);
                writes = revoked.writes;
            }
        }
        Op::Attach(key, id) => {
            let known = model.find(id).is_some();
            assert_eq!(leases.attach(&[key], LeaseId(id)).is_ok(), known);
            if known {
                model.leases.iter_mut().for_each(|lease| lease.keys.retain(|&other| other != key));
                model.find(id).unwrap().keys.push(key);
            }
        }
        Op::Detach(key) => {
            let owner = model.leases.iter_mut().find(|lease| lease.keys.contains(&key));
            let expect = owner.map(|lease| {
                lease.keys.retain(|&other| other != key);
                LeaseId(lease.id)
            });
            assert_eq!(leases.detach(&[key]), expect);
        }
        Op::Renew(id) => {
            let primary = model.primary;
            let expect = match model.find(id) {
                _ if !primary => Err(LeaseError::NotPrimary),
                None => Err(LeaseError::NotFound(LeaseId(id))),
                Some(lease) if lease.deadline.is_some_and(|at| at <= now) => {
                    Err(LeaseError::Expired(LeaseId(id)))
                }
                Some(lease) => {
                    lease.deadline = Some(now + lease.ttl as u64 * SEC);
                    lease.retry = now + lease.ttl as u64 * SEC;
                    Ok(lease.ttl)
                }
            };
            assert_eq!(leases.renew(LeaseId(id), Moment(now)), expect);
        }
        Op::Ttl(id) => {
            let primary = model.primary;
            let expect = match model.find(id) {
                _ if !primary => Err(LeaseError::NotPrimary),
                None => Err(LeaseError::NotFound(LeaseId(id))),
                Some(lease) => Ok(TimeToLive {
                    remaining_secs: lease
                        .deadline
                        .map_or(lease.ttl, |deadline| (deadline as i64 - now as i64) / SEC as i64),
                    granted_secs: lease.ttl,
                }),
            };
            assert_eq!(leases.time_to_live(LeaseId(id), Moment(now)), expect);
        }
        Op::Checkpoint(id, remaining) => {
            writes.extend(leases.checkpoint(LeaseId(id), remaining, true));
            if let Some(lease) = model.find(id) {
                lease.remaining = remaining;
            }
        }
        Op::Expired(limit) => {
            assert_eq!(leases.expired(Moment(now), limit), model.expired(now, limit));
        }
        Op::Promote => {
            leases.promote(Moment(now), Duration::from_secs(1));
            model.primary = true;
            for lease in &mut model.leases {
                let span = if lease.remaining > 0 { lease.remaining } else { lease.ttl };
                lease.deadline = Some(now + (span as u64 + 1) * SEC);
                lease.retry = now + (span as u64 + 1) * SEC;
            }
        }
        Op::Demote => {
            leases.demote();
            model.primary = false;
        }
        Op::Restart => {
            *leases = Leases::restore(Config::default(), &*rows).unwrap();
            model.primary = false;
            for lease in &model.leases {
                for key in &lease.keys {
                    leases.attach(&[*key], LeaseId(lease.id)).unwrap();
                }
            }
        }
    }
    for write in writes {
        assert_eq!(write.bucket, bucket::LEASE);
        match write.value {
            Some(value) => rows.insert(write.key, value),
            None => rows.remove(&write.key),
        };
    }
    compare(leases, model);
}

fn compare(leases: &Leases, model: &mut Model) {
    model.leases.sort_by_key(|lease| lease.id);
    let info: Vec<_> =
        leases.iter().map(|lease| (lease.id.0, lease.ttl_secs, lease.remaining_secs)).collect();
    let expect: Vec<_> = model.leases.iter().map(|lease| (lease.id, lease.ttl, lease.remaining)).collect();
    assert_eq!(info, expect);
    for lease in &model.leases {
        let mut keys = lease.keys.clone();
        keys.sort_unstable();
        assert_eq!(leases.keys(LeaseId(lease.id)).map(|key| key[0]).collect::<Vec<_>>(), keys);
        for key in keys {
            assert_eq!(leases.lease_of(&[key]), Some(LeaseId(lease.id)));
        }
    }
    assert_eq!(leases.attached_len(), model.leases.iter().map(|lease| lease.keys.len()).sum::<usize>());
}

proptest! {
    #[test]
    fn agrees_with_a_naive_list(ops in prop::collection::vec((op(), 0u64..3 * SEC), 1..120)) {
        let mut leases = Leases::new(Config::default());
        let mut model = Model::default();
        let mut rows = BTreeMap::new();
        let mut now = 1;
        for (op, pause) in ops {
            now += pause;
            step(op, now, &mut leases, &mut model, &mut rows);
        }
    }
}
