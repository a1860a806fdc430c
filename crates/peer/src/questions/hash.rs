//! Hashes of other members' keys (upstream: server/etcdserver/corrupt.go).

use std::time::Duration;

use http::{Request, StatusCode, header::CONTENT_TYPE};
use tokio::time::timeout;

use super::{Questions, text};
use crate::{compat::CLUSTER_ID, pipeline::body_of, urls::Url};

const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A hash as another member has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashAnswer {
    /// CRC32C over its keys.
    pub hash: u32,
    /// The newest revision that it has.
    pub revision: i64,
    /// What it had compacted; -1 for nothing.
    pub compacted: i64,
}

/// Why another member has no hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashRefusal {
    /// It has not come so far.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// It has forgotten that.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// It belongs to another cluster.
    #[error("etcdserver: cluster ID mismatch")]
    ClusterMismatch,
    /// It does not answer, or not so that it can be understood.
    #[error("{0}")]
    Other(String),
}

impl Questions {
    /// Asks the member at `url` for the hash over everything up to `revision`.
    ///
    /// # Errors
    /// When it has none, or has not answered within `patience`.
    pub async fn hash_kv(
        &self,
        url: &str,
        revision: i64,
        patience: Duration,
    ) -> Result<HashAnswer, HashRefusal> {
        let other = |why: String| HashRefusal::Other(why);
        let url = Url::parse(url).ok_or_else(|| other(format!("{url} is no peer URL")))?;
        let request = Request::get("/members/hashkv")
            .header(CONTENT_TYPE, "application/json")
            .header(CLUSTER_ID, self.shared.config.cluster.to_string())
            .body(body_of(format!("{{\"revision\":{revision}}}")))
            .map_err(|error| other(error.to_string()))?;
        match timeout(patience, self.ask(&url, request, ANSWER_BYTES_MAX)).await {
            Ok(Ok((status, body))) => judge(status, &body),
            Ok(Err(error)) => Err(other(error.to_string())),
            Err(_) => Err(other("context deadline exceeded".into())),
        }
    }
}

pub(super) fn judge(status: StatusCode, body: &[u8]) -> Result<HashAnswer, HashRefusal> {
    let text = text(body);
    match status {
        StatusCode::OK => answer(body).ok_or_else(|| HashRefusal::Other(format!("it answers {text:?}"))),
        StatusCode::BAD_REQUEST if text.contains("mvcc: required revision has been compacted") => {
            Err(HashRefusal::Compacted)
        }
        StatusCode::BAD_REQUEST if text.contains("mvcc: required revision is a future revision") => {
            Err(HashRefusal::FutureRevision)
        }
        StatusCode::PRECONDITION_FAILED if text.contains("cluster ID mismatch") => {
            Err(HashRefusal::ClusterMismatch)
        }
        _ => Err(HashRefusal::Other(format!("unknown error: {text}"))),
    }
}

/// Numbers that are zero may be left out, as Go does.
fn answer(json: &[u8]) -> Option<HashAnswer> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    let number = |value: &serde_json::Value| if value.is_null() { Some(0) } else { value.as_i64() };
    Some(HashAnswer {
        hash: number(value.as_object()?.get("hash")?)?.try_into().ok()?,
        revision: number(&value["header"]["revision"])?,
        compacted: number(&value["compact_revision"])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let json = r#"{"header":{"revision":7},"hash":4294967295,"compact_revision":-1,"hash_revision":5}"#;
        let whole = HashAnswer { hash: u32::MAX, revision: 7, compacted: -1 };
        let other = |text: &str| Err(HashRefusal::Other(text.into()));
        let cases = [
            (200, json, Ok(whole)),
            (200, r#"{"hash":1}"#, Ok(HashAnswer { hash: 1, ..HashAnswer::default() })),
            (200, "{}", other("it answers \"{}\"")),
            (200, r#"{"hash":-1}"#, other("it answers \"{\\\"hash\\\":-1}\"")),
            (400, "mvcc: required revision has been compacted\n", Err(HashRefusal::Compacted)),
            (400, "mvcc: required revision is a future revision\n", Err(HashRefusal::FutureRevision)),
            (412, "cluster ID mismatch\n", Err(HashRefusal::ClusterMismatch)),
            (404, "404 page not found\n", other("unknown error: 404 page not found")),
        ];
        for (status, body, expected) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(judge(status, body.as_bytes()), expected, "{status} {body}");
        }
    }
}
