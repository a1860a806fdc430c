//! Keys: how many, how large, and under which prefixes.

use std::collections::{BTreeMap, HashMap};

use bolt::Snapshot;
use types::{Revision, bucket};

use crate::dbfile::text_of;

/// Prefixes that are named.
const PREFIXES: usize = 5;
/// Prefixes that are counted; what comes after those is left out.
const PREFIXES_MAX: usize = 100_000;
/// Bytes of a prefix without a separator.
const PLAIN_PREFIX: usize = 16;

/// Rows and bytes under a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) keys: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) rows: u64,
    pub(super) alive: u64,
    pub(super) revision: i64,
    pub(super) largest_bytes: u64,
    pub(super) largest_key: String,
    pub(super) with_lease: u64,
    /// The largest first.
    pub(super) prefixes: Vec<(String, Share)>,
}

/// What the newest row of a key says.
struct Alive {
    lease: i64,
}

/// Reads all rows.
///
/// # Errors
/// The first that cannot be read.
pub(super) fn read(snapshot: &Snapshot) -> Result<Keys, String> {
    let mut keys = Keys::default();
    let mut alive: HashMap<Vec<u8>, Alive> = HashMap::new();
    let mut shares: BTreeMap<Vec<u8>, Share> = BTreeMap::new();
    let mut cursor = snapshot.cursor(bucket::KEY).map_err(|e| text_of(&e))?;
    while let Some((key, row)) = cursor.next_ref().map_err(|e| text_of(&e))? {
        let (revision, tombstone) = Revision::decode(key)
            .ok_or_else(|| format!("bucket key: {} is no revision", crate::golang::hex(key)))?;
        let bytes = (key.len() + row.len()) as u64;
        let row = mvcc::KeyValue::decode(row)
            .ok_or_else(|| format!("bucket key: the row of revision {revision} cannot be read"))?;
        keys.rows += 1;
        keys.revision = revision.main;
        if bytes > keys.largest_bytes {
            keys.largest_bytes = bytes;
            keys.largest_key = String::from_utf8_lossy(row.key).into_owned();
        }
        if tombstone {
            alive.remove(row.key);
        } else {
            alive.insert(row.key.to_vec(), Alive { lease: row.lease });
        }
        let prefix = prefix(row.key);
        if shares.len() < PREFIXES_MAX || shares.contains_key(prefix) {
            let share = shares.entry(prefix.to_vec()).or_default();
            share.rows += 1;
            share.bytes += bytes;
        }
    }
    for key in alive.keys() {
        if let Some(share) = shares.get_mut(prefix(key)) {
            share.keys += 1;
        }
    }
    keys.alive = alive.len() as u64;
    keys.with_lease = alive.values().filter(|key| key.lease != 0).count() as u64;
    let mut largest: Vec<(Vec<u8>, Share)> = shares.into_iter().collect();
    largest.sort_by_key(|(_, share)| std::cmp::Reverse(share.bytes));
    largest.truncate(PREFIXES);
    keys.prefixes = largest
        .into_iter()
        .map(|(prefix, share)| (String::from_utf8_lossy(&prefix).into_owned(), share))
        .collect();
    Ok(keys)
}

/// Up to the third slash, as Kubernetes has them: `/registry/pods/`; else up to the last of fewer; else the beginning.
fn prefix(key: &[u8]) -> &[u8] {
    let slashes = key.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    match slashes.take(3).last() {
        Some(at) => &key[..=at],
        None => &key[..key.len().min(PLAIN_PREFIX)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for (key, expected) in [
            ("/registry/pods/default/a", "/registry/pods/"),
            ("/registry/x", "/registry/"),
            ("a/b", "a/"),
            ("plain", "plain"),
            ("a-very-long-name-without-any", "a-very-long-name"),
            ("", ""),
        ] {
            assert_eq!(prefix(key.as_bytes()), expected.as_bytes(), "{key}");
        }
    }
}
