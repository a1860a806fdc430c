//! One key may be written once in a transaction (contract/semantics.md 3.6).
//!
//! Level by level: the deletes of a level are known first, then its nested transactions count in order, then
//! its own puts. A put may meet neither another put nor a delete that is known by then; the two branches of one
//! nested transaction exclude each other, so they may put the same key. etcd's rule has a gap that we keep,
//! because requests that pass there must pass here: a delete from a key on (`range_end` is one zero byte), or
//! with `range_end <= key`, covers nothing.
//!
//! Sets of a nested level are merged into the larger one, so the cost is O(n log² n) however deep the nesting.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use proto::etcdserverpb::{DeleteRangeRequest, RequestOp, request_op::Request};

use crate::status::Reason;

/// Refuses a branch that writes one key twice.
///
/// # Errors
/// `DuplicateKey`.
pub(super) fn check(ops: &[RequestOp]) -> Result<(), Reason> {
    writes(ops).map(|_| ())
}

/// What a branch may put and delete.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Deletes<'a>,
}

fn writes(ops: &[RequestOp]) -> Result<Writes<'_>, Reason> {
    let mut level = Writes::default();
    for op in ops {
        if let Some(Request::RequestDeleteRange(delete)) = &op.request {
            level.deletes.insert(delete);
        }
    }
    for op in ops {
        if let Some(Request::RequestTxn(txn)) = &op.request {
            let (success, failure) = (writes(&txn.success)?, writes(&txn.failure)?);
            for branch in [&success, &failure] {
                ensure(disjoint(&level.puts, &branch.puts) && !level.deletes.cover_any(&branch.puts))?;
            }
            for branch in [success, failure] {
                absorb(&mut level.puts, branch.puts);
                level.deletes.absorb(branch.deletes);
            }
        }
    }
    for op in ops {
        if let Some(Request::RequestPut(put)) = &op.request {
            ensure(!level.deletes.cover(&put.key) && level.puts.insert(&put.key))?;
        }
    }
    Ok(level)
}

fn ensure(holds: bool) -> Result<(), Reason> {
    if holds { Ok(()) } else { Err(Reason::DuplicateKey) }
}

fn disjoint(a: &BTreeSet<&[u8]>, b: &BTreeSet<&[u8]>) -> bool {
    let (small, large) = if a.len() < b.len() { (a, b) } else { (b, a) };
    small.iter().all(|key| !large.contains(key))
}

fn absorb<'a>(into: &mut BTreeSet<&'a [u8]>, mut from: BTreeSet<&'a [u8]>) {
    if from.len() > into.len() {
        std::mem::swap(into, &mut from);
    }
    into.extend(from);
}

/// Deleted keys: single ones, and disjoint half-open ranges from start to end.
#[derive(Default)]
struct Deletes<'a> {
    points: BTreeSet<&'a [u8]>,
    ranges: BTreeMap<&'a [u8], &'a [u8]>,
}

impl<'a> Deletes<'a> {
    fn insert(&mut self, delete: &'a DeleteRangeRequest) {
        if delete.range_end.is_empty() {
            self.points.insert(&delete.key);
        } else if delete.range_end > delete.key {
            self.insert_range(&delete.key, &delete.range_end);
        }
    }

    /// Adds `[start, end)`, swallowing the ranges that it meets.
    fn insert_range(&mut self, mut start: &'a [u8], mut end: &'a [u8]) {
        if let Some((&before, &before_end)) = self.up_to(start)
            && before_end >= start
        {
            start = before;
            end = end.max(before_end);
        }
        while let Some((&inside, &inside_end)) =
            self.ranges.range::<[u8], _>((Bound::Included(start), Bound::Included(end))).next()
        {
            end = end.max(inside_end);
            self.ranges.remove(inside);
        }
        self.ranges.insert(start, end);
    }

    /// The last range that starts at or before `key`.
    fn up_to(&self, key: &[u8]) -> Option<(&&'a [u8], &&'a [u8])> {
        self.ranges.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()
    }

    fn cover(&self, key: &[u8]) -> bool {
        self.points.contains(key) || self.up_to(key).is_some_and(|(_, end)| key < *end)
    }

    /// Whether any of `keys` is deleted, in time that depends on the smaller side.
    fn cover_any(&self, keys: &BTreeSet<&[u8]>) -> bool {
        if keys.len() <= self.points.len() + self.ranges.len() {
            return keys.iter().any(|key| self.cover(key));
        }
        self.points.iter().any(|point| keys.contains(point))
            || self.ranges.iter().any(|(start, end)| {
                keys.range::<[u8], _>((Bound::Included(*start), Bound::Excluded(*end))).next().is_some()
            })
    }

    fn absorb(&mut self, mut other: Deletes<'a>) {
        if other.ranges.len() > self.ranges.len() {
            std::mem::swap(&mut self.ranges, &mut other.ranges);
        }
        absorb(&mut self.points, other.points);
        for (start, end) in other.ranges {
            self.insert_range(start, end);
        }
    }
}
