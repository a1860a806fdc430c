//! Which connections are full of frames that ask for nothing.
//!
//! Frames such as resets, pings, settings and window updates cost their sender nothing and us some microseconds each.
//! Proper clients send them too, so each connection has an account: such frames are charged to it, what it is sent
//! in reply and the time that passes fill it again. Whoever overdraws it is sent away ([`crate::driver`]).

use tokio::time::Instant;

/// What a connection has at the start and at most, in frames. An etcd client that ends 10,000 watches at once by
/// resetting their calls stays below.
pub(crate) const CREDIT_MAX: u32 = 16_384;
/// What comes back in a second: four times the calls that a busy apiserver sees canceled.
pub(crate) const CREDIT_PER_SECOND: u32 = 4_096;
/// What a connection from an address that misbehaved lately has at the start.
pub(crate) const CREDIT_SUSPECT: u32 = 1_024;
/// So many bytes to the client fill as much as one frame takes: every reply pays for what asked for it, and for the
/// window updates that follow.
const BYTES_PER_FRAME: u64 = 32;
/// Who has less than this is read from in small portions, so that others on the thread do not wait for it. That costs
/// proper clients nothing to speak of.
const CREDIT_TRUSTED: u32 = CREDIT_MAX - 128;
/// So many frames, and what came with the last of them, are read before others have a turn.
const TURN_FRAMES: u32 = 512;
/// Likewise, from those that are not trusted.
const TURN_FRAMES_SUSPECT: u32 = 32;

/// Parts of a frame in which the account is kept, so that a microsecond fills a whole number of them.
const PARTS: u64 = 1_000_000;

/// The account of one connection.
#[derive(Debug)]
pub(crate) struct FramePolice {
    /// In parts of a frame.
    credit: u64,
    /// Up to when time has been credited.
    credited: Instant,
    /// Of the connection's totals, what has been looked at.
    seen: Totals,
}

/// What has gone over a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Frames that asked for nothing, by what they cost ([`crate::frame_scan`]).
    pub(crate) idle: u64,
    /// Bytes to the client.
    pub(crate) sent: u64,
}

impl FramePolice {
    /// For a connection that begins with so much.
    pub(crate) fn new(credit: u32, now: Instant) -> FramePolice {
        FramePolice { credit: u64::from(credit) * PARTS, credited: now, seen: Totals::default() }
    }

    /// Takes account of everything up to `totals`; whether the account is overdrawn. `now` is asked for when needed.
    pub(crate) fn judge(&mut self, totals: Totals, now: impl FnOnce() -> Instant) -> bool {
        let idle = totals.idle.saturating_sub(self.seen.idle);
        if idle == 0 {
            return false;
        }
        let now = now();
        let time = now.saturating_duration_since(self.credited).as_micros();
        let time = u64::try_from(time).unwrap_or(u64::MAX).saturating_mul(u64::from(CREDIT_PER_SECOND));
        let sent = totals.sent.saturating_sub(self.seen.sent);
        let paid = sent.saturating_mul(PARTS / BYTES_PER_FRAME);
        let full = u64::from(CREDIT_MAX) * PARTS;
        let credit = self.credit.saturating_add(time).saturating_add(paid).min(full);
        let rest = credit.checked_sub(idle.saturating_mul(PARTS));
        (self.credit, self.credited, self.seen) = (rest.unwrap_or(0), now, totals);
        rest.is_none()
    }

    /// Frames that may be read in one turn.
    pub(crate) fn turn_frames(&self) -> u32 {
        let trusted = self.credit >= u64::from(CREDIT_TRUSTED) * PARTS;
        if trusted { TURN_FRAMES } else { TURN_FRAMES_SUSPECT }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Charges `idle` frames and pays for `sent` bytes, again and again; how often it went well.
    fn rounds(credit: u32, every: Duration, idle: u64, sent: u64) -> Option<u32> {
        let start = Instant::now();
        let mut police = FramePolice::new(credit, start);
        let mut totals = Totals::default();
        (1..=3_600_000).find(|round| {
            totals = Totals { idle: totals.idle + idle, sent: totals.sent + sent };
            police.judge(totals, || start + every * *round)
        })
    }

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn proper_clients_are_never_sent_away() {
        for credit in [CREDIT_MAX, CREDIT_SUSPECT] {
            // Canceled calls: 1,000 and 4,000 each second for an hour.
            assert_eq!(rounds(credit, MILLI, 1, 0), None);
            assert_eq!(rounds(credit, MILLI, 4, 0), None);
            // A thousand at a time.
            assert_eq!(rounds(credit, MILLI * 250, 1_000, 0), None);
            // Window updates for both windows after each reply of 64 bytes, as fast as can be.
            assert_eq!(rounds(credit, Duration::ZERO, 2, 64), None);
            // Keepalives on one stream, 50,000 in a second: 56 bytes come back for each.
            assert_eq!(rounds(credit, MILLI, 50, 50 * 56), None);
        }
        // Ten thousand watches end at once.
        assert_eq!(rounds(CREDIT_MAX, MILLI * 10_000, 10_000, 0), None);
    }

    #[test]
    fn floods_are_over_soon() {
        let flood = |credit, idle, sent| rounds(credit, MILLI, idle, sent).unwrap();
        // 100,000 frames in a second: 16,384 and what comes back meanwhile.
        assert_eq!(flood(CREDIT_MAX, 100, 0), 171);
        assert_eq!(flood(CREDIT_SUSPECT, 100, 0), 11);
        // Answers to pings, 17 bytes each, do not pay for them.
        assert!(flood(CREDIT_MAX, 100, 1_700) < 400);
        // All at once.
        assert_eq!(rounds(CREDIT_MAX, Duration::ZERO, u64::from(CREDIT_MAX) + 1, 0), Some(1));
        assert_eq!(rounds(CREDIT_MAX, Duration::ZERO, u64::MAX / 4_000_000, 0), Some(1));
    }

    #[test]
    fn suspects_are_read_in_small_portions_until_they_have_behaved() {
        let start = Instant::now();
        let mut police = FramePolice::new(CREDIT_SUSPECT, start);
        assert_eq!(police.turn_frames(), TURN_FRAMES_SUSPECT);
        assert!(!police.judge(Totals { idle: 1, sent: 0 }, || start + Duration::from_secs(5)));
        assert_eq!(police.turn_frames(), TURN_FRAMES);
        assert!(!police.judge(Totals { idle: 2_000, sent: 0 }, || start + Duration::from_secs(5)));
        assert_eq!(police.turn_frames(), TURN_FRAMES_SUSPECT);
    }

    #[test]
    fn time_that_runs_backwards_and_totals_that_stand_still_change_nothing() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut police = FramePolice::new(10, later);
        assert!(!police.judge(Totals { idle: 10, sent: 0 }, || start));
        assert!(!police.judge(Totals { idle: 10, sent: 0 }, || panic!("nothing to judge")));
        assert!(police.judge(Totals { idle: 11, sent: 0 }, || start));
    }
}
