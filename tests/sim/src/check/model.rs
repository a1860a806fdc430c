//! The store as its contract describes it, in the simplest form: every version of every key, for ever.

mod txn;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use bytes::Bytes;
use proto::{
    etcdserverpb::{
        self as pb, Compare, InternalRaftRequest, compare::CompareTarget, request_op::Request as OpRequest,
    },
    mvccpb::KeyValue,
};

use self::txn::{Path, Txn, holds_for};
use super::{
    alarms::AlarmLog,
    range,
    users::{UserLog, needs_of_entry},
};
use crate::call::{Answer, Ask, Who};

/// One version of a key.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) main: i64,
    /// The pair; of a deletion, only the key counts.
    pub(crate) kv: KeyValue,
    pub(crate) deleted: bool,
}

/// What one write changed: the version and the one before.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: Version,
    pub(crate) previous: Option<KeyValue>,
}

/// A write that succeeded, as its revision knows it.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) index: u64,
    /// `None`: the server's own, such as an expiry.
    pub(crate) ask: Option<Ask>,
    pub(crate) answer: Option<Answer>,
}

/// A lease as the log has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lease {
    pub(crate) keys: BTreeSet<Bytes>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Model {
    /// The last entry taken in.
    pub(crate) index: u64,
    /// Revision and compacted revision after each entry, from index 0 on.
    stands: Vec<(i64, i64)>,
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
    /// All revisions at which history was ever cut.
    pub(crate) compactions: BTreeSet<i64>,
    /// Oldest version first.
    keys: BTreeMap<Bytes, Vec<Version>>,
    /// By revision.
    pub(crate) changes: BTreeMap<i64, Vec<Change>>,
    pub(crate) written: BTreeMap<i64, Written>,
    pub(crate) leases: BTreeMap<i64, Lease>,
    /// Leases that an entry granted or revoked at all.
    pub(crate) leases_seen: BTreeSet<i64>,
    pub(crate) users: UserLog,
    pub(crate) alarms: AlarmLog,
    /// When leases ended, by log index.
    pub(crate) leases_ended: BTreeMap<i64, u64>,
}

/// Why a write is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Compacted,
    Future,
    NoLease,
    NoKey,
}

impl Model {
    pub(crate) fn new() -> Model {
        Model {
            index: 0,
            stands: vec![(1, 0)],
            revision: 1,
            compacted: 0,
            compactions: BTreeSet::new(),
            keys: BTreeMap::new(),
            changes: BTreeMap::new(),
            written: BTreeMap::new(),
            leases: BTreeMap::new(),
            leases_seen: BTreeSet::new(),
            users: UserLog::new(),
            alarms: AlarmLog::new(),
            leases_ended: BTreeMap::new(),
        }
    }

    /// What every member must stand at that has applied so much, and nothing more; `None` for what nobody has.
    pub(crate) fn stands_at(&self, index: u64) -> Option<(i64, i64)> {
        self.stands.get(index as usize).copied()
    }

    /// Takes in an entry, its request if it has one. Gives the leases that it revoked.
    pub(crate) fn take(&mut self, index: u64, request: Option<InternalRaftRequest>) -> Vec<i64> {
        self.index = index;
        let revoked = request.map_or_else(Vec::new, |request| self.apply(index, request));
        debug_assert_eq!(self.stands.len() as u64, index, "entries come one after the other");
        self.stands.push((self.revision, self.compacted));
        revoked
    }

    /// Takes in a request. Gives the leases that it revoked.
    fn apply(&mut self, index: u64, request: InternalRaftRequest) -> Vec<i64> {
        let mut revoked = Vec::new();
        let who = request.header.as_ref().map_or(Who::nobody(), |header| Who::User {
            name: header.username.clone(),
            revision: header.auth_revision,
        });
        if self.alarms.refuse(&request) {
            return revoked;
        }
        let keys = |id| self.leases.get(&id).map(|lease| lease.keys.iter().cloned().collect());
        if !self.users.now().grant(&who, &needs_of_entry(&request), keys) || self.users.apply(index, &request)
        {
            return revoked;
        }
        if let Some(alarm) = &request.alarm {
            self.alarms.apply(index, alarm);
        } else if let Some(put) = request.put {
            self.write(index, Ask::Put(put));
        } else if let Some(delete) = request.delete_range {
            self.write(index, Ask::Delete(delete));
        } else if let Some(txn) = request.txn {
            self.write(index, Ask::Txn(txn));
        } else if let Some(compaction) = request.compaction {
            if compaction.revision > self.compacted && compaction.revision <= self.revision {
                self.compactions.insert(compaction.revision);
                self.compacted = compaction.revision;
            }
        } else if let Some(grant) = request.lease_grant {
            // One that is there is refused.
            self.leases.entry(grant.id).or_default();
            self.leases_seen.insert(grant.id);
            self.leases_ended.remove(&grant.id);
        } else if let Some(revoke) = request.lease_revoke
            && let Some(lease) = self.leases.remove(&revoke.id)
        {
            let mut txn = Txn::begin(self);
            for key in lease.keys {
                txn.delete_key(&key);
            }
            if txn.end() {
                self.written.insert(self.revision, Written { index, ask: None, answer: None });
            }
            self.leases_ended.insert(revoke.id, index);
            revoked.push(revoke.id);
        }
        revoked
    }

    fn write(&mut self, index: u64, ask: Ask) {
        if let Ok((answer, true)) = self.run(&ask) {
            self.written.insert(self.revision, Written { index, ask: Some(ask), answer: Some(answer) });
        }
    }

    /// Runs a write; the answer has no headers. `true` when keys have changed.
    fn run(&mut self, ask: &Ask) -> Result<(Answer, bool), Refusal> {
        match ask {
            Ask::Put(put) => self.check_put(put)?,
            Ask::Txn(txn) => self.check_txn(txn, &self.path(txn))?,
            _ => {}
        }
        let mut txn = Txn::begin(self);
        let answer = match ask {
            Ask::Put(put) => Answer::Put(txn.put(put)),
            Ask::Delete(delete) => Answer::Delete(txn.delete(delete)),
            Ask::Txn(request) => {
                let path = txn.model.path(request);
                Answer::Txn(txn.txn(request, &path))
            }
            other => unreachable!("{other:?} is no write"),
        };
        Ok((answer, txn.end()))
    }

    fn check_put(&self, put: &pb::PutRequest) -> Result<(), Refusal> {
        if put.lease != 0 && !self.leases.contains_key(&put.lease) {
            return Err(Refusal::NoLease);
        }
        if (put.ignore_value || put.ignore_lease) && self.current(&put.key, self.revision).is_none() {
            return Err(Refusal::NoKey);
        }
        Ok(())
    }

    fn check_txn(&self, txn: &pb::TxnRequest, path: &Path) -> Result<(), Refusal> {
        let mut inner = path.inner.iter();
        for op in path.ops(txn) {
            match &op.request {
                Some(OpRequest::RequestPut(put)) => self.check_put(put)?,
                Some(OpRequest::RequestRange(range)) => self.check_read(range.revision)?,
                Some(OpRequest::RequestTxn(txn)) => {
                    self.check_txn(txn, inner.next().expect("one path for each transaction inside"))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_read(&self, revision: i64) -> Result<(), Refusal> {
        if revision > self.revision {
            return Err(Refusal::Future);
        }
        if revision > 0 && revision < self.compacted {
            return Err(Refusal::Compacted);
        }
        Ok(())
    }

    /// The pair at `key`, when `revision` was the last.
    pub(crate) fn current(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        let versions = self.keys.get(key)?;
        let at = versions.partition_point(|version| version.main <= revision).checked_sub(1)?;
        Some(&versions[at]).filter(|version| !version.deleted).map(|version| &version.kv)
    }

    /// The pairs of a range, when `revision` was the last.
    pub(crate) fn pairs(&self, key: &Bytes, range_end: &Bytes, revision: i64) -> Vec<KeyValue> {
        if range_end.is_empty() {
            return self.current(key, revision).cloned().into_iter().collect();
        }
        let (from, to) = range::bounds(key, range_end);
        if matches!(&to, Bound::Excluded(end) if *end <= *key) {
            return Vec::new();
        }
        let inside = self.keys.range::<Bytes, _>((from, to));
        inside.filter_map(|(key, _)| self.current(key, revision).cloned()).collect()
    }

    /// What a range must answer when `revision` is the store's.
    pub(crate) fn range(&self, request: &pb::RangeRequest, revision: i64) -> pb::RangeResponse {
        let at = if request.revision > 0 { request.revision } else { revision };
        range::answer(request, self.pairs(&request.key, &request.range_end, at))
    }

    /// What a transaction or deletion that changes nothing must answer when `revision` is the store's.
    pub(crate) fn read_only(&mut self, ask: &Ask, revision: i64) -> Answer {
        match ask {
            Ask::Range(request) => Answer::Range(self.range(request, revision)),
            Ask::Delete(_) => Answer::Delete(pb::DeleteRangeResponse::default()),
            Ask::Txn(request) => {
                let (now, back) = (self.revision, self.revision != revision);
                // An old state is the same versions with a lower revision.
                self.revision = revision;
                let path = self.path(request);
                let mut txn = Txn::begin(self);
                txn.reading = back;
                let answer = txn.txn(request, &path);
                let wrote = txn.end();
                assert!(!wrote, "the caller has checked that nothing is written");
                self.revision = now;
                Answer::Txn(answer)
            }
            other => unreachable!("{other:?} is no read"),
        }
    }

    /// Whether a transaction's compares hold, and those of the ones inside.
    fn path(&self, txn: &pb::TxnRequest) -> Path {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let ops = if succeeded { &txn.success } else { &txn.failure };
        let inner = ops.iter().filter_map(|op| match &op.request {
            Some(OpRequest::RequestTxn(inner)) => Some(self.path(inner)),
            _ => None,
        });
        Path { succeeded, inner: inner.collect() }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let pairs = self.pairs(&compare.key, &compare.range_end, self.revision);
        if pairs.is_empty() {
            let by_value = compare.target == CompareTarget::Value as i32;
            return !by_value && holds_for(compare, &KeyValue::default());
        }
        pairs.iter().all(|kv| holds_for(compare, kv))
    }
}
