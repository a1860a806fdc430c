//! The leases and what hangs on them.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use prost::Message;
use proto::leasepb;
use types::{LeaseId, Write, bucket};

use crate::{Config, Key, LeaseError, TTL_SECS_MAX, keys::Keys, primary::Primary};

/// All leases. Holds no clock: callers pass `now`, and only to the calls that concern the leader.
#[derive(Debug, Default)]
pub struct Leases {
    pub(crate) config: Config,
    /// Granted, not yet revoked.
    pub(crate) by_id: BTreeMap<LeaseId, Lease>,
    /// Invariant: `by_key[k] = id` exactly when `k` is in `by_id[id].keys`; so a key has at most one lease.
    by_key: BTreeMap<Key, LeaseId>,
    /// Deadlines; `Some` between promote and demote.
    pub(crate) primary: Option<Primary>,
}

/// One lease as replicated.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) ttl_secs: i64,
    /// From the last checkpoint; 0 or less means none, then the full TTL counts.
    remaining_secs: i64,
    keys: Keys,
}

/// A lease was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The TTL it got, in seconds: what was asked for, or the minimum.
    pub ttl_secs: i64,
    /// To be written.
    pub writes: Vec<Write>,
}

/// A lease was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Keys that were attached, in byte order: the caller deletes them in this order at one revision, in the
    /// transaction of `writes`.
    pub keys: Vec<Key>,
    /// To be written.
    pub writes: Vec<Write>,
}

/// One lease's replicated facts, for state hashes and tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseInfo {
    /// The lease.
    pub id: LeaseId,
    /// The full TTL, in seconds.
    pub ttl_secs: i64,
    /// From the last checkpoint; 0 = none.
    pub remaining_secs: i64,
}

impl Lease {
    fn new(ttl_secs: i64, remaining_secs: i64) -> Lease {
        Lease { ttl_secs, remaining_secs, keys: Keys::None }
    }

    fn row(&self, id: LeaseId) -> Write {
        let row = leasepb::Lease { id: id.0, ttl: self.ttl_secs, remaining_ttl: self.remaining_secs };
        Write::put(bucket::LEASE, row_key(id), row.encode_to_vec())
    }

    /// What a new leader starts it with.
    pub(crate) fn span(&self) -> Duration {
        secs(if self.remaining_secs > 0 { self.remaining_secs } else { self.ttl_secs })
    }
}

// Changes by log entries: no time, equal on every member.
impl Leases {
    /// No leases, on a follower.
    pub fn new(config: Config) -> Leases {
        Leases { config, ..Leases::default() }
    }

    /// The leases of the rows of [`bucket::LEASE`], on a follower, without keys: the caller attaches those
    /// while it reads the `key` bucket. TTLs below the minimum are raised.
    ///
    /// # Errors
    /// `Corrupt` for a row that is no lease or lies under another's id.
    pub fn restore<K, V>(config: Config, rows: impl IntoIterator<Item = (K, V)>) -> Result<Leases, LeaseError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut leases = Leases::new(config);
        for (key, value) in rows {
            let (id, lease) = read_row(key.as_ref(), value.as_ref(), config.ttl_secs_min)?;
            leases.by_id.insert(id, lease);
        }
        Ok(leases)
    }

    /// Grants lease `id`; `ttl_secs` below the minimum, also 0 and negative, is raised to it.
    ///
    /// # Errors
    /// `NotFound` for id 0 (whoever proposes has chosen an id), `TtlTooLarge`, `Exists`; nothing changed then.
    pub fn grant(&mut self, id: LeaseId, ttl_secs: i64) -> Result<Granted, LeaseError> {
        if id.is_none() {
            return Err(LeaseError::NotFound(id));
        }
        if ttl_secs > TTL_SECS_MAX {
            return Err(LeaseError::TtlTooLarge { ttl_secs });
        }
        if self.by_id.contains_key(&id) {
            return Err(LeaseError::Exists(id));
        }
        let lease = Lease::new(ttl_secs.max(self.config.ttl_secs_min), 0);
        let granted = Granted { ttl_secs: lease.ttl_secs, writes: vec![lease.row(id)] };
        self.by_id.insert(id, lease);
        if let Some(primary) = &mut self.primary {
            primary.fresh.insert(id);
        }
        Ok(granted)
    }

    /// Removes lease `id` and detaches its keys, which the caller deletes.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn revoke(&mut self, id: LeaseId) -> Result<Revoked, LeaseError> {
        let lease = self.by_id.remove(&id).ok_or(LeaseError::NotFound(id))?;
        if let Some(primary) = &mut self.primary {
            primary.fresh.remove(&id);
            primary.timers.disarm(id);
        }
        let keys: Vec<Key> = lease.keys.iter().cloned().collect();
        for key in &keys {
            let owner = self.by_key.remove(key);
            assert_eq!(owner, Some(id), "key attached to lease {id} is not known to be");
        }
        Ok(Revoked { keys, writes: vec![Write::delete(bucket::LEASE, row_key(id))] })
    }

    /// Records the TTL remaining at a checkpoint; an unknown lease is passed over. The running deadline does
    /// not move: only the next leader uses this. `persist`: whether it is written too (cluster version 3.6 or
    /// later, or the persist gate).
    pub fn checkpoint(&mut self, id: LeaseId, remaining_secs: i64, persist: bool) -> Option<Write> {
        let lease = self.by_id.get_mut(&id)?;
        lease.remaining_secs = remaining_secs;
        persist.then(|| lease.row(id))
    }

    /// Attaches `key` to lease `id`, away from the lease it had.
    ///
    /// # Errors
    /// `NotFound`; the key then keeps the lease it had.
    pub fn attach(&mut self, key: &[u8], id: LeaseId) -> Result<(), LeaseError> {
        if !self.by_id.contains_key(&id) {
            return Err(LeaseError::NotFound(id));
        }
        if self.lease_of(key) == Some(id) {
            return Ok(());
        }
        self.detach(key);
        let key = Key::from(key);
        self.by_key.insert(key.clone(), id);
        self.by_id.get_mut(&id).expect("checked above").keys.insert(key);
        Ok(())
    }

    /// Detaches `key` from its lease and returns that; `None` when it has none.
    pub fn detach(&mut self, key: &[u8]) -> Option<LeaseId> {
        let id = self.by_key.remove(key)?;
        let lease = self.by_id.get_mut(&id).expect("a key is attached to a lease that exists");
        lease.keys.remove(key);
        Some(id)
    }
}

// Questions about the replicated half.
impl Leases {
    /// Whether `id` is granted and not revoked.
    pub fn contains(&self, id: LeaseId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The lease that `key` is attached to.
    pub fn lease_of(&self, key: &[u8]) -> Option<LeaseId> {
        self.by_key.get(key).copied()
    }

    /// Keys attached to `id`, in byte order; none for an unknown lease.
    pub fn keys(&self, id: LeaseId) -> impl Iterator<Item = &Key> {
        self.by_id.get(&id).into_iter().flat_map(|lease| lease.keys.iter())
    }

    /// Number of leases.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is no lease.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Number of keys attached to any lease.
    pub fn attached_len(&self) -> usize {
        self.by_key.len()
    }

    /// Every lease, by id.
    pub fn iter(&self) -> impl Iterator<Item = LeaseInfo> {
        self.by_id.iter().map(|(&id, lease)| LeaseInfo {
            id,
            ttl_secs: lease.ttl_secs,
            remaining_secs: lease.remaining_secs,
        })
    }

    /// Whether a renew must first have a checkpoint of 0 logged, so that no later leader goes by the old one
    /// (only asked when checkpoints are switched on).
    pub fn has_checkpoint(&self, id: LeaseId) -> bool {
        self.by_id.get(&id).is_some_and(|lease| lease.remaining_secs > 0)
    }
}

fn row_key(id: LeaseId) -> Bytes {
    Bytes::copy_from_slice(&id.0.to_be_bytes())
}

fn read_row(key: &[u8], value: &[u8], ttl_secs_min: i64) -> Result<(LeaseId, Lease), LeaseError> {
    let corrupt = |reason: String| LeaseError::Corrupt { key: key.to_vec(), reason };
    let row = leasepb::Lease::decode(value).map_err(|error| corrupt(error.to_string()))?;
    let id = LeaseId(row.id);
    if key != row_key(id) {
        return Err(corrupt(format!("holds lease {id}")));
    }
    Ok((id, Lease::new(row.ttl.max(ttl_secs_min), row.remaining_ttl)))
}

pub(crate) fn secs(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests;
