//! What clients ask for, drawn from the seed.

mod txns;

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::etcdserverpb::{
    self as pb, AlarmType, RequestOp, alarm_request::AlarmAction, range_request::SortOrder,
    request_op::Request as OpRequest,
};

use crate::{call::Ask, options::Options, random::Random};

/// Kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the calls")]
pub enum OpKind {
    Put,
    Delete,
    DeleteMany,
    Txn,
    Get,
    List,
    Stale,
    Past,
    Compact,
    Grant,
    LeasedPut,
    KeepAlive,
    Revoke,
    Hash,
    MoveLeader,
    Defragment,
    Users,
    Alarm,
}

impl OpKind {
    /// All of them.
    pub const ALL: [OpKind; 18] = [
        OpKind::Put,
        OpKind::Delete,
        OpKind::DeleteMany,
        OpKind::Txn,
        OpKind::Get,
        OpKind::List,
        OpKind::Stale,
        OpKind::Past,
        OpKind::Compact,
        OpKind::Grant,
        OpKind::LeasedPut,
        OpKind::KeepAlive,
        OpKind::Revoke,
        OpKind::Hash,
        OpKind::MoveLeader,
        OpKind::Defragment,
        OpKind::Users,
        OpKind::Alarm,
    ];

    /// How often it is made when nothing is left out.
    pub(crate) fn usual_weight(self) -> u64 {
        match self {
            OpKind::Put => 40,
            OpKind::Delete | OpKind::List | OpKind::Stale | OpKind::Past => 10,
            OpKind::Txn | OpKind::Get => 20,
            OpKind::LeasedPut | OpKind::KeepAlive => 8,
            OpKind::DeleteMany | OpKind::Grant | OpKind::Hash => 3,
            OpKind::Compact | OpKind::Revoke | OpKind::Alarm => 2,
            OpKind::MoveLeader | OpKind::Defragment => 1,
            OpKind::Users => 10,
        }
    }
}

/// Draws calls.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) random: Random,
    ops: Vec<(OpKind, u64)>,
    keys: u64,
    value_bytes_max: u64,
    /// Users come into play.
    pub(crate) users: bool,
    /// The revision at which each user logged in last.
    pub(crate) logins: BTreeMap<&'static str, u64>,
    /// Changes of users, roles and permissions that were asked for.
    pub(crate) changes_of_users: u32,
    /// Keys to be there before anything else is asked, and those that were asked for.
    fill: u64,
    filled: u64,
    /// Calls so far: no two values are the same.
    count: u64,
    /// Leases that may be there, newest last.
    leases: Vec<i64>,
}

/// More keys than this are there from the beginning.
const MANY_KEYS: u64 = 1_000;
/// Transactions inside of each other.
const TXN_DEPTH_MAX: u32 = 2;
/// Values from here on are rare, where they come at all.
const LARGE_BYTES: u64 = 50_000;
/// Pairs put by one transaction that fills the store.
const FILL_PAIRS: u64 = 100;
/// Leases that calls are drawn from.
const LEASES_KEPT: usize = 20;

/// What the world looks like to a client that wants to ask something sensible.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
    /// One that is on.
    pub(crate) alarm: Option<(i32, u64)>,
}

impl Load {
    pub(crate) fn new(seed: u64, options: &Options) -> Load {
        Load {
            random: Random::stream(seed, "load"),
            ops: options.ops.clone(),
            keys: options.keys,
            value_bytes_max: options.value_bytes_max,
            users: options.ops.iter().any(|(kind, _)| *kind == OpKind::Users),
            logins: BTreeMap::new(),
            changes_of_users: 0,
            fill: if options.keys > MANY_KEYS { options.keys } else { 0 },
            filled: 0,
            count: 0,
            leases: Vec::new(),
        }
    }

    /// A lease was granted.
    pub(crate) fn granted(&mut self, id: i64) {
        self.leases.push(id);
        if self.leases.len() > LEASES_KEPT {
            self.leases.remove(0);
        }
    }

    /// The next call; `members` are the ids to choose a leader from.
    pub(crate) fn draw(&mut self, seen: Seen, members: &[u64]) -> Ask {
        if self.filled < self.fill {
            return Ask::Txn(self.fill_some());
        }
        let weights: Vec<u64> = self.ops.iter().map(|(_, weight)| *weight).collect();
        let kind = self.random.weighted(&weights).map_or(OpKind::Put, |place| self.ops[place].0);
        self.count += 1;
        match kind {
            OpKind::Put => Ask::Put(self.put(0)),
            OpKind::LeasedPut => {
                let lease = self.lease();
                Ask::Put(self.put(lease))
            }
            OpKind::Delete => Ask::Delete(self.delete(false)),
            OpKind::DeleteMany => Ask::Delete(self.delete(true)),
            OpKind::Txn => Ask::Txn(self.txn(seen)),
            OpKind::Get => {
                let key = self.key();
                Ask::Range(pb::RangeRequest { key, ..pb::RangeRequest::default() })
            }
            OpKind::List => Ask::Range(self.list(0)),
            OpKind::Stale => Ask::Range(pb::RangeRequest { serializable: true, ..self.list(0) }),
            OpKind::Past => {
                let revision = self.revision(seen);
                Ask::Range(self.list(revision))
            }
            OpKind::Compact => {
                let most = *self.random.pick(&[1, 5, 100]);
                let keep = self.random.below(most) as i64;
                let revision = (seen.revision - keep).max(1);
                let physical = self.random.one_in(2);
                Ask::Compact(pb::CompactionRequest { revision, physical })
            }
            OpKind::Grant => {
                let ttl = self.random.between(1, 20) as i64;
                let id = if self.random.one_in(3) { self.random.between(1, 1 << 40) as i64 } else { 0 };
                Ask::Grant(pb::LeaseGrantRequest { ttl, id })
            }
            OpKind::Revoke => Ask::Revoke(pb::LeaseRevokeRequest { id: self.lease() }),
            OpKind::KeepAlive => Ask::KeepAlive(pb::LeaseKeepAliveRequest { id: self.lease() }),
            OpKind::Hash => Ask::HashKv(pb::HashKvRequest { revision: self.revision(seen) }),
            OpKind::MoveLeader => {
                Ask::MoveLeader(pb::MoveLeaderRequest { target_id: *self.random.pick(members) })
            }
            OpKind::Defragment => Ask::Defragment(pb::DefragmentRequest {}),
            OpKind::Users => Ask::Auth(self.change_of_users()),
            OpKind::Alarm => Ask::Alarm(self.alarm(seen.alarm, members)),
        }
    }

    /// What a client asks at once after an answer at `revision`, where one thing should come close behind the other.
    pub(crate) fn follow(&mut self, ask: &Ask, revision: i64) -> Option<Ask> {
        if let Ask::Put(put) = ask
            && self.random.one_in(3)
        {
            // Whoever is asked next has to know.
            return Some(Ask::Range(pb::RangeRequest {
                key: put.key.clone(),
                ..pb::RangeRequest::default()
            }));
        }
        let compacts = self.ops.iter().any(|(kind, _)| *kind == OpKind::Compact);
        let deleted = matches!(ask, Ask::Delete(_) | Ask::Txn(_));
        if !compacts || !deleted || revision == 0 || !self.random.one_in(6) {
            return None;
        }
        let physical = self.random.one_in(2);
        Some(Ask::Compact(pb::CompactionRequest { revision, physical }))
    }

    /// Alarms are cleared more often than raised: not much goes on while one is on.
    fn alarm(&mut self, on: Option<(i32, u64)>, members: &[u64]) -> pb::AlarmRequest {
        if let Some((alarm, member_id)) = on
            && !self.random.one_in(4)
        {
            return pb::AlarmRequest { action: AlarmAction::Deactivate as i32, member_id, alarm };
        }
        let kind = if self.random.one_in(4) { AlarmType::Corrupt } else { AlarmType::Nospace };
        let (action, alarm) = match self.random.below(4) {
            0 => (AlarmAction::Get, *self.random.pick(&[AlarmType::None, kind])),
            1 => (AlarmAction::Deactivate, kind),
            _ => (AlarmAction::Activate, kind),
        };
        let member_id = if action == AlarmAction::Get { 0 } else { *self.random.pick(members) };
        pb::AlarmRequest { action: action as i32, member_id, alarm: alarm as i32 }
    }

    /// An id that some lease may have; 1 is nobody's for long.
    pub(crate) fn lease(&mut self) -> i64 {
        if self.leases.is_empty() { 1 } else { *self.random.pick(&self.leases) }
    }

    /// A revision between the compacted one and a little beyond the current one, sometimes at the borders.
    fn revision(&mut self, seen: Seen) -> i64 {
        let low = (seen.compacted - 1).max(1);
        match self.random.below(6) {
            0 => low,
            1 => seen.compacted.max(1),
            2 => seen.revision + 1,
            _ => self.random.between(low as u64, seen.revision.max(low) as u64) as i64,
        }
    }

    pub(crate) fn key(&mut self) -> Bytes {
        // A few keys get much of the load.
        let among = if self.random.one_in(2) { self.keys.min(3) } else { self.keys };
        format!("key-{:06}", self.random.below(among)).into()
    }

    /// Two ends; the second may be open or missing.
    pub(crate) fn range(&mut self) -> (Bytes, Bytes) {
        if self.keys > MANY_KEYS && !self.random.one_in(20) {
            // All of them at once take their time.
            let first = self.random.below(self.keys);
            let end = first + self.random.between(1, 300);
            return (format!("key-{first:06}").into(), format!("key-{end:06}").into());
        }
        let (one, other) = (self.key(), self.key());
        match self.random.below(4) {
            0 => (one, Bytes::new()),
            1 => (one, Bytes::from_static(b"\0")),
            2 => (Bytes::from_static(b"key-"), Bytes::from_static(b"key.")),
            _ => (one.clone().min(other.clone()), one.max(other)),
        }
    }

    /// Puts the next keys.
    fn fill_some(&mut self) -> pb::TxnRequest {
        let first = self.filled;
        self.filled += FILL_PAIRS;
        let put = |number: u64| pb::PutRequest {
            key: format!("key-{number:06}").into(),
            value: Bytes::from_static(b"filled"),
            ..pb::PutRequest::default()
        };
        let op = |number| RequestOp { request: Some(OpRequest::RequestPut(put(number))) };
        pb::TxnRequest { success: (first..self.filled).map(op).collect(), ..pb::TxnRequest::default() }
    }

    fn value(&mut self) -> Bytes {
        let rare = self.value_bytes_max > LARGE_BYTES && !self.random.one_in(20);
        let len = self.random.below(if rare { 200 } else { self.value_bytes_max }) as usize;
        let mut value = format!("v{}", self.count).into_bytes();
        value.resize(value.len().max(len), b'.');
        value.into()
    }

    fn put(&mut self, lease: i64) -> pb::PutRequest {
        let (key, value, prev_kv) = (self.key(), self.value(), self.random.one_in(3));
        pb::PutRequest { key, value, lease, prev_kv, ..pb::PutRequest::default() }
    }

    fn delete(&mut self, many: bool) -> pb::DeleteRangeRequest {
        let (key, range_end) = if many { self.range() } else { (self.key(), Bytes::new()) };
        pb::DeleteRangeRequest { key, range_end, prev_kv: self.random.one_in(2) }
    }

    fn list(&mut self, revision: i64) -> pb::RangeRequest {
        let (key, range_end) = self.range();
        pb::RangeRequest {
            key,
            range_end,
            revision,
            limit: if self.random.one_in(3) { self.random.between(1, 10) as i64 } else { 0 },
            keys_only: self.random.one_in(8),
            count_only: self.random.one_in(8),
            sort_order: if self.random.one_in(6) { SortOrder::Descend } else { SortOrder::None } as i32,
            ..pb::RangeRequest::default()
        }
    }
}
