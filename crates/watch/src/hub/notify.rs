//! From apply to the synced watchers.

mod bodies;

use mvcc::{Change, MvccError};

use self::bodies::{Bodies, Wanted};
use super::Hub;
use crate::{
    event::Event, index::GroupId, lagging::Wait, limits::HITS_KEPT, rows::PrevRows, slab::Slot, slice::Batch,
    watcher::Options,
};

impl Hub {
    /// Reports the changes of the next revision, in order, to the synced watchers. `rows` is the store with
    /// that revision applied. Costs nothing for watchers that do not match.
    ///
    /// # Errors
    /// When a previous pair cannot be read; some watchers may have been served, so the member must stop.
    ///
    /// # Panics
    /// When the revision is not beyond all earlier ones, or the changes are of several revisions.
    pub fn notify(&mut self, changes: &[Change], rows: &impl PrevRows) -> Result<(), MvccError> {
        let Some(first) = changes.first() else { return Ok(()) };
        let main = first.revision.main;
        assert!(main > self.head, "revision {main} after {}", self.head);
        assert!(changes.iter().all(|change| change.revision.main == main), "one revision at a time");
        let batch = Batch { main, events: changes.iter().map(Event::from_change).collect() };
        let mut hits = std::mem::take(&mut self.hits);
        for (number, event) in (0..).zip(&batch.events) {
            self.registry.index.matches(&event.key, |id, group| {
                if !group.synced.is_empty() {
                    hits.push((id, number));
                }
            });
        }
        let mut bodies =
            Bodies::new(batch, changes, &hits, self.compacted, self.outbox.limits.prev_rows_inline_max);
        hits.sort_unstable();
        for hits in hits.chunk_by(|a, b| a.0 == b.0) {
            self.notify_group(hits, &mut bodies, rows)?;
        }
        hits.clear();
        hits.shrink_to(HITS_KEPT);
        self.hits = hits;
        self.head = main;
        self.recent.push(bodies.batch, &self.outbox.limits);
        Ok(())
    }

    /// Sends the events in `hits` to the synced watchers of their group.
    fn notify_group(
        &mut self,
        hits: &[(GroupId, u32)],
        bodies: &mut Bodies<'_>,
        rows: &impl PrevRows,
    ) -> Result<(), MvccError> {
        let main = bodies.batch.main;
        let header = self.outbox.header(main);
        let mut wanted: [Option<Wanted>; Options::COUNT] = Default::default();
        let mut fallen: Vec<(Slot, Wait)> = Vec::new();
        for &slot in &self.registry.index.group(hits[0].0).synced {
            let watcher = &mut self.registry.watchers[slot];
            if main < watcher.next_rev {
                continue;
            }
            let options = watcher.options;
            let wanted = match &mut wanted[options.number()] {
                Some(known) => known,
                unknown => unknown.insert(bodies.wanted(hits, options, rows)?),
            };
            match wanted {
                Wanted::Nothing => {}
                Wanted::Events(..) if !self.outbox.takes_events(watcher.stream) => {
                    fallen.push((slot, Wait::Stream));
                }
                Wanted::Events(body, count) => {
                    watcher.advance(main, main + 1);
                    self.outbox.send_events(watcher, header, body, *count);
                }
                Wanted::Unread => fallen.push((slot, Wait::ThisTurn)),
            }
        }
        for (slot, wait) in fallen {
            self.registry.fall_behind(slot, main, wait);
        }
        Ok(())
    }
}
