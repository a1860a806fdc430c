//! Leases as the leader drives them: expiry, renewal, checkpoints, and what clients ask about them.

use lease::{LeaseError, Leases};
use proto::etcdserverpb::{
    InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest, LeaseKeepAliveRequest,
    LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseRevokeRequest, LeaseStatus, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse, ResponseHeader,
};
use state::Rejection;
use telemetry::metrics;
use types::{
    LeaseId, Moment,
    mutant::{self, Mutant},
};

use super::{Core, applied_wait::AfterApply, outbox::ReplyTo, request_id::RequestIds};
use crate::api::{
    Caller, Error,
    call::{Reply, Request},
};

/// Leases that one look for expired ones proposes to revoke.
const EXPIRED_PER_LOOK: usize = 500;
/// Checkpoints in one entry (contract/semantics.md 6.9).
const CHECKPOINTS_PER_ENTRY: usize = 1000;

/// Renewals that wait for an entry.
#[derive(Debug, Default)]
pub(crate) struct LeaseDriver {
    /// In order of arrival.
    renewals: Vec<Renewal>,
}

/// A renewal that cannot be answered yet.
#[derive(Debug)]
struct Renewal {
    id: LeaseId,
    reply_to: ReplyTo,
    /// As it was when the renewal arrived.
    header: ResponseHeader,
    /// `Some` when it is renewed, and an entry must first clear its checkpoint: else a later leader would go by what
    /// was left before. `None` when it came too late, and the answer waits for the revoke.
    renewed_secs: Option<i64>,
    /// It is answered at the latest now, so that a client that comes again and again leaves nothing behind.
    deadline: Moment,
}

impl Renewal {
    /// The TTL to answer with; `None` while it has to wait.
    fn outcome(&self, leases: &Leases) -> Option<i64> {
        match self.renewed_secs {
            _ if !leases.contains(self.id) => Some(0),
            Some(ttl) if !leases.has_checkpoint(self.id) => Some(ttl),
            Some(_) | None => None,
        }
    }
}

impl LeaseDriver {
    /// An id for a lease whose client left the choice to the server: positive, 63 bits.
    pub(crate) fn new_id(&self, ids: &mut RequestIds) -> i64 {
        loop {
            let id = (ids.next() & (i64::MAX as u64)) as i64;
            if id != 0 {
                return id;
            }
        }
    }
}

impl Core {
    /// Proposes to revoke what has expired, and the checkpoints that are due.
    pub(super) fn drive_leases(&mut self) {
        if !self.is_leader() && !mutant::is_on(Mutant::DemotedExpires) || !self.state.leases().is_primary() {
            return;
        }
        for id in self.state.leases_mut().expired(self.now, EXPIRED_PER_LOOK) {
            metrics().debugging_server_lease_expired_total.inc();
            let lease_revoke = Some(LeaseRevokeRequest { id: id.0 });
            self.propose_own(InternalRaftRequest { lease_revoke, ..InternalRaftRequest::default() });
        }
        if self.config.lease_checkpoint {
            let due = self.state.leases_mut().checkpoints_due(self.now, CHECKPOINTS_PER_ENTRY);
            if !due.is_empty() {
                let checkpoints = due
                    .iter()
                    .map(|c| LeaseCheckpoint { id: c.id.0, remaining_ttl: c.remaining_secs })
                    .collect();
                self.propose_checkpoints(checkpoints);
            }
        }
    }

    fn propose_checkpoints(&mut self, checkpoints: Vec<LeaseCheckpoint>) {
        let lease_checkpoint = Some(LeaseCheckpointRequest { checkpoints });
        self.propose_own(InternalRaftRequest { lease_checkpoint, ..InternalRaftRequest::default() });
    }

    /// Renews a lease. A leader that was held up asks the others first whether it still is one: its clients must not
    /// go by a lease that somebody else lets expire. A lease that it does not know may be among what is committed.
    pub(super) fn renew_lease(&mut self, reply_to: ReplyTo, caller: Caller, request: LeaseKeepAliveRequest) {
        if self.is_leader() && self.timers.are_late(self.now) {
            return self.read_after_barrier(reply_to, caller, Request::LeaseKeepAlive(request));
        }
        let leases = self.state.leases();
        let wait = !self.config.fast_lease_keep_alive || !leases.contains(LeaseId(request.id));
        if leases.is_primary() && wait && self.lags() {
            return self.after_apply(reply_to, AfterApply::Renew(caller, request));
        }
        self.renew_now(reply_to, &request);
    }

    /// Renews a lease, or waits for its revoke when it has expired already.
    pub(super) fn renew_now(&mut self, reply_to: ReplyTo, request: &LeaseKeepAliveRequest) {
        let id = LeaseId(request.id);
        let header = self.header();
        let renewed_secs = match self.state.leases_mut().renew(id, self.now) {
            Ok(ttl) => {
                metrics().debugging_lease_renewed_total.inc();
                if !self.config.lease_checkpoint || !self.state.leases().has_checkpoint(id) {
                    return self.answer_renewal(reply_to, id, header, ttl);
                }
                self.propose_checkpoints(vec![LeaseCheckpoint { id: id.0, remaining_ttl: 0 }]);
                Some(ttl)
            }
            Err(LeaseError::Expired(_)) => None,
            Err(LeaseError::NotPrimary) => return self.outbox.reply(reply_to, Err(Error::NotPrimary)),
            Err(_) => {
                let ttl = if mutant::is_on(Mutant::RenewedAfterEnd) { 5 } else { 0 };
                return self.answer_renewal(reply_to, id, header, ttl);
            }
        };
        let deadline = self.now + self.config.request_timeout();
        self.leases.renewals.push(Renewal { id, reply_to, header, renewed_secs, deadline });
    }

    fn answer_renewal(&mut self, reply_to: ReplyTo, id: LeaseId, header: ResponseHeader, ttl: i64) {
        let reply = LeaseKeepAliveResponse { header: Some(header), id: id.0, ttl };
        self.outbox.reply(reply_to, Ok(Reply::LeaseKeepAlive(reply)));
    }

    /// An entry was applied: renewals that waited for it get their answer.
    pub(super) fn lease_entry_applied(&mut self) {
        for renewal in std::mem::take(&mut self.leases.renewals) {
            match renewal.outcome(self.state.leases()) {
                Some(ttl) => self.answer_renewal(renewal.reply_to, renewal.id, renewal.header, ttl),
                None => self.leases.renewals.push(renewal),
            }
        }
    }

    /// Tells those whose entry takes too long.
    pub(super) fn expire_renewals(&mut self) {
        let late = self.leases.renewals.partition_point(|renewal| renewal.deadline <= self.now);
        for renewal in self.leases.renewals.drain(..late) {
            self.outbox.reply(renewal.reply_to, Err(Error::Timeout));
        }
    }

    pub(super) fn lease_time_to_live(
        &mut self,
        reply_to: ReplyTo,
        caller: Caller,
        request: LeaseTimeToLiveRequest,
    ) {
        if self.state.leases().is_primary() && self.lags() {
            return self.after_apply(reply_to, AfterApply::TimeToLive(caller, request));
        }
        let answer = self.time_to_live_now(&request);
        self.outbox.reply(reply_to, answer);
    }

    pub(super) fn time_to_live_now(&self, request: &LeaseTimeToLiveRequest) -> Result<Reply, Error> {
        let id = LeaseId(request.id);
        let header = Some(self.header());
        let leases = self.state.leases();
        let reply = match leases.time_to_live(id, self.now) {
            Ok(left) => LeaseTimeToLiveResponse {
                header,
                id: id.0,
                ttl: left.remaining_secs,
                granted_ttl: left.granted_secs,
                keys: if request.keys {
                    leases.keys(id).map(|key| bytes::Bytes::copy_from_slice(key)).collect()
                } else {
                    Vec::new()
                },
            },
            Err(LeaseError::NotFound(_)) => {
                LeaseTimeToLiveResponse { header, id: id.0, ttl: -1, ..Default::default() }
            }
            Err(LeaseError::NotPrimary) => return Err(Error::NotPrimary),
            Err(other) => return Err(Rejection::Lease(other).into()),
        };
        Ok(Reply::LeaseTimeToLive(reply))
    }

    pub(super) fn lease_leases(&self) -> Reply {
        let leases = self.state.leases().list().into_iter().map(|id| LeaseStatus { id: id.0 }).collect();
        Reply::LeaseLeases(LeaseLeasesResponse { header: Some(self.header()), leases })
    }
}
