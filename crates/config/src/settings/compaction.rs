//! Forgetting history.

use std::time::Duration;

use super::Problem;
use crate::{duration, golang, values::Values};

/// Nanoseconds of an hour.
const HOUR: i64 = 3_600_000_000_000;

/// Forgetting history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// By itself.
    pub auto: AutoCompaction,
    /// Revisions that a step removes; above zero.
    pub batch_limit: u64,
    /// Pause between two steps.
    pub sleep: Duration,
}

/// When history is forgotten by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    /// Never.
    Off,
    /// Keep what is younger than this; above zero.
    Periodic(Duration),
    /// Keep this many revisions; above zero.
    Revision(i64),
}

/// # Errors
/// When the retention is none.
pub(super) fn build(values: &Values) -> Result<Compaction, Problem> {
    let batch_limit = match values.signed("compaction-batch-limit") {
        0 => 1000,
        limit => u64::try_from(limit).unwrap_or(1),
    };
    Ok(Compaction {
        auto: auto(&values.text("auto-compaction-mode"), &values.text("auto-compaction-retention"))?,
        batch_limit,
        sleep: values.wait_or("compaction-sleep-interval", Duration::from_millis(10)),
    })
}

/// A bare number counts hours or revisions, by the mode; anything else is a duration, whose nanoseconds count as
/// revisions in mode revision (upstream: server/embed/etcd.go). The mode was checked before.
fn auto(mode: &str, retention: &str) -> Result<AutoCompaction, Problem> {
    let periodic = mode == "periodic";
    let retention = if retention.is_empty() { "0" } else { retention };
    let amount = match decimal(retention) {
        Some(number) if periodic => number.saturating_mul(HOUR),
        Some(number) => number,
        None => duration::parse(retention)
            .map_err(|reason| Problem::Start(format!("error parsing CompactionRetention: {reason}")))?,
    };
    match amount {
        0 => Ok(AutoCompaction::Off),
        // etcd starts with these and then compacts without pause.
        ..0 => Err(Problem::Start(format!(
            "--auto-compaction-retention must not be negative (set to {})",
            golang::quote(retention)
        ))),
        nanos if periodic => Ok(AutoCompaction::Periodic(duration::wait(nanos))),
        revisions => Ok(AutoCompaction::Revision(revisions)),
    }
}

/// A number of decimal digits, maybe with a sign in front, zero or above.
fn decimal(text: &str) -> Option<i64> {
    text.strip_prefix('+').unwrap_or(text).parse::<i64>().ok().filter(|number| *number >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retentions() {
        let periodic = |secs| AutoCompaction::Periodic(Duration::from_secs(secs));
        for (mode, retention, expected) in [
            ("periodic", "", AutoCompaction::Off),
            ("periodic", "0", AutoCompaction::Off),
            ("periodic", "0s", AutoCompaction::Off),
            ("periodic", "2", periodic(7200)),
            ("periodic", "5m", periodic(300)),
            ("periodic", "1h30m", periodic(5400)),
            ("revision", "1000", AutoCompaction::Revision(1000)),
            ("revision", "1us", AutoCompaction::Revision(1000)),
            ("revision", "0", AutoCompaction::Off),
        ] {
            assert_eq!(auto(mode, retention).unwrap(), expected, "{mode} {retention}");
        }
    }

    #[test]
    fn mistakes() {
        for (retention, text) in [
            ("x", r#"error parsing CompactionRetention: time: invalid duration "x""#),
            ("-1", r#"error parsing CompactionRetention: time: missing unit in duration "-1""#),
            ("-1h", r#"--auto-compaction-retention must not be negative (set to "-1h")"#),
        ] {
            assert_eq!(auto("periodic", retention).unwrap_err().to_string(), text);
        }
    }
}
