//! The log.

use super::Problem;
use crate::{golang::quote_list, notice::Notice, values::Values};

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// From which level on lines are written.
    pub level: LogLevel,
    /// Layout of a line.
    pub format: LogFormat,
    /// Where lines go; at least one.
    pub outputs: Vec<LogOutput>,
    /// Rotation of the one file among the outputs.
    pub rotation: Option<Rotation>,
}

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For those who look for a fault.
    Debug,
    /// Good to know.
    Info,
    /// Somebody should look at it.
    Warn,
    /// Something failed.
    Error,
    /// The process ends with a panic.
    Panic,
    /// The process ends.
    Fatal,
}

/// Layout of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// Columns.
    Console,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(String),
}

/// Rotation of a file; zero stands for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Size from which a new file is begun.
    pub megabytes_max: u64,
    /// Age from which old files go.
    pub days_max: u64,
    /// Old files kept.
    pub backups_max: u64,
    /// Names of old files have local time.
    pub local_time: bool,
    /// Old files are compressed.
    pub compress: bool,
}

impl LogLevel {
    /// The level of that name, as zap reads them.
    pub fn from_name(name: &str) -> Option<LogLevel> {
        Some(match name {
            "debug" | "DEBUG" => LogLevel::Debug,
            "info" | "INFO" | "" => LogLevel::Info,
            "warn" | "WARN" | "warning" | "WARNING" => LogLevel::Warn,
            "error" | "ERROR" => LogLevel::Error,
            "panic" | "PANIC" | "dpanic" | "DPANIC" => LogLevel::Panic,
            "fatal" | "FATAL" => LogLevel::Fatal,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
            LogLevel::Panic => "panic",
            LogLevel::Fatal => "fatal",
        }
    }
}

/// # Errors
/// The rule that is broken, in etcd's words.
pub(super) fn build(values: &Values, notices: &mut Vec<Notice>) -> Result<Log, Problem> {
    match values.text("logger").as_str() {
        "zap" => {}
        "capnslog" => return Err(Problem::Flags("--logger=capnslog is removed in v3.5".into())),
        other => {
            return Err(Problem::Flags(format!("unknown logger option {}", crate::golang::quote(other))));
        }
    }
    let names = values.list("log-outputs");
    let rotation = rotation(&names, values)?;
    let outputs = outputs(&names, notices)?;
    let level = values.text("log-level");
    let level = LogLevel::from_name(&level)
        .ok_or_else(|| Problem::Flags(format!("unrecognized level: {}", crate::golang::quote(&level))))?;
    let format = match values.text("log-format").as_str() {
        "json" | "" => LogFormat::Json,
        "console" => LogFormat::Console,
        other => {
            let text = format!("unknown log format: {other}, supported values json, console");
            return Err(Problem::Flags(text));
        }
    };
    Ok(Log { level, format, outputs, rotation })
}

fn outputs(names: &[String], notices: &mut Vec<Notice>) -> Result<Vec<LogOutput>, Problem> {
    if names.len() > 1 && names.iter().any(|name| name == "default") {
        return Err(Problem::Flags(r#"multi logoutput for "default" is not supported yet"#.into()));
    }
    if names.len() > 1 && names.iter().any(|name| name == "systemd/journal") {
        return Err(Problem::Flags(format!(
            "running with systemd/journal but other '--log-outputs' values ({}) are configured with 'default'; \
             override 'default' value with something else",
            quote_list(names)
        )));
    }
    let mut outputs = Vec::new();
    for name in names {
        outputs.push(match name.as_str() {
            "default" | "stderr" => LogOutput::Stderr,
            "stdout" => LogOutput::Stdout,
            "systemd/journal" => {
                notices.push(
                    Notice::warn(
                        "journald is not written to directly yet; logging to stderr, which systemd passes on",
                    )
                    .with("flag-name", "log-outputs"),
                );
                LogOutput::Stderr
            }
            "" => return Err(Problem::Flags("open : no such file or directory".into())),
            path => LogOutput::File(path.into()),
        });
    }
    if outputs.is_empty() {
        outputs.push(LogOutput::Stderr);
    }
    Ok(outputs)
}

fn rotation(names: &[String], values: &Values) -> Result<Option<Rotation>, Problem> {
    if !values.bool("enable-log-rotation") {
        return Ok(None);
    }
    let files = names.iter().filter(|name| !matches!(name.as_str(), "default" | "stderr" | "stdout")).count();
    if files > 1 || (files == 0 && names.len() <= 1) {
        return Err(Problem::Flags(
            "--log-outputs requires a single file path when --log-rotate-config-json is defined".into(),
        ));
    }
    let json: serde_json::Value = serde_json::from_str(&values.text("log-rotation-config-json"))
        .map_err(|e| Problem::Flags(format!("improperly formatted log rotation config: {e}")))?;
    let root = json.as_object().ok_or_else(|| wrong_type("the configuration", "an object"))?;
    let number = |key: &str| match root.get(key) {
        None | Some(serde_json::Value::Null) => Ok(0),
        Some(value) => value.as_u64().ok_or_else(|| wrong_type(key, "a whole number")),
    };
    let flag = |key: &str| match root.get(key) {
        None | Some(serde_json::Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| wrong_type(key, "true or false")),
    };
    Ok(Some(Rotation {
        megabytes_max: number("maxsize")?,
        days_max: number("maxage")?,
        backups_max: number("maxbackups")?,
        local_time: flag("localtime")?,
        compress: flag("compress")?,
    }))
}

fn wrong_type(key: &str, wanted: &str) -> Problem {
    Problem::Flags(format!("invalid log rotation config: {key} must be {wanted}"))
}
