//! The key index: every key, its newest change in a packed leaf, its older changes beside.
//!
//! In memory only; [`crate::Store::open`] rebuilds it from the rows. A key stays until compaction has passed its
//! tombstone.

mod older;
mod packed;
mod record;
mod tree;

use std::ops::ControlFlow;

use types::{
    KeyRange, Revision,
    mutant::{self, Mutant},
};

pub(crate) use self::{older::Changes, record::Record};
use self::{
    older::OlderSlots,
    record::Head,
    tree::{Entry, Tree},
};
use crate::row::framed_len;

/// See the module.
#[derive(Default)]
pub(crate) struct KeyIndex {
    tree: Tree,
    older: OlderSlots,
}

/// How many keys a range has at some revision, and what they weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Keys.
    pub count: u64,
    /// Bytes of all rows as elements of a repeated field ([`framed_len`](crate::framed_len)): what a
    /// `RangeResponse` with all of them takes, less its header and count.
    pub framed_bytes: u64,
}

/// What [`KeyIndex::sweep`] does to one key.
struct Trim {
    key: Vec<u8>,
    /// One flag per covered older change, oldest first; see `Older::retain`.
    keep: Vec<bool>,
    /// The newest change is a tombstone below the compaction: the key goes.
    drop_head: bool,
}

/// What compaction may delete, as [`KeyIndex::sweep`] finds it.
pub(crate) struct Swept {
    /// Rows that nothing can read any more, in no order: revision and whether it is a tombstone.
    pub(crate) victims: Vec<(Revision, bool)>,
    /// Whether some key has a tombstone at the compaction revision itself.
    pub(crate) tombstone_at_target: bool,
    /// Where to go on, inclusive; `None` at the end of the index.
    pub(crate) next: Option<Vec<u8>>,
}

impl KeyIndex {
    /// Keys that exist at the newest revision.
    pub(crate) fn live(&self) -> u64 {
        self.tree.total().live
    }

    /// Bytes on the heap, allocator overhead left out.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.tree.heap_bytes() + self.older.heap_bytes()
    }

    /// The newest change of `key` with main `<= at`, tombstones included.
    pub(crate) fn at(&self, key: &[u8], at: i64) -> Option<Record> {
        self.tree.find(key).and_then(|head| self.changes(&head).newest_up_to(at))
    }

    /// Whether the index still knows the change of `key` at `rev`.
    pub(crate) fn knows(&self, key: &[u8], rev: Revision) -> bool {
        self.tree
            .find(key)
            .is_some_and(|head| self.changes(&head).of_revision(rev.main).any(|record| record.rev == rev))
    }

    /// Adds a change that `make` derives from the newest one, and returns both.
    ///
    /// The new revision must be greater than all before.
    pub(crate) fn push(
        &mut self,
        key: &[u8],
        make: impl FnOnce(Option<&Record>) -> Record,
    ) -> (Option<Record>, Record) {
        let mut pushed = None;
        let older = &mut self.older;
        self.tree.upsert(key, |head| {
            let record = make(head.as_ref().map(|head| &head.record));
            let slot = head.as_ref().map(|head| {
                assert!(record.rev > head.record.rev, "revision {} after {}", record.rev, head.record.rev);
                older.push(head.older, &head.record)
            });
            pushed = Some((head.map(|head| head.record), record));
            Head { record, older: slot }
        });
        pushed.expect("`upsert` calls back once")
    }

    /// Calls `each` for the keys of `range` that exist at `at`, in key order, until it breaks or `max` entries were
    /// looked at. Returns the key to go on with when `max` was the reason to stop.
    ///
    /// At an older revision an entry can be looked at and not exist; that is why `max` counts looks.
    pub(crate) fn visit(
        &self,
        range: &KeyRange,
        at: i64,
        max: usize,
        each: &mut impl FnMut(&Key<'_>, &Record) -> ControlFlow<()>,
    ) -> Option<Vec<u8>> {
        let mut looked_at = 0;
        let mut next = None;
        // A subtree without live keys may have had some at `at` if it changed since.
        let dead = &mut |stats: &tree::Stats| stats.live == 0 && stats.newest <= at;
        let _ = self.walk(range, dead, &mut |entry| {
            let key = Key { index: self, entry: &entry };
            if looked_at == max {
                next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            looked_at += 1;
            match self.changes(&entry.head).newest_up_to(at) {
                Some(record) if !record.tombstone => each(&key, &record),
                _ => ControlFlow::Continue(()),
            }
        });
        next
    }

    /// Counts and weighs the keys of `range` that exist at `at`.
    ///
    /// O(log n) when `at` is the newest revision; before that, subtrees that changed since are walked.
    pub(crate) fn totals(&self, range: &KeyRange, at: i64) -> Totals {
        let (mut whole, mut single) = (Totals::default(), Totals::default());
        let _ = self.walk(
            range,
            &mut |stats| {
                let unchanged = stats.newest <= at;
                if unchanged {
                    whole.count += stats.live;
                    whole.framed_bytes += stats.framed;
                }
                unchanged
            },
            &mut |entry| {
                if let Some(record) = self.changes(&entry.head).newest_up_to(at)
                    && !record.tombstone
                {
                    single.count += 1;
                    single.framed_bytes += framed_len(record.row_len);
                }
                ControlFlow::Continue(())
            },
        );
        Totals { count: whole.count + single.count, framed_bytes: whole.framed_bytes + single.framed_bytes }
    }

    /// One slice of a compaction to `target`: looks at up to `max` changes, of keys from `from` on that may have
    /// something to give, and takes it.
    ///
    /// Of the changes with main `<= target` the newest stays, and tombstones exactly at `target`; a newest one that
    /// is a tombstone below `target` goes too, and the key with it when nothing is left (contract/semantics.md 4.3).
    pub(crate) fn sweep(&mut self, target: i64, from: &[u8], max: usize) -> Swept {
        let mut swept = Swept { victims: Vec::new(), tombstone_at_target: false, next: None };
        let mut trims = Vec::new();
        let mut budget = max;
        let _ = self.walk_aged(from, &mut |entry| {
            if budget > 0 {
                let (trim, all) = self.trim(&entry, target, &mut budget, &mut swept);
                trims.extend(trim);
                if all {
                    return ControlFlow::Continue(());
                }
            }
            swept.next = Some(Key { index: self, entry: &entry }.to_vec());
            ControlFlow::Break(())
        });
        for trim in trims {
            self.apply(&trim);
        }
        swept
    }

    /// One slice of the search for rows that `HashKV` leaves out: calls `each` with up to `max` keys from `from` on
    /// that have older changes or a tombstone. Returns where to go on.
    pub(crate) fn visit_aged(
        &self,
        from: &[u8],
        max: usize,
        each: &mut impl FnMut(&Changes<'_>),
    ) -> Option<Vec<u8>> {
        let mut looked_at = 0;
        let mut next = None;
        let _ = self.walk_aged(from, &mut |entry| {
            if looked_at == max {
                next = Some(Key { index: self, entry: &entry }.to_vec());
                return ControlFlow::Break(());
            }
            looked_at += 1;
            each(&self.changes(&entry.head));
            ControlFlow::Continue(())
        });
        next
    }

    fn changes(&self, head: &Head) -> Changes<'_> {
        Changes::new(head.older.map(|slot| self.older.older(slot)), head.record)
    }

    fn walk(
        &self,
        range: &KeyRange,
        whole: &mut impl FnMut(&tree::Stats) -> bool,
        each: &mut impl FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if range.is_empty() {
            return ControlFlow::Continue(());
        }
        // The successor of a key in byte order; `end` is no bound when the range is open.
        let after_key = range.is_single().then(|| [&range.key[..], &[0]].concat());
        let high = match &after_key {
            Some(after_key) => Some(&after_key[..]),
            None if range.is_open() => None,
            None => Some(&range.end[..]),
        };
        let low = (!range.key.is_empty()).then_some(&range.key[..]);
        self.tree.walk(low, high, whole, each)
    }

    fn walk_aged(&self, from: &[u8], each: &mut impl FnMut(Entry<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        self.tree.walk(Some(from), None, &mut |stats| stats.aged == 0, &mut |entry| {
            if entry.head.older.is_none() && !entry.head.record.tombstone {
                return ControlFlow::Continue(());
            }
            each(entry)
        })
    }

    /// Decides what compaction takes of one key (`None`: nothing), looking at no more changes than `budget`, which it
    /// lowers. `false` when that was too little, so that the key's turn comes again.
    fn trim(
        &self,
        entry: &Entry<'_>,
        target: i64,
        budget: &mut usize,
        swept: &mut Swept,
    ) -> (Option<Trim>, bool) {
        let changes = self.changes(&entry.head);
        let covered = changes.count_up_to(target);
        // Of a long history a slice takes what lies below `target`, which all goes; so each slice gets further.
        let cut = covered > *budget && changes.count_up_to(target - 1) >= *budget;
        let looks = if cut { *budget } else { covered };
        *budget = budget.saturating_sub(looks.max(1));
        let mut keep: Vec<bool> = (0..looks)
            .map(|position| {
                let record = changes.record(position);
                let at_target = record.tombstone && record.rev.main == target;
                swept.tombstone_at_target |= at_target;
                // When the revision came from the rows, tombstones went with the others.
                let gone = mutant::is_on(Mutant::TombstoneGone) || mutant::is_on(Mutant::RevisionFromRows);
                let stays = at_target && !gone;
                let kept = stays || (position + 1 == covered && !record.tombstone);
                if !kept {
                    swept.victims.push((record.rev, record.tombstone));
                }
                kept
            })
            .collect();
        let all = looks == covered;
        if keep.iter().all(|kept| *kept) {
            return (None, all);
        }
        let drop_head = keep.len() > changes.older_len() && keep.pop() == Some(false);
        (Some(Trim { key: Key { index: self, entry }.to_vec(), keep, drop_head }), all)
    }

    fn apply(&mut self, trim: &Trim) {
        let mut older_left = None;
        let older = &mut self.older;
        self.tree.upsert(&trim.key, |head| {
            let head = head.expect("`trim` just saw the key");
            older_left = head.older.and_then(|slot| older.retain(slot, &trim.keep));
            Head { older: older_left, ..head }
        });
        if trim.drop_head {
            assert!(older_left.is_none(), "the newest change goes last");
            self.tree.remove(&trim.key);
        }
    }
}

/// A key met by [`KeyIndex::visit`], not yet put together.
pub(crate) struct Key<'a> {
    index: &'a KeyIndex,
    entry: &'a Entry<'a>,
}

impl Key<'_> {
    /// Writes the key into `key`.
    pub(crate) fn read(&self, key: &mut Vec<u8>) {
        self.entry.read_key(key);
    }

    fn to_vec(&self) -> Vec<u8> {
        let mut key = Vec::new();
        self.read(&mut key);
        key
    }

    /// All changes of the key.
    pub(crate) fn changes(&self) -> Changes<'_> {
        self.index.changes(&self.entry.head)
    }
}

#[cfg(test)]
impl KeyIndex {
    /// Checks every invariant of the structure.
    pub(crate) fn check(&self) {
        self.tree.check();
    }
}

#[cfg(test)]
mod tests;
