//! Who members are to each other: headers and versions (contract/semantics.md 15.2, 15.3).

use http::{HeaderMap, HeaderValue, request};
use telemetry::line;

use crate::config::Config;

pub(crate) const SERVER_FROM: &str = "x-server-from";
pub(crate) const SERVER_VERSION: &str = "x-server-version";
pub(crate) const MIN_CLUSTER_VERSION: &str = "x-min-cluster-version";
pub(crate) const CLUSTER_ID: &str = "x-etcd-cluster-id";
pub(crate) const RAFT_TO: &str = "x-raft-to";
pub(crate) const PEER_URLS: &str = "x-peerurls";

/// Trailer behind a snapshot's file: the CRC-32C of the file, in hexadecimal digits. Ours alone; etcd's members send none
/// and look at none.
pub(crate) const FILE_SUM: &str = "x-mainstay-file-crc32c";

/// The oldest cluster version that this member can be part of.
pub(crate) const CLUSTER_VERSION_MIN: &str = "3.0.0";
/// What a member that says nothing is.
const SILENT_VERSION: &str = "2.0.0";

/// Why a member of another cluster or version is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("incompatible version")]
    Version,
    #[error("cluster ID mismatch")]
    Cluster,
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// Major and minor number of a semantic version.
pub(crate) fn major_minor(version: &str) -> Option<(u64, u64)> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let core = version.split(['-', '+']).next()?;
    let mut parts = core.split('.');
    let found = (number(parts.next()?)?, number(parts.next()?)?);
    let _patch: u64 = number(parts.next()?)?;
    parts.next().is_none().then_some(found)
}

fn version_of(headers: &HeaderMap, name: &str) -> Option<(u64, u64)> {
    let text = text(headers, name);
    major_minor(if text.is_empty() { SILENT_VERSION } else { text })
}

fn local() -> (u64, u64) {
    major_minor(node::SERVER_VERSION).expect("our own version is one")
}

/// Checks that whoever sent `headers` belongs to this cluster and speaks a version that we do.
pub(crate) fn check(config: &Config, headers: &HeaderMap) -> Result<(), Mismatch> {
    let oldest = major_minor(CLUSTER_VERSION_MIN).expect("it is one");
    let speaks = version_of(headers, SERVER_VERSION).is_some_and(|remote| remote >= oldest)
        && version_of(headers, MIN_CLUSTER_VERSION).is_some_and(|needed| needed <= local());
    let cluster = text(headers, CLUSTER_ID);
    let verdict = if !speaks {
        Err(Mismatch::Version)
    } else if cluster != config.cluster.to_string() {
        Err(Mismatch::Cluster)
    } else {
        Ok(())
    };
    let message = match verdict {
        Ok(()) => return verdict,
        Err(Mismatch::Version) => "failed version compatibility check",
        Err(Mismatch::Cluster) => "request cluster ID mismatch",
    };
    line!(Warn, message,
        "local-member-id" => config.id.to_string(),
        "local-member-cluster-id" => config.cluster.to_string(),
        "local-member-server-version" => config.release.text(),
        "local-member-server-minimum-cluster-version" => CLUSTER_VERSION_MIN,
        "remote-peer-server-name" => text(headers, SERVER_FROM),
        "remote-peer-server-version" => text(headers, SERVER_VERSION),
        "remote-peer-server-minimum-cluster-version" => text(headers, MIN_CLUSTER_VERSION),
        "remote-peer-cluster-id" => cluster);
    verdict
}

/// Whether who answered a dial with `headers` can be read: newer members know what older ones understand.
pub(crate) fn can_stream(headers: &HeaderMap) -> bool {
    let known = |version| matches!(version, (2, 1..=3) | (3, 0..=7));
    version_of(headers, SERVER_VERSION).is_some_and(|remote| remote >= local() || known(remote))
}

/// Adds what every request to another member says.
pub(crate) fn introduce(config: &Config, mut request: request::Builder) -> request::Builder {
    request = request
        .header(SERVER_FROM, config.id.to_string())
        .header(SERVER_VERSION, config.release.text())
        .header(MIN_CLUSTER_VERSION, CLUSTER_VERSION_MIN)
        .header(CLUSTER_ID, config.cluster.to_string());
    match HeaderValue::from_str(&config.urls.join(",")) {
        Ok(urls) if !urls.is_empty() => request.header(PEER_URLS, urls),
        _ => request,
    }
}

/// An id as URLs and headers have it.
pub(crate) fn parse_id(text: &str) -> Option<u64> {
    let is_hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, parsed) in [
            ("3.7.1", Some((3, 7))),
            ("3.6.0-alpha.0", Some((3, 6))),
            ("3.10.2+git", Some((3, 10))),
            ("3.7", None),
            ("3.x.1", None),
            ("", None),
            ("1.2.3.4", None),
            ("+3.1.1", None),
        ] {
            assert_eq!(major_minor(text), parsed, "{text}");
        }
        let with = |version: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(SERVER_VERSION, HeaderValue::from_static(version));
            headers
        };
        for (version, can) in [
            ("3.7.0", true),
            ("3.5.3", true),
            ("2.0.0", false),
            ("3.9.0", true),
            ("4.0.0", true),
            ("x", false),
        ] {
            assert_eq!(can_stream(&with(version)), can, "{version}");
        }
        assert!(!can_stream(&HeaderMap::new()));
    }

    #[test]
    fn ids_are_hexadecimal() {
        assert_eq!(parse_id("8e9e05c52164694d"), Some(0x8e9e_05c5_2164_694d));
        for text in ["", "+1", "-1", "x", "1ffffffffffffffff"] {
            assert_eq!(parse_id(text), None, "{text}");
        }
    }
}
