//! Logs in the shape of zap's JSON: `{"level","ts","caller","msg",...}`.
//!
//! A line is handed to a thread of its own through a bounded queue; when that is full the line is dropped and
//! counted, and the count is logged when there is room again: no request waits for the log.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    sync::{
        OnceLock,
        atomic::{AtomicU8, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

/// Lines that may wait for the writer.
const QUEUE_LINES: usize = 8192;

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// What an operator may want to know.
    Info,
    /// What an operator should look at.
    Warn,
    /// Something failed.
    Error,
    /// The process ends; written before it does.
    Fatal,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Fatal => "fatal",
        }
    }

    /// The level of that name as `--log-level` takes it; `panic` is the same as `fatal`.
    pub fn from_name(name: &str) -> Option<Level> {
        Some(match name {
            "debug" => Level::Debug,
            "info" => Level::Info,
            "warn" => Level::Warn,
            "error" => Level::Error,
            "panic" | "fatal" | "dpanic" => Level::Fatal,
            _ => return None,
        })
    }
}

/// Line layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// Columns separated by tabs, the fields as JSON at the end.
    Console,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(String),
}

struct Logger {
    queue: SyncSender<Message>,
    dropped: AtomicU64,
    format: Format,
}

enum Message {
    Line(String),
    Flush(SyncSender<()>),
}

static LOGGER: OnceLock<Logger> = OnceLock::new();
static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Starts the writer. Lines before this, and all when it was never called, are dropped.
///
/// # Errors
/// When an output file cannot be opened.
pub fn start(level: Level, format: Format, outputs: &[Output]) -> io::Result<()> {
    LEVEL.store(level as u8, Ordering::Relaxed);
    let mut sinks: Vec<Box<dyn Write + Send>> = Vec::new();
    for output in outputs {
        sinks.push(match output {
            Output::Stderr => Box::new(io::stderr()),
            Output::Stdout => Box::new(io::stdout()),
            Output::File(path) => Box::new(open(path)?),
        });
    }
    let (queue, lines) = sync_channel(QUEUE_LINES);
    if LOGGER.set(Logger { queue, dropped: AtomicU64::new(0), format }).is_ok() {
        thread::Builder::new().name("logger".into()).spawn(move || write_lines(&lines, &mut sinks))?;
    }
    Ok(())
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn write_lines(lines: &Receiver<Message>, sinks: &mut [Box<dyn Write + Send>]) {
    while let Ok(message) = lines.recv() {
        match message {
            // A log that cannot be written must not stop the member.
            Message::Line(line) => sinks.iter_mut().for_each(|sink| drop(sink.write_all(line.as_bytes()))),
            Message::Flush(done) => {
                sinks.iter_mut().for_each(|sink| drop(sink.flush()));
                let _ = done.send(());
            }
        }
    }
}

/// Whether lines of this level are written.
pub fn enabled(level: Level) -> bool {
    level as u8 >= LEVEL.load(Ordering::Relaxed)
}

/// Waits until every line so far is written: before the process ends.
pub fn flush() {
    if let Some(logger) = LOGGER.get() {
        let (done, written) = sync_channel(1);
        if logger.queue.send(Message::Flush(done)).is_ok() {
            let _ = written.recv();
        }
    }
}

/// Writes one line. Use the macro [`crate::line!`], which knows the caller and checks the level first.
pub fn write(level: Level, file: &str, line: u32, message: &str, fields: &[(&str, Value)]) {
    let Some(logger) = LOGGER.get() else { return };
    let caller = caller(file, line);
    let text = match logger.format {
        Format::Json => json(level, &caller, message, fields),
        Format::Console => console(level, &caller, message, fields),
    };
    match logger.queue.try_send(Message::Line(text)) {
        Ok(()) => {
            let dropped = logger.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                write(Level::Warn, file!(), line!(), "dropped log lines", &[("count", dropped.into())]);
            }
        }
        Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
            logger.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The last two path elements, as zap shortens them.
fn caller(file: &str, line: u32) -> String {
    let mut parts = file.rsplit('/').filter(|part| *part != "src");
    let name = parts.next().unwrap_or(file);
    match parts.next() {
        Some(folder) => format!("{folder}/{name}:{line}"),
        None => format!("{name}:{line}"),
    }
}

fn json(level: Level, caller: &str, message: &str, fields: &[(&str, Value)]) -> String {
    let mut line = format!(
        "{{\"level\":\"{}\",\"ts\":\"{}\",\"caller\":{},\"msg\":{}",
        level.name(),
        timestamp(SystemTime::now()),
        Value::from(caller),
        Value::from(message)
    );
    for (key, value) in fields {
        line.push_str(&format!(",{}:{value}", Value::from(*key)));
    }
    line.push_str("}\n");
    line
}

fn console(level: Level, caller: &str, message: &str, fields: &[(&str, Value)]) -> String {
    let fields: serde_json::Map<String, Value> =
        fields.iter().map(|(key, value)| ((*key).to_string(), value.clone())).collect();
    let tail = if fields.is_empty() { String::new() } else { format!("\t{}", Value::Object(fields)) };
    format!("{}\t{}\t{caller}\t{message}{tail}\n", timestamp(SystemTime::now()), level.name())
}

/// `2006-01-02T15:04:05.000000Z`, in UTC.
pub fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (secs, micros) = (since.as_secs(), since.subsec_micros());
    let (days, rest) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// A duration as Go prints it: `1.5s`, `2m0s`.
pub fn duration(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0 if time.is_zero() => "0s".to_owned(),
        0..60 => format!("{time:?}"),
        _ => {
            let rest = time - Duration::from_secs(secs / 60 * 60);
            // A whole number of seconds and their fraction, without the unit that Rust would choose.
            let rest = format!("{}", rest.as_secs_f64());
            match secs / 60 {
                minutes @ 0..60 => format!("{minutes}m{rest}s"),
                minutes => format!("{}h{}m{rest}s", minutes / 60, minutes % 60),
            }
        }
    }
}

/// A size for the eye, in units of 1000: `37 kB`, `2.1 GB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let exponent = bytes.checked_ilog10().map_or(0, |digits| digits as usize / 3);
    if exponent == 0 {
        return format!("{bytes} B");
    }
    let value = (bytes as f64 / 1000_f64.powi(exponent as i32) * 10.0 + 0.5).floor() / 10.0;
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$} {}", UNITS[exponent])
}

/// Year, month and day of a day since 1970-01-01 (proleptic Gregorian, eras of 400 years from March on).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Writes a log line: `line!(Info, "message", "key" => value, ...)`. Values are anything that
/// `serde_json::Value` can be made from.
#[macro_export]
macro_rules! line {
    ($level:ident, $message:expr $(, $key:literal => $value:expr)* $(,)?) => {
        if $crate::log::enabled($crate::log::Level::$level) {
            $crate::log::write(
                $crate::log::Level::$level,
                file!(),
                ::std::line!(),
                $message,
                &[$(($key, $crate::log::Field::from($value))),*],
            );
        }
    };
}

/// The value of a field.
pub type Field = Value;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_have_zaps_shape() {
        let line =
            json(Level::Info, "node/boot.rs:7", "a \"quoted\" word", &[("n", 3.into()), ("s", "x".into())]);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["level"], "info");
        assert_eq!(value["caller"], "node/boot.rs:7");
        assert_eq!(value["msg"], "a \"quoted\" word");
        assert_eq!((&value["n"], &value["s"]), (&3.into(), &"x".into()));
        assert!(line.ends_with("}\n") && line.starts_with("{\"level\":\"info\",\"ts\":\""));
    }

    #[test]
    fn timestamps() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(secs)), text);
        }
    }

    #[test]
    fn durations_and_sizes_look_like_gos() {
        for (time, text) in [
            (Duration::ZERO, "0s"),
            (Duration::from_nanos(22_594), "22.594µs"),
            (Duration::from_millis(1500), "1.5s"),
            (Duration::from_secs(120), "2m0s"),
            (Duration::from_millis(3_725_500), "1h2m5.5s"),
        ] {
            assert_eq!(duration(time), text);
        }
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (36_864, "37 kB"),
            (2 << 30, "2.1 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn callers_are_short() {
        assert_eq!(caller("crates/node/src/core/apply.rs", 3), "core/apply.rs:3");
        assert_eq!(caller("crates/node/src/boot.rs", 3), "node/boot.rs:3");
    }
}
