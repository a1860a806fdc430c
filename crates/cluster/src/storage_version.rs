//! The version of the file's layout, and what may follow it (contract/semantics.md 14.17, 9.10).

use bytes::Bytes;
use types::{Write, bucket};

use crate::{ClusterError, Version};

/// Layouts that differ from the one before; the first whose version is stored in the file.
const KNOWN_MINORS: [Version; 2] = [STORED_SINCE, Version::new(3, 7, 0)];
/// Older files carry no version.
const STORED_SINCE: Version = Version::new(3, 6, 0);
/// What a file without a version is, if it carries a term.
const UNMARKED: Version = Version::new(3, 5, 0);

/// The storage version of a file: `row` is `meta/storageVersion`, `has_term` whether `meta/term` is there and
/// not 0. `None` when it cannot be told; a text that is no version counts as absent.
pub fn read_storage_version(row: Option<&[u8]>, has_term: bool) -> Option<Version> {
    let stored = row.and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
    stored.or(has_term.then_some(UNMARKED))
}

/// Whether a binary of version `server` can use a file of version `stored`; `None` (not known) is only warned
/// about by the caller.
///
/// # Errors
/// `StorageVersion` with upstream's text.
pub fn check_storage_version(stored: Option<Version>, server: Version) -> Result<(), ClusterError> {
    stored.map_or(Ok(()), |stored| plan(stored, server))
}

/// What brings a file of version `stored` to `target`: nothing when it is there already. `wal_needs` is the
/// lowest version that can read every entry still in the WAL, asked when going down.
///
/// # Errors
/// `StorageVersion` with upstream's text; nothing may be written then.
pub fn migrate_storage(
    stored: Option<Version>,
    target: Version,
    wal_needs: Option<Version>,
) -> Result<Vec<Write>, ClusterError> {
    let refuse = |text: String| Err(ClusterError::StorageVersion(text));
    let target = target.minor_only();
    let Some(stored) = stored else {
        return refuse("cannot detect storage schema version: missing term information".to_owned());
    };
    if let Err(error) = plan(stored, target) {
        return refuse(format!("cannot create migration plan: {error}"));
    }
    if let Some(needs) = wal_needs
        && target < stored
        && target < needs
    {
        return refuse(format!(
            "cannot downgrade storage, WAL contains newer entries, as the target version ({target}) is lower \
             than the version ({needs}) detected from WAL logs"
        ));
    }
    Ok(if stored.minor_only() == target { Vec::new() } else { vec![storage_version_row(target)] })
}

/// Below 3.6 the row does not exist.
fn storage_version_row(version: Version) -> Write {
    let key = Bytes::from_static(bucket::meta::STORAGE_VERSION);
    if version < STORED_SINCE {
        Write::delete(bucket::META, key)
    } else {
        Write::put(bucket::META, key, version.to_string())
    }
}

/// Whether there is a path from one layout to the other, minor by minor.
fn plan(from: Version, to: Version) -> Result<(), ClusterError> {
    let refuse = |text: String| Err(ClusterError::StorageVersion(text));
    let (from, to) = (from.minor_only(), to.minor_only());
    if from.major != to.major {
        return refuse("changing major storage version is not supported".to_owned());
    }
    // Each step needs the layout of its higher end; the first unknown one is named. Going up the steps start
    // at the low end, going down at the high end.
    let unknown = if from < to {
        (from.minor + 1..=to.minor).find(|&minor| !is_known(from.major, minor))
    } else {
        (to.minor + 1..=from.minor).rev().find(|&minor| !is_known(from.major, minor))
    };
    match unknown {
        Some(minor) => refuse(format!("version \"{}\" is not supported", Version::new(from.major, minor, 0))),
        None => Ok(()),
    }
}

fn is_known(major: u64, minor: u64) -> bool {
    KNOWN_MINORS.contains(&Version::new(major, minor, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn reads_the_row_or_guesses_from_the_term() {
        assert_eq!(read_storage_version(Some(b"3.7.0"), false), Some(version("3.7.0")));
        assert_eq!(read_storage_version(None, true), Some(version("3.5.0")));
        assert_eq!(read_storage_version(Some(b"junk"), true), Some(version("3.5.0")));
        assert_eq!(read_storage_version(Some(b""), false), None);
    }

    #[test]
    fn only_neighbours_that_are_known() {
        for (stored, server, error) in [
            ("3.7.0", "3.7.1", None),
            ("3.5.0", "3.7.1", None),
            ("3.7.0", "3.6.14", None),
            ("3.8.0", "3.7.1", Some("version \"3.8.0\" is not supported")),
            ("3.9.0", "3.7.1", Some("version \"3.9.0\" is not supported")),
            ("3.4.0", "3.7.1", Some("version \"3.5.0\" is not supported")),
            ("3.7.0", "3.8.0", Some("version \"3.8.0\" is not supported")),
            ("4.0.0", "3.7.1", Some("changing major storage version is not supported")),
        ] {
            let result = check_storage_version(Some(version(stored)), version(server));
            assert_eq!(result.err().map(|error| error.to_string()).as_deref(), error, "{stored} {server}");
        }
        assert_eq!(check_storage_version(None, version("3.7.1")), Ok(()));
    }

    #[test]
    fn a_huge_distance_is_refused_without_counting() {
        let far = Version::new(3, i64::MAX as u64, 0);
        assert!(check_storage_version(Some(far), version("3.7.1")).is_err());
        assert!(check_storage_version(Some(version("3.7.0")), far).is_err());
    }

    #[test]
    fn migration_writes_the_target_or_removes_the_row() {
        let key = &b"storageVersion"[..];
        let migrate =
            |from, to, wal: Option<&str>| migrate_storage(Some(version(from)), version(to), wal.map(version));
        assert_eq!(migrate("3.5.0", "3.7.1", None), Ok(vec![Write::put(bucket::META, key, "3.7.0")]));
        assert_eq!(migrate("3.7.0", "3.6.0", None), Ok(vec![Write::put(bucket::META, key, "3.6.0")]));
        assert_eq!(migrate("3.6.0", "3.5.0", None), Ok(vec![Write::delete(bucket::META, key)]));
        assert_eq!(migrate("3.7.0", "3.7.0", Some("3.7.0")), Ok(vec![]));
        assert_eq!(
            migrate("3.6.0", "3.7.0", Some("3.8.0")),
            Ok(vec![Write::put(bucket::META, key, "3.7.0")])
        );
        assert_eq!(
            migrate("3.7.0", "3.6.0", Some("3.7.0")).unwrap_err().to_string(),
            "cannot downgrade storage, WAL contains newer entries, as the target version (3.6.0) is lower than \
             the version (3.7.0) detected from WAL logs"
        );
        assert!(migrate_storage(None, version("3.7.0"), None).is_err());
    }
}
