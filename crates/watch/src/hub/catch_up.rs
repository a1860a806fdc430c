//! From history to the watchers that are behind.

mod matches;

use bytes::Bytes;
use mvcc::MvccError;

use self::matches::{Matches, Missing, Next};
use super::Hub;
use crate::{
    effect::{Effect, HistoryQuery, JobId},
    event::Prev,
    lagging::Wait,
    limits::LOOK_BACK_REVISIONS,
    rows::PrevRows,
    slab::Slot,
    slice::{HistoryChunk, Slice},
    watcher::{Lag, State},
};

/// A read that is on its way.
#[derive(Debug)]
pub(super) enum Job {
    /// Of changes.
    Changes,
    /// Of previous rows for this slice.
    PrevRows(Slice, Vec<Missing>),
}

impl Hub {
    /// Serves watchers that are behind, as far as that needs no disk, and asks for at most one read for the
    /// others. To be called once per round of inputs; costs nothing when nobody is behind. One call does at most
    /// one pass over the revisions in memory.
    ///
    /// # Errors
    /// When a previous pair cannot be read: the store must not be trusted any more.
    pub fn catch_up(&mut self, rows: &impl PrevRows) -> Result<(), MvccError> {
        let missing = self.serve_recent(rows)?;
        if self.job.is_some() {
            return Ok(());
        }
        let history_waits = self.registry.lagging.has_ready();
        self.fetched_recent = match missing.first() {
            // In turns, when both are needed.
            Some(first) if !history_waits || !self.fetched_recent => {
                self.read_rows(self.recent.slice.tail(first.main), missing);
                true
            }
            _ => {
                self.read_history();
                false
            }
        };
        Ok(())
    }

    /// The changes that [`Effect::ReadHistory`] asked for. Answers to forgotten questions are ignored.
    pub fn history_read(&mut self, job: JobId, chunk: HistoryChunk, rows: &impl PrevRows) {
        let Some(Job::Changes) = self.take_job(job) else { return };
        let mut slice = chunk.slice;
        let missing = self.find_and_serve(&mut slice, rows);
        if missing.is_empty() {
            self.registry.lagging.wake_needy(&mut self.registry.watchers);
        } else {
            self.read_rows(slice, missing);
        }
    }

    /// The rows that [`Effect::ReadRows`] asked for, in its order. Answers to forgotten questions are ignored.
    ///
    /// # Panics
    /// When it is another number of rows.
    pub fn rows_read(&mut self, job: JobId, values: Vec<Bytes>, rows: &impl PrevRows) {
        let Some(Job::PrevRows(mut slice, missing)) = self.take_job(job) else { return };
        assert_eq!(values.len(), missing.len(), "every row that was asked for");
        for (missing, value) in missing.iter().zip(values) {
            *slice.prev_mut(missing.main, missing.event) = Prev::Row(value);
        }
        self.registry.lagging.wake_needy(&mut self.registry.watchers);
        self.find_and_serve(&mut slice, rows);
        // Who came meanwhile and needs other rows asks again.
        self.registry.lagging.wake_needy(&mut self.registry.watchers);
    }

    /// A read could not be done because its revisions were compacted meanwhile. It is asked for again as far
    /// as somebody still needs it.
    pub fn read_refused(&mut self, job: JobId) {
        if self.take_job(job).is_some() {
            self.registry.lagging.wake_needy(&mut self.registry.watchers);
        }
    }

    fn take_job(&mut self, job: JobId) -> Option<Job> {
        self.job.take_if(|(running, _)| *running == job).map(|(_, job)| job)
    }

    fn new_job(&mut self, job: Job) -> JobId {
        self.last_job = JobId(self.last_job.0 + 1);
        self.job = Some((self.last_job, job));
        self.last_job
    }

    /// Serves whom the revisions in memory can help. Few previous rows are read at once, so that who needs
    /// them reaches the head although it moves; if they are many, they are returned.
    fn serve_recent(&mut self, rows: &impl PrevRows) -> Result<Vec<Missing>, MvccError> {
        if !self.registry.lagging.has_ready() {
            return Ok(Vec::new());
        }
        let mut slice = std::mem::replace(&mut self.recent.slice, Slice::empty(0));
        let served = self.serve_recent_slice(&mut slice, rows);
        self.recent.slice = slice;
        served
    }

    fn serve_recent_slice(
        &mut self,
        slice: &mut Slice,
        rows: &impl PrevRows,
    ) -> Result<Vec<Missing>, MvccError> {
        let Some((served, mut matches)) = self.match_slice(slice) else { return Ok(Vec::new()) };
        let missing = matches.find_prev_rows(slice, self.compacted, rows);
        let (fetched, missing) =
            if self.are_few(&missing) { (missing, Vec::new()) } else { (Vec::new(), missing) };
        for found in &fetched {
            *slice.prev_mut(found.main, found.event) = Prev::fetch(&found.row, rows)?;
        }
        self.serve(served, slice, &mut matches);
        for found in &fetched {
            slice.prev_mut(found.main, found.event).forget();
        }
        Ok(missing)
    }

    /// Whether so many previous rows can be read on the spot.
    fn are_few(&self, missing: &[Missing]) -> bool {
        let limits = &self.outbox.limits;
        let bytes: usize = missing.iter().map(|missing| missing.row.row_len as usize).sum();
        missing.len() <= limits.prev_rows_inline_max && bytes <= limits.prev_bytes_max
    }

    /// Serves whom a slice that was read can help. Returns the previous rows without which some of them cannot
    /// go on.
    fn find_and_serve(&mut self, slice: &mut Slice, rows: &impl PrevRows) -> Vec<Missing> {
        let Some((served, mut matches)) = self.match_slice(slice) else { return Vec::new() };
        let missing = matches.find_prev_rows(slice, self.compacted, rows);
        self.serve(served, slice, &mut matches);
        missing
    }

    /// The watchers whose turn may come and whose next revision lies in `slice`, lowest first, and what they
    /// match; `None` when there are none.
    fn match_slice(&self, slice: &Slice) -> Option<(Vec<Slot>, Matches)> {
        let served: Vec<Slot> = (self.registry.lagging.between(slice.from, slice.to))
            .filter(|(_, slot)| self.is_ready(*slot))
            .map(|(_, slot)| slot)
            .collect();
        let matches = (!served.is_empty()).then(|| Matches::new(&self.registry, &served, slice))?;
        Some((served, matches))
    }

    fn serve(&mut self, served: Vec<Slot>, slice: &Slice, matches: &mut Matches) {
        for slot in served {
            self.serve_watcher(slot, slice, matches);
        }
    }

    /// Asks for the changes that the next watcher needs, from up to [`LOOK_BACK_REVISIONS`] before.
    fn read_history(&mut self) {
        let Some(leader) = self.registry.lagging.first() else { return };
        let wanted = self.registry.watchers[leader].next_rev;
        let from = (self.registry.lagging.between(wanted - LOOK_BACK_REVISIONS, wanted))
            .find(|(_, slot)| self.is_ready(*slot))
            .map_or(wanted, |(next_rev, _)| next_rev);
        let to = self.recent.slice.from - 1;
        assert!(from <= to, "what is in memory needs no read");
        let limits = self.outbox.limits;
        let query = HistoryQuery {
            job: self.new_job(Job::Changes),
            from,
            to,
            bytes_max: limits.slice_bytes_max,
            rows_max: limits.slice_rows_max,
        };
        self.outbox.effects.push(Effect::ReadHistory(query));
    }

    /// Asks for the rows that are missing in `slice`, and cuts the slice where they become too many.
    fn read_rows(&mut self, mut slice: Slice, mut missing: Vec<Missing>) {
        let first = missing[0].main;
        let mut bytes = 0_usize;
        let too_many = missing.iter().position(|missing| {
            bytes = bytes.saturating_add(missing.row.row_len as usize);
            bytes > self.outbox.limits.prev_bytes_max && missing.main > first
        });
        if let Some(too_many) = too_many {
            let end = missing[too_many].main;
            slice.truncate(end - 1);
            missing.retain(|missing| missing.main < end);
        }
        let rows = missing.iter().map(|missing| missing.row.clone()).collect();
        let job = self.new_job(Job::PrevRows(slice, missing));
        self.outbox.effects.push(Effect::ReadRows { job, rows });
    }

    fn is_ready(&self, slot: Slot) -> bool {
        matches!(self.registry.watchers[slot].state, State::Lagging(Lag::Turn(_)))
    }

    /// Sends a watcher what it lacks of `slice`, as far as its stream takes it.
    fn serve_watcher(&mut self, slot: Slot, slice: &Slice, matches: &mut Matches) {
        self.registry.take_turn(slot);
        let header = self.outbox.header(self.head);
        loop {
            let watcher = &mut self.registry.watchers[slot];
            let takes_events = self.outbox.takes_events(watcher.stream);
            let limits = self.outbox.reply_limits();
            match matches.next(watcher, slice, limits) {
                Next::Nothing if slice.to >= self.head => return self.registry.sync(slot, slice.to + 1),
                Next::Nothing => return self.registry.owe(slot, slice.to + 1, Wait::NextTurn),
                Next::Reply { first, .. } | Next::Unread { first } if !takes_events => {
                    return self.registry.owe(slot, first, Wait::Stream);
                }
                Next::Unread { first } => return self.registry.owe(slot, first, Wait::Rows),
                Next::Reply { first, last, body, events } => {
                    watcher.advance(first, last + 1);
                    if events > 0 {
                        self.outbox.send_events(watcher, header, &body, events);
                    }
                }
            }
        }
    }
}
