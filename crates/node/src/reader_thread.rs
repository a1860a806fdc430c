//! The reader thread: everything that reads much and that nobody waits for on the core thread.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use bytes::Bytes;
use mvcc::{HashAll, HashJob, History, KvHash, MvccError, Rows};
use telemetry::metrics;
use watch::{HistoryChunk, HistoryQuery, JobId};

use crate::{core::ReplyTo, inbox::Inbox, input::Input, worker::Labour};

/// Keys or rows per step of a hash, and bytes of rows.
const HASH_ROWS_PER_STEP: usize = 1024;
const HASH_BYTES_PER_STEP: usize = 1 << 20;

/// Work for the reader thread.
pub(crate) enum ReadJob {
    /// A slice of history for watchers.
    History { query: HistoryQuery, view: History },
    /// Rows for watchers.
    Rows { job: JobId, rows: Rows },
    /// A hash that a compaction stores; `of` comes back with it.
    CompactionHash { job: Box<HashJob>, of: u64 },
    /// A hash that a client waits for.
    HashKv { reply_to: ReplyTo, job: Box<HashJob> },
    /// A hash over everything.
    Hash { reply_to: ReplyTo, hash: Box<HashAll> },
    /// Stop; hashes under way are given up.
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
    CompactionHash { of: u64, result: Result<KvHash, String> },
    /// The answer to a client.
    HashKv { reply_to: ReplyTo, result: Result<KvHash, String> },
    /// The answer to a client.
    Hash { reply_to: ReplyTo, result: Result<u32, String> },
}

/// Hashes read every row there is. They go on in steps while no watcher waits for a read.
pub(crate) struct Reader {
    hashes: VecDeque<Hashing>,
    core: Arc<Inbox<Input>>,
}

impl Labour for Reader {
    type Job = ReadJob;

    fn turn(&mut self, batch: &mut Vec<ReadJob>) -> bool {
        for job in batch.drain(..) {
            match job {
                ReadJob::Stop => return false,
                ReadJob::History { query, view } => {
                    self.report(ReadDone::History { job: query.job, result: text(query.read(view)) });
                }
                ReadJob::Rows { job, rows } => {
                    let values: Result<Vec<Bytes>, MvccError> =
                        (0..rows.len()).map(|i| rows.fetch(i).map(own)).collect();
                    self.report(ReadDone::Rows { job, result: text(values) });
                }
                // Compaction waits for this one.
                ReadJob::CompactionHash { job, of } => {
                    self.hashes.push_front(Hashing::Compaction { job, of });
                }
                ReadJob::HashKv { reply_to, job } => {
                    self.hashes.push_back(Hashing::Kv { reply_to, job, begun: None });
                }
                ReadJob::Hash { reply_to, hash } => {
                    self.hashes.push_back(Hashing::All { reply_to, hash, begun: None });
                }
            }
        }
        if let Some(done) = self.hashes.front_mut().and_then(Hashing::step) {
            self.hashes.pop_front();
            self.report(done);
        }
        true
    }

    fn has_more(&self) -> bool {
        !self.hashes.is_empty()
    }
}

impl Reader {
    pub(crate) fn new(core: Arc<Inbox<Input>>) -> Reader {
        Reader { hashes: VecDeque::new(), core }
    }

    fn report(&self, done: ReadDone) {
        // The core is gone only when the process ends.
        let _ = self.core.send(Input::Read(done));
    }
}

/// A hash under way.
enum Hashing {
    Compaction { job: Box<HashJob>, of: u64 },
    Kv { reply_to: ReplyTo, job: Box<HashJob>, begun: Option<Instant> },
    All { reply_to: ReplyTo, hash: Box<HashAll>, begun: Option<Instant> },
}

impl Hashing {
    /// Does a step; `None` while there is more to do.
    fn step(&mut self) -> Option<ReadDone> {
        match self {
            Hashing::Compaction { job, of } => {
                let result = ended(job.step(HASH_ROWS_PER_STEP, HASH_BYTES_PER_STEP))?;
                Some(ReadDone::CompactionHash { of: *of, result })
            }
            Hashing::Kv { reply_to, job, begun } => {
                let begun = *begun.get_or_insert_with(Instant::now);
                let result = ended(job.step(HASH_ROWS_PER_STEP, HASH_BYTES_PER_STEP))?;
                metrics().mvcc_hash_rev_duration_seconds.observe(begun.elapsed().as_secs_f64());
                Some(ReadDone::HashKv { reply_to: reply_to.clone(), result })
            }
            Hashing::All { reply_to, hash, begun } => {
                let begun = *begun.get_or_insert_with(Instant::now);
                let result = ended(hash.step(HASH_ROWS_PER_STEP))?;
                metrics().mvcc_hash_duration_seconds.observe(begun.elapsed().as_secs_f64());
                Some(ReadDone::Hash { reply_to: reply_to.clone(), result })
            }
        }
    }
}

fn ended<T>(step: Result<Option<T>, MvccError>) -> Option<Result<T, String>> {
    step.transpose().map(text)
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|e| e.to_string())
}

/// A copy in memory of its own: a row is often a slice of a page, which it would keep alive.
fn own(row: Bytes) -> Bytes {
    Bytes::copy_from_slice(&row)
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use bolt::{Db, Options};
    use mvcc::{CompactStep, Store};
    use types::{LeaseId, bucket};
    use vfs::SimDisk;

    use super::*;

    /// A hash of many rows, and a look at one of them.
    fn jobs() -> (ReadJob, ReadJob) {
        let mut db = Db::open(Arc::new(SimDisk::new()), Path::new("/db"), Options::default()).unwrap();
        for name in bucket::ALL {
            db.create_bucket(name).unwrap();
        }
        db.commit().unwrap();
        let (mut store, _) = Store::open(db.snapshot()).unwrap();
        for n in 0..10 * HASH_ROWS_PER_STEP {
            store.txn().put(&n.to_be_bytes(), b"value", LeaseId::NONE);
        }
        store.compact(5).unwrap();
        let hash = loop {
            if let CompactStep::Hash(job) = store.compact_step(usize::MAX).unwrap() {
                break ReadJob::CompactionHash { job, of: 0 };
            }
        };
        let query = HistoryQuery { job: JobId(1), from: 7, to: 7, bytes_max: 1 << 20, rows_max: 1 };
        (hash, ReadJob::History { query, view: store.history(7, 7).unwrap() })
    }

    #[test]
    fn watchers_do_not_wait_for_hashes() {
        let (hash, history) = jobs();
        let core = Arc::new(Inbox::default());
        let mut reader = Reader::new(Arc::clone(&core));
        let mut done = Vec::new();
        let mut batch = vec![hash, history];
        while done.len() < 2 {
            assert!(reader.turn(&mut batch));
            core.receive(&mut done, Some(Duration::ZERO));
        }
        assert!(!reader.has_more() && !reader.turn(&mut vec![ReadJob::Stop]));
        assert!(matches!(done[0], Input::Read(ReadDone::History { result: Ok(_), .. })), "{:?}", done[0]);
        assert!(
            matches!(done[1], Input::Read(ReadDone::CompactionHash { of: 0, result: Ok(_) })),
            "{:?}",
            done[1]
        );
    }
}
