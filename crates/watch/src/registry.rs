//! All watchers, and the moves between their states. Each move keeps slab, index and catch-up order in step.

use types::KeyRange;

use crate::{
    index::{Index, List},
    lagging::{Lagging, Wait},
    slab::{Slab, Slot},
    watcher::{State, Watcher},
};

/// All watchers of all streams.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) watchers: Slab<Watcher>,
    pub(crate) index: Index,
    pub(crate) lagging: Lagging,
}

impl Registry {
    /// Adds a synced watcher of a range that is not empty. Its group and position are filled in.
    pub(crate) fn add(&mut self, range: KeyRange, mut watcher: Watcher) -> Slot {
        assert_eq!(watcher.state, State::Synced, "watchers start synced and may then fall behind");
        watcher.group = self.index.group_for(range);
        let slot = self.watchers.insert(watcher);
        self.join(slot, List::Synced);
        slot
    }

    /// Removes a watcher in any state.
    pub(crate) fn remove(&mut self, slot: Slot) -> Watcher {
        self.unlist(slot);
        self.watchers.remove(slot)
    }

    /// A synced watcher is owed `next_rev`, which is not below anything it was sent.
    pub(crate) fn fall_behind(&mut self, slot: Slot, next_rev: i64, wait: Wait) {
        self.leave(slot, List::Synced);
        self.join(slot, List::Lagging);
        self.owe(slot, next_rev, wait);
    }

    /// Takes a lagging watcher out of the catch-up order, to serve it. `owe` or `sync` must follow.
    pub(crate) fn take_turn(&mut self, slot: Slot) {
        self.lagging.remove(slot, &self.watchers[slot]);
    }

    /// A watcher that was taken out is owed `next_rev`.
    pub(crate) fn owe(&mut self, slot: Slot, next_rev: i64, wait: Wait) {
        let watcher = &mut self.watchers[slot];
        assert!(next_rev >= watcher.next_rev, "watcher {} would go back in time", watcher.id);
        watcher.next_rev = next_rev;
        self.lagging.insert(slot, watcher, wait);
    }

    /// A watcher that was taken out has everything below `next_rev`, which is beyond the head.
    pub(crate) fn sync(&mut self, slot: Slot, next_rev: i64) {
        let watcher = &mut self.watchers[slot];
        assert!(next_rev >= watcher.next_rev, "watcher {} would go back in time", watcher.id);
        watcher.next_rev = next_rev;
        watcher.state = State::Synced;
        self.leave(slot, List::Lagging);
        self.join(slot, List::Synced);
    }

    /// A lagging watcher has lost history: it keeps only its number.
    pub(crate) fn compact(&mut self, slot: Slot) {
        self.unlist(slot);
        self.watchers[slot].state = State::Compacted;
    }

    /// Takes a watcher out of the index and the catch-up order.
    fn unlist(&mut self, slot: Slot) {
        let watcher = &self.watchers[slot];
        let group = watcher.group;
        match watcher.state {
            State::Synced => self.leave(slot, List::Synced),
            State::Lagging(_) => {
                self.lagging.remove(slot, watcher);
                self.leave(slot, List::Lagging);
            }
            State::Compacted => return,
        }
        self.index.drop_if_empty(group);
    }

    fn join(&mut self, slot: Slot, list: List) {
        let watcher = &mut self.watchers[slot];
        let list = self.index.group_mut(watcher.group).list(list);
        watcher.position = list.len();
        list.push(slot);
    }

    fn leave(&mut self, slot: Slot, list: List) {
        let Watcher { group, position, .. } = self.watchers[slot];
        let list = self.index.group_mut(group).list(list);
        let found = list.swap_remove(position);
        assert_eq!(found, slot, "a watcher knows its place");
        if let Some(&moved) = list.get(position) {
            self.watchers[moved].position = position;
        }
    }
}
