//! Versions: the part of semver that etcd's own versions use.

use std::{fmt, str::FromStr};

/// A version `X.Y.Z`. A pre-release or build suffix is checked and dropped: nothing between members depends
/// on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// X.
    pub major: u64,
    /// Y.
    pub minor: u64,
    /// Z.
    pub patch: u64,
}

/// A text that is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version of the form X.Y.Z")]
pub struct VersionError(pub String);

impl Version {
    /// The lowest cluster version there is.
    pub const MIN_CLUSTER: Version = Version::new(3, 0, 0);

    /// `major.minor.patch`.
    pub const fn new(major: u64, minor: u64, patch: u64) -> Version {
        Version { major, minor, patch }
    }

    /// The same with patch 0: cluster and storage versions have no other.
    pub const fn minor_only(self) -> Version {
        Version::new(self.major, self.minor, 0)
    }

    /// The only version that a cluster of this one can be downgraded to: one minor less; `None` below X.0.
    pub fn downgrade_target(self) -> Option<Version> {
        Some(Version::new(self.major, self.minor.checked_sub(1)?, 0))
    }

    /// `X.Y`, as versions of clusters are told to clients.
    pub fn cluster_text(self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    /// Whether a cluster of version `self` may become `next`: one minor down, or up within the major.
    pub fn may_become(self, next: Version) -> bool {
        let (from, to) = (self.minor_only(), next.minor_only());
        Some(to) == from.downgrade_target() || (from.major == to.major && from < to)
    }

    /// Whether a member of version `server` can join a running cluster of version `self`
    /// (contract/semantics.md 8.9): not below 3.0 and not above the member's own minor.
    pub fn is_joinable_by(self, server: Version) -> bool {
        Version::MIN_CLUSTER <= self && self <= server.minor_only()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Version, VersionError> {
        parse(text).ok_or_else(|| VersionError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Version> {
    let (rest, metadata) = text.split_once('+').unwrap_or((text, ""));
    let (numbers, pre_release) = rest.split_once('-').unwrap_or((rest, ""));
    let mut parts = numbers.splitn(3, '.').map(number);
    let version = Version::new(parts.next()??, parts.next()??, parts.next()??);
    (is_identifier(pre_release) && is_identifier(metadata)).then_some(version)
}

/// Decimal digits that fit an i64; leading zeros are fine.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value: u64 = digits.then(|| text.parse().ok())??;
    i64::try_from(value).ok().map(|_| value)
}

fn is_identifier(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from go-semver 0.3.1, suffixes dropped.
    #[test]
    fn parses_what_upstream_parses() {
        for (text, expected) in [
            ("3.7.1", Some("3.7.1")),
            ("3.8.0-alpha.0", Some("3.8.0")),
            ("3.8.0+abc", Some("3.8.0")),
            ("3.8.0-a.b+c", Some("3.8.0")),
            ("3.7.0-", Some("3.7.0")),
            ("03.7.0", Some("3.7.0")),
            ("9223372036854775807.0.0", Some("9223372036854775807.0.0")),
            ("3.7", None),
            ("v3.7.0", None),
            ("3.7.x", None),
            ("", None),
            ("3.7.0-é", None),
            ("-1.2.3", None),
            ("3.7.1.2", None),
            ("3.7.99999999999999999999", None),
            ("9223372036854775808.0.0", None),
            ("3..1", None),
            (" 3.7.1", None),
            ("+3.7.1", None),
        ] {
            let parsed = text.parse::<Version>().ok().map(|version| version.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn orders_and_changes() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("3.9.0") < version("3.10.0") && version("3.7.1") > version("3.7.0"));
        for (from, to, allowed) in [
            ("3.7.0", "3.6.0", true),
            ("3.7.0", "3.6.4", true),
            ("3.7.0", "3.5.0", false),
            ("3.7.0", "3.7.0", false),
            ("3.5.0", "3.7.0", true),
            ("3.7.0", "4.0.0", false),
            ("4.0.0", "3.7.0", false),
        ] {
            assert_eq!(version(from).may_become(version(to)), allowed, "{from} -> {to}");
        }
        assert_eq!(version("3.0.0").downgrade_target(), None);
        for (cluster, server, ok) in [
            ("3.7.0", "3.7.1", true),
            ("3.8.0", "3.7.1", false),
            ("2.3.0", "3.7.1", false),
            ("3.0.0", "3.7.1", true),
        ] {
            assert_eq!(version(cluster).is_joinable_by(version(server)), ok, "{cluster} {server}");
        }
    }
}
