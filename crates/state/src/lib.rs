//! The replicated state machine.
//!
//! [`State::apply`] takes committed entries in order and gives back, for each, a reply or a [`Rejection`], the
//! changes for watchers, and effects for the caller. It is total and equal on every member: no clock, no load,
//! no disk space in it. What it changes is kept in memory (`mvcc`, `lease`, `auth`, `cluster`, alarms) and
//! collected as writes; [`State::seal`] hands those out as one batch together with the consistent index, and
//! the caller commits the batch to the backend whenever it likes, since the log is the source of durability.
//!
//! Not here: proposing, waiting for others, quotas (they are checked before a proposal, as a member's own disk
//! must not decide what an entry does), tokens.

mod alarms;
mod apply;
mod authorize;
mod counts;
mod kv;
mod open;
mod read;
mod rejection;
mod seal;
mod txn;

use std::collections::VecDeque;

use alarms::Alarms;
use auth::Auth;
use cluster::{Cluster, Version};
use lease::Leases;
use mvcc::Store;
use types::Write;

pub use apply::{Applied, AuthReply, Effect, Reply};
pub use auth::{Authorized, Guarded, Subject};
pub use counts::{Counts, operation};
pub use open::{OpenError, Settings};
pub use read::RangeRows;
pub use rejection::{Failure, Rejection};
pub use seal::{Mark, Sealed};
pub use txn::{is_read_only, is_serializable};

/// Everything that the log decides about.
pub struct State {
    store: Store,
    leases: Leases,
    auth: Auth,
    cluster: Cluster,
    alarms: Alarms,
    settings: Settings,
    /// Index of the last entry applied, inclusive.
    applied: u64,
    /// Term of that entry.
    term: u64,
    /// The storage version in the file, or what will be there after the next batch.
    storage_version: Option<Version>,
    /// Writes that no batch holds yet, other than those of `store`.
    writes: Vec<Write>,
    /// An entry was applied since the last batch, so that the consistent index has moved.
    touched: bool,
    /// Batches handed out and not yet reported as committed, oldest first.
    sealed: VecDeque<seal::InFlight>,
    /// Ops of the store that batches hold, committed or not.
    store_ops_sealed: u64,
    /// Of those, the ones that are durable.
    store_ops_committed: u64,
    /// Number of the last batch.
    batch: u64,
    /// The v2 membership of the last batch, and the cluster that it describes: it changes seldom.
    membership: Option<(Cluster, String)>,
    counts: Counts,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("applied", &self.applied)
            .field("term", &self.term)
            .finish_non_exhaustive()
    }
}

/// An answer to a range read.
#[derive(Debug)]
pub struct RangeAnswer {
    /// The pairs, most of them not read yet.
    pub rows: RangeRows,
    /// The limit cut the result.
    pub more: bool,
    /// Keys in range at that revision, whatever limit and filters.
    pub count: i64,
    /// The store's revision at execution.
    pub revision: i64,
    /// Rows that follow `rows`, in slices; `None` when `rows` are all.
    pub rest: Option<RangeRest>,
}

/// What a large range has yet to give. It keeps its revision from being compacted: whoever holds it must bound how
/// long.
#[derive(Debug)]
pub struct RangeRest {
    walk: mvcc::Walk,
    /// Bytes of the rows to come, each with its field key and length as in `RangeResponse`.
    pub framed_bytes: u64,
}

impl State {
    /// Answers a range request from the state as it is.
    ///
    /// # Errors
    /// `Compacted`, `FutureRevision`; or fatal when the backend fails.
    pub fn range(&mut self, request: &proto::etcdserverpb::RangeRequest) -> Result<RangeAnswer, Failure> {
        self.counts.ranges += 1;
        if let Some(answer) = self.range_in_slices(request)? {
            return Ok(answer);
        }
        let chosen = read::choose(&self.store, request)?;
        let (more, count, revision) = (chosen.more, chosen.count, chosen.revision);
        Ok(RangeAnswer { rows: chosen.detach(&self.store)?, more, count, revision, rest: None })
    }

    /// Begins a large range that asks for nothing special; `None` for all others. Its rows are listed a slice at a
    /// time, so that no range takes the state for long, or memory for all its rows.
    fn range_in_slices(
        &mut self,
        request: &proto::etcdserverpb::RangeRequest,
    ) -> Result<Option<RangeAnswer>, Failure> {
        if !read::is_plain(request) {
            return Ok(None);
        }
        let range = types::KeyRange::new(request.key.clone(), request.range_end.clone());
        let totals = self.store.totals(&range, request.revision)?;
        if totals.count <= read::SLICE_ROWS as u64 {
            return Ok(None);
        }
        let walk = match self.store.walk(range, request.revision) {
            Ok(walk) => walk,
            // Listed in one go then, as small ranges are.
            Err(mvcc::MvccError::TooManyPins) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut rest = RangeRest { walk, framed_bytes: totals.framed_bytes };
        let rows = self.next_rows(&mut rest)?;
        let count = i64::try_from(totals.count).expect("fewer than 2^63 keys");
        Ok(Some(RangeAnswer { rows, more: false, count, revision: self.store.revision(), rest: Some(rest) }))
    }

    /// The next rows of a large range; none only at its end.
    ///
    /// # Errors
    /// As [`State::range`].
    pub fn next_rows(&self, rest: &mut RangeRest) -> Result<RangeRows, Failure> {
        loop {
            let rows =
                self.store.walk_on(&mut rest.walk, read::SLICE_ROWS, read::SLICE_LOOKS, mvcc::Keys::Skip)?;
            if !rows.is_empty() || rest.walk.is_done() {
                let framed: u64 = rows.iter().map(|row| mvcc::framed_len(row.row_len)).sum();
                rest.framed_bytes = rest.framed_bytes.saturating_sub(framed);
                return Ok(RangeRows::stored(self.store.detach(&rows)));
            }
        }
    }

    /// Runs a transaction that [`is_read_only`].
    ///
    /// # Errors
    /// As [`State::range`].
    pub fn read_only_txn(
        &self,
        txn: &proto::etcdserverpb::TxnRequest,
    ) -> Result<proto::etcdserverpb::TxnResponse, Failure> {
        txn::run_read_only(&self.store, txn)
    }

    /// How much was done since the state was opened.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Keys and their history.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Keys and their history, for compaction steps and commits.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Leases.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Leases, for deadlines, which are the leader's own and never logged.
    pub fn leases_mut(&mut self) -> &mut Leases {
        &mut self.leases
    }

    /// Users, roles and permissions.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Members and versions.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The active alarms of a type; all of them for `None`.
    pub fn alarms(
        &self,
        alarm: proto::etcdserverpb::AlarmType,
    ) -> impl Iterator<Item = proto::etcdserverpb::AlarmMember> {
        self.alarms.of(alarm)
    }

    /// Index of the last entry applied, inclusive.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Term of the last entry applied.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The storage version; `None` when it cannot be told.
    pub fn storage_version(&self) -> Option<Version> {
        self.storage_version
    }
}
