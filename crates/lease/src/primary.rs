//! The leader's half: deadlines, local and never logged.

use std::{collections::BTreeSet, time::Duration};

use types::{
    LeaseId, Moment,
    mutant::{self, Mutant},
};

use crate::{Checkpoint, LeaseError, Leases, leases::secs, promotion::spread, timers::Timers};

/// What a leader has beyond the replicated state.
#[derive(Debug, Default)]
pub(crate) struct Primary {
    /// Invariant: each id of `by_id` is armed here or waits in `fresh`, never both.
    pub(crate) timers: Timers,
    /// Granted by an entry, which carries no time; their clock starts at the next call that has one.
    pub(crate) fresh: BTreeSet<LeaseId>,
}

/// What a client is told about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeToLive {
    /// Whole seconds left, cut off; 0 or negative when overdue and not yet revoked.
    pub remaining_secs: i64,
    /// The full TTL, in seconds.
    pub granted_secs: i64,
}

impl Leases {
    /// Whether deadlines run here.
    pub fn is_primary(&self) -> bool {
        self.primary.is_some()
    }

    /// Starts deadlines: each lease gets its checkpointed remaining TTL, or the full one, plus `extend` (the
    /// election timeout) from `now` on. From 1000 leases on, deadlines are spread so that at most 750 fall
    /// into one second. Called when the new leader applies its first entry; promoting again starts over.
    pub fn promote(&mut self, now: Moment, extend: Duration) {
        let own = |span| if mutant::is_on(Mutant::LeaseNotExtended) { Duration::ZERO } else { span };
        let deadlines = self
            .by_id
            .iter()
            .map(|(&id, lease)| (now + own(lease.span()).saturating_add(extend), id))
            .collect();
        let mut timers = Timers::default();
        for (deadline, id) in spread(deadlines) {
            timers.arm(id, deadline, self.checkpoint_time(now, self.by_id[&id].span()));
        }
        self.primary = Some(Primary { timers, fresh: BTreeSet::new() });
    }

    /// Stops deadlines: leadership is lost.
    pub fn demote(&mut self) {
        if !mutant::is_on(Mutant::DemotedExpires) {
            self.primary = None;
        }
    }

    /// Starts the clock of leases granted since the last call. To be called after each batch of entries;
    /// [`Leases::expired`] does it too. A lease may so live longer by the time until then, never shorter.
    pub fn arm(&mut self, now: Moment) {
        let fresh = self.primary.as_mut().map(|primary| std::mem::take(&mut primary.fresh));
        for id in fresh.into_iter().flatten() {
            self.arm_one(id, now);
        }
    }

    /// Extends a lease by its full TTL and returns that TTL, in seconds. See [`Leases::has_checkpoint`].
    ///
    /// # Errors
    /// `NotPrimary` on a follower; `NotFound` (the client is then told TTL 0); `Expired` when it is too late
    /// and only the revoke is outstanding.
    pub fn renew(&mut self, id: LeaseId, now: Moment) -> Result<i64, LeaseError> {
        let primary = self.primary.as_mut().ok_or(LeaseError::NotPrimary)?;
        let ttl_secs = self.by_id.get(&id).ok_or(LeaseError::NotFound(id))?.ttl_secs;
        if primary.timers.deadline(id).is_some_and(|deadline| deadline <= now) {
            return Err(LeaseError::Expired(id));
        }
        primary.fresh.remove(&id);
        self.arm_one(id, now);
        Ok(ttl_secs)
    }

    /// How long `id` has to live.
    ///
    /// # Errors
    /// `NotPrimary`; `NotFound` (the client is then told TTL -1).
    pub fn time_to_live(&self, id: LeaseId, now: Moment) -> Result<TimeToLive, LeaseError> {
        let primary = self.primary.as_ref().ok_or(LeaseError::NotPrimary)?;
        let granted_secs = self.by_id.get(&id).ok_or(LeaseError::NotFound(id))?.ttl_secs;
        let deadline = primary.timers.deadline(id).unwrap_or_else(|| now + secs(granted_secs));
        Ok(TimeToLive { remaining_secs: signed_secs(deadline, now), granted_secs })
    }

    /// All leases: on a leader by remaining time, shortest first, elsewhere by id. O(n log n).
    pub fn list(&self) -> Vec<LeaseId> {
        let mut ids: Vec<LeaseId> = self.by_id.keys().copied().collect();
        if let Some(primary) = &self.primary {
            // A lease without deadline was granted a moment ago: behind the others, by its TTL.
            let order = |id: &LeaseId| match primary.timers.deadline(*id) {
                Some(deadline) => (false, deadline, 0),
                None => (true, Moment::default(), self.by_id[id].ttl_secs),
            };
            ids.sort_by_cached_key(order);
        }
        ids
    }

    /// Up to `limit` leases whose time is over at `now`, earliest first; none on a follower. Each is handed
    /// out again after `Config::revoke_retry`, as long as it has not been revoked.
    pub fn expired(&mut self, now: Moment, limit: usize) -> Vec<LeaseId> {
        self.arm(now);
        let retry = self.config.revoke_retry;
        self.primary.as_mut().map_or_else(Vec::new, |primary| primary.timers.take_due(now, retry, limit))
    }

    /// Up to `limit` checkpoints that are due at `now`; none on a follower. Whoever proposes sends at most
    /// 1000 per entry (contract/semantics.md 6.9).
    pub fn checkpoints_due(&mut self, now: Moment, limit: usize) -> Vec<Checkpoint> {
        let Some(primary) = &mut self.primary else { return Vec::new() };
        let by_id = &self.by_id;
        let interval = self.config.checkpoint_interval;
        primary.timers.take_checkpoints(now, interval, limit, |id| by_id[&id].ttl_secs)
    }

    /// Gives `id` its full TTL from `now` on.
    fn arm_one(&mut self, id: LeaseId, now: Moment) {
        let span = secs(self.by_id[&id].ttl_secs);
        let checkpoint = self.checkpoint_time(now, span);
        if let Some(primary) = &mut self.primary {
            primary.timers.arm(id, now + span, checkpoint);
        }
    }

    /// When a lease that has `span` to live is first checkpointed.
    fn checkpoint_time(&self, now: Moment, span: Duration) -> Option<Moment> {
        (span > self.config.checkpoint_interval).then(|| now + self.config.checkpoint_interval)
    }
}

/// Whole seconds from `now` to `deadline`, cut off towards zero, negative when it has passed.
fn signed_secs(deadline: Moment, now: Moment) -> i64 {
    let ahead = i64::try_from(deadline.since(now).as_secs()).unwrap_or(i64::MAX);
    let behind = i64::try_from(now.since(deadline).as_secs()).unwrap_or(i64::MAX);
    ahead - behind
}
