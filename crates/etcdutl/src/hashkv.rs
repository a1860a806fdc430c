//! `hashkv`: the hash by which members compare their keys, of a file at rest.

use std::path::Path;

use mvcc::{KvHash, MvccError, Store};

use crate::{
    dbfile::{self, For, Patience},
    failure::Failure,
};

/// The hash over all changes up to `revision`; 0 is the newest. Reads only, where etcdutl takes the file into use.
///
/// # Errors
/// In etcd's words.
pub(crate) fn hash_kv(path: &Path, revision: i64, patience: Patience) -> Result<KvHash, Failure> {
    dbfile::check_there(path)?;
    let db = dbfile::open(path, For::Reading, patience)?;
    let failed = |error: MvccError| {
        Failure::new(match error {
            MvccError::Compacted { .. } => "mvcc: required revision has been compacted".to_owned(),
            MvccError::FutureRevision { .. } => "mvcc: required revision is a future revision".to_owned(),
            other => other.to_string(),
        })
    };
    let (mut store, _) = Store::open(db.snapshot()).map_err(failed)?;
    store.hash_at_rest(revision).map_err(failed)
}
