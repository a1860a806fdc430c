//! Time as a value: the deterministic crates are told what time it is.

use std::{ops::Add, time::Duration};

/// A point on the monotonic clock of this process, in nanoseconds since an arbitrary start.
///
/// Only differences mean anything; it is never stored and never compared between members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    /// Saturates at the end of time (584 years), so that a huge TTL never wraps.
    fn add(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}
