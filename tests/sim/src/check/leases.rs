//! Leases: kept for as long as whoever holds one was told, and not for ever.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checked, violation};
use crate::options::{MILLIS, SECOND};

#[derive(Debug)]
struct Held {
    ttl: u64,
    /// When the last renewal was asked for that was answered with success.
    renewed_at: u64,
}

/// See the module. Times are the world's.
#[derive(Debug)]
pub(crate) struct LeaseChecks {
    held: BTreeMap<i64, Held>,
    /// Clients asked for the end of these.
    revokes_asked: BTreeSet<i64>,
    drift: u64,
    pub(crate) expired: u64,
}

impl LeaseChecks {
    /// Clocks may go wrong by `drift` parts per million.
    pub(crate) fn new(drift: u64) -> LeaseChecks {
        LeaseChecks { held: BTreeMap::new(), revokes_asked: BTreeSet::new(), drift, expired: 0 }
    }

    pub(crate) fn revoke_asked(&mut self, id: i64) {
        self.revokes_asked.insert(id);
    }

    /// A client that asked at `called_at` was told that the lease has `ttl_secs` from there on.
    pub(crate) fn promised(&mut self, id: i64, ttl_secs: i64, called_at: u64) {
        let ttl = ttl_secs.max(0) as u64 * SECOND;
        let held = self.held.entry(id).or_insert(Held { ttl, renewed_at: called_at });
        held.renewed_at = held.renewed_at.max(called_at);
        held.ttl = ttl;
    }

    /// The log has revoked it.
    pub(crate) fn revoked(&mut self, id: i64, now: u64) -> Checked {
        let Some(held) = self.held.remove(&id) else { return Ok(()) };
        if self.revokes_asked.contains(&id) {
            return Ok(());
        }
        self.expired += 1;
        // The leader that renewed it and the one that let it expire each have a clock of their own.
        let tolerance = held.ttl / 1_000_000 * 2 * self.drift + MILLIS;
        if now + tolerance < held.renewed_at + held.ttl {
            return violation(format!(
                "lease {id:x} of {} s expired {} ms after it was renewed",
                held.ttl / SECOND,
                (now - held.renewed_at) / MILLIS
            ));
        }
        Ok(())
    }

    /// Leases that should have expired by now, if nothing was in the way for `grace`.
    pub(crate) fn overdue<'a>(&'a self, now: u64, grace: u64) -> impl Iterator<Item = i64> + 'a {
        let due = move |held: &Held| held.renewed_at + held.ttl + grace;
        self.held.iter().filter(move |(_, held)| due(held) < now).map(|(id, _)| *id)
    }

    /// The longest TTL of a lease that is held.
    pub(crate) fn ttl_max(&self) -> u64 {
        self.held.values().map(|held| held.ttl).max().unwrap_or(0)
    }
}
