//! How long another member takes to say that it lives (upstream: probing_status.go).

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use telemetry::{line, metrics};
use tokio::time::{Instant, interval_at, sleep_until, timeout};
use types::MemberId;

use crate::{
    IO_TIMEOUT,
    dial::{Dialer, Link},
    pipeline::body_of,
    urls::Url,
};

/// The two probers of each member, as etcd names them in its log.
pub(crate) const NAMES: [&str; 2] = ["ROUND_TRIPPER_SNAPSHOT", "ROUND_TRIPPER_RAFT_MESSAGE"];

/// Below the time after which a silent connection is given up.
const PROBE_INTERVAL: Duration = Duration::from_secs(4);
/// Between two observations of a member that answers, and of one that does not.
const HEALTHY_INTERVAL: Duration = Duration::from_secs(30);
const SICK_INTERVAL: Duration = Duration::from_secs(5);
/// Weight of the newest answer.
const WEIGHT: f64 = 0.125;
const DRIFT_MAX: Duration = Duration::from_secs(1);
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// What the probes of one member say.
#[derive(Debug, Default)]
struct Health {
    answers: bool,
    /// Smoothed.
    round_trip: Duration,
    drift: Duration,
    error: String,
}

impl Health {
    fn answered(&mut self, took: Duration, there: SystemTime) {
        let old = if self.round_trip.is_zero() { took } else { self.round_trip };
        self.round_trip = old.mul_f64(1.0 - WEIGHT) + took.mul_f64(WEIGHT);
        let here = SystemTime::now() - self.round_trip / 2;
        self.drift = here.duration_since(there).unwrap_or_else(|early| early.duration());
        self.answers = true;
        self.error.clear();
    }
}

/// Asks for ever, at whichever address answers.
pub(crate) async fn run(dialer: Dialer, urls: Vec<Url>, id: MemberId, name: &'static str) {
    let mut probes = interval_at(Instant::now() + PROBE_INTERVAL, PROBE_INTERVAL);
    let mut look = Instant::now() + SICK_INTERVAL;
    let mut health = Health::default();
    let (mut pinned, mut link) = (0, None);
    loop {
        tokio::select! {
            _ = probes.tick() => {
                let start = Instant::now();
                let answer = match timeout(IO_TIMEOUT, probe(&dialer, &mut link, &urls[pinned])).await {
                    Ok(answer) => answer,
                    Err(_) => Err(io::ErrorKind::TimedOut.into()),
                };
                match answer {
                    Ok(there) => health.answered(start.elapsed(), there),
                    Err(error) => {
                        (health.answers, health.error) = (false, error.to_string());
                        pinned = (pinned + 1) % urls.len();
                        link = None;
                    }
                }
            }
            () = sleep_until(look) => look = Instant::now() + observe(&health, id, name),
        }
    }
}

/// Tells what is known, and when to look again.
fn observe(health: &Health, id: MemberId, name: &'static str) -> Duration {
    let round_trip = || telemetry::log::duration(health.round_trip);
    if !health.answers {
        line!(Warn, "prober detected unhealthy status", "round-tripper-name" => name,
            "remote-peer-id" => id.to_string(), "rtt" => round_trip(), "error" => health.error.clone());
    }
    if health.drift > DRIFT_MAX {
        line!(Warn, "prober found high clock drift", "round-tripper-name" => name,
            "remote-peer-id" => id.to_string(), "clock-drift" => telemetry::log::duration(health.drift),
            "rtt" => round_trip());
    }
    let histogram = metrics().network_peer_round_trip_time_seconds.with(&[&id.to_string()]);
    histogram.observe(health.round_trip.as_secs_f64());
    if health.answers { HEALTHY_INTERVAL } else { SICK_INTERVAL }
}

async fn probe(dialer: &Dialer, link: &mut Option<Link>, url: &Url) -> io::Result<SystemTime> {
    let request = Request::get("/raft/probing").body(body_of("")).map_err(io::Error::other)?;
    let response = dialer.request(link, url, request).await?;
    let status = response.status();
    if status != StatusCode::OK {
        return Err(io::Error::other(format!("got unexpected HTTP status code {status} from {url}")));
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    answer(&body.map_err(io::Error::other)?.to_bytes())
}

fn answer(body: &Bytes) -> io::Result<SystemTime> {
    let value: serde_json::Value = serde_json::from_slice(body)?;
    if value["OK"] != serde_json::Value::Bool(true) {
        return Err(io::Error::other("it says that it is not well"));
    }
    let now = value["Now"].as_str().and_then(moment);
    now.ok_or_else(|| io::Error::other("it does not say what time it is"))
}

/// Reads `2006-01-02T15:04:05.999999999+07:00`.
fn moment(text: &str) -> Option<SystemTime> {
    let number = |range: std::ops::Range<usize>| -> Option<u64> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let seconds = (number(11..13)? * 60 + number(14..16)?) * 60 + number(17..19)?;
    let rest = text.get(19..)?;
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone_at);
    let nanos = fraction.bytes().skip(1).chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |sum, digit| sum * 10 + u64::from(digit.wrapping_sub(b'0').min(9)));
    // Days since 1970-03-01 of a year that begins in March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    let local = days.checked_sub(719_469)?.checked_mul(86_400)? + seconds;
    let utc = if zone == "Z" {
        local
    } else {
        let offset = zone.get(1..3)?.parse::<u64>().ok()? * 3600 + zone.get(4..6)?.parse::<u64>().ok()? * 60;
        if zone.starts_with('+') { local.checked_sub(offset)? } else { local + offset }
    };
    Some(UNIX_EPOCH + Duration::new(utc, nanos as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2000-02-29T00:00:00Z", 951_782_400, 0),
            ("2025-12-31T23:59:59.5Z", 1_767_225_599, 500_000_000),
            ("2026-01-01T01:59:59.000000001+02:00", 1_767_225_599, 1),
            ("2025-12-31T16:59:59-07:00", 1_767_225_599, 0),
        ] {
            assert_eq!(moment(text), Some(UNIX_EPOCH + Duration::new(seconds, nanos)), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-01-01T00:00:00",
            "0000-01-01T00:00:00Z",
            "2026-01-01T00:00:00+é1:00",
            "é026-01-01T00:00:00Z",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
        let ours = telemetry::log::timestamp(UNIX_EPOCH + Duration::from_micros(1_767_225_599_000_007));
        assert_eq!(moment(&ours), Some(UNIX_EPOCH + Duration::from_micros(1_767_225_599_000_007)));
    }

    #[test]
    fn answers_are_smoothed_and_failures_seen() {
        let there = answer(&r#"{"OK":true,"Now":"2020-01-01T00:00:00Z"}"#.into()).unwrap();
        let mut health = Health::default();
        assert_eq!(observe(&health, MemberId(1), NAMES[0]), SICK_INTERVAL);
        health.answered(Duration::from_millis(80), there);
        assert_eq!(health.round_trip, Duration::from_millis(80));
        health.answered(Duration::from_millis(160), there);
        assert_eq!(health.round_trip, Duration::from_millis(90));
        assert!(health.drift > DRIFT_MAX);
        assert_eq!(observe(&health, MemberId(1), NAMES[0]), HEALTHY_INTERVAL);
        for body in ["", "{}", r#"{"OK":false,"Now":"2020-01-01T00:00:00Z"}"#, r#"{"OK":true}"#] {
            assert!(answer(&body.into()).is_err(), "{body}");
        }
    }
}
