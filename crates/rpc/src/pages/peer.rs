//! What members ask each other (upstream: server/etcdserver/api/etcdhttp/peer.go). Who this member is and whom it
//! knows, and what only it as leader can say; not raft's streams.

pub(super) mod checks;
mod leader;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header::ALLOW, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use proto::etcdserverpb::{Member as Listed, MemberListRequest};
use types::go_json::quote;

use super::{JSON, Page, TEXT, error_page, get_only, method_not_allowed, not_found, page, version};
use crate::{
    member::{Caller, Member},
    thread::Thread,
};

const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
/// Of a request's body (upstream: `maxLeaseHTTPRequestSize`).
const BODY_BYTES_MAX: usize = 64 << 10;
/// A body must come within this time.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

/// The body of a request, not read yet.
pub(super) struct PeerBody(pub(super) Incoming);

/// Why there is no body.
enum BodyError {
    TooLarge,
    Broken,
}

impl BodyError {
    fn into_page(self) -> Page {
        match self {
            BodyError::TooLarge => error_page(StatusCode::PAYLOAD_TOO_LARGE, "request body too large"),
            BodyError::Broken => error_page(StatusCode::BAD_REQUEST, "error reading body"),
        }
    }
}

impl PeerBody {
    async fn collect(self) -> Result<Bytes, BodyError> {
        let whole = Limited::new(self.0, BODY_BYTES_MAX).collect();
        match tokio::time::timeout(BODY_PATIENCE, whole).await {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
            Ok(Err(_)) | Err(_) => Err(BodyError::Broken),
        }
    }
}

/// The page of a request.
pub(super) async fn page_of<M: Member>(thread: &Thread<M>, request: &Parts, body: PeerBody) -> Page {
    let path = request.uri.path();
    if let Some(id) = path.strip_prefix("/members/promote/") {
        return leader::promote(thread, request, id).await;
    }
    match path {
        "/leases" => leader::renew(thread, request, body).await,
        "/leases/internal" => leader::time_to_live(thread, request, body).await,
        "/members/hashkv" => checks::hash_kv(thread, request, body).await,
        "/downgrade/enabled" => checks::downgrade_enabled(thread, request).await,
        "/version" => get_only(request, || version(thread)),
        "/members" if request.method != http::Method::GET => method_not_allowed(),
        "/members" => members(thread).await,
        "/raft/probing" => page(StatusCode::OK, Some(TEXT), probe(SystemTime::now())),
        _ => not_found(),
    }
}

fn probe(now: SystemTime) -> String {
    format!("{{\"OK\":true,\"Now\":\"{}\"}}\n", telemetry::log::timestamp(now))
}

async fn members<M: Member>(thread: &Thread<M>) -> Page {
    // As this member knows them: the others ask while there may be no leader.
    let request = MemberListRequest { linearizable: false };
    let reply = match thread.member.member_list(Caller::internal(), request).await {
        Ok(reply) => reply,
        Err(reason) => return error_page(StatusCode::INTERNAL_SERVER_ERROR, &reason.to_string()),
    };
    let mut members = reply.members;
    members.sort_by_key(|member| member.id);
    let members: Vec<_> = members.iter().map(member_json).collect();
    let page = page(StatusCode::OK, Some(JSON), format!("[{}]\n", members.join(",")));
    let cluster = reply.header.map_or(0, |header| header.cluster_id);
    with_id(page, &format!("{cluster:x}"))
}

fn with_id(mut page: Page, cluster: &str) -> Page {
    let cluster = HeaderValue::from_str(cluster).expect("digits are printable ASCII");
    page.headers_mut().insert(CLUSTER_ID, cluster);
    page
}

/// Adds of which cluster this is.
async fn with_cluster<M: Member>(thread: &Thread<M>, page: Page) -> Page {
    with_id(page, &cluster_id(thread).await)
}

/// In hexadecimal.
async fn cluster_id<M: Member>(thread: &Thread<M>) -> String {
    let list = thread.member.member_list(Caller::internal(), MemberListRequest { linearizable: false }).await;
    let cluster = list.ok().and_then(|reply| reply.header).map_or(0, |header| header.cluster_id);
    format!("{cluster:x}")
}

/// Says that a page has no such method, and which it has if `allow` tells.
fn refuse_method(allow: Option<&'static str>) -> Page {
    let mut page = error_page(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    if let Some(allow) = allow {
        page.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    }
    page
}

/// A member with the fields that membership files have too; empty ones are left out, as are `false` ones.
fn member_json(member: &Listed) -> String {
    let list = |urls: &[String]| urls.iter().map(|url| quote(url)).collect::<Vec<_>>().join(",");
    let mut text = format!("{{\"id\":{},\"peerURLs\":[{}]", member.id, list(&member.peer_ur_ls));
    if member.is_learner {
        text.push_str(",\"isLearner\":true");
    }
    if !member.name.is_empty() {
        text.push_str(&format!(",\"name\":{}", quote(&member.name)));
    }
    if !member.client_ur_ls.is_empty() {
        text.push_str(&format!(",\"clientURLs\":[{}]", list(&member.client_ur_ls)));
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_are_left_out() {
        let mut member = Listed { id: u64::MAX, peer_ur_ls: vec!["http://a:1".into()], ..Default::default() };
        assert_eq!(member_json(&member), r#"{"id":18446744073709551615,"peerURLs":["http://a:1"]}"#);
        member.is_learner = true;
        member.name = "m\"1".into();
        member.client_ur_ls = vec!["http://a:2".into(), "http://b:2".into()];
        assert_eq!(
            member_json(&member),
            r#"{"id":18446744073709551615,"peerURLs":["http://a:1"],"isLearner":true,"name":"m\"1","clientURLs":["http://a:2","http://b:2"]}"#
        );
    }

    #[test]
    fn probes_are_answered_with_the_time() {
        assert_eq!(probe(SystemTime::UNIX_EPOCH), "{\"OK\":true,\"Now\":\"1970-01-01T00:00:00.000000Z\"}\n");
    }
}
