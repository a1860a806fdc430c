//! What members ask each other (upstream: server/etcdserver/api/etcdhttp/peer.go). Who this member is and whom it
//! knows; not raft's streams.

use std::time::SystemTime;

use http::{HeaderName, HeaderValue, StatusCode, request::Parts};
use proto::etcdserverpb::{Member as Listed, MemberListRequest};
use types::go_json::quote;

use super::{JSON, Page, TEXT, error_page, get_only, method_not_allowed, not_found, page, version};
use crate::{
    member::{Caller, Member},
    thread::Thread,
};

const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");

/// The page of a request.
pub(super) async fn page_of<M: Member>(thread: &Thread<M>, request: &Parts) -> Page {
    match request.uri.path() {
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
    let mut page = page(StatusCode::OK, Some(JSON), format!("[{}]\n", members.join(",")));
    let cluster = reply.header.map_or(0, |header| header.cluster_id);
    let cluster = HeaderValue::from_str(&format!("{cluster:x}")).expect("digits are printable ASCII");
    page.headers_mut().insert(CLUSTER_ID, cluster);
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
