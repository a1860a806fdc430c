//! Alarms as their contract describes them (contract/semantics.md 9.2 to 9.4), at every place of the log.

use std::collections::BTreeSet;

use proto::etcdserverpb::{
    self as pb, AlarmRequest, AlarmType, InternalRaftRequest, alarm_request::AlarmAction,
    request_op::Request as OpRequest,
};

type Alarms = BTreeSet<(i32, u64)>;

/// All alarms that ever were on, by log index.
#[derive(Debug)]
pub(crate) struct AlarmLog {
    /// From which index on which were on, by kind and member; ascending, and there is a first.
    states: Vec<(u64, Alarms)>,
    /// Requests carried out.
    done: Vec<(u64, AlarmRequest)>,
}

impl AlarmLog {
    pub(crate) fn new() -> AlarmLog {
        AlarmLog { states: vec![(0, Alarms::new())], done: Vec::new() }
    }

    pub(crate) fn now(&self) -> &Alarms {
        &self.states.last().expect("there is a first").1
    }

    fn since(&self, index: u64) -> impl Iterator<Item = &Alarms> {
        let first = self.states.partition_point(|(from, _)| *from <= index).saturating_sub(1);
        self.states[first..].iter().map(|(_, alarms)| alarms)
    }

    /// Whether an alarm of that kind was on somewhere from `index` on until now.
    pub(crate) fn was_on(&self, kind: AlarmType, index: u64) -> bool {
        self.since(index).any(|alarms| is_on(alarms, kind))
    }

    /// Takes in a request, which is granted.
    pub(crate) fn apply(&mut self, index: u64, request: &AlarmRequest) {
        let mut alarms = self.now().clone();
        let alarm = (request.alarm, request.member_id);
        match request.action() {
            AlarmAction::Get => {}
            AlarmAction::Activate => _ = request.alarm != AlarmType::None as i32 && alarms.insert(alarm),
            AlarmAction::Deactivate => _ = alarms.remove(&alarm),
        }
        self.states.push((index, alarms));
        self.done.push((index, *request));
    }

    /// Whether such a request was carried out behind `index`.
    pub(crate) fn has_done(&self, index: u64, wanted: &AlarmRequest) -> bool {
        self.done.iter().rev().take_while(|(at, _)| *at > index).any(|(_, request)| request == wanted)
    }

    /// Whether a list of alarms was right somewhere behind `index`.
    pub(crate) fn has_listed(&self, index: u64, kind: AlarmType, list: &[pb::AlarmMember]) -> bool {
        let all = kind == AlarmType::None;
        let listed: Alarms = list.iter().map(|alarm| (alarm.alarm, alarm.member_id)).collect();
        self.since(index).any(|alarms| {
            let wanted = alarms.iter().filter(|(of, _)| all || *of == kind as i32);
            wanted.copied().collect::<Alarms>() == listed
        })
    }

    /// Whether alarms keep an entry from being carried out.
    pub(crate) fn refuse(&self, request: &InternalRaftRequest) -> bool {
        let r = request;
        let puts = r.put.is_some() || r.lease_grant.is_some() || r.txn.as_ref().is_some_and(has_put);
        let writes = puts || r.delete_range.is_some() || r.txn.is_some();
        let stops = writes || r.compaction.is_some() || r.lease_revoke.is_some();
        stops && is_on(self.now(), AlarmType::Corrupt) || puts && is_on(self.now(), AlarmType::Nospace)
    }
}

fn is_on(alarms: &Alarms, kind: AlarmType) -> bool {
    alarms.iter().any(|(of, _)| *of == kind as i32)
}

fn has_put(txn: &pb::TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match &op.request {
        Some(OpRequest::RequestPut(_)) => true,
        Some(OpRequest::RequestTxn(inner)) => has_put(inner),
        _ => false,
    })
}
