//! Clients that take locks by etcd's recipe: a key under the lock's prefix, bound to a lease; who created the oldest one
//! holds the lock, and the revision of that is the fencing token. Elections are the same.

use bytes::Bytes;
use proto::etcdserverpb::{
    self as pb, Compare, RequestOp,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request as OpRequest,
};

use crate::{
    call::{Answer, Ask, Outcome},
    check::{history::Called, locks::counts_until},
    options::{MILLIS, SECOND},
    world::{Event, World},
};

/// Clients from here on take locks.
pub(crate) const LOCKERS: usize = usize::MAX - 100;

/// Where a locker is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locker {
    lock: u64,
    lease: i64,
    ttl: i64,
    /// Its key's create revision, once it is there.
    token: i64,
    /// It may count on its lease until then.
    until: u64,
    holds: bool,
}

impl Locker {
    fn key(&self) -> Bytes {
        format!("a-lock/{}/{:x}", self.lock, self.lease).into()
    }
}

fn range_of(lock: u64) -> (Bytes, Bytes) {
    (format!("a-lock/{lock}/").into(), format!("a-lock/{lock}0").into())
}

impl World {
    pub(crate) fn plan_lockers(&mut self) {
        for number in 0..self.options.lockers {
            // Two or more for each lock.
            self.lockers.push(Locker { lock: number as u64 / 3, ..Locker::default() });
            let at = 3 * SECOND + self.load.random.below(SECOND);
            self.heap.plan(at, Event::Client { client: LOCKERS + number });
        }
    }

    /// A locker makes its next call.
    pub(crate) fn locker(&mut self, client: usize) {
        let again = Event::Client { client };
        let Some(place) = self.serving() else { return self.heap.plan(self.now + SECOND, again) };
        let mut locker = self.lockers[client - LOCKERS].clone();
        if locker.lease != 0 && locker.until < self.now {
            // Whatever it had, it cannot count on it any more.
            locker = Locker { lock: locker.lock, ..Locker::default() };
        }
        let ask = self.next_of_locker(&mut locker);
        self.lockers[client - LOCKERS] = locker;
        let renews = matches!(ask, Ask::KeepAlive(_));
        let place = if renews { self.leader().unwrap_or(place) } else { place };
        self.call(client, place, ask);
    }

    fn next_of_locker(&mut self, locker: &mut Locker) -> Ask {
        let random = &mut self.load.random;
        if locker.lease == 0 {
            let ttl = random.between(3, 10) as i64;
            return Ask::Grant(pb::LeaseGrantRequest { ttl, id: 0 });
        }
        if locker.token == 0 {
            return Ask::Txn(create(locker));
        }
        match random.below(8) {
            // It is done with it, in one of two ways, or forgets it.
            0 if locker.holds => {
                self.locks.released(locker.lock, locker.token);
                let (key, lease) = (locker.key(), locker.lease);
                let by_lease = random.one_in(2);
                *locker = Locker { lock: locker.lock, ..Locker::default() };
                if by_lease {
                    self.leases.revoke_asked(lease);
                    Ask::Revoke(pb::LeaseRevokeRequest { id: lease })
                } else {
                    Ask::Delete(pb::DeleteRangeRequest { key, ..pb::DeleteRangeRequest::default() })
                }
            }
            0..4 => Ask::KeepAlive(pb::LeaseKeepAliveRequest { id: locker.lease }),
            _ => {
                let (key, range_end) = range_of(locker.lock);
                Ask::Range(pb::RangeRequest { key, range_end, ..pb::RangeRequest::default() })
            }
        }
    }

    /// What a locker was told.
    pub(crate) fn locker_told(&mut self, client: usize, ask: &Ask, called: Called, outcome: &Outcome) {
        let drift = self.options.drift;
        let locker = &mut self.lockers[client - LOCKERS];
        match (ask, outcome) {
            (Ask::Grant(_), Ok(Answer::Grant(grant))) => {
                (locker.lease, locker.ttl) = (grant.id, grant.ttl);
                locker.until = counts_until(called.at, grant.ttl, drift);
            }
            (Ask::KeepAlive(_), Ok(Answer::KeepAlive(renewed)))
                if renewed.id == locker.lease
                    && renewed.ttl > 0
                    && self.history.model.leases.contains_key(&renewed.id) =>
            {
                locker.until = locker.until.max(counts_until(called.at, renewed.ttl, drift));
                self.locks.renewed(locker.lock, locker.token, locker.until);
            }
            (Ask::Txn(_), Ok(Answer::Txn(answer))) => {
                locker.token = if answer.succeeded {
                    answer.header.as_ref().map_or(0, |header| header.revision)
                } else {
                    created_before(answer)
                };
            }
            (Ask::Range(_), Ok(Answer::Range(answer))) => {
                let first = answer.kvs.iter().min_by_key(|kv| kv.create_revision);
                // Who is told late knows that its lease may have ended since.
                locker.holds = locker.until > self.now
                    && first.is_some_and(|kv| kv.key == locker.key() && kv.create_revision == locker.token);
                let facts = [locker.lock, locker.token as u64, u64::from(locker.holds), locker.until];
                self.trace.note(self.now, "lock looked at", &facts);
                if locker.holds {
                    let checked = self.locks.held(locker.lock, locker.token, locker.until, self.now);
                    self.judge(checked);
                }
            }
            _ => {}
        }
        let pause = self.load.random.around(300 * MILLIS);
        self.heap.plan(self.now + pause, Event::Client { client });
    }
}

/// Creates the locker's key, or says since when it is there.
fn create(locker: &Locker) -> pb::TxnRequest {
    let key = locker.key();
    let put = pb::PutRequest { key: key.clone(), lease: locker.lease, ..pb::PutRequest::default() };
    let get = pb::RangeRequest { key: key.clone(), ..pb::RangeRequest::default() };
    let compare = Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key,
        range_end: Bytes::new(),
        target_union: Some(TargetUnion::CreateRevision(0)),
    };
    let op = |request| RequestOp { request: Some(request) };
    pb::TxnRequest {
        compare: vec![compare],
        success: vec![op(OpRequest::RequestPut(put))],
        failure: vec![op(OpRequest::RequestRange(get))],
    }
}

fn created_before(answer: &pb::TxnResponse) -> i64 {
    use pb::response_op::Response;
    let found = answer.responses.iter().find_map(|op| match &op.response {
        Some(Response::ResponseRange(range)) => range.kvs.first(),
        _ => None,
    });
    found.map_or(0, |kv| kv.create_revision)
}
