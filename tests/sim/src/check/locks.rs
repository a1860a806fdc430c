//! Locks: whoever is told that it holds one has a token higher than all before it, and nobody else whose lease lives.

use std::collections::BTreeMap;

use super::{Checked, violation};
use crate::options::SECOND;

/// Who was told last that it holds a lock.
#[derive(Clone, Debug)]
struct Holder {
    token: i64,
    /// It may count on the lock until then, in the world's time.
    until: u64,
    /// It has begun to give it up.
    released: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct LockChecks {
    holders: BTreeMap<u64, Holder>,
    pub(crate) acquired: u64,
}

/// For how long a holder may count on a lease of so many seconds that was renewed at `asked_at`, when clocks go wrong by
/// `drift` parts per million.
pub(crate) fn counts_until(asked_at: u64, ttl_secs: i64, drift: u64) -> u64 {
    let ttl = ttl_secs.max(0) as u64 * SECOND;
    asked_at + ttl - ttl / 1_000_000 * 2 * drift
}

impl LockChecks {
    /// At `now` somebody was told that it holds `lock`: its key, created at `token`, is the oldest.
    pub(crate) fn held(&mut self, lock: u64, token: i64, until: u64, now: u64) -> Checked {
        if let Some(last) = self.holders.get(&lock) {
            if token < last.token {
                return violation(format!("lock {lock} goes to token {token} after {}", last.token));
            }
            if token > last.token && !last.released && now < last.until {
                return violation(format!(
                    "lock {lock} goes to token {token}, and {} holds it for {} ms more",
                    last.token,
                    (last.until - now) / 1_000_000
                ));
            }
        }
        let new = self.holders.get(&lock).is_none_or(|last| last.token != token);
        self.acquired += u64::from(new);
        self.holders.insert(lock, Holder { token, until, released: false });
        Ok(())
    }

    /// A holder's lease was renewed.
    pub(crate) fn renewed(&mut self, lock: u64, token: i64, until: u64) {
        if let Some(holder) = self.holders.get_mut(&lock).filter(|holder| holder.token == token) {
            holder.until = holder.until.max(until);
        }
    }

    /// A holder begins to give it up.
    pub(crate) fn released(&mut self, lock: u64, token: i64) {
        if let Some(holder) = self.holders.get_mut(&lock).filter(|holder| holder.token == token) {
            holder.released = true;
        }
    }
}
