//! The versions of etcd that a member can be.

use cluster::Version;

/// What a member is to everybody else: what it tells them, and which files it leaves. One that is an older release
/// than it could be keeps the cluster version and the files there, so that members of that release can take over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// The newest.
    #[default]
    V3_7,
    /// The line before.
    V3_6,
}

impl Release {
    /// `X.Y.Z`.
    pub const fn text(self) -> &'static str {
        match self {
            Release::V3_7 => "3.7.1",
            Release::V3_6 => "3.6.14",
        }
    }

    /// The same, to compare with.
    pub(crate) const fn version(self) -> Version {
        match self {
            Release::V3_7 => Version::new(3, 7, 1),
            Release::V3_6 => Version::new(3, 6, 14),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_versions() {
        for release in [Release::V3_7, Release::V3_6] {
            assert_eq!(release.text().parse(), Ok(release.version()));
        }
    }
}
