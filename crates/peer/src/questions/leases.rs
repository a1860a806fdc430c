//! Leases, which only the leader times (upstream: server/lease/leasehttp).

use bytes::Bytes;
use http::{Request, StatusCode, header::CONTENT_TYPE};
use prost::Message;
use proto::{
    etcdserverpb::{
        LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
    },
    leasepb::{LeaseInternalRequest, LeaseInternalResponse},
};
use types::MemberId;

use super::{Questions, text};
use crate::{pipeline::body_of, urls::Url};

/// A lease may have many keys (upstream: `maxLeaseHTTPResponseSize`).
const ANSWER_BYTES_MAX: usize = 100 << 20;
/// What the leader says of a lease that is not there.
const NOT_FOUND: &str = "lease not found";

/// An answer of the leader.
enum Answer {
    NotFound,
    Found(Bytes),
}

impl Questions {
    /// Has the leader renew a lease: its TTL, 0 when it is gone. `None` when there was no answer of use: it may be
    /// asked again.
    pub async fn renew(&self, leader: MemberId, id: i64) -> Option<i64> {
        let request = Bytes::from(LeaseKeepAliveRequest { id }.encode_to_vec());
        for url in self.urls_of(leader) {
            match self.ask_about_lease(&url, "/leases", request.clone()).await {
                Some(Answer::NotFound) => return Some(0),
                Some(Answer::Found(body)) => {
                    let reply = proto::decode::<LeaseKeepAliveResponse>(body).ok();
                    if let Some(reply) = reply.filter(|reply| reply.id == id) {
                        return Some(reply.ttl);
                    }
                }
                None => {}
            }
        }
        None
    }

    /// Asks the leader how long a lease has left: TTL -1 when it is gone. `None` when there was no answer of use:
    /// it may be asked again.
    pub async fn time_to_live(
        &self,
        leader: MemberId,
        request: &LeaseTimeToLiveRequest,
    ) -> Option<LeaseTimeToLiveResponse> {
        let id = request.id;
        let asked = LeaseInternalRequest { lease_time_to_live_request: Some(*request) };
        let asked = Bytes::from(asked.encode_to_vec());
        for url in self.urls_of(leader) {
            match self.ask_about_lease(&url, "/leases/internal", asked.clone()).await {
                Some(Answer::NotFound) => {
                    return Some(LeaseTimeToLiveResponse { id, ttl: -1, ..Default::default() });
                }
                Some(Answer::Found(body)) => {
                    let reply = proto::decode::<LeaseInternalResponse>(body).ok();
                    let reply = reply.and_then(|reply| reply.lease_time_to_live_response);
                    if let Some(reply) = reply.filter(|reply| reply.id == id) {
                        return Some(reply);
                    }
                }
                None => {}
            }
        }
        None
    }

    async fn ask_about_lease(&self, url: &Url, path: &str, body: Bytes) -> Option<Answer> {
        let request = Request::post(path).header(CONTENT_TYPE, "application/protobuf").body(body_of(body));
        let (status, body) = self.ask(url, request.ok()?, ANSWER_BYTES_MAX).await.ok()?;
        match status {
            StatusCode::OK => Some(Answer::Found(body)),
            // Whoever is no leader, or has no such page, knows nothing of the lease.
            StatusCode::NOT_FOUND if text(&body) == NOT_FOUND => Some(Answer::NotFound),
            _ => None,
        }
    }
}
