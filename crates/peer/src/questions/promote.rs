//! Promotions, for which only the leader knows enough (upstream: `promoteMemberHTTP`).

use http::{Request, StatusCode, header::AUTHORIZATION};
use proto::etcdserverpb::Member;
use types::MemberId;

use super::{Questions, text};
use crate::pipeline::body_of;

/// Far more members than a cluster can have.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why the leader does not promote a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromoteRefusal {
    /// There is no such member.
    NotFound,
    /// It votes already.
    NotLearner,
    /// It lacks too much of the log.
    NotReady,
}

impl Questions {
    /// Has the leader promote a member: all members then. `None` when there was no answer of use: it may be asked
    /// again.
    pub async fn promote(
        &self,
        leader: MemberId,
        id: u64,
        token: Option<&str>,
    ) -> Option<Result<Vec<Member>, PromoteRefusal>> {
        for url in self.urls_of(leader) {
            let mut request = Request::post(format!("/members/promote/{id}"));
            if let Some(token) = token {
                request = request.header(AUTHORIZATION, token);
            }
            let request = request.body(body_of("")).ok()?;
            if let Ok((status, body)) = self.ask(&url, request, ANSWER_BYTES_MAX).await
                && let Some(answer) = judge(status, &body)
            {
                return Some(answer);
            }
        }
        None
    }
}

pub(super) fn judge(status: StatusCode, body: &[u8]) -> Option<Result<Vec<Member>, PromoteRefusal>> {
    let text = text(body);
    match status {
        StatusCode::OK => members(body).map(Ok),
        StatusCode::NOT_FOUND if !text.contains("page not found") => Some(Err(PromoteRefusal::NotFound)),
        StatusCode::PRECONDITION_FAILED if text.contains("in sync with leader") => {
            Some(Err(PromoteRefusal::NotReady))
        }
        StatusCode::PRECONDITION_FAILED if text.contains("can only promote a learner member") => {
            Some(Err(PromoteRefusal::NotLearner))
        }
        _ => None,
    }
}

fn members(json: &[u8]) -> Option<Vec<Member>> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    let list = |urls: &serde_json::Value| -> Option<Vec<String>> {
        match urls.as_array() {
            None => Some(Vec::new()),
            Some(urls) => urls.iter().map(|url| Some(url.as_str()?.to_owned())).collect(),
        }
    };
    let member = |member: &serde_json::Value| {
        Some(Member {
            id: member["id"].as_u64()?,
            name: member["name"].as_str().unwrap_or_default().to_owned(),
            peer_ur_ls: list(&member["peerURLs"])?,
            client_ur_ls: list(&member["clientURLs"])?,
            is_learner: member["isLearner"].as_bool().unwrap_or(false),
        })
    };
    value.as_array()?.iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let json = br#"[{"id":18446744073709551615,"peerURLs":["http://a:1"],"isLearner":true},{"id":2,"peerURLs":[],"name":"m","clientURLs":["http://b:2"]}]"#;
        let members = judge(StatusCode::OK, json).unwrap().unwrap();
        assert_eq!((members[0].id, members[0].is_learner, members[0].peer_ur_ls.len()), (u64::MAX, true, 1));
        assert_eq!((members[1].name.as_str(), members[1].client_ur_ls.len()), ("m", 1));
        let cases = [
            (404, "membership: ID not found\n", Some(PromoteRefusal::NotFound)),
            (404, "404 page not found\n", None),
            (
                412,
                "etcdserver: can only promote a learner member which is in sync with leader\n",
                Some(PromoteRefusal::NotReady),
            ),
            (412, "membership: can only promote a learner member\n", Some(PromoteRefusal::NotLearner)),
            (412, "cluster ID mismatch\n", None),
            (500, r#"{"message":"Internal Server Error"}"#, None),
            (200, "{}", None),
            (200, r#"[{"id":"1"}]"#, None),
            (200, r#"[{"id":1,"peerURLs":[1]}]"#, None),
        ];
        for (status, body, expected) in cases {
            let answer = judge(StatusCode::from_u16(status).unwrap(), body.as_bytes());
            assert_eq!(answer.map(Result::unwrap_err), expected, "{status} {body}");
        }
    }
}
