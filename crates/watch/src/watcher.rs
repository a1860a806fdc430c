//! One subscription.

use types::mutant::{self, Mutant};

use crate::{event::Kind, index::GroupId, slab::Slot};

/// What a watcher wants to see of a change. Watchers of one range with equal options share their events' bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Options(u8);

impl Options {
    const PREV_KV: u8 = 1;
    const NO_PUT: u8 = 2;
    const NO_DELETE: u8 = 4;
    /// How many different options there are.
    pub(crate) const COUNT: usize = 8;

    pub(crate) fn new(prev_kv: bool, no_put: bool, no_delete: bool) -> Options {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        Options(bit(prev_kv, Self::PREV_KV) | bit(no_put, Self::NO_PUT) | bit(no_delete, Self::NO_DELETE))
    }

    /// A number below [`Options::COUNT`], different for different options.
    pub(crate) fn number(self) -> usize {
        usize::from(self.0)
    }

    pub(crate) fn prev_kv(self) -> bool {
        self.0 & Self::PREV_KV != 0
    }

    /// Whether changes of this kind pass the filters.
    pub(crate) fn wants(self, kind: Kind) -> bool {
        let filter = if kind == Kind::Delete { Self::NO_DELETE } else { Self::NO_PUT };
        self.0 & filter == 0
    }
}

/// How far a watcher is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Has everything up to the hub's head, and is fed by apply. May want nothing before a future revision.
    Synced,
    /// Is owed something between `next_rev` and the head; holds no events.
    Lagging(Lag),
    /// Lost history to a compaction, was told so, and keeps its number until the client cancels it.
    Compacted,
}

/// What a lagging watcher waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lag {
    /// Its turn: lower numbers come first.
    Turn(u64),
    /// Its stream, which has too much queued.
    Stream,
    /// Previous rows that have to be read first.
    Rows,
}

/// One subscription.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// Where its replies go.
    pub(crate) stream: Slot,
    /// Its number on the stream.
    pub(crate) id: i64,
    /// First revision that the client wanted; 0: from creation on.
    pub(crate) start_rev: i64,
    /// Lowest revision that may still be sent. Only ever rises. A synced watcher has also seen everything up to
    /// the head, which may be beyond.
    pub(crate) next_rev: i64,
    pub(crate) options: Options,
    /// Whether large replies may be cut.
    pub(crate) fragment: bool,
    /// Whether it wants to hear regularly that nothing happened.
    pub(crate) progress_notify: bool,
    /// No event was sent since the last progress tick.
    pub(crate) quiet: bool,
    pub(crate) state: State,
    /// Where the index has it. Means nothing when compacted.
    pub(crate) group: GroupId,
    /// Place in its list of the group.
    pub(crate) position: usize,
}

impl Watcher {
    /// Records that everything below `next` is sent, events from `first` on just now.
    ///
    /// # Panics
    /// When that would repeat an event or go back in time (reliability: one monotone number per watcher).
    pub(crate) fn advance(&mut self, first: i64, next: i64) {
        assert!(
            first >= self.next_rev && next > first,
            "watcher {} owes {} and was about to send {first}..{next}",
            self.id,
            self.next_rev
        );
        let again = mutant::is_on(Mutant::EventTwice) && matches!(self.state, State::Lagging(_));
        self.next_rev = if again { next - 1 } else { next };
    }
}
