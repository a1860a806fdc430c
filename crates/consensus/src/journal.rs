//! Log lines as effects: the core writes none, it collects them for its driver.
//!
//! A line below the threshold costs one comparison, no formatting.

use std::fmt;

/// How much a line matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Details of replication.
    Debug,
    /// Elections, configurations, snapshots.
    #[default]
    Info,
    /// Something that should not be so.
    Warn,
    /// A refused request or a broken rule.
    Error,
    /// As a threshold: nothing at all.
    Off,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
            Level::Off => "NONE",
        })
    }
}

/// One line, without time and without line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The text, with ids in lower hex as etcd logs them.
    pub text: String,
}

/// Lines kept while nobody drains them; later ones are dropped.
const LINES_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Journal {
    threshold: Level,
    lines: Vec<LogLine>,
}

impl Journal {
    pub(crate) fn new(threshold: Level) -> Journal {
        Journal { threshold, lines: Vec::new() }
    }

    pub(crate) fn set_threshold(&mut self, threshold: Level) {
        self.threshold = threshold;
    }

    #[inline]
    pub(crate) fn wants(&self, level: Level) -> bool {
        self.threshold <= level
    }

    pub(crate) fn push(&mut self, level: Level, text: String) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(LogLine { level, text });
        }
    }

    pub(crate) fn take(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.lines)
    }
}

/// Adds a line at a level, formatting it only when somebody wants it.
macro_rules! note {
    ($journal:expr, $level:ident, $($format:tt)+) => {
        if $journal.wants($crate::journal::Level::$level) {
            let text = format!($($format)+);
            $journal.push($crate::journal::Level::$level, text);
        }
    };
}
pub(crate) use note;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wanted_lines_are_formatted_and_kept() {
        let mut journal = Journal::new(Level::Warn);
        let mut formatted = 0;
        let mut count = || {
            formatted += 1;
            formatted
        };
        note!(journal, Info, "{}", count());
        note!(journal, Error, "{}", count());
        assert_eq!(journal.take(), [LogLine { level: Level::Error, text: "1".into() }]);
        assert!(journal.take().is_empty());
        assert_eq!(formatted, 1);
    }

    #[test]
    fn undrained_lines_are_bounded() {
        let mut journal = Journal::new(Level::Debug);
        for _ in 0..2 * LINES_MAX {
            note!(journal, Debug, "x");
        }
        assert_eq!(journal.take().len(), LINES_MAX);
    }
}
