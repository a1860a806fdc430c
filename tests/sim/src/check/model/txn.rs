//! Writes on the model: what they change, and what they answer.

use bytes::Bytes;
use proto::{
    etcdserverpb::{
        self as pb, Compare, ResponseOp,
        compare::{CompareResult, TargetUnion},
        request_op::Request as OpRequest,
        response_op::Response as OpResponse,
    },
    mvccpb::KeyValue,
};

use super::{Change, Model, Version};

/// Whether a transaction's compares hold, and those of the ones inside.
pub(super) struct Path {
    pub(super) succeeded: bool,
    pub(super) inner: Vec<Path>,
}

impl Path {
    pub(super) fn ops<'a>(&self, txn: &'a pb::TxnRequest) -> &'a [pb::RequestOp] {
        if self.succeeded { &txn.success } else { &txn.failure }
    }
}

pub(super) fn holds_for(compare: &Compare, kv: &KeyValue) -> bool {
    let ordering = match &compare.target_union {
        Some(TargetUnion::Value(value)) => kv.value.cmp(value),
        Some(TargetUnion::Version(version)) => kv.version.cmp(version),
        Some(TargetUnion::CreateRevision(revision)) => kv.create_revision.cmp(revision),
        Some(TargetUnion::ModRevision(revision)) => kv.mod_revision.cmp(revision),
        Some(TargetUnion::Lease(lease)) => kv.lease.cmp(lease),
        None => return true,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Err(_) => true,
    }
}

/// A write under way: all its changes are of one revision.
pub(super) struct Txn<'a> {
    pub(super) model: &'a mut Model,
    changes: Vec<Change>,
    /// It runs on an old state, where versions beyond its revision do not count.
    pub(super) reading: bool,
}

impl Txn<'_> {
    pub(super) fn begin(model: &mut Model) -> Txn<'_> {
        Txn { model, changes: Vec::new(), reading: false }
    }

    fn main(&self) -> i64 {
        self.model.revision + 1
    }

    /// With the changes so far.
    fn seen(&self) -> i64 {
        if self.reading { self.model.revision } else { self.main() }
    }

    /// Whether keys have changed.
    pub(super) fn end(self) -> bool {
        if self.changes.is_empty() {
            return false;
        }
        self.model.revision += 1;
        self.model.changes.insert(self.model.revision, self.changes);
        true
    }

    fn add(&mut self, kv: KeyValue, deleted: bool, previous: Option<KeyValue>) {
        let version = Version { main: self.main(), kv, deleted };
        self.model.keys.entry(version.kv.key.clone()).or_default().push(version.clone());
        self.changes.push(Change { version, previous });
    }

    fn detach(&mut self, kv: &KeyValue) {
        if let Some(lease) = self.model.leases.get_mut(&kv.lease) {
            lease.keys.remove(&kv.key);
        }
    }

    pub(super) fn put(&mut self, put: &pb::PutRequest) -> pb::PutResponse {
        let previous = self.model.current(&put.key, self.seen()).cloned();
        if let Some(kv) = &previous {
            self.detach(kv);
        }
        let kept = previous.as_ref();
        let lease = kept.filter(|_| put.ignore_lease).map_or(put.lease, |kv| kv.lease);
        let kv = KeyValue {
            key: put.key.clone(),
            value: kept.filter(|_| put.ignore_value).map_or(&put.value, |kv| &kv.value).clone(),
            create_revision: kept.map_or(self.main(), |kv| kv.create_revision),
            mod_revision: self.main(),
            version: kept.map_or(1, |kv| kv.version + 1),
            lease,
        };
        if let Some(lease) = self.model.leases.get_mut(&lease) {
            lease.keys.insert(put.key.clone());
        }
        self.add(kv, false, previous.clone());
        pb::PutResponse { header: None, prev_kv: previous.filter(|_| put.prev_kv) }
    }

    pub(super) fn delete_key(&mut self, key: &Bytes) -> Option<KeyValue> {
        let previous = self.model.current(key, self.seen()).cloned()?;
        self.detach(&previous);
        let kv = KeyValue { key: key.clone(), mod_revision: self.main(), ..KeyValue::default() };
        self.add(kv, true, Some(previous.clone()));
        Some(previous)
    }

    pub(super) fn delete(&mut self, request: &pb::DeleteRangeRequest) -> pb::DeleteRangeResponse {
        let pairs = self.model.pairs(&request.key, &request.range_end, self.seen());
        let deleted: Vec<KeyValue> = pairs.iter().filter_map(|kv| self.delete_key(&kv.key)).collect();
        let count = deleted.len() as i64;
        let prev_kvs = if request.prev_kv { deleted } else { Vec::new() };
        pb::DeleteRangeResponse { header: None, deleted: count, prev_kvs }
    }

    pub(super) fn txn(&mut self, request: &pb::TxnRequest, path: &Path) -> pb::TxnResponse {
        let mut inner = path.inner.iter();
        let mut responses = Vec::new();
        for op in path.ops(request) {
            let response = match &op.request {
                Some(OpRequest::RequestRange(range)) => {
                    OpResponse::ResponseRange(self.model.range(range, self.seen()))
                }
                Some(OpRequest::RequestPut(put)) => OpResponse::ResponsePut(self.put(put)),
                Some(OpRequest::RequestDeleteRange(delete)) => {
                    OpResponse::ResponseDeleteRange(self.delete(delete))
                }
                Some(OpRequest::RequestTxn(request)) => {
                    let path = inner.next().expect("one path for each transaction inside");
                    OpResponse::ResponseTxn(self.txn(request, path))
                }
                None => continue,
            };
            responses.push(ResponseOp { response: Some(response) });
        }
        pb::TxnResponse { header: None, succeeded: path.succeeded, responses }
    }
}
