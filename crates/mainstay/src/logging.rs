//! From what `config` found out to the log.

use std::io;

use config::{LogFormat, LogLevel, LogOutput, Notice, Severity};
use telemetry::log::{self, Format, Level, Output};

/// Starts the log. Only the first start in a process counts.
///
/// # Errors
/// When an output file cannot be opened.
pub(crate) fn start(settings: &config::Log) -> io::Result<()> {
    let level = match settings.level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warn => Level::Warn,
        LogLevel::Error => Level::Error,
        LogLevel::Panic | LogLevel::Fatal => Level::Fatal,
    };
    let format = match settings.format {
        LogFormat::Json => Format::Json,
        LogFormat::Console => Format::Console,
    };
    let outputs: Vec<_> = settings.outputs.iter().map(output).collect();
    log::start(level, format, &outputs)
}

/// Starts the log as it is when nobody says anything: JSON to standard error.
///
/// # Errors
/// When the writer cannot be started.
pub(crate) fn start_default() -> io::Result<()> {
    log::start(Level::Info, Format::Json, &[Output::Stderr])
}

fn output(output: &LogOutput) -> Output {
    match output {
        LogOutput::Stderr => Output::Stderr,
        LogOutput::Stdout => Output::Stdout,
        LogOutput::File(path) => Output::File(path.clone()),
    }
}

/// Writes notices, in their order.
pub(crate) fn write(notices: &[Notice]) {
    for notice in notices {
        let level = match notice.severity {
            Severity::Info => Level::Info,
            Severity::Warn => Level::Warn,
            Severity::Fatal => Level::Fatal,
        };
        if log::enabled(level) {
            log::write(level, file!(), line!(), &notice.message, &notice.fields);
        }
    }
}
