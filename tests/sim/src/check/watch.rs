//! Watches: everything once, in order, whole revisions, nothing left out, and progress that is true.

use bytes::Bytes;
use proto::{
    etcdserverpb::WatchResponse,
    mvccpb::{Event, event::EventType},
};

use super::{
    Checked,
    model::{Change, Model},
    range::contains,
    violation,
};

/// What a watcher has asked for and got so far; it outlives the streams that it opens one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) key: Bytes,
    pub(crate) range_end: Bytes,
    pub(crate) prev_kv: bool,
    /// Everything before this revision has come; 0 before the first response to a watch from now on.
    pub(crate) next: i64,
    /// A response of the same revision follows.
    fragment: bool,
    /// So many changes of `next` have come, or are not for this watcher.
    part: usize,
    pub(crate) events: u64,
}

/// How a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Open,
    /// It was cancelled: what it wants is compacted up to here.
    Compacted(i64),
    /// It was not allowed.
    Refused,
}

impl Watched {
    /// Watches from `next` on; from now on if that is 0.
    pub(crate) fn new(key: Bytes, range_end: Bytes, prev_kv: bool, next: i64) -> Watched {
        Watched { key, range_end, prev_kv, next, fragment: false, part: 0, events: 0 }
    }

    /// A new stream begins where the last one ended.
    pub(crate) fn reopen(&mut self) {
        (self.part, self.fragment) = (0, false);
    }

    /// The changes that must come next, in order, each with its place in its revision.
    fn wanted<'a>(&'a self, model: &'a Model) -> impl Iterator<Item = (usize, &'a Change)> + 'a {
        let inside =
            |(_, change): &(usize, &Change)| contains(&self.key, &self.range_end, &change.version.kv.key);
        let left = |(main, changes): (&i64, &'a Vec<Change>)| {
            let come = if *main == self.next { self.part } else { 0 };
            changes.iter().enumerate().skip(come)
        };
        model.changes.range(self.next..).flat_map(left).filter(inside)
    }

    /// The revision of the next event that must come; `None` when all have come.
    pub(crate) fn owed(&self, model: &Model) -> Option<i64> {
        if self.next == 0 { None } else { self.wanted(model).next().map(|(_, change)| change.version.main) }
    }

    /// A response has come.
    pub(crate) fn received(
        &mut self,
        model: &Model,
        response: &WatchResponse,
    ) -> Result<Stream, super::Violation> {
        let header = response.header.as_ref().map_or(0, |header| header.revision);
        if header > model.revision {
            return violation(format!("a watch is told revision {header}, which is not there yet"));
        }
        if response.canceled {
            let at = response.compact_revision;
            if at == 0 {
                return violation(format!("a watch was cancelled: {}", response.cancel_reason));
            }
            if self.next >= at || at > model.compacted {
                return violation(format!("a watch from {} was cancelled as compacted at {at}", self.next));
            }
            return Ok(Stream::Compacted(at));
        }
        if response.created {
            if self.next == 0 {
                self.next = header + 1;
            }
            return Ok(Stream::Open);
        }
        if self.next == 0 {
            return violation("a watch has events before it was created");
        }
        for event in &response.events {
            self.event(model, event)?;
        }
        self.fragment = response.fragment;
        if response.events.is_empty() {
            // Progress: everything up to the header's revision has come.
            if let Some(owed) = self.owed(model)
                && owed <= header
            {
                return violation(format!("progress up to {header}, and an event of {owed} has not come"));
            }
            self.step_to(header + 1);
        } else if !self.fragment {
            self.end_revision(model)?;
        }
        Ok(Stream::Open)
    }

    fn event(&mut self, model: &Model, event: &Event) -> Checked {
        let Some(kv) = &event.kv else { return violation("an event without a pair") };
        let Some((place, change)) = self.wanted(model).next() else {
            return violation(format!("an event of {} came when none was left", kv.mod_revision));
        };
        let deleted = event.r#type == EventType::Delete as i32;
        let prev_kv = change.previous.as_ref().filter(|_| self.prev_kv);
        // The pair before may be compacted by the time that the event is read.
        let prev_fits = event.prev_kv.as_ref() == prev_kv
            || event.prev_kv.is_none() && prev_kv.is_some_and(|prev| prev.mod_revision <= model.compacted);
        if deleted != change.version.deleted || *kv != change.version.kv || !prev_fits {
            return violation(format!("a watch from {} has {event:?}, not {change:?}", self.next));
        }
        let main = change.version.main;
        self.part = place + 1;
        self.next = main;
        self.events += 1;
        Ok(())
    }

    /// A response without a fragment to follow ends with all events of its last revision.
    fn end_revision(&mut self, model: &Model) -> Checked {
        if self.owed(model) == Some(self.next) {
            return violation(format!("revision {} came in two responses", self.next));
        }
        self.step_to(self.next + 1);
        Ok(())
    }

    fn step_to(&mut self, next: i64) {
        if next > self.next {
            (self.next, self.part) = (next, 0);
        }
    }
}
