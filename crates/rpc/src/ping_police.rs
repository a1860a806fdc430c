//! Which clients ping too often (upstream: grpc-go internal/transport/http2_server.go, handlePing).

use std::time::Duration;

use tokio::time::Instant;

/// A connection without calls may be pinged about this often.
const INTERVAL_IDLE_MIN: Duration = Duration::from_secs(2 * 60 * 60);
/// More offences than this end the connection.
const STRIKES_MAX: u32 = 2;

/// Judges the pings of one connection.
#[derive(Debug)]
pub(crate) struct PingPolice {
    /// `--grpc-keepalive-min-time`: pings with calls in flight may be this close.
    interval_min: Duration,
    last: Option<Instant>,
    strikes: u32,
    pardon: bool,
}

impl PingPolice {
    pub(crate) fn new(interval_min: Duration) -> PingPolice {
        PingPolice { interval_min, last: None, strikes: 0, pardon: false }
    }

    /// We have sent headers or data since the last ping: clients measure bandwidth then, so the next ping is fine.
    pub(crate) fn pardon(&mut self) {
        self.pardon = true;
    }

    /// A ping came in; whether it was one too many.
    pub(crate) fn ping(&mut self, now: Instant, has_calls: bool) -> bool {
        let last = self.last.replace(now);
        if std::mem::take(&mut self.pardon) {
            self.strikes = 0;
            return false;
        }
        let interval = if has_calls { self.interval_min } else { INTERVAL_IDLE_MIN };
        if last.is_some_and(|last| last + interval > now) {
            self.strikes += 1;
        }
        self.strikes > STRIKES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_offences_are_too_many() {
        let mut police = PingPolice::new(Duration::from_secs(5));
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        assert!(!police.ping(at(0), true));
        assert!(!police.ping(at(5), true), "no offence");
        assert!(!police.ping(at(6), true));
        assert!(!police.ping(at(7), true));
        assert!(police.ping(at(8), true));
    }

    #[test]
    fn idle_pings_offend_and_answers_pardon() {
        let mut police = PingPolice::new(Duration::from_secs(5));
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        for secs in [0, 100, 200] {
            assert!(!police.ping(at(secs), false));
        }
        police.pardon();
        for secs in [201, 202, 203] {
            assert!(!police.ping(at(secs), false));
        }
        assert!(police.ping(at(204), false));
    }
}
