//! A life of a member, step by step, and the model that says what it must leave.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use node::{Caller, Error, Port};
use proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest, request_op::Request,
};
use vfs::SimDisk;

use super::{compact, range, run, try_start};

pub(crate) type Pairs = BTreeMap<String, String>;

/// One step of a life. Each changes several keys or none, so that half of one would show.
enum Step {
    /// Puts a value under two keys in one transaction.
    Twice(usize, String),
    /// Deletes ten keys.
    Delete,
    Compact,
}

fn step(n: usize) -> Step {
    match n {
        _ if n % 13 == 12 => Step::Delete,
        _ if n % 50 == 40 => Step::Compact,
        _ => Step::Twice(n % 20, format!("{n}-").repeat(1 + n * 7 % 300)),
    }
}

fn take(port: &Port, step: Step) -> Result<(), Error> {
    match step {
        Step::Twice(key, value) => {
            let put = |name: &str| RequestOp {
                request: Some(Request::RequestPut(PutRequest {
                    key: format!("{name}-{key:02}").into(),
                    value: value.clone().into(),
                    ..PutRequest::default()
                })),
            };
            let txn = TxnRequest { success: vec![put("key"), put("mirror")], ..TxnRequest::default() };
            run(port, port.txn(Caller::default(), txn)).map(drop)
        }
        Step::Delete => {
            let (key, range_end) = (Bytes::from("key-05"), Bytes::from("key-15"));
            let request = DeleteRangeRequest { key, range_end, ..DeleteRangeRequest::default() };
            run(port, port.delete_range(Caller::default(), request)).map(drop)
        }
        Step::Compact => {
            let any = RangeRequest { key: "x".into(), ..RangeRequest::default() };
            let revision = range(port, any)?.header.map_or(0, |header| header.revision);
            compact(port, revision, true)
        }
    }
}

/// What is there after the first `count` steps of a life.
pub(crate) fn after(count: usize) -> Pairs {
    let mut pairs = Pairs::new();
    for n in 0..count {
        match step(n) {
            Step::Twice(key, value) => {
                pairs.insert(format!("key-{key:02}"), value.clone());
                pairs.insert(format!("mirror-{key:02}"), value);
            }
            Step::Delete => pairs.retain(|key, _| !("key-05".."key-15").contains(&key.as_str())),
            Step::Compact => {}
        }
    }
    pairs
}

/// What was acknowledged before the power went.
pub(crate) struct Life {
    pub(crate) acknowledged: usize,
    /// Steps that it would have had.
    steps: usize,
}

impl Life {
    /// What may be found later: everything acknowledged, and the one step more that was asked for, or not.
    pub(crate) fn allows(&self, found: &Pairs) -> bool {
        *found == after(self.acknowledged) || *found == after((self.acknowledged + 1).min(self.steps))
    }
}

/// One life of a member in `/data` of `disk`, until the power goes or every step is taken.
pub(crate) fn live(disk: &SimDisk, steps: usize) -> Life {
    let mut life = Life { acknowledged: 0, steps };
    let Some(member) = try_start(Path::new("/data"), Arc::new(disk.clone())) else { return life };
    let port = member.handle().port();
    for n in 0..steps {
        if take(&port, step(n)).is_err() {
            break;
        }
        life.acknowledged = n + 1;
    }
    // With the power gone the stop fails, as it should.
    let _ = member.stop();
    life
}

/// Every pair that is there.
pub(crate) fn everything() -> RangeRequest {
    RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..RangeRequest::default() }
}

/// The pairs of a reply.
pub(crate) fn pairs(reply: &RangeResponse) -> Pairs {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    reply.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect()
}
