//! What members ask the leader: leases, which only it times, and promotions, for which only it knows enough
//! (upstream: server/lease/leasehttp, etcdhttp/peer.go).

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header::AUTHORIZATION, request::Parts};
use prost::Message;
use proto::{
    etcdserverpb::{
        LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
        MemberPromoteRequest, ResponseHeader,
    },
    leasepb::{LeaseInternalRequest, LeaseInternalResponse},
};

use super::super::{JSON, Page, error_page, header, page};
use super::{BodyError, PeerBody, member_json, refuse_method, with_cluster};
use crate::{
    member::{Caller, Member},
    status::Reason,
    thread::Thread,
};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/protobuf");

/// `/leases`: renews a lease here, and asks nobody else about it.
pub(super) async fn renew<M: Member>(thread: &Thread<M>, request: &Parts, body: PeerBody) -> Page {
    let asked = match read::<LeaseKeepAliveRequest>(request, body).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let id = asked.id;
    match thread.member.lease_keep_alive(Caller::internal(), asked).await {
        Ok(reply) if reply.ttl > 0 => protobuf(&LeaseKeepAliveResponse { header: None, id, ttl: reply.ttl }),
        Ok(_) | Err(Reason::LeaseNotFound) => lease_not_found(),
        Err(reason) => refuse(StatusCode::BAD_REQUEST, &reason),
    }
}

/// `/leases/internal`: how long a lease has left, as this member knows it.
pub(super) async fn time_to_live<M: Member>(thread: &Thread<M>, request: &Parts, body: PeerBody) -> Page {
    let asked = match read::<LeaseInternalRequest>(request, body).await {
        Ok(asked) => asked.lease_time_to_live_request.unwrap_or_default(),
        Err(refusal) => return refusal,
    };
    let LeaseTimeToLiveRequest { id, keys } = asked;
    let asked = LeaseTimeToLiveRequest { id, keys };
    match thread.member.lease_time_to_live(Caller::internal(), asked).await {
        // No lease is granted for 0 seconds.
        Ok(reply) if reply.granted_ttl == 0 => lease_not_found(),
        Ok(reply) => protobuf(&LeaseInternalResponse {
            lease_time_to_live_response: Some(LeaseTimeToLiveResponse {
                header: Some(ResponseHeader::default()),
                ..reply
            }),
        }),
        Err(reason) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &reason),
    }
}

async fn read<Q: Message + prost::Name + Default>(request: &Parts, body: PeerBody) -> Result<Q, Page> {
    if request.method != Method::POST {
        return Err(refuse_method(None));
    }
    let body = body.collect().await.map_err(BodyError::into_page)?;
    proto::decode(body).map_err(|_| error_page(StatusCode::BAD_REQUEST, "error unmarshalling request"))
}

fn protobuf(message: &impl Message) -> Page {
    page(StatusCode::OK, Some(PROTOBUF), Bytes::from(message.encode_to_vec()))
}

fn lease_not_found() -> Page {
    error_page(StatusCode::NOT_FOUND, "lease not found")
}

fn refuse(status: StatusCode, reason: &Reason) -> Page {
    match reason {
        Reason::TimeoutWaitApplied => error_page(
            StatusCode::REQUEST_TIMEOUT,
            "waiting for node to catch up its applied index has timed out",
        ),
        reason => error_page(status, &reason.to_string()),
    }
}

/// `/members/promote/ID`.
pub(super) async fn promote<M: Member>(thread: &Thread<M>, request: &Parts, id: &str) -> Page {
    if request.method != Method::POST {
        return refuse_method(Some("POST"));
    }
    let page = match id.parse::<u64>() {
        Ok(id) => promote_member(thread, request, id).await,
        Err(_) => error_page(StatusCode::NOT_FOUND, &format!("member {id} not found in cluster")),
    };
    with_cluster(thread, page).await
}

async fn promote_member<M: Member>(thread: &Thread<M>, request: &Parts, id: u64) -> Page {
    let token = header(&request.headers, AUTHORIZATION);
    let token = token.strip_prefix("Bearer ").unwrap_or(&token).to_owned();
    let caller = thread.common.caller(Some(token).filter(|token| !token.is_empty()), None);
    match thread.member.member_promote(caller, MemberPromoteRequest { id }).await {
        Ok(reply) => {
            let members: Vec<_> = reply.members.iter().map(member_json).collect();
            page(StatusCode::OK, Some(JSON), format!("[{}]\n", members.join(",")))
        }
        Err(Reason::MemberNotFound) => error_page(StatusCode::NOT_FOUND, "membership: ID not found"),
        Err(Reason::MemberNotLearner) => {
            error_page(StatusCode::PRECONDITION_FAILED, "membership: can only promote a learner member")
        }
        Err(reason @ Reason::LearnerNotReady) => {
            error_page(StatusCode::PRECONDITION_FAILED, &reason.to_string())
        }
        // The asker tries again until its client has enough.
        Err(_) => {
            let body = r#"{"message":"Internal Server Error"}"#;
            page(StatusCode::INTERNAL_SERVER_ERROR, Some(JSON), body)
        }
    }
}
