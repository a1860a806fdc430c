//! Time, for the core: read once a turn.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use types::Moment;

use crate::config::Config;

/// The monotonic clock of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts at zero.
    pub(crate) fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// A moment of this clock as the system counts it.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.start + Duration::from_nanos(moment.0)
    }

    /// The wall clock, in milliseconds since 1970. Only for ids and figures, never for a decision.
    pub(crate) fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Time between two looks at leases, deadlines and the like.
const HOUSEKEEPING: Duration = Duration::from_millis(500);
/// Time between two looks at files that can go.
const PURGE: Duration = Duration::from_secs(30);
/// Time before the first look: a member that never lives for long must not fill its disk.
const FIRST_PURGE: Duration = Duration::from_secs(2);
/// Raft ticks made up for at most, after the core was held up: more would only start an election that the
/// others have not asked for.
const TICKS_MADE_UP_MAX: u64 = 3;

/// The timers that always run.
#[derive(Debug)]
pub(crate) struct Timers {
    tick: Duration,
    next_tick: Moment,
    next_housekeeping: Moment,
    next_purge: Moment,
}

impl Timers {
    pub(crate) fn new(now: Moment, config: &Config) -> Timers {
        Timers {
            tick: config.tick,
            next_tick: now + config.tick,
            next_housekeeping: now,
            next_purge: now + FIRST_PURGE,
        }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Moment {
        self.next_tick.min(self.next_housekeeping).min(self.next_purge)
    }

    /// Whether the last raft tick is longer ago than it should ever be: the core was held up, and another member
    /// may lead by now (upstream: `isActive`).
    pub(crate) fn are_late(&self, now: Moment) -> bool {
        now.since(self.next_tick) > 2 * self.tick
    }

    /// How many raft ticks are due.
    pub(crate) fn ticks_due(&mut self, now: Moment) -> u64 {
        if now < self.next_tick {
            return 0;
        }
        let tick = self.tick.as_nanos().max(1);
        let late = now.since(self.next_tick).as_nanos();
        // The grid stays where it is: a late tick does not make the election timeout longer.
        let into = Duration::from_nanos(u64::try_from(late % tick).unwrap_or(0));
        self.next_tick = now + self.tick.saturating_sub(into);
        (1 + u64::try_from(late / tick).unwrap_or(u64::MAX)).min(TICKS_MADE_UP_MAX)
    }

    pub(crate) fn housekeeping_due(&mut self, now: Moment) -> bool {
        due(&mut self.next_housekeeping, now, HOUSEKEEPING)
    }

    pub(crate) fn purge_due(&mut self, now: Moment) -> bool {
        due(&mut self.next_purge, now, PURGE)
    }
}

fn due(next: &mut Moment, now: Moment, interval: Duration) -> bool {
    let due = *next <= now;
    if due {
        *next = now + interval;
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_was_held_up_knows_it() {
        let timers = Timers::new(Moment(0), &Config::new("a", "/nowhere"));
        assert!(!timers.are_late(Moment(0)));
        assert!(!timers.are_late(Moment(300_000_000)));
        assert!(timers.are_late(Moment(300_000_001)));
    }

    #[test]
    fn ticks_are_made_up_for_within_bounds() {
        let config = Config::new("a", "/nowhere");
        let mut timers = Timers::new(Moment(0), &config);
        assert_eq!(timers.ticks_due(Moment(99_000_000)), 0);
        assert_eq!(timers.ticks_due(Moment(100_000_000)), 1);
        assert_eq!(timers.ticks_due(Moment(100_000_000)), 0);
        assert_eq!(timers.ticks_due(Moment(400_000_000)), 3);
        assert_eq!(timers.ticks_due(Moment(60_000_000_000)), TICKS_MADE_UP_MAX);
        assert_eq!(timers.next_tick, Moment(60_100_000_000));
        assert_eq!(timers.ticks_due(Moment(60_130_000_000)), 1);
        assert_eq!(timers.next_tick, Moment(60_200_000_000), "a late tick does not shift the next");
    }
}
