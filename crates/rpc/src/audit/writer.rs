//! The thread that writes the lines.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::PathBuf,
    sync::{atomic::Ordering::Relaxed, mpsc::Receiver},
    time::{Duration, Instant, SystemTime},
};

use telemetry::{line, log::timestamp};

use super::{AuditOutput, Shared};

/// So often it is looked whether the file was moved away.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

pub(super) enum Message {
    Line(String),
    End,
}

/// Where lines go.
pub(super) enum Sink {
    Stderr,
    File { path: PathBuf, file: File, looked: Instant },
}

impl Sink {
    pub(super) fn open(output: AuditOutput) -> io::Result<Sink> {
        Ok(match output {
            AuditOutput::Stderr => Sink::Stderr,
            AuditOutput::File(path) => Sink::File { file: open(&path)?, path, looked: Instant::now() },
        })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        match self {
            Sink::Stderr => io::stderr().write_all(line.as_bytes()),
            Sink::File { path, file, looked } => {
                if looked.elapsed() >= LOOK_INTERVAL {
                    *looked = Instant::now();
                    if !is_at(file, path) {
                        *file = open(path)?;
                    }
                }
                file.write_all(line.as_bytes())
            }
        }
    }
}

/// Nobody else need read it.
fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Whether the path still leads to this file.
fn is_at(file: &File, path: &PathBuf) -> bool {
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(open), Ok(there)) if same(&open, &there))
}

/// Writes lines until the end is asked for. What cannot be written counts as dropped, and is told once in the log of the
/// member.
pub(super) fn write(lines: &Receiver<Message>, mut sink: Sink, shared: &Shared) {
    let mut failing = false;
    while let Ok(Message::Line(line)) = lines.recv() {
        shared.waiting.fetch_sub(line.len(), Relaxed);
        let dropped = shared.dropped.load(Relaxed);
        let mut text = String::new();
        if dropped > 0 {
            text = format!("{{\"ts\":\"{}\",\"dropped\":{dropped}}}\n", timestamp(SystemTime::now()));
        }
        text.push_str(&line);
        match sink.write(&text) {
            Ok(()) => {
                failing = false;
                shared.dropped.fetch_sub(dropped, Relaxed);
            }
            Err(error) => {
                shared.dropped.fetch_add(1, Relaxed);
                telemetry::metrics().audit_lines_dropped_total.add(1);
                if !std::mem::replace(&mut failing, true) {
                    line!(Error, "the audit log cannot be written", "error" => error.to_string());
                }
            }
        }
    }
}
