//! What the watchers of one revision get, encoded once for all of them.

use bytes::{Bytes, BytesMut};
use mvcc::{Change, MvccError, RowRef};

use crate::{event::Prev, index::GroupId, rows::PrevRows, slice::Batch, watcher::Options};

/// What watchers with the same range and options get of a revision.
pub(super) enum Wanted {
    /// All events are filtered out.
    Nothing,
    /// These encoded events, so many.
    Events(Bytes, u32),
    /// Too many previous rows must be read first.
    Unread,
}

/// The events of one revision, encoded at most twice: without previous pairs, and with them.
pub(super) struct Bodies<'a> {
    pub(super) batch: Batch,
    /// What the batch was made of.
    changes: &'a [Change],
    /// Numbers of the events that somebody watches, ascending.
    watched: Vec<u32>,
    compacted: i64,
    /// How many previous rows may be read here.
    prev_rows_max: usize,
    plain: Option<Encoded>,
    /// `Some(None)`: too many previous rows would have to be read.
    with_prev: Option<Option<Encoded>>,
}

/// The watched events, one after the other.
struct Encoded {
    bytes: Bytes,
    /// Where each ends.
    ends: Vec<usize>,
}

impl<'a> Bodies<'a> {
    /// Of `batch`, made of `changes`, the events in `hits`. `compacted` is the oldest readable revision.
    pub(super) fn new(
        batch: Batch,
        changes: &'a [Change],
        hits: &[(GroupId, u32)],
        compacted: i64,
        prev_rows_max: usize,
    ) -> Bodies<'a> {
        let mut watched: Vec<u32> = hits.iter().map(|(_, event)| *event).collect();
        watched.dedup();
        Bodies { batch, changes, watched, compacted, prev_rows_max, plain: None, with_prev: None }
    }

    /// What a watcher with these options, which matches the events in `hits`, gets.
    pub(super) fn wanted(
        &mut self,
        hits: &[(GroupId, u32)],
        options: Options,
        rows: &impl PrevRows,
    ) -> Result<Wanted, MvccError> {
        let events = &self.batch.events;
        let numbers: Vec<u32> =
            hits.iter().map(|hit| hit.1).filter(|n| options.wants(events[*n as usize].kind)).collect();
        if numbers.is_empty() {
            return Ok(Wanted::Nothing);
        }
        let count = u32::try_from(numbers.len()).expect("events are numbered with 32 bits");
        let select = |encoded: &Encoded, watched| Wanted::Events(encoded.select(watched, &numbers), count);
        if !options.prev_kv() {
            let Bodies { batch, watched, plain, .. } = self;
            let encoded = plain.get_or_insert_with(|| Encoded::new(batch, watched, false));
            return Ok(select(encoded, watched));
        }
        if self.with_prev.is_none() {
            let readable = self.read_prev_rows(rows)?;
            self.with_prev = Some(readable.then(|| Encoded::new(&self.batch, &self.watched, true)));
        }
        let encoded = self.with_prev.as_ref().and_then(Option::as_ref);
        Ok(encoded.map_or(Wanted::Unread, |encoded| select(encoded, &self.watched)))
    }

    /// Reads the previous rows of the watched events, unless they are too many.
    fn read_prev_rows(&mut self, rows: &impl PrevRows) -> Result<bool, MvccError> {
        let mut found = Vec::new();
        for at in 0..self.watched.len() {
            let number = self.watched[at] as usize;
            found.extend(self.find_prev_row(number, rows).map(|row| (number, row)));
        }
        if found.len() > self.prev_rows_max {
            return Ok(false);
        }
        for (number, row) in found {
            self.batch.events[number].prev = Prev::fetch(&row, rows)?;
        }
        Ok(true)
    }

    /// The pair from before the revision: what the change replaced, unless that was of the same revision.
    fn find_prev_row(&mut self, number: usize, rows: &impl PrevRows) -> Option<RowRef> {
        let main = self.batch.main;
        let event = &mut self.batch.events[number];
        match &self.changes[number].prev {
            Some(row) if row.rev.main < main && event.prev == Prev::Unknown => Some(row.clone()),
            _ => event.find_prev(main, self.compacted, rows),
        }
    }
}

impl Encoded {
    fn new(batch: &Batch, watched: &[u32], with_prev: bool) -> Encoded {
        let events = watched.iter().map(|n| &batch.events[*n as usize]);
        let len = events.clone().map(|event| event.entry_len(batch.main, with_prev)).sum();
        let mut bytes = BytesMut::with_capacity(len);
        let ends = events
            .map(|event| {
                event.encode_entry(batch.main, with_prev, &mut bytes);
                bytes.len()
            })
            .collect();
        Encoded { bytes: bytes.freeze(), ends }
    }

    /// The events in `numbers`, a subset of `watched`; both ascend. Shared when they follow each other.
    fn select(&self, watched: &[u32], numbers: &[u32]) -> Bytes {
        let first = watched.partition_point(|n| *n < numbers[0]);
        let start = |at: usize| if at == 0 { 0 } else { self.ends[at - 1] };
        if watched[first..].starts_with(numbers) {
            return self.bytes.slice(start(first)..self.ends[first + numbers.len() - 1]);
        }
        let mut numbers = numbers.iter().peekable();
        let mut selected = BytesMut::new();
        for (at, watched) in watched.iter().enumerate() {
            if numbers.next_if_eq(&watched).is_some() {
                selected.extend_from_slice(&self.bytes[start(at)..self.ends[at]]);
            }
        }
        selected.freeze()
    }
}
