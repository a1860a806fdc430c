//! Log lines on standard error, in the layout of zap's console encoder, as etcdutl has them.

use std::{
    io::{self, Write},
    panic::Location,
    time::SystemTime,
};

use serde_json::Value;

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// To standard error.
    Stderr,
    /// Nowhere.
    #[cfg(test)]
    Silent,
}

/// Names and values at the end of a line, in this order.
type Fields<'a> = &'a [(&'a str, Value)];

impl Log {
    /// What an operator may want to know.
    #[track_caller]
    pub(crate) fn info(self, message: &str, fields: Fields<'_>) {
        self.write("info", message, fields);
    }

    /// What an operator should look at.
    #[track_caller]
    pub(crate) fn warn(self, message: &str, fields: Fields<'_>) {
        self.write("warn", message, fields);
    }

    /// Something failed.
    #[track_caller]
    pub(crate) fn error(self, message: &str, fields: Fields<'_>) {
        self.write("error", message, fields);
    }

    #[track_caller]
    fn write(self, level: &str, message: &str, fields: Fields<'_>) {
        if self != Log::Stderr {
            return;
        }
        let place = Location::caller();
        let line = line(SystemTime::now(), level, &caller(place.file(), place.line()), message, fields);
        // Nobody may be reading, and that is no reason to fail.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

fn line(now: SystemTime, level: &str, caller: &str, message: &str, fields: Fields<'_>) -> String {
    let stamp = telemetry::log::timestamp(now);
    // Whole seconds.
    let stamp = stamp.split('.').next().unwrap_or_default();
    let mut line = format!("{stamp}Z\t{level}\t{caller}\t{message}");
    if !fields.is_empty() {
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}: {}", Value::from(*name), spaced(value))).collect();
        line.push_str(&format!("\t{{{}}}", fields.join(", ")));
    }
    line.push('\n');
    line
}

/// JSON with a blank behind each comma.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            format!("[{}]", values.iter().map(spaced).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The last two path elements.
fn caller(file: &str, line: u32) -> String {
    let mut parts = file.rsplit('/').filter(|part| *part != "src");
    let name = parts.next().unwrap_or(file);
    match parts.next() {
        Some(folder) => format!("{folder}/{name}:{line}"),
        None => format!("{name}:{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_zaps_layout() {
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(951_782_400_500);
        let fields = [("path", "s.db".into()), ("urls", vec!["a", "b"].into()), ("n", 5.into())];
        assert_eq!(
            line(at, "info", "etcdutl/restore.rs:7", "restoring snapshot", &fields),
            "2000-02-29T00:00:00Z\tinfo\tetcdutl/restore.rs:7\trestoring snapshot\t\
             {\"path\": \"s.db\", \"urls\": [\"a\", \"b\"], \"n\": 5}\n"
        );
        assert_eq!(line(at, "warn", "x:1", "m", &[]), "2000-02-29T00:00:00Z\twarn\tx:1\tm\n");
        assert_eq!(caller("crates/etcdutl/src/restore/build.rs", 3), "restore/build.rs:3");
    }
}
