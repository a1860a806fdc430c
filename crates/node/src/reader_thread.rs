//! The reader thread: everything that reads much and that nobody waits for on the core thread.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use mvcc::{HashAll, HashJob, History, KvHash, MvccError, Rows};
use telemetry::metrics;
use watch::{HistoryChunk, HistoryQuery, JobId};

use crate::{core::ReplyTo, inbox::Inbox, input::Input, worker::Worker};

/// Keys or rows per step of a hash.
const HASH_ROWS_PER_STEP: usize = 4096;

/// Work for the reader thread.
pub(crate) enum ReadJob {
    /// A slice of history for watchers.
    History { query: HistoryQuery, view: History },
    /// Rows for watchers.
    Rows { job: JobId, rows: Rows },
    /// A hash that a compaction stores.
    CompactionHash(Box<HashJob>),
    /// A hash that a client waits for.
    HashKv { reply_to: ReplyTo, job: Box<HashJob> },
    /// A hash over everything.
    Hash { reply_to: ReplyTo, hash: Box<HashAll> },
    /// Stop after everything before this.
    Stop,
}

/// What the reader thread reports.
#[derive(Debug)]
pub(crate) enum ReadDone {
    /// For [`watch::Hub::history_read`].
    History { job: JobId, result: Result<HistoryChunk, String> },
    /// For [`watch::Hub::rows_read`].
    Rows { job: JobId, result: Result<Vec<Bytes>, String> },
    /// For [`mvcc::Store::compaction_hashed`].
    CompactionHash(Result<KvHash, String>),
    /// The answer to a client.
    HashKv { reply_to: ReplyTo, result: Result<KvHash, String> },
    /// The answer to a client.
    Hash { reply_to: ReplyTo, result: Result<u32, String> },
}

/// Starts the thread.
pub(crate) fn start(core: Arc<Inbox<Input>>) -> Worker<ReadJob> {
    Worker::start("reader", move |jobs| {
        let mut batch = Vec::new();
        loop {
            jobs.receive(&mut batch, None);
            for job in batch.drain(..) {
                let Some(done) = run(job) else { return };
                // The core is gone only when the process ends.
                let _ = core.send(Input::Read(done));
            }
        }
    })
}

/// `None` when told to stop.
fn run(job: ReadJob) -> Option<ReadDone> {
    Some(match job {
        ReadJob::Stop => return None,
        ReadJob::History { query, view } => {
            ReadDone::History { job: query.job, result: text(query.read(view)) }
        }
        ReadJob::Rows { job, rows } => {
            let values: Result<Vec<Bytes>, MvccError> =
                (0..rows.len()).map(|i| rows.fetch(i).map(own)).collect();
            ReadDone::Rows { job, result: text(values) }
        }
        ReadJob::CompactionHash(job) => ReadDone::CompactionHash(text(job.run())),
        ReadJob::HashKv { reply_to, job } => {
            let begun = Instant::now();
            let result = text(job.run());
            metrics().mvcc_hash_rev_duration_seconds.observe(begun.elapsed().as_secs_f64());
            ReadDone::HashKv { reply_to, result }
        }
        ReadJob::Hash { reply_to, mut hash } => {
            let begun = Instant::now();
            let result = loop {
                match hash.step(HASH_ROWS_PER_STEP) {
                    Ok(None) => {}
                    Ok(Some(hash)) => break Ok(hash),
                    Err(error) => break Err(error),
                }
            };
            metrics().mvcc_hash_duration_seconds.observe(begun.elapsed().as_secs_f64());
            ReadDone::Hash { reply_to, result: text(result) }
        }
    })
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|e| e.to_string())
}

/// A copy in memory of its own: a row is often a slice of a page, which it would keep alive.
fn own(row: Bytes) -> Bytes {
    Bytes::copy_from_slice(&row)
}
