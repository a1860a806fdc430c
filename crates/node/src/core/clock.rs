//! Time, for the core: read once a turn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use types::Moment;

use crate::config::Config;

/// Where the core's time comes from.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The monotonic clock of this process, zero at its start.
    System {
        /// Zero.
        start: Instant,
    },
    /// Somebody says what time it is.
    Told(ToldTime),
}

impl Clock {
    /// Starts at zero.
    pub(crate) fn start() -> Clock {
        Clock::System { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Moment {
        match self {
            Clock::System { start } => Moment(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)),
            Clock::Told(time) => time.now(),
        }
    }

    /// A moment of this clock as the system counts it.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        match self {
            Clock::System { start } => *start + Duration::from_nanos(moment.0),
            Clock::Told(time) => time.instant(moment),
        }
    }

    /// The wall clock, in milliseconds since 1970. Only for ids and figures, never for a decision.
    pub(crate) fn unix_ms(&self) -> u64 {
        match self {
            Clock::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }
            Clock::Told(time) => time.0.unix_ms.load(Ordering::Relaxed),
        }
    }
}

/// A clock that shows what it was told last. All clones are one clock.
#[derive(Clone, Debug)]
pub struct ToldTime(Arc<Told>);

#[derive(Debug)]
struct Told {
    zero: Instant,
    nanos: AtomicU64,
    unix_ms: AtomicU64,
}

impl Default for ToldTime {
    fn default() -> Self {
        let (nanos, unix_ms) = (AtomicU64::default(), AtomicU64::default());
        ToldTime(Arc::new(Told { zero: Instant::now(), nanos, unix_ms }))
    }
}

impl ToldTime {
    /// Sets the monotonic clock, which must not go back, and the wall clock, which may.
    pub fn set(&self, now: Moment, unix_ms: u64) {
        self.0.nanos.store(now.0, Ordering::Relaxed);
        self.0.unix_ms.store(unix_ms, Ordering::Relaxed);
    }

    /// The monotonic clock.
    pub fn now(&self) -> Moment {
        Moment(self.0.nanos.load(Ordering::Relaxed))
    }

    /// What [`crate::Peers::active_since`] has to say for a moment of this clock. Only differences mean anything.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.0.zero + Duration::from_nanos(moment.0)
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
