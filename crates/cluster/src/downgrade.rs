//! Going back one minor version (contract/semantics.md 9.10).

use serde::Deserialize;

use types::go_json::Object;

use crate::Version;

/// Whether a downgrade is under way, and to what. Kept as the text of the entry that set it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Downgrade {
    /// Target version as text, `X.Y.0`; empty when not enabled.
    pub target: String,
    /// Whether it is under way.
    pub enabled: bool,
}

/// Why a downgrade cannot be validated or enabled. Texts as clients see them, without etcd's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DowngradeRejection {
    /// The target is no version.
    #[error("wrong downgrade target version format")]
    WrongFormat,
    /// No cluster version was agreed on yet.
    #[error("cluster version not found during downgrade")]
    ClusterVersionUnavailable,
    /// Not exactly one minor below the cluster version.
    #[error("invalid downgrade target version")]
    InvalidTarget,
    /// One is under way.
    #[error("cluster has a downgrade job in progress")]
    InProcess,
    /// Cancel without one under way; clients are answered OK all the same.
    #[error("no inflight downgrade job")]
    NoInflight,
}

impl Downgrade {
    /// As stored in the backend.
    pub(crate) fn to_json(&self) -> String {
        Object::new().string("target-version", &self.target).bool("enabled", self.enabled).finish()
    }

    /// Reads the row of the backend. The target is whatever an entry said: a row that was applied can be read.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Downgrade, String> {
        // Nothing but an object: serde would take an array for the fields in order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err("not a JSON object".to_owned());
        }
        let json: DowngradeJson = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        Ok(Downgrade { target: json.target.unwrap_or_default(), enabled: json.enabled.unwrap_or(false) })
    }

    /// The target while one is under way.
    pub fn target_version(&self) -> Option<Version> {
        if self.enabled { self.target.parse().ok() } else { None }
    }

    /// Whether the leader should cancel it because it is done: every server reports the target's minor.
    /// `servers` holds `None` for one that could not be asked.
    pub fn is_finished(&self, servers: &[Option<Version>]) -> bool {
        self.target_version().is_some_and(|target| {
            servers.iter().all(|server| server.map(Version::minor_only) == Some(target.minor_only()))
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DowngradeJson {
    #[serde(rename = "target-version")]
    target: Option<String>,
    enabled: Option<bool>,
}

/// The target of a request: `X.Y.Z` or `X.Y`, cut to the minor.
///
/// # Errors
/// `WrongFormat`.
pub fn parse_downgrade_target(text: &str) -> Result<Version, DowngradeRejection> {
    let version: Result<Version, _> = text.parse().or_else(|_| format!("{text}.0").parse());
    version.map(Version::minor_only).map_err(|_| DowngradeRejection::WrongFormat)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from etcd 3.7.1.
    #[test]
    fn json_is_upstreams() {
        let on = Downgrade { target: "3.6.0".into(), enabled: true };
        assert_eq!(on.to_json(), r#"{"target-version":"3.6.0","enabled":true}"#);
        assert_eq!(Downgrade::default().to_json(), r#"{"target-version":"","enabled":false}"#);
        for downgrade in [on, Downgrade::default()] {
            assert_eq!(Downgrade::parse(downgrade.to_json().as_bytes()), Ok(downgrade));
        }
        // Nobody who validates proposes such an entry; whoever applied it must be able to start again.
        let odd = Downgrade::parse(br#"{"target-version":"x","enabled":true}"#).unwrap();
        assert_eq!((odd.target_version(), odd.is_finished(&[])), (None, false));
        assert!(Downgrade::parse(br#"{"target-version":"x","enabled":false}"#).is_ok());
        assert!(Downgrade::parse(b"").is_err() && Downgrade::parse(b"[]").is_err());
    }

    #[test]
    fn targets() {
        for (text, expected) in [
            ("3.6.0", Some((3, 6))),
            ("3.6", Some((3, 6))),
            ("3.6.9", Some((3, 6))),
            ("3", None),
            ("", None),
            ("x.y", None),
        ] {
            let parsed = parse_downgrade_target(text).ok().map(|version| (version.major, version.minor));
            assert_eq!(parsed, expected, "{text:?}");
        }
    }

    #[test]
    fn finished_when_every_server_has_the_target() {
        let downgrade = Downgrade { target: "3.6.0".into(), enabled: true };
        let (old, new) = (Some(Version::new(3, 6, 14)), Some(Version::new(3, 7, 1)));
        assert!(downgrade.is_finished(&[old, old]));
        assert!(!downgrade.is_finished(&[old, new]) && !downgrade.is_finished(&[old, None]));
        assert!(!Downgrade::default().is_finished(&[old]));
    }
}
