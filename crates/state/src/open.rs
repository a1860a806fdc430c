//! From the rows of a backend to a state, and the rows of a new backend.

use auth::Auth;
use bolt::{BoltError, Snapshot};
use bytes::Bytes;
use cluster::{Cluster, Version};
use lease::Leases;
use mvcc::{MvccError, Store};
use types::{bucket, bucket::meta};

use crate::{State, alarms::Alarms};

/// What the operator and the binary decide; equal on all members where replies depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Version of this binary.
    pub server_version: Version,
    /// `--max-learners`.
    pub learners_max: usize,
    /// Minimum TTL and timing of leases.
    pub leases: lease::Config,
    /// Gate `LeaseCheckpointPersist`.
    pub lease_checkpoint_persist: bool,
}

/// Why a backend cannot be served from.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file fails.
    #[error(transparent)]
    Backend(#[from] BoltError),
    /// The rows of `key` contradict the format.
    #[error(transparent)]
    Keys(#[from] MvccError),
    /// The rows of another bucket do.
    #[error("{0}")]
    Rows(String),
}

impl State {
    /// The state that `snapshot` holds.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(snapshot: Snapshot, settings: Settings) -> Result<State, OpenError> {
        let rows = |name| bucket_rows(&snapshot, name);
        let number = |key: &[u8]| meta_number(&snapshot, key);
        let applied = number(meta::CONSISTENT_INDEX)?;
        let term = number(meta::TERM)?;
        let cluster = Cluster::restore(
            settings.learners_max,
            &cluster::Rows {
                members: rows(bucket::MEMBERS)?,
                removed: rows(bucket::MEMBERS_REMOVED)?,
                cluster: rows(bucket::CLUSTER)?,
            },
        )
        .map_err(|e| OpenError::Rows(e.to_string()))?;
        let mut leases = Leases::restore(settings.leases, rows(bucket::LEASE)?)
            .map_err(|e| OpenError::Rows(e.to_string()))?;
        let (auth, writes) = Auth::restore(&auth::Rows {
            auth: rows(bucket::AUTH)?,
            users: rows(bucket::AUTH_USERS)?,
            roles: rows(bucket::AUTH_ROLES)?,
        })
        .map_err(|e| OpenError::Rows(e.to_string()))?;
        let alarms =
            Alarms::restore(rows(bucket::ALARM)?.into_iter().map(|(key, _)| key)).map_err(OpenError::Rows)?;
        let version = snapshot.get(bucket::META, meta::STORAGE_VERSION)?;
        let storage_version = cluster::read_storage_version(version.as_deref(), term != 0);
        let (store, attachments) = Store::open(snapshot.clone())?;
        for (lease, key) in attachments {
            // An attachment to a lease that is gone is no attachment (contract/semantics.md 14.3).
            let _ = leases.attach(&key, lease);
        }
        Ok(State {
            store_ops_sealed: 0,
            store_ops_committed: 0,
            store,
            leases,
            auth,
            cluster,
            alarms,
            settings,
            applied,
            term,
            storage_version,
            writes,
            touched: false,
            sealed: Default::default(),
            batch: 0,
            membership: None,
            counts: Default::default(),
        })
    }

    /// Brings the storage version in the file to the cluster version, when both are known and differ.
    ///
    /// # Errors
    /// With upstream's text, when there is no way from one to the other; nothing changes then.
    pub fn migrate_storage(&mut self, wal_needs: Option<Version>) -> Result<bool, String> {
        let Some(target) = self.cluster.version() else { return Ok(false) };
        // Below a first term nothing was applied yet, and there is nothing to mark.
        let current = self.storage_version.or((self.term != 0).then_some(Version::new(3, 5, 0)));
        let writes = cluster::migrate_storage(current, target, wal_needs).map_err(|e| e.to_string())?;
        let changed = !writes.is_empty();
        if changed {
            self.storage_version = Some(target.minor_only());
            self.writes.extend(writes);
        }
        Ok(changed)
    }
}

fn bucket_rows(snapshot: &Snapshot, name: &'static str) -> Result<Vec<(Bytes, Bytes)>, BoltError> {
    let mut cursor = snapshot.cursor(name)?;
    let mut rows = Vec::new();
    while let Some((key, value)) = cursor.next()? {
        // Copies: rows of these buckets are kept for long, and a slice would keep its whole page.
        rows.push((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)));
    }
    Ok(rows)
}

/// A u64 of `meta`; 0 when absent.
fn meta_number(snapshot: &Snapshot, key: &[u8]) -> Result<u64, OpenError> {
    match snapshot.get(bucket::META, key)? {
        None => Ok(0),
        Some(value) => match value[..].try_into() {
            Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
            Err(_) => {
                let name = String::from_utf8_lossy(key);
                Err(OpenError::Rows(format!("meta/{name} has {} bytes instead of 8", value.len())))
            }
        },
    }
}
