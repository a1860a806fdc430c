//! The changes of a key before its newest one, until compaction takes them.

use std::collections::VecDeque;

use types::Revision;

use super::record::Record;

/// One older change: 24 bytes. `create_revision` is derived, see [`Older::record`].
#[derive(Clone, Copy)]
struct Past {
    main: i64,
    /// Puts of this life up to here; 0 in a tombstone.
    version: i64,
    sub: u32,
    /// `row_len << 1 | tombstone`.
    len_and_mark: u32,
}

impl Past {
    fn new(record: &Record) -> Past {
        Past {
            main: record.rev.main,
            version: record.version,
            sub: u32::try_from(record.rev.sub).expect("checked where records come in"),
            len_and_mark: record.row_len << 1 | u32::from(record.tombstone),
        }
    }

    fn rev(&self) -> Revision {
        Revision { main: self.main, sub: i64::from(self.sub) }
    }

    fn tombstone(&self) -> bool {
        self.len_and_mark & 1 == 1
    }
}

/// The older changes of one key, oldest first. Never empty while a leaf names its slot.
pub(super) struct Older {
    /// A deque, so that compaction takes a long history away in slices.
    past: VecDeque<Past>,
    /// `create_revision` of the life that `past[0]` belongs to, for when that life's first put is compacted away.
    first_create: i64,
}

impl Older {
    /// The history of a key that gets its second change.
    fn new(first: &Record) -> Older {
        Older { past: vec![Past::new(first)].into(), first_create: first.create_revision }
    }

    /// Number of older changes.
    pub(super) fn len(&self) -> usize {
        self.past.len()
    }

    /// The change at `position`, 0 being the oldest.
    ///
    /// Within a life versions count up by one, so the first put of the life lies `version - 1` places before; if
    /// that was compacted away, this is the oldest life here.
    pub(super) fn record(&self, position: usize) -> Record {
        let past = &self.past[position];
        let create_revision = if past.tombstone() {
            0
        } else {
            usize::try_from(past.version.wrapping_sub(1))
                .ok()
                .and_then(|puts_before| position.checked_sub(puts_before))
                .map_or(self.first_create, |first| self.past[first].main)
        };
        Record {
            rev: past.rev(),
            create_revision,
            version: past.version,
            row_len: past.len_and_mark >> 1,
            tombstone: past.tombstone(),
        }
    }

    /// How many older changes have main `<= at`.
    pub(super) fn count_up_to(&self, at: i64) -> usize {
        self.past.partition_point(|past| past.main <= at)
    }

    /// Keeps, of the first `keep.len()` changes, those whose flag is set, and all after them. Returns how many remain.
    ///
    /// Those that go must leave no gap within a life: compaction keeps of the covered changes at most the newest, and
    /// tombstones.
    fn retain(&mut self, keep: &[bool]) -> usize {
        let first = keep.iter().position(|kept| *kept).unwrap_or(keep.len());
        if first < self.past.len() {
            self.first_create = self.record(first).create_revision;
        }
        let mut kept: Vec<Past> = Vec::new();
        for (past, keep) in self.past.drain(..keep.len()).zip(keep) {
            if *keep {
                kept.push(past);
            }
        }
        for past in kept.into_iter().rev() {
            self.past.push_front(past);
        }
        if self.past.capacity() > 2 * self.past.len() {
            self.past.shrink_to_fit();
        }
        self.past.len()
    }
}

/// All changes of a key, by position: 0 is the oldest, the last is the newest.
pub(crate) struct Changes<'a> {
    older: Option<&'a Older>,
    newest: Record,
}

impl<'a> Changes<'a> {
    pub(super) fn new(older: Option<&'a Older>, newest: Record) -> Changes<'a> {
        Changes { older, newest }
    }

    /// Number of changes before the newest.
    pub(super) fn older_len(&self) -> usize {
        self.older.map_or(0, Older::len)
    }

    /// The change at `position`, which is at most [`older_len`](Changes::older_len).
    pub(crate) fn record(&self, position: usize) -> Record {
        match self.older {
            Some(older) if position < older.len() => older.record(position),
            _ => self.newest,
        }
    }

    /// How many changes have main `<= at`.
    pub(crate) fn count_up_to(&self, at: i64) -> usize {
        if self.newest.rev.main <= at {
            return self.older_len() + 1;
        }
        self.older.map_or(0, |older| older.count_up_to(at))
    }

    /// The newest change with main `<= at`.
    pub(crate) fn newest_up_to(&self, at: i64) -> Option<Record> {
        self.count_up_to(at).checked_sub(1).map(|position| self.record(position))
    }

    /// The changes of one revision, oldest first.
    pub(crate) fn of_revision(&self, main: i64) -> impl Iterator<Item = Record> {
        // A client may name any number, also the lowest.
        (self.count_up_to(main.saturating_sub(1))..self.count_up_to(main))
            .map(|position| self.record(position))
    }
}

/// All older changes of all keys, by slot.
#[derive(Default)]
pub(super) struct OlderSlots {
    slots: Vec<Option<Older>>,
    free: Vec<u32>,
}

impl OlderSlots {
    /// Adds `record` as the newest of the older changes in `slot`, or in a new slot.
    pub(super) fn push(&mut self, slot: Option<u32>, record: &Record) -> u32 {
        if let Some(slot) = slot {
            let older = self.slots[slot as usize].as_mut().expect("a leaf names only slots in use");
            older.past.push_back(Past::new(record));
            return slot;
        }
        let older = Some(Older::new(record));
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = older;
            return slot;
        }
        self.slots.push(older);
        u32::try_from(self.slots.len() - 1).expect("fewer keys than 2^32 fit into memory")
    }

    /// The older changes in `slot`.
    pub(super) fn older(&self, slot: u32) -> &Older {
        self.slots[slot as usize].as_ref().expect("a leaf names only slots in use")
    }

    /// See [`Older::retain`]; frees the slot, and returns `None`, when nothing remains.
    pub(super) fn retain(&mut self, slot: u32, keep: &[bool]) -> Option<u32> {
        let older = self.slots[slot as usize].as_mut().expect("a leaf names only slots in use");
        if older.retain(keep) > 0 {
            return Some(slot);
        }
        self.slots[slot as usize] = None;
        self.free.push(slot);
        if self.free.len() == self.slots.len() {
            *self = OlderSlots::default();
        }
        None
    }

    /// Bytes on the heap, allocator overhead left out.
    pub(super) fn heap_bytes(&self) -> usize {
        let past: usize = self.slots.iter().flatten().map(|older| older.past.capacity()).sum();
        self.slots.capacity() * size_of::<Option<Older>>()
            + self.free.capacity() * size_of::<u32>()
            + past * size_of::<Past>()
    }
}
