//! Which changes of a slice each group of lagging watchers wants, and the replies made of them.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use bytes::{Bytes, BytesMut};
use mvcc::RowRef;

use crate::{
    event::{Event, Prev},
    index::{GroupId, Index},
    limits::COMPARED_RANGES_MAX,
    registry::Registry,
    rows::PrevRows,
    slab::Slot,
    slice::Slice,
    stream::ReplyLimits,
    watcher::{Options, Watcher},
};

/// A previous row that has to be read.
#[derive(Clone, Debug)]
pub(in crate::hub) struct Missing {
    /// Revision of the change.
    pub(in crate::hub) main: i64,
    /// Its number within the revision.
    pub(in crate::hub) event: usize,
    pub(in crate::hub) row: RowRef,
}

/// What is next for a watcher.
pub(in crate::hub) enum Next {
    /// The slice holds no more for it.
    Nothing,
    /// The events of the revisions from `first` to `last`, so many; none when all are filtered out.
    Reply { first: i64, last: i64, body: Bytes, events: u32 },
    /// A revision with a previous row that is not read yet.
    Unread { first: i64 },
}

/// The matches of all groups that are served together.
pub(in crate::hub) struct Matches {
    groups: BTreeMap<GroupId, GroupMatches>,
}

/// The matches of one group, and the replies made so far: watchers at the same place share them.
#[derive(Default)]
struct GroupMatches {
    /// (batch, event), ascending.
    found: Vec<(usize, usize)>,
    /// Lowest revision from which a watcher wants previous pairs.
    prev_from: Option<i64>,
    replies: BTreeMap<(Options, usize, ReplyLimits), Reply>,
}

/// Some revisions, encoded.
#[derive(Clone)]
struct Reply {
    /// Position in `found` after the last event.
    end: usize,
    body: Bytes,
    events: u32,
}

impl Matches {
    /// Matches `slice` against the groups of the watchers in `served`, which is not empty and ascends by
    /// revision.
    pub(in crate::hub) fn new(registry: &Registry, served: &[Slot], slice: &Slice) -> Matches {
        let mut groups: BTreeMap<GroupId, GroupMatches> = BTreeMap::new();
        for slot in served {
            let watcher = &registry.watchers[*slot];
            let group = groups.entry(watcher.group).or_default();
            if watcher.options.prev_kv() {
                group.prev_from.get_or_insert(watcher.next_rev);
            }
        }
        let mut matches = Matches { groups };
        let first = slice.position(registry.watchers[served[0]].next_rev);
        for (at, batch) in slice.batches.iter().enumerate().skip(first) {
            for (number, event) in batch.events.iter().enumerate() {
                matches.add((at, number), &event.key, &registry.index);
            }
        }
        matches
    }

    /// Notes an event for the groups that watch its key.
    fn add(&mut self, place: (usize, usize), key: &[u8], index: &Index) {
        if self.groups.len() <= COMPARED_RANGES_MAX {
            for (id, group) in &mut self.groups {
                if index.group(*id).range.contains(key) {
                    group.found.push(place);
                }
            }
            return;
        }
        index.matches(key, |id, group| {
            if !group.lagging.is_empty()
                && let Some(group) = self.groups.get_mut(&id)
            {
                group.found.push(place);
            }
        });
    }

    /// Looks up the previous rows that are wanted. Those that have to be read come back, in order of their changes.
    pub(in crate::hub) fn find_prev_rows(
        &self,
        slice: &mut Slice,
        compacted: i64,
        rows: &impl PrevRows,
    ) -> Vec<Missing> {
        let mut wanted = BTreeSet::new();
        for GroupMatches { found, prev_from, .. } in self.groups.values() {
            let Some(prev_from) = *prev_from else { continue };
            let first = found.partition_point(|(batch, _)| slice.batches[*batch].main < prev_from);
            wanted.extend(&found[first..]);
        }
        let missing = wanted.into_iter().filter_map(|(batch, event)| {
            let batch = &mut slice.batches[batch];
            let row = batch.events[event].find_prev(batch.main, compacted, rows)?;
            Some(Missing { main: batch.main, event, row })
        });
        missing.collect()
    }

    /// What `watcher`, one of those served, gets next of `slice`.
    pub(in crate::hub) fn next(&mut self, watcher: &Watcher, slice: &Slice, limits: ReplyLimits) -> Next {
        let group = self.groups.get_mut(&watcher.group).expect("the group of a served watcher was matched");
        let main = |(batch, _): &(usize, usize)| slice.batches[*batch].main;
        let start = group.found.partition_point(|place| main(place) < watcher.next_rev);
        let Some(place) = group.found.get(start) else { return Next::Nothing };
        let first = main(place);
        let reply = match group.replies.entry((watcher.options, start, limits)) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(place) => {
                let reply = Reply::new(&group.found, start, slice, watcher.options, limits);
                place.insert(reply).clone()
            }
        };
        if reply.end == start {
            return Next::Unread { first };
        }
        let last = main(&group.found[reply.end - 1]);
        Next::Reply { first, last, body: reply.body, events: reply.events }
    }
}

impl Reply {
    /// Whole revisions from `start` on, until a limit or an unread previous row; none when the first has one.
    fn new(
        found: &[(usize, usize)],
        start: usize,
        slice: &Slice,
        options: Options,
        limits: ReplyLimits,
    ) -> Reply {
        let (mut end, mut len, mut events, mut revisions) = (start, 0, 0, 0);
        for revision in found[start..].chunk_by(|a, b| a.0 == b.0) {
            let main = slice.batches[revision[0].0].main;
            let wanted =
                || revision.iter().map(|place| event_at(slice, place)).filter(|e| options.wants(e.kind));
            if options.prev_kv() && wanted().any(|event| event.prev == Prev::Unknown) {
                break;
            }
            let more: usize = wanted().map(|event| event.entry_len(main, options.prev_kv())).sum();
            if revisions > 0 && len + more > limits.bytes_max {
                break;
            }
            (end, len, revisions) = (end + revision.len(), len + more, revisions + 1);
            events += u32::try_from(wanted().count()).expect("events of a slice are counted with 32 bits");
            if revisions == limits.revisions_max {
                break;
            }
        }
        let mut body = BytesMut::with_capacity(len);
        for place in &found[start..end] {
            let event = event_at(slice, place);
            if options.wants(event.kind) {
                event.encode_entry(slice.batches[place.0].main, options.prev_kv(), &mut body);
            }
        }
        Reply { end, body: body.freeze(), events }
    }
}

fn event_at<'a>(slice: &'a Slice, (batch, event): &(usize, usize)) -> &'a Event {
    &slice.batches[*batch].events[*event]
}
