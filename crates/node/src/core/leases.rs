//! Leases as the leader drives them: expiry, renewal, checkpoints, and what clients ask about them.

use lease::LeaseError;
use proto::etcdserverpb::{
    InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest, LeaseKeepAliveRequest,
    LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseRevokeRequest, LeaseStatus, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse, ResponseHeader,
};
use state::Rejection;
use telemetry::metrics;
use types::LeaseId;

use super::{Core, outbox::ReplyTo, request_id::RequestIds};
use crate::api::{Error, call::Reply};

/// Leases that one look for expired ones proposes to revoke.
const EXPIRED_PER_LOOK: usize = 500;
/// Checkpoints in one entry (contract/semantics.md 6.9).
const CHECKPOINTS_PER_ENTRY: usize = 1000;

/// Renewals that wait for the revoke of an expired lease.
#[derive(Debug, Default)]
pub(crate) struct LeaseDriver {
    /// With the header as it was when the renewal arrived.
    renewals: Vec<(LeaseId, ReplyTo, ResponseHeader)>,
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
        if !self.is_leader() || !self.state.leases().is_primary() {
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

    /// Renews a lease, or waits for its revoke when it has expired already.
    pub(super) fn renew_lease(&mut self, reply_to: ReplyTo, request: LeaseKeepAliveRequest) {
        let id = LeaseId(request.id);
        let header = self.header();
        if self.config.lease_checkpoint && self.state.leases().has_checkpoint(id) {
            // Else a later leader would go by what was left before this renewal.
            self.propose_checkpoints(vec![LeaseCheckpoint { id: id.0, remaining_ttl: 0 }]);
        }
        match self.state.leases_mut().renew(id, self.now) {
            Ok(ttl) => {
                metrics().debugging_lease_renewed_total.inc();
                self.answer_renewal(reply_to, id, header, ttl);
            }
            Err(LeaseError::Expired(_)) => self.leases.renewals.push((id, reply_to, header)),
            Err(LeaseError::NotPrimary) => self.outbox.reply(reply_to, Err(Error::NotPrimary)),
            Err(_) => self.answer_renewal(reply_to, id, header, 0),
        }
    }

    fn answer_renewal(&mut self, reply_to: ReplyTo, id: LeaseId, header: ResponseHeader, ttl: i64) {
        let reply = LeaseKeepAliveResponse { header: Some(header), id: id.0, ttl };
        self.outbox.reply(reply_to, Ok(Reply::LeaseKeepAlive(reply)));
    }

    /// An entry was applied: renewals of leases that are gone now get their answer.
    pub(super) fn lease_entry_applied(&mut self) {
        if self.leases.renewals.is_empty() {
            return;
        }
        let leases = self.state.leases();
        let (waiting, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.leases.renewals).into_iter().partition(|(id, ..)| leases.contains(*id));
        self.leases.renewals = waiting;
        for (id, reply_to, header) in gone {
            self.answer_renewal(reply_to, id, header, 0);
        }
    }

    pub(super) fn lease_time_to_live(&self, request: &LeaseTimeToLiveRequest) -> Result<Reply, Error> {
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
            Err(LeaseError::NotPrimary) => return Err(Error::NoLeader),
            Err(other) => return Err(Rejection::Lease(other).into()),
        };
        Ok(Reply::LeaseTimeToLive(reply))
    }

    pub(super) fn lease_leases(&self) -> Reply {
        let leases = self.state.leases().list().into_iter().map(|id| LeaseStatus { id: id.0 }).collect();
        Reply::LeaseLeases(LeaseLeasesResponse { header: Some(self.header()), leases })
    }
}
