//! What must hold between calls.

use std::collections::BTreeSet;

use crate::{
    Hub,
    index::List,
    watcher::{Lag, State},
};

impl Hub {
    pub(super) fn check_invariants(&self) {
        let mut owned = BTreeSet::new();
        let mut queued = 0;
        for (slot, stream) in self.outbox.streams.iter() {
            assert_eq!(self.by_id[&stream.id], slot);
            assert!(self.ticks.contains(&(stream.next_tick, slot)));
            assert!(!stream.parked || stream.queued > 0, "a parked stream has something that will leave");
            queued += stream.queued;
            for (id, watcher) in &stream.watchers {
                assert_eq!(
                    (self.registry.watchers[*watcher].id, self.registry.watchers[*watcher].stream),
                    (*id, slot)
                );
                owned.insert(*watcher);
            }
        }
        assert_eq!(queued, self.outbox.queued);
        assert_eq!(
            (self.by_id.len(), self.ticks.len()),
            (self.outbox.streams.len(), self.outbox.streams.len())
        );
        assert_eq!(owned, self.registry.watchers.iter().map(|(slot, _)| slot).collect());
        self.check_states();
        assert_eq!(self.recent.slice.to, self.head);
        assert!(self.recent.slice.from <= self.head + 1);
    }

    fn check_states(&self) {
        let (mut lagging, mut listed) = (0, 0);
        for (slot, watcher) in self.registry.watchers.iter() {
            let list = match watcher.state {
                State::Compacted => continue,
                State::Synced => List::Synced,
                State::Lagging(lag) => {
                    lagging += 1;
                    assert!((self.compacted..=self.head).contains(&watcher.next_rev));
                    let parked = self.outbox.streams[watcher.stream].parked;
                    assert!(lag != Lag::Stream || parked, "waits for a stream that has room");
                    assert!(lag != Lag::Rows || self.job.is_some(), "waits for rows that nobody reads");
                    List::Lagging
                }
            };
            listed += 1;
            let group = self.registry.index.group(watcher.group);
            let members = if list == List::Synced { &group.synced } else { &group.lagging };
            assert_eq!(members[watcher.position], slot);
        }
        assert_eq!(lagging, self.registry.lagging.len());
        let groups: BTreeSet<_> = (self.registry.watchers.iter())
            .filter(|(_, watcher)| watcher.state != State::Compacted)
            .map(|(_, watcher)| watcher.group)
            .collect();
        assert_eq!(groups.len(), self.registry.index.len(), "groups go with their last watcher");
        let members: usize = groups
            .iter()
            .map(|group| self.registry.index.group(*group))
            .map(|group| group.synced.len() + group.lagging.len())
            .sum();
        assert_eq!(members, listed);
    }
}
