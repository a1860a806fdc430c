//! A state on a simulated disk, and requests in short form.

use std::{path::Path, sync::Arc, time::Duration};

use bolt::Db;
use bytes::Bytes;
use cluster::Version;
use prost::Message;
use proto::etcdserverpb::{self as pb, InternalRaftRequest, compare, request_op};
use state::{Applied, Reply, Settings, State};
use types::{
    bucket,
    raft::{Entry, EntryKind},
};
use vfs::SimDisk;

/// A state with its backend, and the entries since the last commit.
pub(crate) struct Machine {
    db: Db,
    state: State,
    /// Applied since the last commit: a restart applies them again.
    since: Vec<Entry>,
}

fn settings() -> Settings {
    Settings {
        server_version: Version::new(3, 7, 1),
        learners_max: 1,
        leases: lease::Config {
            ttl_secs_min: 2,
            revoke_retry: Duration::from_secs(7),
            ..lease::Config::default()
        },
        lease_checkpoint_persist: false,
    }
}

impl Machine {
    pub(crate) fn new() -> Machine {
        let disk = Arc::new(SimDisk::new());
        let mut db = Db::open(disk, Path::new("/db"), bolt::Options::default()).unwrap();
        for name in bucket::ALL {
            db.create_bucket(name).unwrap();
        }
        db.commit().unwrap();
        let state = State::open(db.snapshot(), settings()).unwrap();
        Machine { db, state, since: Vec::new() }
    }

    pub(crate) fn try_apply_bytes(&mut self, data: &[u8]) -> Result<Applied, String> {
        let index = self.state.applied() + 1;
        let entry = Entry { term: 1, index, kind: EntryKind::Normal, data: Bytes::copy_from_slice(data) };
        let applied = self.state.apply(&entry)?;
        self.since.push(entry);
        Ok(applied)
    }

    pub(crate) fn try_apply(&mut self, request: InternalRaftRequest) -> Result<Applied, String> {
        self.try_apply_bytes(&request.encode_to_vec())
    }

    pub(crate) fn apply(&mut self, request: InternalRaftRequest) -> Applied {
        self.try_apply(request).unwrap()
    }

    pub(crate) fn txn(&mut self, request: InternalRaftRequest) -> pb::TxnResponse {
        match self.apply(request).outcome.unwrap() {
            Reply::Txn(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    /// Writes everything applied so far to the backend.
    pub(crate) fn commit(&mut self) {
        let sealed = self.state.seal();
        for write in &sealed.writes {
            self.db.apply(write).unwrap();
        }
        self.db.commit().unwrap();
        self.state.committed(sealed.batch, self.db.snapshot());
        self.since.clear();
    }

    /// Starts again from the backend, and applies what it does not hold.
    pub(crate) fn reopen(&mut self) {
        self.state = State::open(self.db.snapshot(), settings()).unwrap();
        for entry in &self.since {
            self.state.apply(entry).unwrap();
        }
    }

    pub(crate) fn revision(&self) -> i64 {
        self.state.store().revision()
    }

    /// Key, value and version of every pair.
    pub(crate) fn rows(&mut self) -> Vec<(String, String, i64)> {
        let everything =
            pb::RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() };
        let mut rows = self.state.range(&everything).unwrap().rows;
        (0..rows.len())
            .map(|i| {
                let kv = proto::mvccpb::KeyValue::decode(rows.fetch(i).unwrap()).unwrap();
                let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
                (text(&kv.key), text(&kv.value), kv.version)
            })
            .collect()
    }

    /// Everything that a client could ask for.
    pub(crate) fn facts(&mut self) -> String {
        let leases: Vec<_> = self.state.leases().iter().map(|lease| lease.id).collect();
        let attached: Vec<Vec<_>> = leases.iter().map(|id| self.state.leases().keys(*id).collect()).collect();
        let alarms: Vec<_> = self.state.alarms(pb::AlarmType::None).collect();
        let users: Vec<_> = self.state.auth().users().collect();
        let facts = format!(
            "{} {} {} {leases:?} {attached:?} {alarms:?} {users:?} {}",
            self.state.applied(),
            self.state.store().revision(),
            self.state.store().compacted(),
            self.state.auth().revision(),
        );
        format!("{facts} {:?}", self.rows())
    }
}

fn op(request: request_op::Request) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn put_with(key: &str, value: &str, change: impl FnOnce(&mut pb::PutRequest)) -> pb::RequestOp {
    let mut put = pb::PutRequest { key: bytes(key), value: bytes(value), ..Default::default() };
    change(&mut put);
    op(request_op::Request::RequestPut(put))
}

pub(crate) fn put(key: &str, value: &str) -> pb::RequestOp {
    put_with(key, value, |_| ())
}

pub(crate) fn delete(key: &str, end: &str) -> pb::RequestOp {
    let delete = pb::DeleteRangeRequest { key: bytes(key), range_end: bytes(end), ..Default::default() };
    op(request_op::Request::RequestDeleteRange(delete))
}

pub(crate) fn range(key: &str) -> pb::RequestOp {
    range_at(key, 0)
}

pub(crate) fn range_at(key: &str, revision: i64) -> pb::RequestOp {
    let range = pb::RangeRequest { key: bytes(key), revision, ..Default::default() };
    op(request_op::Request::RequestRange(range))
}

/// A put or delete as an entry of its own.
pub(crate) fn single(request: pb::RequestOp) -> InternalRaftRequest {
    let mut entry = InternalRaftRequest::default();
    match request.request.unwrap() {
        request_op::Request::RequestPut(put) => entry.put = Some(put),
        request_op::Request::RequestDeleteRange(delete) => entry.delete_range = Some(delete),
        other => panic!("{other:?} is no write"),
    }
    entry
}

pub(crate) fn txn(
    compare: Vec<pb::Compare>,
    success: Vec<pb::RequestOp>,
    failure: Vec<pb::RequestOp>,
) -> InternalRaftRequest {
    let txn = pb::TxnRequest { compare, success, failure };
    InternalRaftRequest { txn: Some(txn), ..Default::default() }
}

pub(crate) fn compare_version(key: &str, version: i64) -> pb::Compare {
    let target_union = Some(compare::TargetUnion::Version(version));
    pb::Compare { key: bytes(key), target_union, ..Default::default() }
}

pub(crate) fn compare_value(key: &str, value: &str) -> pb::Compare {
    let target = compare::CompareTarget::Value as i32;
    pb::Compare {
        key: bytes(key),
        target,
        target_union: Some(compare::TargetUnion::Value(bytes(value))),
        ..Default::default()
    }
}

pub(crate) fn grant(id: i64) -> InternalRaftRequest {
    let grant = pb::LeaseGrantRequest { id, ttl: 100 };
    InternalRaftRequest { lease_grant: Some(grant), ..Default::default() }
}

pub(crate) fn revoke(id: i64) -> InternalRaftRequest {
    InternalRaftRequest { lease_revoke: Some(pb::LeaseRevokeRequest { id }), ..Default::default() }
}

pub(crate) fn compact(revision: i64) -> InternalRaftRequest {
    let compaction = pb::CompactionRequest { revision, physical: false };
    InternalRaftRequest { compaction: Some(compaction), ..Default::default() }
}

pub(crate) fn alarm(alarm: pb::AlarmType, on: bool) -> InternalRaftRequest {
    let action = if on {
        pb::alarm_request::AlarmAction::Activate
    } else {
        pb::alarm_request::AlarmAction::Deactivate
    };
    let alarm = pb::AlarmRequest { action: action as i32, member_id: 1, alarm: alarm as i32 };
    InternalRaftRequest { alarm: Some(alarm), ..Default::default() }
}
