//! What the user asks, and what he should rather not.

use bytes::Bytes;
use prost::Message;
use proto::{etcdserverpb::*, v3electionpb as election, v3lockpb as lock};

use super::{
    keys::Keys,
    policy::{LETTERS, USER},
    rng::Rng,
    script::{LEASES, op, ttl_of},
};
use crate::method::Method;

/// A request of the user.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) body: Vec<u8>,
}

impl Ask {
    pub(super) fn new(method: Method, request: &impl Message) -> Ask {
        Ask { method, body: request.encode_to_vec() }
    }
}

/// What requests are made from.
pub(super) struct Asker<'a> {
    pub(super) keys: &'a Keys,
    pub(super) head: i64,
    pub(super) compacted: i64,
    /// Keeps to what was granted, as far as keys go.
    pub(super) careful: bool,
}

/// How many requests keep to what was granted: one guess too many, and a transaction is refused.
const CAREFUL_PERCENT: usize = 65;

/// Lowest and highest, of revisions or nothing.
type Bounds = (i64, i64);

impl Asker<'_> {
    /// Somebody who keeps to what was granted, or not.
    pub(super) fn in_some_mood(&self, rng: &mut Rng) -> Asker<'_> {
        Asker { careful: rng.chance(CAREFUL_PERCENT), ..*self }
    }

    fn guess(&self, rng: &mut Rng) -> Vec<u8> {
        if self.careful { rng.pick(&self.keys.own).clone() } else { self.keys.guess(rng) }
    }

    /// Something that changes no state.
    pub(super) fn read(&self, rng: &mut Rng) -> Ask {
        self.in_some_mood(rng).some_read(rng)
    }

    /// Something that goes through the log.
    pub(super) fn write(&self, rng: &mut Rng) -> Ask {
        self.in_some_mood(rng).some_write(rng)
    }

    fn some_read(&self, rng: &mut Rng) -> Ask {
        match rng.below(40) {
            0..16 => Ask::new(Method::Range, &self.range(rng)),
            16..19 => Ask::new(Method::RangeStream, &self.range(rng)),
            19..24 => Ask::new(Method::Txn, &self.read_txn(rng)),
            24..27 => {
                let (id, keys) = (rng.within(0, LEASES), rng.chance(80));
                Ask::new(Method::LeaseTimeToLive, &LeaseTimeToLiveRequest { id, keys })
            }
            27..29 => Ask::new(Method::LeaseLeases, &LeaseLeasesRequest {}),
            29..31 => Ask::new(Method::LeaseKeepAlive, &LeaseKeepAliveRequest { id: rng.within(0, LEASES) }),
            31 => Ask::new(Method::MemberList, &MemberListRequest { linearizable: rng.chance(50) }),
            32 => Ask::new(Method::HashKv, &HashKvRequest { revision: rng.within(0, self.head) }),
            33 => Ask::new(Method::Status, &StatusRequest {}),
            34 => {
                let name = Bytes::from(self.guess(rng));
                Ask::new(Method::Leader, &election::LeaderRequest { name })
            }
            _ => self.denied(rng),
        }
    }

    /// What only root may, or a mistake.
    fn denied(&self, rng: &mut Rng) -> Ask {
        match rng.below(10) {
            0 => Ask::new(Method::Compact, &CompactionRequest { revision: self.head, physical: true }),
            1 => Ask::new(Method::Defragment, &DefragmentRequest {}),
            2 => Ask::new(Method::Hash, &HashRequest {}),
            3 => Ask::new(Method::Snapshot, &SnapshotRequest {}),
            4 => Ask::new(Method::MoveLeader, &MoveLeaderRequest { target_id: rng.next() }),
            5 => {
                let version = "3.6.0".into();
                Ask::new(Method::Downgrade, &DowngradeRequest { action: 1, version })
            }
            6 => {
                let peer_ur_ls = vec!["http://127.0.0.1:1".to_owned()];
                Ask::new(Method::MemberAdd, &MemberAddRequest { peer_ur_ls, is_learner: true })
            }
            7 => Ask::new(Method::MemberRemove, &MemberRemoveRequest { id: rng.next() }),
            8 => Ask::new(Method::MemberPromote, &MemberPromoteRequest { id: rng.next() }),
            _ => {
                let peer_ur_ls = vec!["http://127.0.0.1:1".to_owned()];
                Ask::new(Method::MemberUpdate, &MemberUpdateRequest { id: rng.next(), peer_ur_ls })
            }
        }
    }

    fn some_write(&self, rng: &mut Rng) -> Ask {
        match rng.below(40) {
            0..12 => Ask::new(Method::Put, &self.put(rng)),
            12..18 => Ask::new(Method::DeleteRange, &self.delete(rng)),
            18..30 => Ask::new(Method::Txn, &self.write_txn(rng)),
            30..32 => {
                let id = rng.within(1, LEASES);
                Ask::new(Method::LeaseGrant, &LeaseGrantRequest { id, ttl: ttl_of(id) })
            }
            32..34 => Ask::new(Method::LeaseRevoke, &LeaseRevokeRequest { id: rng.within(1, LEASES) }),
            34 => {
                let (action, alarm) = (rng.within(0, 2) as i32, rng.within(0, 2) as i32);
                Ask::new(Method::Alarm, &AlarmRequest { action, member_id: 1, alarm })
            }
            _ => self.auth(rng),
        }
    }

    fn auth(&self, rng: &mut Rng) -> Ask {
        let name = (*rng.pick(&[USER, "root", "other", "nobody"])).to_owned();
        let role = (*rng.pick(&["role-0", "role-1", "role-2", "root", "none"])).to_owned();
        match rng.below(12) {
            0..3 => Ask::new(Method::UserGet, &AuthUserGetRequest { name }),
            3..6 => Ask::new(Method::RoleGet, &AuthRoleGetRequest { role }),
            6 => Ask::new(Method::UserList, &AuthUserListRequest {}),
            7 => Ask::new(Method::RoleList, &AuthRoleListRequest {}),
            8 => Ask::new(Method::UserGrantRole, &AuthUserGrantRoleRequest { user: name, role }),
            9 => Ask::new(Method::RoleDelete, &AuthRoleDeleteRequest { role }),
            10 => Ask::new(Method::AuthDisable, &AuthDisableRequest {}),
            _ => Ask::new(Method::AuthStatus, &AuthStatusRequest {}),
        }
    }

    /// Something of several steps, or that may be anything: asked alone.
    pub(super) fn odd(&self, rng: &mut Rng) -> Ask {
        let id = rng.within(1, LEASES);
        // Under a name of its own for each lease, so that nobody ever waits.
        let name = Bytes::from([self.guess(rng), id.to_string().into_bytes()].concat());
        let key = Bytes::from(format!("{}/{id:x}", String::from_utf8_lossy(&name)));
        let value = Bytes::from(rng.text(3));
        let rev = rng.within(0, self.head);
        let leader = Some(election::LeaderKey { name: name.clone(), key: key.clone(), rev, lease: id });
        match rng.below(12) {
            0..2 => Ask::new(Method::Lock, &lock::LockRequest { name, lease: id }),
            2..4 => Ask::new(Method::Unlock, &lock::UnlockRequest { key }),
            4 => Ask::new(Method::Campaign, &election::CampaignRequest { name, lease: id, value }),
            5 => Ask::new(Method::Proclaim, &election::ProclaimRequest { leader, value }),
            6 => Ask::new(Method::Resign, &election::ResignRequest { leader }),
            _ => {
                let mut ask = if rng.chance(50) { self.read(rng) } else { self.write(rng) };
                // A lease that ends in the middle of it all, or whose number the member chooses, is told apart
                // by the clock.
                if ask.method == Method::LeaseGrant {
                    return ask;
                }
                for _ in 0..1 + rng.below(3) {
                    let at = rng.below(ask.body.len() + 1);
                    match ask.body.get_mut(at) {
                        Some(byte) if rng.chance(70) => *byte = rng.next() as u8,
                        Some(_) => ask.body.truncate(at),
                        None => ask.body.push(rng.next() as u8),
                    }
                }
                ask
            }
        }
    }

    /// A point, a prefix, a range or the rest, now and then about what is hidden.
    pub(super) fn span(&self, rng: &mut Rng) -> (Bytes, Bytes) {
        if self.careful && rng.chance(40) {
            return rng.pick(&self.keys.own_ranges).clone();
        }
        let key = self.guess(rng);
        if self.careful {
            let end = if rng.chance(60) { vec![] } else { [&key[..], b"\0"].concat() };
            return (key.into(), end.into());
        }
        let end = match rng.below(20) {
            0..9 => vec![],
            9..13 => [&key[..], b"\0"].concat(),
            13..15 => vec![key[0], key.get(1).map_or(b'9', |digit| digit + 1)],
            15..17 => vec![key[0] + 1],
            17 => self.guess(rng),
            18 => vec![0],
            _ => {
                let letter = *rng.pick(LETTERS);
                return (vec![letter].into(), vec![letter + 1].into());
            }
        };
        let key = if end == [key[0] + 1] && rng.chance(60) { vec![key[0]] } else { key };
        if rng.chance(1) { (vec![0].into(), vec![0].into()) } else { (key.into(), end.into()) }
    }

    fn range(&self, rng: &mut Rng) -> RangeRequest {
        let (key, range_end) = self.span(rng);
        let bounds = |rng: &mut Rng| -> Bounds {
            if rng.chance(90) { (0, 0) } else { (rng.within(0, self.head), rng.within(0, self.head)) }
        };
        let (min_mod_revision, max_mod_revision) = bounds(rng);
        let (min_create_revision, max_create_revision) = bounds(rng);
        RangeRequest {
            key,
            range_end,
            limit: if rng.chance(30) { rng.within(1, 4) } else { 0 },
            revision: self.revision(rng),
            sort_order: if rng.chance(30) { rng.within(0, 2) as i32 } else { 0 },
            sort_target: if rng.chance(30) { rng.within(0, 4) as i32 } else { 0 },
            serializable: rng.chance(40),
            keys_only: rng.chance(15),
            count_only: rng.chance(15),
            min_mod_revision,
            max_mod_revision,
            min_create_revision,
            max_create_revision,
        }
    }

    fn revision(&self, rng: &mut Rng) -> i64 {
        match rng.below(10) {
            0..6 => 0,
            6..9 => rng.within(self.compacted - 1, self.head),
            _ => self.head + rng.within(0, 2),
        }
    }

    /// Sometimes a name that may be written, whether it may be read or not.
    fn written(&self, rng: &mut Rng) -> Option<Vec<u8>> {
        let wanted = rng.chance(30) && !self.keys.writable.is_empty();
        wanted.then(|| rng.pick(&self.keys.writable).clone())
    }

    fn put(&self, rng: &mut Rng) -> PutRequest {
        let key = Bytes::from(self.written(rng).unwrap_or_else(|| self.guess(rng)));
        let (ignore_value, ignore_lease) = (rng.chance(10), rng.chance(10));
        let len = rng.below(6);
        PutRequest {
            key,
            value: if ignore_value { Bytes::new() } else { rng.text(len).into() },
            lease: if rng.chance(30) && !ignore_lease { rng.within(1, LEASES) } else { 0 },
            prev_kv: rng.chance(40),
            ignore_value,
            ignore_lease,
        }
    }

    fn delete(&self, rng: &mut Rng) -> DeleteRangeRequest {
        let (key, range_end) = match self.written(rng) {
            Some(key) => (key.into(), Bytes::new()),
            None => self.span(rng),
        };
        DeleteRangeRequest { key, range_end, prev_kv: rng.chance(50) }
    }

    fn compares(&self, rng: &mut Rng) -> Vec<Compare> {
        use compare::{CompareTarget as Target, TargetUnion as Union};
        let count = rng.below(3);
        let one = |rng: &mut Rng| {
            let (key, range_end) = self.span(rng);
            let len = rng.below(3);
            let (target, union) = match rng.below(5) {
                0 => (Target::Version, Union::Version(rng.within(0, 3))),
                1 => (Target::Create, Union::CreateRevision(rng.within(0, self.head))),
                2 => (Target::Mod, Union::ModRevision(rng.within(0, self.head))),
                3 => (Target::Lease, Union::Lease(rng.within(0, LEASES))),
                _ => (Target::Value, Union::Value(rng.text(len).into())),
            };
            let result = rng.within(0, 3) as i32;
            Compare { result, target: target.into(), key, range_end, target_union: Some(union) }
        };
        (0..count).map(|_| one(rng)).collect()
    }

    fn read_txn(&self, rng: &mut Rng) -> TxnRequest {
        let compare = self.compares(rng);
        let mut branch = || -> Vec<RequestOp> {
            (0..1 + rng.below(2)).map(|_| op(request_op::Request::RequestRange(self.range(rng)))).collect()
        };
        TxnRequest { compare, success: branch(), failure: branch() }
    }

    /// Never one that only reads.
    fn write_txn(&self, rng: &mut Rng) -> TxnRequest {
        let mut txn = self.any_txn(rng, 0);
        let put = op(request_op::Request::RequestPut(self.put(rng)));
        if rng.chance(50) {
            txn.success.push(put);
        } else {
            txn.failure.push(put);
        }
        txn
    }

    fn any_txn(&self, rng: &mut Rng, depth: usize) -> TxnRequest {
        let compare = self.compares(rng);
        let mut branch = || -> Vec<RequestOp> {
            let count = rng.below(3);
            (0..count).map(|_| op(self.any_op(rng, depth))).collect()
        };
        TxnRequest { compare, success: branch(), failure: branch() }
    }

    fn any_op(&self, rng: &mut Rng, depth: usize) -> request_op::Request {
        match rng.below(10) {
            0..3 => request_op::Request::RequestRange(self.range(rng)),
            3..6 => request_op::Request::RequestPut(self.put(rng)),
            6..8 => request_op::Request::RequestDeleteRange(self.delete(rng)),
            _ if depth < 3 => request_op::Request::RequestTxn(self.any_txn(rng, depth + 1)),
            _ => request_op::Request::RequestRange(self.range(rng)),
        }
    }
}
