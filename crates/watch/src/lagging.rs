//! The watchers that catch up: who is served next, and who can be served together.

use std::collections::BTreeSet;

use crate::{
    slab::{Slab, Slot},
    watcher::{Lag, State, Watcher},
};

/// All lagging watchers, ordered in the ways that catching up needs. Each operation is O(log n).
#[derive(Debug, Default)]
pub(crate) struct Lagging {
    /// Each lagging watcher, with the revision that it is owed next.
    by_revision: BTreeSet<(i64, Slot)>,
    /// Those that can be served: by turn, then by revision.
    turns: BTreeSet<(u64, i64, Slot)>,
    /// Those that wait for previous rows.
    needy: BTreeSet<Slot>,
    /// The turn being served. A watcher that was served waits for the next one, so that each gets a slice
    /// before any gets two.
    turn: u64,
}

impl Lagging {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_revision.len()
    }

    /// Adds a watcher, which becomes lagging.
    pub(crate) fn insert(&mut self, slot: Slot, watcher: &mut Watcher, wait: Wait) {
        let lag = match wait {
            Wait::ThisTurn => Lag::Turn(self.turn),
            Wait::NextTurn => Lag::Turn(self.turn + 1),
            Wait::Stream => Lag::Stream,
            Wait::Rows => Lag::Rows,
        };
        self.by_revision.insert((watcher.next_rev, slot));
        match lag {
            Lag::Turn(turn) => _ = self.turns.insert((turn, watcher.next_rev, slot)),
            Lag::Rows => _ = self.needy.insert(slot),
            Lag::Stream => {}
        }
        watcher.state = State::Lagging(lag);
    }

    /// Removes a watcher, before its state or revision changes.
    pub(crate) fn remove(&mut self, slot: Slot, watcher: &Watcher) {
        let State::Lagging(lag) = watcher.state else {
            unreachable!("only lagging watchers are in here");
        };
        let known = self.by_revision.remove(&(watcher.next_rev, slot));
        assert!(known, "a lagging watcher is listed under its revision");
        match lag {
            Lag::Turn(turn) => _ = self.turns.remove(&(turn, watcher.next_rev, slot)),
            Lag::Rows => _ = self.needy.remove(&slot),
            Lag::Stream => {}
        }
    }

    /// The watcher whose turn it is.
    pub(crate) fn first(&mut self) -> Option<Slot> {
        let (turn, _, slot) = *self.turns.first()?;
        self.turn = turn;
        Some(slot)
    }

    /// The watcher that is furthest behind.
    pub(crate) fn oldest(&self) -> Option<(i64, Slot)> {
        self.by_revision.first().copied()
    }

    /// Those that are owed a revision from `from` to `to`, both inclusive, lowest first.
    pub(crate) fn between(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, Slot)> {
        self.by_revision.range((from, 0)..=(to.max(from), Slot::MAX)).copied()
    }

    /// Whether somebody can be served.
    pub(crate) fn has_ready(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Gives all that wait for previous rows a turn.
    pub(crate) fn wake_needy(&mut self, watchers: &mut Slab<Watcher>) {
        for slot in std::mem::take(&mut self.needy) {
            let watcher = &mut watchers[slot];
            self.turns.insert((self.turn, watcher.next_rev, slot));
            watcher.state = State::Lagging(Lag::Turn(self.turn));
        }
    }
}

/// What a watcher that is added waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Its first slice.
    ThisTurn,
    /// Its next slice: it just had one.
    NextTurn,
    /// Its stream.
    Stream,
    /// Previous rows.
    Rows,
}
