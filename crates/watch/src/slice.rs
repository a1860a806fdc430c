//! Stretches of history in memory: what apply reported last, and what was read for those further behind.

use std::collections::VecDeque;

use mvcc::{HistoryRow, MvccError};
use types::Revision;

use crate::{
    effect::HistoryQuery,
    event::{Event, Prev},
    limits::Limits,
};

/// All changes of one revision, in order.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) main: i64,
    /// Never empty.
    pub(crate) events: Vec<Event>,
}

impl Batch {
    fn footprint(&self) -> usize {
        size_of::<Batch>() + self.events.iter().map(Event::footprint).sum::<usize>()
    }

    /// Lets previous rows go; they can be read again.
    fn forget_prev_rows(&mut self) {
        for event in &mut self.events {
            event.prev.forget();
        }
    }
}

/// Every change from one revision to another.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    /// First revision, inclusive.
    pub(crate) from: i64,
    /// Last revision, inclusive; `from - 1` when it covers nothing.
    pub(crate) to: i64,
    /// Ascending, all within `from..=to`. Revisions without a batch have no changes left.
    pub(crate) batches: VecDeque<Batch>,
}

impl Slice {
    /// Covers nothing; the next revision is `from`.
    pub(crate) fn empty(from: i64) -> Slice {
        Slice { from, to: from - 1, batches: VecDeque::new() }
    }

    /// Position of the first batch at or after a revision.
    pub(crate) fn position(&self, main: i64) -> usize {
        self.batches.partition_point(|batch| batch.main < main)
    }

    /// The previous pair of an event that is there.
    pub(crate) fn prev_mut(&mut self, main: i64, event: usize) -> &mut Prev {
        let batch = self.position(main);
        &mut self.batches[batch].events[event].prev
    }

    /// The part from a revision on, as a copy that shares the rows.
    pub(crate) fn tail(&self, from: i64) -> Slice {
        let batches = self.batches.range(self.position(from)..).cloned().collect();
        Slice { from: from.max(self.from), to: self.to, batches }
    }

    /// Forgets everything after a revision.
    pub(crate) fn truncate(&mut self, to: i64) {
        self.batches.truncate(self.position(to + 1));
        self.to = self.to.min(to);
    }
}

/// An answer to a [`crate::HistoryQuery`].
#[derive(Clone, Debug)]
pub struct HistoryChunk {
    pub(crate) slice: Slice,
}

impl HistoryChunk {
    /// Groups `rows` by revision, after checking that they are all rows from the query's `from` to `covered_to`,
    /// as far as that can be seen. `covered_to` is the query's `to` when no limit was reached.
    ///
    /// # Errors
    /// When the rows cannot be what a store holds.
    pub fn new(
        query: &HistoryQuery,
        rows: &[HistoryRow],
        covered_to: i64,
    ) -> Result<HistoryChunk, HistoryError> {
        let (from, to) = (query.from, covered_to);
        if !(from..=query.to).contains(&to) {
            return Err(HistoryError::Reach { covered_to, from, to: query.to });
        }
        let mut slice = Slice { from, to, batches: VecDeque::new() };
        let mut last = Revision::new(from, -1);
        for row in rows {
            let revision = row.revision;
            if revision <= last || revision.main > to {
                return Err(HistoryError::Order { revision, from, to });
            }
            last = revision;
            let event = Event::from_history(row).ok_or(HistoryError::Row(revision))?;
            match slice.batches.back_mut() {
                Some(batch) if batch.main == revision.main => batch.events.push(event),
                _ => slice.batches.push_back(Batch { main: revision.main, events: vec![event] }),
            }
        }
        Ok(HistoryChunk { slice })
    }
}

/// Why history could not be read: the store must not be trusted any more.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The store says so itself.
    #[error(transparent)]
    Store(#[from] MvccError),
    /// A row is no key-value pair.
    #[error("the row at revision {0} is not a key-value pair")]
    Row(Revision),
    /// Rows out of order, or outside what was asked for.
    #[error("row at revision {revision} does not belong between {from} and {to}")]
    Order {
        /// Where.
        revision: Revision,
        /// Where the slice starts, inclusive.
        from: i64,
        /// Where it ends, inclusive.
        to: i64,
    },
    /// A slice that holds nothing, or more than was asked for.
    #[error("history was read up to {covered_to} instead of {from} to {to}")]
    Reach {
        /// What the chunk says.
        covered_to: i64,
        /// First revision asked for.
        from: i64,
        /// Last revision asked for.
        to: i64,
    },
}

/// The newest revisions, up to the head, within a byte limit: most watchers that are behind are only a little.
#[derive(Debug)]
pub(crate) struct Recent {
    /// `to` is the hub's head. Holds no previous rows between calls: they may be much larger than the rows.
    pub(crate) slice: Slice,
    /// Sum of the batches' footprints.
    bytes: usize,
}

impl Recent {
    /// Nothing yet, at this head.
    pub(crate) fn new(head: i64) -> Recent {
        Recent { slice: Slice::empty(head + 1), bytes: 0 }
    }

    /// Adds the newest revision and forgets the oldest ones that are too much.
    pub(crate) fn push(&mut self, mut batch: Batch, limits: &Limits) {
        batch.forget_prev_rows();
        self.bytes += batch.footprint();
        self.slice.to = batch.main;
        self.slice.batches.push_back(batch);
        while (self.bytes > limits.recent_bytes_max || self.slice.batches.len() > limits.recent_revisions_max)
            && let Some(oldest) = self.slice.batches.pop_front()
        {
            self.slice.from = oldest.main + 1;
            self.bytes -= oldest.footprint();
        }
    }
}
