//! What an operator can choose about leases, and what nobody can.

use std::time::Duration;

/// Longest TTL that can be granted, in seconds, inclusive (contract/semantics.md 6.1).
pub const TTL_SECS_MAX: i64 = 9_000_000_000;

/// Fixed when the member starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Shorter TTLs are raised to this, in seconds; see [`ttl_min_secs`].
    pub ttl_secs_min: i64,
    /// How long an expired lease stays out of [`crate::Leases::expired`] after it was handed out: the time
    /// within which its revoke should have been applied (upstream: the request timeout, 7 s by default).
    pub revoke_retry: Duration,
    /// Leases with more than this remaining have it checkpointed once per this span.
    pub checkpoint_interval: Duration,
}

impl Default for Config {
    /// etcd's figures at its default election timeout (10 ticks of 100 ms).
    fn default() -> Config {
        Config {
            ttl_secs_min: ttl_min_secs(10, Duration::from_millis(100)),
            revoke_retry: Duration::from_secs(7),
            checkpoint_interval: Duration::from_secs(5 * 60),
        }
    }
}

/// The shortest TTL that survives a change of leader: one and a half election timeouts, in whole seconds
/// rounded up. Half ticks are cut off first, as upstream does (server/etcdserver/server.go).
pub fn ttl_min_secs(election_ticks: u32, tick: Duration) -> i64 {
    let ticks = election_ticks.saturating_mul(3) / 2;
    let span = tick.saturating_mul(ticks);
    let secs = span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0));
    i64::try_from(secs).unwrap_or(TTL_SECS_MAX).min(TTL_SECS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimum_follows_the_election_timeout() {
        for (ticks, tick_ms, secs) in
            [(10, 100, 2), (10, 500, 8), (11, 100, 2), (50, 100, 8), (2, 1000, 3), (1, 10, 1)]
        {
            assert_eq!(ttl_min_secs(ticks, Duration::from_millis(tick_ms)), secs, "{ticks} x {tick_ms} ms");
        }
        assert_eq!(ttl_min_secs(u32::MAX, Duration::MAX), TTL_SECS_MAX);
    }
}
