//! The audit log: who asked for what, and how it ended, a line of JSON for each call (docs/audit.md).
//!
//! Every call of a client is a [`crate::call::Call`], and each has a [`Trail`] while the log is on: that is the only place
//! where lines are made, so no way in is without. A line goes through a bounded queue to a thread of its own; when the
//! queue is full the line is dropped and counted, in a metric and in the log itself: no request waits for the log.
//!
//! Never in it: values, passwords, tokens. What is shown of a request is a list of fields ([`trail`]), not all but some.

mod trail;
mod writer;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use sha2::{Digest, Sha256};
use telemetry::metrics;

pub(crate) use trail::Trail;
use writer::Message;

use crate::passwords::random;

/// Lines that may wait for the writer.
const QUEUE_LINES: usize = 16 << 10;
/// Their bytes.
const QUEUE_BYTES: usize = 16 << 20;
/// Of the sum that stands for a key.
const SUM_BYTES: usize = 8;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutput {
    /// Standard error.
    Stderr,
    /// A file, appended to; opened anew when it was moved away.
    File(PathBuf),
}

/// The audit log of a process.
pub struct AuditLog {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    /// What keys are mixed with before they are summed; `None` when they are shown.
    salt: Option<[u8; 32]>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What callers and the writer both count.
#[derive(Debug, Default)]
struct Shared {
    /// Bytes of the lines that wait.
    waiting: AtomicUsize,
    /// Lines dropped since that was last written.
    dropped: AtomicU64,
}

impl AuditLog {
    /// Opens the log. With `redact_keys` keys are shown as sums, which say whether two are the same and nothing else; they
    /// differ from start to start.
    ///
    /// # Errors
    /// When the file cannot be opened, or the system gives no random numbers.
    pub fn start(output: AuditOutput, redact_keys: bool) -> io::Result<AuditLog> {
        let mut salt = None;
        if redact_keys {
            let mut bytes = [0; 32];
            random(&mut bytes).map_err(|reason| io::Error::other(reason.to_string()))?;
            salt = Some(bytes);
        }
        let sink = writer::Sink::open(output)?;
        let (queue, lines) = sync_channel(QUEUE_LINES);
        let shared = Arc::new(Shared::default());
        let of_writer = Arc::clone(&shared);
        let work = move || writer::write(&lines, sink, &of_writer);
        let writer = thread::Builder::new().name("audit".into()).spawn(work)?;
        Ok(AuditLog { queue, shared, salt, writer: Mutex::new(Some(writer)) })
    }

    /// Hands a line over, if there is room.
    fn write(&self, line: String) {
        let len = line.len();
        let room = self.shared.waiting.fetch_add(len, Relaxed) + len <= QUEUE_BYTES;
        if room && self.queue.try_send(Message::Line(line)).is_ok() {
            return;
        }
        self.shared.waiting.fetch_sub(len, Relaxed);
        self.shared.dropped.fetch_add(1, Relaxed);
        metrics().audit_lines_dropped_total.add(1);
    }

    /// Writes what waits and closes the log; later lines are dropped.
    pub fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && self.queue.send(Message::End).is_ok()
        {
            // If it panicked, it has said so.
            let _ = writer.join();
        }
    }

    /// Appends a key as JSON: itself, or what stands for it.
    fn show_key(&self, key: &[u8], out: &mut Vec<u8>) {
        let Some(salt) = &self.salt else { return proto::outline::show(key, out) };
        let sum = Sha256::new().chain_update(salt).chain_update(key).finalize();
        out.extend_from_slice(b"\"#");
        for byte in &sum[..SUM_BYTES] {
            out.extend_from_slice(format!("{byte:02x}").as_bytes());
        }
        out.push(b'"');
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
