//! The numbers: when space is short, when it is plenty, how the reserve shrinks and grows. All in bytes.

use super::Level;

/// The smallest part of the reserve that is given up at once.
const SLICE_BYTES_MIN: u64 = 64 << 10;
/// The same for the part that is for the log, which writes little when nothing else can be written.
const LOG_SLICE_BYTES: u64 = 16 << 10;

/// Marks that follow from the size of the reserve. With a reserve of 0 nothing is ever short.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    reserve: u64,
}

impl Marks {
    pub(crate) fn new(reserve: u64) -> Marks {
        Marks { reserve }
    }

    /// Full size of the reserve.
    pub(crate) fn reserve(self) -> u64 {
        self.reserve
    }

    /// Free space besides the reserve below which it is short.
    pub(crate) fn low(self) -> u64 {
        self.reserve / 2
    }

    /// Free space besides the reserve from which there is enough again.
    fn high(self) -> u64 {
        self.reserve
    }

    /// What is kept for the log, without which there is neither a start nor a compaction.
    fn kept_for_log(self) -> u64 {
        self.reserve / 8
    }

    /// The level after `now`, with `free` bytes besides a reserve of `held`, which was `owed` when space became
    /// short.
    pub(crate) fn next(self, now: Level, free: u64, held: u64, owed: u64) -> Level {
        let ours = free.saturating_add(held);
        let starved_below = if now >= Level::Starved { self.reserve / 8 * 3 } else { self.reserve / 4 };
        let whole = free >= self.high() && held >= owed;
        if now == Level::Ample && free >= self.low() || whole {
            Level::Ample
        } else if ours < starved_below {
            Level::Starved
        } else {
            Level::Tight
        }
    }

    /// By how much the reserve should grow now. What it takes must not make space short again.
    pub(crate) fn missing(self, level: Level, free: u64, held: u64, owed: u64) -> u64 {
        let goal = if level == Level::Ample { self.reserve } else { owed.min(self.reserve) };
        let missing = goal.saturating_sub(held);
        if free >= self.high().saturating_add(missing) { missing } else { 0 }
    }

    /// How much of a reserve of `held` to give up for a write of the log, or of anything else, that found the disk
    /// full. Small parts: whoever fills the disk may be faster than that write.
    pub(crate) fn slice(self, held: u64, log: bool) -> u64 {
        let above = held.saturating_sub(self.kept_for_log());
        if above == 0 && log {
            return LOG_SLICE_BYTES.min(held);
        }
        (self.reserve / 16).max(SLICE_BYTES_MIN).min(above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Level::{Ample, Starved, Tight};

    const R: u64 = 64 << 20;
    const M: u64 = 1 << 20;

    #[test]
    fn levels_have_slack_between_them() {
        let marks = Marks::new(R);
        for (now, free, held, owed, next) in [
            (Ample, 32 * M, R, 0, Ample),
            (Ample, 32 * M - 1, R, 0, Tight),
            (Tight, 64 * M - 1, R, R, Tight),
            (Tight, 64 * M, R, R, Ample),
            (Tight, 0, 16 * M, R, Tight),
            (Tight, 0, 16 * M - 1, R, Starved),
            (Starved, 0, 24 * M - 1, R, Starved),
            (Starved, 0, 24 * M, R, Tight),
            // A reserve that was spent comes before new writes.
            (Tight, 500 * M, R - 1, R, Tight),
            (Starved, 500 * M, 0, R, Tight),
            // On a small disk there never was one.
            (Ample, 32 * M, 0, 0, Ample),
            (Ample, 15 * M, 0, 0, Starved),
            (Tight, 64 * M, 0, 0, Ample),
        ] {
            let found = marks.next(now, free, held, owed);
            assert_eq!(found, next, "{now:?}, free {free}, held {held}, owed {owed}");
        }
    }

    #[test]
    fn without_a_reserve_nothing_is_short() {
        let marks = Marks::new(0);
        assert_eq!(marks.next(Ample, 0, 0, 0), Ample);
        assert_eq!(marks.next(Tight, 0, 0, 0), Ample);
        assert_eq!(marks.missing(Ample, u64::MAX, 0, 0), 0);
        assert_eq!((marks.slice(0, true), marks.slice(0, false)), (0, 0));
    }

    #[test]
    fn it_grows_only_where_that_does_not_make_space_short() {
        let marks = Marks::new(R);
        assert_eq!(marks.missing(Ample, 128 * M, 0, 0), R);
        assert_eq!(marks.missing(Ample, 128 * M - 1, 0, 0), 0);
        assert_eq!(marks.missing(Ample, 68 * M, 60 * M, 0), 4 * M);
        assert_eq!(marks.missing(Tight, 500 * M, 20 * M, 24 * M), 4 * M);
        assert_eq!(marks.missing(Tight, 500 * M, 24 * M, 24 * M), 0);
    }

    #[test]
    fn the_last_part_is_for_the_log() {
        let marks = Marks::new(R);
        let (mut held, mut slices) = (R, 0);
        while marks.slice(held, false) > 0 {
            held -= marks.slice(held, false);
            slices += 1;
        }
        assert_eq!((held, slices), (8 * M, 14));
        assert_eq!(marks.slice(R, true), marks.slice(R, false));
        while marks.slice(held, true) > 0 {
            held -= marks.slice(held, true);
            slices += 1;
        }
        assert_eq!((held, slices), (0, 14 + 512));
    }
}
