//! What is registered below a token.

use proto::mvccpb::KeyValue;
use telemetry::line;
use types::MemberId;

use crate::DiscoveryError;

const ROOT: &str = "/_etcd/registry";

/// The keys of one token.
pub(crate) struct Keys {
    root: String,
}

impl Keys {
    /// Slashes at either end of a token count for nothing, nor do doubled ones.
    pub(crate) fn of(token: &str) -> Keys {
        let parts: Vec<&str> = token.split('/').filter(|part| !part.is_empty()).collect();
        Keys { root: format!("{ROOT}/{}", parts.join("/")) }
    }

    pub(crate) fn size(&self) -> String {
        format!("{}/_config/size", self.root)
    }

    /// What the keys of all members begin with.
    pub(crate) fn members(&self) -> String {
        format!("{}/members", self.root)
    }

    pub(crate) fn member(&self, id: MemberId) -> String {
        format!("{}/{id}", self.members())
    }
}

/// Reads the number of members.
pub(crate) fn size(value: &[u8]) -> Result<usize, DiscoveryError> {
    let text = std::str::from_utf8(value).ok();
    let text = text.map(|text| text.strip_prefix('+').filter(|rest| !rest.starts_with('+')).unwrap_or(text));
    match text.and_then(|text| text.parse::<u32>().ok()) {
        Some(size @ 1..) => Ok(size as usize),
        _ => Err(DiscoveryError::BadSize),
    }
}

/// Members that have registered, in the order in which they did.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    members: Vec<Registered>,
}

#[derive(Debug)]
struct Registered {
    key: String,
    /// `name=url,name=url`.
    urls: String,
    created: i64,
}

impl Registry {
    /// Takes in a row; what cannot be a registration is passed over, with a warning.
    pub(crate) fn add(&mut self, kv: &KeyValue) {
        let key = String::from_utf8_lossy(&kv.key).trim().to_owned();
        let urls = String::from_utf8_lossy(&kv.value).trim().to_owned();
        let wrong = if !urls.contains('=') {
            Some("invalid peer info returned from discovery service")
        } else if self.members.iter().any(|member| member.key == key) {
            Some("found duplicate peer from discovery service")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            line!(Warn, wrong, "memberKey" => key, "memberInfo" => urls);
            return;
        }
        line!(Info, "found peer from discovery service", "memberKey" => key.clone(), "memberInfo" => urls.clone());
        let created = kv.create_revision;
        let at = self.members.partition_point(|member| member.created <= created);
        self.members.insert(at, Registered { key, urls, created });
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether `own` is among the first `size`, or there is room for it.
    pub(crate) fn has_place_for(&self, own: &str, size: usize) -> bool {
        let before = self.members.iter().position(|member| member.key == own).unwrap_or(self.members.len());
        before < size
    }

    /// The first `size` members, as `--initial-cluster` names them.
    pub(crate) fn initial_cluster(&self, size: usize) -> String {
        let first: Vec<&str> = self.members.iter().take(size).map(|member| member.urls.as_str()).collect();
        first.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(key: &str, value: &str, create_revision: i64) -> KeyValue {
        KeyValue {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            create_revision,
            ..KeyValue::default()
        }
    }

    #[test]
    fn keys_are_upstreams() {
        let keys = Keys::of("/tok//en/");
        assert_eq!(keys.size(), "/_etcd/registry/tok/en/_config/size");
        assert_eq!(keys.member(MemberId(0xab)), "/_etcd/registry/tok/en/members/ab");
    }

    #[test]
    fn sizes_are_positive_decimals() {
        assert_eq!(size(b"3").ok(), Some(3));
        assert_eq!(size(b"+3").ok(), Some(3));
        for bad in ["", "0", "-1", "++1", "x", "3 ", "99999999999", "\u{fffd}"] {
            assert!(size(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_first_to_register_make_the_cluster() {
        let mut registry = Registry::default();
        for row in [
            kv("m/2", "b=http://b:1", 7),
            kv("m/1", "a=http://a:1", 5),
            kv("m/3", " c=http://c:1 ", 9),
            kv("m/3", "c=http://other:1", 9),
            kv("m/4", "nothing", 6),
        ] {
            registry.add(&row);
        }
        assert_eq!(registry.len(), 3);
        assert_eq!(registry.initial_cluster(2), "a=http://a:1,b=http://b:1");
        assert_eq!(registry.initial_cluster(9), "a=http://a:1,b=http://b:1,c=http://c:1");
        assert!(registry.has_place_for("m/2", 2));
        assert!(!registry.has_place_for("m/3", 2), "it came too late");
        assert!(!registry.has_place_for("m/5", 3), "all places are taken");
        assert!(registry.has_place_for("m/5", 4));
    }
}
