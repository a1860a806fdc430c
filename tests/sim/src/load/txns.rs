//! Transactions, up to three deep.

use bytes::Bytes;
use proto::etcdserverpb::{
    self as pb, Compare, RequestOp,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request as OpRequest,
};

use super::{Load, Seen, TXN_DEPTH_MAX};

impl Load {
    pub(super) fn txn(&mut self, seen: Seen) -> pb::TxnRequest {
        let compare = (0..self.random.below(3)).map(|_| self.compare(seen)).collect();
        let mut written = [Vec::new(), Vec::new()];
        let success = self.ops(seen, &mut written[0], TXN_DEPTH_MAX);
        pb::TxnRequest { compare, success, failure: self.ops(seen, &mut written[1], TXN_DEPTH_MAX) }
    }

    fn compare(&mut self, seen: Seen) -> Compare {
        let key = self.key();
        let (target, operand) = match self.random.below(4) {
            0 => (CompareTarget::Version, TargetUnion::Version(self.random.below(3) as i64)),
            1 => (CompareTarget::Create, TargetUnion::CreateRevision(0)),
            2 => {
                let back = self.random.below(20) as i64;
                (CompareTarget::Mod, TargetUnion::ModRevision(seen.revision - back))
            }
            _ => (CompareTarget::Value, TargetUnion::Value("v".into())),
        };
        let results =
            [CompareResult::Equal, CompareResult::Greater, CompareResult::Less, CompareResult::NotEqual];
        Compare {
            result: *self.random.pick(&results) as i32,
            target: target as i32,
            key,
            range_end: Bytes::new(),
            target_union: Some(operand),
        }
    }

    /// Operations of which no two write one key, as `rpc` demands; `written` are the keys so far.
    fn ops(&mut self, seen: Seen, written: &mut Vec<Bytes>, depth: u32) -> Vec<RequestOp> {
        let mut ops = Vec::new();
        for _ in 0..self.random.below(5) {
            let request = match self.random.below(4) {
                0 if depth > 0 && self.random.one_in(2) => {
                    let compare = vec![self.compare(seen)];
                    let success = self.ops(seen, written, depth - 1);
                    let failure = self.ops(seen, written, depth - 1);
                    OpRequest::RequestTxn(pb::TxnRequest { compare, success, failure })
                }
                0 => OpRequest::RequestRange(self.list(0)),
                1 => {
                    let revision = self.revision(seen);
                    OpRequest::RequestRange(self.list(revision))
                }
                2 => {
                    let put = self.put(0);
                    if written.contains(&put.key) {
                        continue;
                    }
                    written.push(put.key.clone());
                    OpRequest::RequestPut(put)
                }
                _ => {
                    let delete = self.delete(false);
                    if written.contains(&delete.key) {
                        continue;
                    }
                    written.push(delete.key.clone());
                    OpRequest::RequestDeleteRange(delete)
                }
            };
            ops.push(RequestOp { request: Some(request) });
        }
        ops
    }
}
