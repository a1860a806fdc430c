//! What members ask to compare themselves: hashes, and whether the cluster is being downgraded (upstream:
//! server/etcdserver/corrupt.go, server.go).

use http::{HeaderValue, StatusCode, request::Parts};
use proto::etcdserverpb::{HashKvRequest, MemberListRequest, StatusRequest};

use super::super::{JSON, Page, error_page, header, method_not_allowed, page};
use super::{BodyError, CLUSTER_ID, PeerBody, cluster_id, with_cluster};
use crate::{
    member::{Caller, Member},
    status::Reason,
    thread::Thread,
};

/// `/members/hashkv`: a GET with a body.
pub(super) async fn hash_kv<M: Member>(thread: &Thread<M>, request: &Parts, body: PeerBody) -> Page {
    if request.method != http::Method::GET {
        return method_not_allowed();
    }
    let theirs = header(&request.headers, CLUSTER_ID);
    if !theirs.is_empty() && theirs != cluster_id(thread).await {
        return error_page(StatusCode::PRECONDITION_FAILED, "cluster ID mismatch");
    }
    let body = match body.collect().await {
        Ok(body) => body,
        Err(error) => return BodyError::into_page(error),
    };
    let Some(revision) = asked_revision(&body) else {
        return error_page(StatusCode::BAD_REQUEST, "error unmarshalling request");
    };
    match thread.member.hash_kv(Caller::internal(), HashKvRequest { revision }).await {
        Ok(reply) => {
            let revision = reply.header.as_ref().map_or(0, |header| header.revision);
            let body = format!(
                r#"{{"header":{{"revision":{revision}}},"hash":{},"compact_revision":{},"hash_revision":{}}}"#,
                reply.hash, reply.compact_revision, reply.hash_revision
            );
            with_cluster(thread, page(StatusCode::OK, Some(JSON), body)).await
        }
        Err(reason) => {
            // As the store says it, not as clients read it.
            let text = match reason {
                Reason::Compacted => "mvcc: required revision has been compacted".into(),
                Reason::FutureRevision => "mvcc: required revision is a future revision".into(),
                reason => reason.to_string(),
            };
            error_page(StatusCode::BAD_REQUEST, &text)
        }
    }
}

pub(in crate::pages) fn asked_revision(json: &[u8]) -> Option<i64> {
    match serde_json::from_slice(json).ok()? {
        serde_json::Value::Null => Some(0),
        serde_json::Value::Object(fields) => match fields.get("revision") {
            None | Some(serde_json::Value::Null) => Some(0),
            Some(revision) => revision.as_i64(),
        },
        _ => None,
    }
}

/// `/downgrade/enabled`: read linearizably, so that the first answer that anybody gets is the cluster's.
pub(super) async fn downgrade_enabled<M: Member>(thread: &Thread<M>, request: &Parts) -> Page {
    if request.method != http::Method::GET {
        return method_not_allowed();
    }
    let barrier = MemberListRequest { linearizable: true };
    let answer = match thread.member.member_list(Caller::internal(), barrier).await {
        Ok(_) => thread.member.status(Caller::internal(), StatusRequest {}).await,
        Err(reason) => Err(reason),
    };
    let page = match answer {
        Ok(status) => {
            let enabled = status.downgrade_info.is_some_and(|info| info.enabled);
            page(StatusCode::OK, Some(HeaderValue::from_static("text/plain")), enabled.to_string())
        }
        Err(reason) => {
            error_page(StatusCode::INTERNAL_SERVER_ERROR, &format!("failed linearized read: {reason}"))
        }
    };
    with_cluster(thread, page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_read_as_go_reads_them() {
        for (json, revision) in [
            (r#"{"revision":7}"#, Some(7)),
            (r#"{"revision":-1}"#, Some(-1)),
            ("{}", Some(0)),
            ("null", Some(0)),
            (r#"{"revision":null,"more":[]}"#, Some(0)),
            (r#"{"revision":"7"}"#, None),
            (r#"{"revision":1.5}"#, None),
            ("[]", None),
            ("7", None),
            ("", None),
        ] {
            assert_eq!(asked_revision(json.as_bytes()), revision, "{json}");
        }
    }
}
