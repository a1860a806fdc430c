//! What root does to both stores: the same requests, with the names and values of hidden keys exchanged.

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest,
    RequestOp, TxnRequest,
    compare::{CompareTarget, TargetUnion},
    request_op::Request,
};

use super::{
    keys::{Key, Keys, Store},
    policy::Policy,
    rng::Rng,
};
use crate::method::Method;

/// Leases are numbered from 1 to this.
pub(super) const LEASES: i64 = 10;

/// Far apart, so that the order of their ends does not depend on the moment at which they were granted.
pub(super) fn ttl_of(lease: i64) -> i64 {
    100_000 + 1000 * lease
}

/// A request of root, once for each store.
pub(super) struct Twin {
    pub(super) method: Method,
    pub(super) bodies: [Vec<u8>; 2],
}

pub(super) struct Script<'a> {
    pub(super) policy: &'a Policy,
    pub(super) keys: &'a Keys,
    pub(super) head: i64,
    pub(super) compacted: i64,
}

/// A put whose name and value are known only when the store is.
struct Put {
    key: Key,
    values: [Vec<u8>; 2],
    lease: i64,
}

impl Script<'_> {
    pub(super) fn next(&self, rng: &mut Rng) -> Twin {
        match rng.below(40) {
            0..18 => {
                let put = self.put(rng);
                self.twin(Method::Put, |store| self.put_for(&put, store))
            }
            18..23 => {
                let key = self.keys.any(rng);
                self.twin(Method::DeleteRange, |store| self.delete_for(&key, store))
            }
            23 => self.delete_granted(rng),
            24..33 => self.txn(rng),
            33..37 => {
                let id = rng.within(1, LEASES);
                same(Method::LeaseGrant, &LeaseGrantRequest { id, ttl: ttl_of(id) })
            }
            37 => same(Method::LeaseRevoke, &LeaseRevokeRequest { id: rng.within(1, LEASES) }),
            38 => {
                let revision = rng.within(self.compacted + 1, self.head);
                same(Method::Compact, &CompactionRequest { revision, physical: rng.chance(30) })
            }
            _ => {
                let all = Bytes::from_static(b"\0");
                let everything = DeleteRangeRequest { key: all.clone(), range_end: all, prev_kv: false };
                if rng.chance(30) { same(Method::DeleteRange, &everything) } else { self.fat(rng) }
            }
        }
    }

    fn twin<T: Message>(&self, method: Method, request: impl Fn(Store) -> T) -> Twin {
        Twin { method, bodies: [Store::One, Store::Other].map(|store| request(store).encode_to_vec()) }
    }

    fn put(&self, rng: &mut Rng) -> Put {
        let len = if rng.chance(10) { 300 } else { rng.below(9) };
        self.put_of(rng, len)
    }

    fn put_of(&self, rng: &mut Rng, len: usize) -> Put {
        let key = self.keys.any(rng);
        let value = rng.text(len);
        let readable = matches!(&key, Key::Shown(name) if self.policy.reads(name));
        let other = if readable { value.clone() } else { rng.text(len) };
        let lease = if rng.chance(35) { rng.within(1, LEASES) } else { 0 };
        Put { key, values: [value, other], lease }
    }

    fn put_for(&self, put: &Put, store: Store) -> PutRequest {
        PutRequest {
            key: self.keys.name(&put.key, store).into(),
            value: put.values[store as usize].clone().into(),
            lease: put.lease,
            ..PutRequest::default()
        }
    }

    fn delete_for(&self, key: &Key, store: Store) -> DeleteRangeRequest {
        DeleteRangeRequest { key: self.keys.name(key, store).into(), prev_kv: true, ..Default::default() }
    }

    /// Deletes a range in which nothing is hidden.
    fn delete_granted(&self, rng: &mut Rng) -> Twin {
        let permissions: Vec<_> = self.policy.permissions().collect();
        let permission = rng.pick(&permissions);
        let (key, range_end) = (permission.key.clone(), permission.range_end.clone());
        same(Method::DeleteRange, &DeleteRangeRequest { key, range_end, prev_kv: false })
    }

    /// A transaction over hidden and other keys.
    fn txn(&self, rng: &mut Rng) -> Twin {
        let about = self.keys.any(rng);
        let (target, union) = match rng.below(3) {
            0 => (CompareTarget::Version, TargetUnion::Version(rng.within(0, 2))),
            1 => (CompareTarget::Mod, TargetUnion::ModRevision(rng.within(0, self.head))),
            _ => (CompareTarget::Lease, TargetUnion::Lease(rng.within(0, LEASES))),
        };
        let result = rng.within(0, 3) as i32;
        let mut branches: [Vec<Put>; 2] = Default::default();
        for branch in &mut branches {
            for _ in 0..1 + rng.below(4) {
                let put = self.put(rng);
                if branch.iter().all(|other| other.key != put.key) {
                    branch.push(put);
                }
            }
        }
        let deleted = self.keys.any(rng);
        let deleted = branches[0].iter().all(|put| put.key != deleted).then_some(deleted);
        self.twin(Method::Txn, |store| {
            let compare = Compare {
                result,
                target: target.into(),
                key: self.keys.name(&about, store).into(),
                target_union: Some(union.clone()),
                ..Compare::default()
            };
            let puts = |branch: &[Put]| {
                branch.iter().map(|put| op(Request::RequestPut(self.put_for(put, store)))).collect()
            };
            let mut success: Vec<RequestOp> = puts(&branches[0]);
            let delete =
                deleted.iter().map(|key| op(Request::RequestDeleteRange(self.delete_for(key, store))));
            success.extend(delete);
            TxnRequest { compare: vec![compare], success, failure: puts(&branches[1]) }
        })
    }

    /// One revision that is too large for one reply of a watch.
    fn fat(&self, rng: &mut Rng) -> Twin {
        let mut puts: Vec<Put> = Vec::new();
        for _ in 0..40 {
            let put = self.put_of(rng, 20_000);
            if puts.iter().all(|other| other.key != put.key) {
                puts.push(put);
            }
        }
        self.twin(Method::Txn, |store| TxnRequest {
            success: puts.iter().map(|put| op(Request::RequestPut(self.put_for(put, store)))).collect(),
            ..TxnRequest::default()
        })
    }
}

pub(super) fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

pub(super) fn same(method: Method, request: &impl Message) -> Twin {
    let body = request.encode_to_vec();
    Twin { method, bodies: [body.clone(), body] }
}
