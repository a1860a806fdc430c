//! Keys against a naive model of them: every revision is a whole map.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use proto::{
    etcdserverpb::{
        self as pb, InternalRaftRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request as Op,
        response_op::Response,
    },
    mvccpb::KeyValue,
};
use state::{Rejection, Reply};

use crate::{Target, input::Input, meter, worlds::Machine};

pub(crate) const TXN: Target = Target {
    name: "model",
    what: "puts, deletes, ranges, compactions and nested transactions, compared with a model of 200 lines",
    run,
    seeds,
    memory: |input| 4096 * input.len() + (1 << 20),
    len_max: 512,
};

type Map = BTreeMap<Bytes, KeyValue>;

/// Why the model refuses.
#[derive(Debug, PartialEq, Eq)]
enum No {
    Compacted,
    Future,
    KeyUnknown,
    LeaseUnknown,
}

/// All revisions; the first map is that of `first`.
struct Model {
    maps: Vec<Map>,
    first: i64,
    compacted: i64,
}

const LEASE: i64 = 7;
const KEYS: [&[u8]; 6] = [b"a", b"b", b"ba", b"c", b"d", b"\xff"];

fn run(input: &[u8]) {
    let mut machine = meter::aside(|| {
        let mut machine = Machine::new();
        let grant = pb::LeaseGrantRequest { id: LEASE, ttl: 100 };
        let entry = InternalRaftRequest { lease_grant: Some(grant), ..Default::default() };
        machine.apply(&entry.encode_to_vec()).unwrap();
        machine
    });
    let first = machine.state.store().revision();
    let mut model = Model { maps: vec![Map::new()], first, compacted: -1 };
    let mut input = Input(input);
    while !input.is_empty() {
        match input.choice(10) {
            0 => model.compact(&mut machine, input.signed()),
            1 => machine.commit(),
            _ => {
                let txn = txn(&mut input, 3);
                let expected = model.txn(&txn);
                let entry = InternalRaftRequest { txn: Some(txn), ..Default::default() };
                let found = machine.apply(&entry.encode_to_vec()).unwrap().outcome;
                match (found, expected) {
                    (Ok(Reply::Txn(found)), Ok(expected)) => assert_eq!(without_headers(found), expected),
                    (Err(found), Err(expected)) => assert_eq!(reason(&found), Some(expected), "{found:?}"),
                    (found, expected) => panic!("{found:?}, not {expected:?}"),
                }
            }
        }
        assert_eq!(machine.state.store().revision(), model.revision());
    }
    for revision in model.compacted.max(model.first)..=model.revision() {
        let all = pb::RangeRequest {
            key: vec![0].into(),
            range_end: vec![0].into(),
            revision,
            ..Default::default()
        };
        let mut answer = machine.state.range(&all).unwrap();
        let rows: Vec<_> = (0..answer.rows.len())
            .map(|i| KeyValue::decode(answer.rows.fetch(i).unwrap()).unwrap())
            .collect();
        assert_eq!(rows, model.at(revision).values().cloned().collect::<Vec<_>>(), "revision {revision}");
    }
    meter::aside(|| drop((machine, model)));
}

fn reason(rejection: &Rejection) -> Option<No> {
    match rejection {
        Rejection::Compacted => Some(No::Compacted),
        Rejection::FutureRevision => Some(No::Future),
        Rejection::KeyNotFound => Some(No::KeyUnknown),
        Rejection::Lease(_) => Some(No::LeaseUnknown),
        _ => None,
    }
}

fn without_headers(mut reply: pb::TxnResponse) -> pb::TxnResponse {
    reply.header = None;
    for op in &mut reply.responses {
        match &mut op.response {
            Some(Response::ResponseRange(reply)) => reply.header = None,
            Some(Response::ResponsePut(reply)) => reply.header = None,
            Some(Response::ResponseDeleteRange(reply)) => reply.header = None,
            Some(Response::ResponseTxn(reply)) => *reply = without_headers(std::mem::take(reply)),
            None => {}
        }
    }
    reply
}

fn key(input: &mut Input<'_>) -> Bytes {
    Bytes::from_static(KEYS[input.choice(KEYS.len())])
}

fn end(input: &mut Input<'_>) -> Bytes {
    match input.choice(4) {
        0 | 1 => Bytes::new(),
        2 => Bytes::from_static(&[0]),
        _ => key(input),
    }
}

fn txn(input: &mut Input<'_>, depth: usize) -> pb::TxnRequest {
    let compare = (0..input.choice(3)).map(|_| compare(input)).collect();
    let success = (0..input.choice(4)).map(|_| op(input, depth)).collect();
    let failure = (0..input.choice(3)).map(|_| op(input, depth)).collect();
    pb::TxnRequest { compare, success, failure }
}

fn compare(input: &mut Input<'_>) -> pb::Compare {
    let number = i64::from(input.byte() & 7);
    let (target, union) = match input.choice(5) {
        0 => (CompareTarget::Version, TargetUnion::Version(number)),
        1 => (CompareTarget::Create, TargetUnion::CreateRevision(number)),
        2 => (CompareTarget::Mod, TargetUnion::ModRevision(number)),
        3 => (CompareTarget::Lease, TargetUnion::Lease(number)),
        _ => (CompareTarget::Value, TargetUnion::Value(vec![number as u8].into())),
    };
    let results =
        [CompareResult::Equal, CompareResult::Greater, CompareResult::Less, CompareResult::NotEqual];
    pb::Compare {
        result: results[input.choice(4)] as i32,
        target: target as i32,
        key: key(input),
        range_end: end(input),
        target_union: Some(union),
    }
}

fn op(input: &mut Input<'_>, depth: usize) -> pb::RequestOp {
    let request = match input.choice(8) {
        0..=2 => {
            let flags = input.byte();
            let (ignore_value, ignore_lease) = (flags & 0x60 == 0x60, flags & 0x18 == 0x18);
            Op::RequestPut(pb::PutRequest {
                key: key(input),
                value: if ignore_value { Bytes::new() } else { vec![flags & 7].into() },
                lease: if ignore_lease {
                    0
                } else {
                    [0, 0, LEASE, if flags > 250 { 8 } else { 0 }][usize::from(flags >> 6)]
                },
                prev_kv: flags & 1 != 0,
                ignore_value,
                ignore_lease,
            })
        }
        3 => Op::RequestDeleteRange(pb::DeleteRangeRequest {
            key: key(input),
            range_end: end(input),
            prev_kv: input.flag(),
        }),
        4 if depth > 0 => Op::RequestTxn(txn(input, depth - 1)),
        _ => {
            let flags = input.byte();
            Op::RequestRange(pb::RangeRequest {
                key: key(input),
                range_end: end(input),
                limit: i64::from(flags & 3),
                revision: if flags & 0x0c == 0x0c { i64::from(input.byte() & 31) } else { 0 },
                sort_order: i32::from(flags >> 4 & 3) % 3,
                sort_target: i32::from(flags >> 6),
                keys_only: flags & 0x1c == 4,
                count_only: flags & 0x1c == 8,
                ..Default::default()
            })
        }
    };
    pb::RequestOp { request: Some(request) }
}

fn in_range(key: &Bytes, from: &Bytes, end: &Bytes) -> bool {
    match &end[..] {
        [] => key == from,
        [0] => key >= from,
        _ => key >= from && key < end,
    }
}

impl Model {
    fn revision(&self) -> i64 {
        self.first + self.maps.len() as i64 - 1
    }

    fn at(&self, revision: i64) -> &Map {
        &self.maps[usize::try_from(revision - self.first).unwrap_or(0)]
    }

    fn compact(&mut self, machine: &mut Machine, revision: i64) {
        let request = pb::CompactionRequest { revision, physical: false };
        let entry = InternalRaftRequest { compaction: Some(request), ..Default::default() };
        let found = machine.apply(&entry.encode_to_vec()).unwrap().outcome;
        let expected = match revision {
            _ if revision <= self.compacted => Some(No::Compacted),
            _ if revision > self.revision() => Some(No::Future),
            _ => None,
        };
        assert_eq!(found.err().as_ref().and_then(reason), expected, "compaction at {revision}");
        if expected.is_none() {
            self.compacted = revision;
        }
    }

    fn txn(&mut self, txn: &pb::TxnRequest) -> Result<pb::TxnResponse, No> {
        let before = self.at(self.revision()).clone();
        // All comparisons see what was there before, and what is refused is refused before anything is done.
        self.check(txn, &before)?;
        let mut now = before.clone();
        let reply = self.execute(txn, &before, &mut now);
        if writes(txn, &before) && (now != before || puts(txn, &before)) {
            self.maps.push(now);
        }
        Ok(reply)
    }

    fn check(&self, txn: &pb::TxnRequest, before: &Map) -> Result<(), No> {
        for op in taken(txn, before) {
            match op.request.as_ref().unwrap() {
                Op::RequestRange(range) if range.revision > self.revision() => return Err(No::Future),
                Op::RequestRange(range) if range.revision > 0 && range.revision < self.compacted => {
                    return Err(No::Compacted);
                }
                Op::RequestPut(put) => {
                    if (put.ignore_value || put.ignore_lease) && !before.contains_key(&put.key) {
                        return Err(No::KeyUnknown);
                    }
                    if put.lease != 0 && put.lease != LEASE {
                        return Err(No::LeaseUnknown);
                    }
                }
                Op::RequestTxn(txn) => self.check(txn, before)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn execute(&self, txn: &pb::TxnRequest, before: &Map, now: &mut Map) -> pb::TxnResponse {
        let main = self.revision() + 1;
        let mut reply = pb::TxnResponse { succeeded: holds(txn, before), ..Default::default() };
        for op in taken(txn, before) {
            let response = match op.request.as_ref().unwrap() {
                Op::RequestRange(range) => Response::ResponseRange(match range.revision {
                    0 => select(range, now),
                    revision => select(range, self.at(revision)),
                }),
                Op::RequestPut(put) => Response::ResponsePut(execute_put(put, main, now)),
                Op::RequestDeleteRange(delete) => {
                    let gone: Vec<KeyValue> = now
                        .values()
                        .filter(|kv| in_range(&kv.key, &delete.key, &delete.range_end))
                        .cloned()
                        .collect();
                    now.retain(|key, _| !in_range(key, &delete.key, &delete.range_end));
                    let deleted = gone.len() as i64;
                    let prev_kvs = if delete.prev_kv { gone } else { Vec::new() };
                    Response::ResponseDeleteRange(pb::DeleteRangeResponse { header: None, deleted, prev_kvs })
                }
                Op::RequestTxn(txn) => Response::ResponseTxn(self.execute(txn, before, now)),
            };
            reply.responses.push(pb::ResponseOp { response: Some(response) });
        }
        reply
    }
}

fn execute_put(put: &pb::PutRequest, main: i64, now: &mut Map) -> pb::PutResponse {
    let old = now.get(&put.key).cloned();
    let (create_revision, version) =
        old.as_ref().map_or((main, 1), |old| (old.create_revision, old.version + 1));
    let kept = old.clone().unwrap_or_default();
    let new = KeyValue {
        key: put.key.clone(),
        value: if put.ignore_value { kept.value } else { put.value.clone() },
        lease: if put.ignore_lease { kept.lease } else { put.lease },
        create_revision,
        mod_revision: main,
        version,
    };
    now.insert(put.key.clone(), new);
    pb::PutResponse { header: None, prev_kv: old.filter(|_| put.prev_kv) }
}

fn taken<'a>(txn: &'a pb::TxnRequest, before: &Map) -> &'a [pb::RequestOp] {
    if holds(txn, before) { &txn.success } else { &txn.failure }
}

/// Whether something is put, or a delete is tried, on the way that is taken.
fn writes(txn: &pb::TxnRequest, before: &Map) -> bool {
    taken(txn, before).iter().any(|op| match op.request.as_ref().unwrap() {
        Op::RequestRange(_) => false,
        Op::RequestPut(_) | Op::RequestDeleteRange(_) => true,
        Op::RequestTxn(txn) => writes(txn, before),
    })
}

/// A put makes a revision even when what it put is gone again.
fn puts(txn: &pb::TxnRequest, before: &Map) -> bool {
    taken(txn, before).iter().any(|op| match op.request.as_ref().unwrap() {
        Op::RequestRange(_) | Op::RequestDeleteRange(_) => false,
        Op::RequestPut(_) => true,
        Op::RequestTxn(txn) => puts(txn, before),
    })
}

fn holds(txn: &pb::TxnRequest, before: &Map) -> bool {
    txn.compare.iter().all(|compare| {
        let mut hit =
            before.values().filter(|kv| in_range(&kv.key, &compare.key, &compare.range_end)).peekable();
        match (hit.peek(), compare.target()) {
            (None, CompareTarget::Value) => false,
            (None, _) => agrees(compare, &KeyValue::default()),
            (Some(_), _) => hit.all(|kv| agrees(compare, kv)),
        }
    })
}

fn agrees(compare: &pb::Compare, kv: &KeyValue) -> bool {
    let order = match compare.target_union.as_ref().unwrap() {
        TargetUnion::Version(number) => kv.version.cmp(number),
        TargetUnion::CreateRevision(number) => kv.create_revision.cmp(number),
        TargetUnion::ModRevision(number) => kv.mod_revision.cmp(number),
        TargetUnion::Lease(number) => kv.lease.cmp(number),
        TargetUnion::Value(value) => kv.value.cmp(value),
    };
    match compare.result() {
        CompareResult::Equal => order.is_eq(),
        CompareResult::NotEqual => order.is_ne(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
    }
}

fn select(range: &pb::RangeRequest, map: &Map) -> pb::RangeResponse {
    use pb::range_request::{SortOrder, SortTarget};
    let mut kvs: Vec<KeyValue> =
        map.values().filter(|kv| in_range(&kv.key, &range.key, &range.range_end)).cloned().collect();
    let count = kvs.len() as i64;
    if range.count_only {
        return pb::RangeResponse { header: None, kvs: Vec::new(), more: false, count };
    }
    if range.sort_order() == SortOrder::None && range.limit > 0 {
        // Without an order the limit counts before the rows are sorted (contract/semantics.md 2.5).
        kvs.truncate(range.limit as usize + 1);
    }
    // Keys come in their order already; any other target without an order is sorted upwards.
    let upwards = range.sort_order() == SortOrder::Ascend
        || range.sort_order() == SortOrder::None && range.sort_target() != SortTarget::Key;
    if upwards || range.sort_order() == SortOrder::Descend {
        kvs.sort_by(|a, b| {
            let order = match range.sort_target() {
                SortTarget::Key => a.key.cmp(&b.key),
                SortTarget::Version => a.version.cmp(&b.version),
                SortTarget::Create => a.create_revision.cmp(&b.create_revision),
                SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
                SortTarget::Value => a.value.cmp(&b.value),
            };
            if upwards { order } else { order.reverse() }
        });
    }
    let more = range.limit > 0 && count > range.limit;
    if more {
        kvs.truncate(range.limit as usize);
    }
    if range.keys_only {
        // Answered from the key index, which knows no leases, unless values are needed for the order.
        let from_index = range.sort_target() != SortTarget::Value;
        for kv in &mut kvs {
            kv.value = Bytes::new();
            kv.lease = if from_index { 0 } else { kv.lease };
        }
    }
    pb::RangeResponse { header: None, kvs, more, count }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut dice = crate::mutate::Dice::new(7);
    (0..60).map(|len| (0..20 + len * 3).map(|_| dice.below(256) as u8).collect()).collect()
}
