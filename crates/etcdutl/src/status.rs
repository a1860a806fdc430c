//! `snapshot status`: what is in a snapshot or database file.

use std::{collections::HashSet, path::Path};

use bolt::{Element, Snapshot};
use bytes::Bytes;
use cluster::Version;
use types::{Revision, bucket, bucket::meta};

use crate::{
    dbfile::{self, For, Patience, text_of},
    digest::SnapshotFile,
    failure::Failure,
    golang::quote_bytes,
    intact::check_pages,
    progress::Progress,
};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// CRC32C over names of buckets, keys and values.
    pub(crate) hash: u32,
    /// Of the last row.
    pub(crate) revision: i64,
    /// Keys that live.
    pub(crate) total_key: u64,
    /// Bytes up to the last page.
    pub(crate) total_size: u64,
    /// The storage version; empty below 3.6.
    pub(crate) version: String,
}

/// Reads a file. A digest at its end must be right: etcdutl would not look at it.
///
/// # Errors
/// When the file is damaged, or in use for longer than `patience`.
pub(crate) fn status(path: &Path, patience: Patience) -> Result<Status, Failure> {
    dbfile::check_there(path)?;
    let db = dbfile::open(path, For::Reading, patience)?;
    let snapshot = db.snapshot();
    check_pages(&snapshot)?;
    let mut file = SnapshotFile::open(path)?;
    if file.has_digest {
        file.verify(path, &mut Progress::new("reading", file.db_len))?;
    }
    of(&snapshot)
}

fn of(snapshot: &Snapshot) -> Result<Status, Failure> {
    let failed = |e: bolt::BoltError| Failure::new(text_of(&e));
    let stored = snapshot.get(bucket::META, meta::STORAGE_VERSION).map_err(failed)?;
    let version = cluster::read_storage_version(stored.as_deref(), false);
    let mut status = Status {
        hash: 0,
        revision: 0,
        total_key: 0,
        total_size: snapshot.size(),
        version: version.as_ref().map(Version::to_string).unwrap_or_default(),
    };
    let mut keys = Keys::default();
    let mut buckets = snapshot.top().elements();
    while let Some(element) = buckets.next().map_err(failed)? {
        let (name, bucket) = match element {
            Element::Bucket(name, bucket) => (name, bucket),
            Element::Key(name, _) => {
                return Err(Failure::new(format!("nil bucket: {}", quote_bytes(&name))));
            }
        };
        let mut hash = crc32c::crc32c_append(status.hash, &name);
        let mut rows = bucket.elements();
        while let Some(row) = rows.next().map_err(failed)? {
            match row {
                Element::Bucket(key, _) => hash = crc32c::crc32c_append(hash, &key),
                Element::Key(key, value) => {
                    hash = crc32c::crc32c_append(crc32c::crc32c_append(hash, &key), &value);
                    if name == bucket::KEY {
                        status.revision = keys.note(&key, &value).map_err(|what| {
                            let name = quote_bytes(&name);
                            Failure::new(format!(
                                "error during bucket key iteration, name: {name} err: {what}"
                            ))
                        })?;
                    }
                }
            }
        }
        status.hash = hash;
    }
    status.total_key = keys.alive.len() as u64;
    Ok(status)
}

/// Which keys live, row by row.
#[derive(Default)]
struct Keys {
    alive: HashSet<Bytes>,
}

impl Keys {
    /// Takes a row; gives its revision.
    fn note(&mut self, key: &[u8], value: &[u8]) -> Result<i64, String> {
        let Some((revision, tombstone)) = Revision::decode(key) else {
            return Err(format!("cannot parse revision key: {} err: invalid length", quote_bytes(key)));
        };
        let Some(row) = mvcc::KeyValue::decode(value) else {
            let (key, value) = (quote_bytes(key), quote_bytes(value));
            return Err(format!("cannot unmarshal value, key: {key} value: {value}"));
        };
        if tombstone {
            self.alive.remove(row.key);
        } else if !self.alive.contains(row.key) {
            // A copy: a slice would keep its whole page.
            self.alive.insert(Bytes::copy_from_slice(row.key));
        }
        Ok(revision.main)
    }
}
