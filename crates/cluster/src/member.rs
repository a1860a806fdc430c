//! One member, its id and its JSON.

use serde::Deserialize;
use sha1::{Digest, Sha1};
use types::{ClusterId, MemberId, go_json::Object};

/// A member of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Never 0.
    pub id: MemberId,
    /// Where its peers reach it; as given, sorted when it came from flags or a request.
    pub peer_urls: Vec<String>,
    /// Whether it gets the log without a vote.
    pub is_learner: bool,
    /// Empty until the member itself has published it: it has not started yet.
    pub name: String,
    /// Where clients reach it; empty until published.
    pub client_urls: Vec<String>,
}

impl Member {
    /// A member as it is bootstrapped or added, with the id that upstream computes for it
    /// (contract/semantics.md 8.1): SHA-1 over the sorted peer URLs, then `token`, then `unix_secs` in decimal.
    /// Bootstrap passes the cluster token and no time; adding passes no token and the time.
    pub fn new(name: &str, peer_urls: &[String], token: &str, unix_secs: Option<i64>) -> Member {
        let mut sorted = peer_urls.to_vec();
        sorted.sort_unstable();
        let mut input = sorted.concat();
        input.push_str(token);
        if let Some(secs) = unix_secs {
            input.push_str(&secs.to_string());
        }
        Member {
            id: MemberId(first_u64(input.as_bytes())),
            peer_urls: peer_urls.to_vec(),
            name: name.to_owned(),
            ..Member::default()
        }
    }

    /// Whether it has published its name, which is the first thing a member does.
    pub fn is_started(&self) -> bool {
        !self.name.is_empty()
    }

    /// As stored in the backend and carried by conf changes.
    pub(crate) fn to_json(&self) -> String {
        self.json_fields().finish()
    }

    /// The fields of [`Member::to_json`]; the caller may add some.
    pub(crate) fn json_fields(&self) -> Object {
        let object = Object::new().number("id", self.id.0);
        self.attributes(self.raft_attributes(object))
    }

    /// As in the v2 tree.
    pub(crate) fn raft_attributes_json(&self) -> String {
        self.raft_attributes(Object::new()).finish()
    }

    /// As in the v2 tree.
    pub(crate) fn attributes_json(&self) -> String {
        self.attributes(Object::new()).finish()
    }

    fn raft_attributes(&self, object: Object) -> Object {
        let object = if self.peer_urls.is_empty() {
            object.raw("peerURLs", "null")
        } else {
            object.strings("peerURLs", &self.peer_urls)
        };
        if self.is_learner { object.bool("isLearner", true) } else { object }
    }

    fn attributes(&self, object: Object) -> Object {
        let object = if self.name.is_empty() { object } else { object.string("name", &self.name) };
        if self.client_urls.is_empty() { object } else { object.strings("clientURLs", &self.client_urls) }
    }
}

/// A member's JSON as it may be met: fields absent or null, unknown ones beside it.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct MemberJson {
    id: Option<u64>,
    #[serde(rename = "peerURLs")]
    peer_urls: Option<Vec<String>>,
    #[serde(rename = "isLearner")]
    is_learner: Option<bool>,
    name: Option<String>,
    #[serde(rename = "clientURLs")]
    client_urls: Option<Vec<String>>,
    #[serde(rename = "isPromote")]
    pub(crate) is_promote: Option<bool>,
}

impl MemberJson {
    /// Reads one object. Nothing but an object: serde would take an array for the fields in order.
    pub(crate) fn parse(bytes: &[u8]) -> Result<MemberJson, String> {
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err("not a JSON object".to_owned());
        }
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// The member in it; `id` is used when the object names none.
    pub(crate) fn member(self, id: MemberId) -> Member {
        Member {
            id: self.id.map_or(id, MemberId),
            peer_urls: self.peer_urls.unwrap_or_default(),
            is_learner: self.is_learner.unwrap_or(false),
            name: self.name.unwrap_or_default(),
            client_urls: self.client_urls.unwrap_or_default(),
        }
    }
}

/// The id of a cluster that starts with these members.
pub fn cluster_id(members: impl IntoIterator<Item = MemberId>) -> ClusterId {
    let mut ids: Vec<MemberId> = members.into_iter().collect();
    ids.sort_unstable();
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.0.to_be_bytes()).collect();
    ClusterId(first_u64(&bytes))
}

/// The first eight bytes of the SHA-1, big endian.
fn first_u64(input: &[u8]) -> u64 {
    let digest = Sha1::digest(input);
    let first = digest.first_chunk::<8>().expect("SHA-1 has twenty bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    /// Recorded from etcd 3.7.1.
    #[test]
    fn ids_are_upstreams() {
        let default = Member::new("default", &strings(&["http://localhost:2380"]), "etcd-cluster", None);
        assert_eq!(default.id.to_string(), "8e9e05c52164694d");
        assert_eq!(cluster_id([default.id]).to_string(), "cdf818194e3a8c32");
        let added = Member::new("", &strings(&["http://z:1", "http://a:1"]), "", Some(1234567890));
        assert_eq!(added.id.to_string(), "a4544a9007a4e9a3");
        let pair = [0x78aa_14ef_bb67_53ff, 0xa1d7_70fa_700d_5caa].map(MemberId);
        assert_eq!(cluster_id(pair).to_string(), "878e1fc0bf74d6eb");
        assert_eq!(cluster_id([pair[1], pair[0]]), cluster_id(pair));
    }

    /// Recorded from etcd 3.7.1.
    #[test]
    fn json_is_upstreams() {
        let mut member = Member { id: MemberId(10276657743932975437), ..Member::default() };
        assert_eq!(member.to_json(), r#"{"id":10276657743932975437,"peerURLs":null}"#);
        member.peer_urls = strings(&["http://localhost:2380"]);
        member.name = "default".into();
        assert_eq!(
            member.to_json(),
            r#"{"id":10276657743932975437,"peerURLs":["http://localhost:2380"],"name":"default"}"#
        );
        member.client_urls = strings(&["http://localhost:2379", "https://b:1"]);
        member.is_learner = true;
        let full = concat!(
            r#"{"id":10276657743932975437,"peerURLs":["http://localhost:2380"],"isLearner":true,"#,
            r#""name":"default","clientURLs":["http://localhost:2379","https://b:1"]}"#
        );
        assert_eq!(member.to_json(), full);
        assert_eq!(MemberJson::parse(full.as_bytes()).unwrap().member(MemberId(0)), member);
    }

    #[test]
    fn parsing_takes_nulls_and_unknown_fields() {
        let json = br#"{"peerURLs":null,"later":{"x":[1]},"name":null}"#;
        let member = MemberJson::parse(json).unwrap().member(MemberId(5));
        assert_eq!(member, Member { id: MemberId(5), ..Member::default() });
        for bad in [&b""[..], b"null,", b"[]", br#"{"id":"x"}"#, br#"{"peerURLs":[1]}"#, b"\xff"] {
            assert!(MemberJson::parse(bad).is_err(), "{bad:?}");
        }
    }
}
