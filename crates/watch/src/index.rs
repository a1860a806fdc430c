//! Who watches a key: watchers grouped by what they watch.
//!
//! A *group* is all watchers of the same range, in two lists: those fed by apply and those that catch up. A
//! watcher knows its place in its list, so joining, leaving and changing lists cost O(1) after the group is
//! found in O(log n).

mod tree;

use std::collections::BTreeMap;

use bytes::Bytes;
use types::KeyRange;

use self::tree::IntervalTree;
use crate::slab::{Slab, Slot};

/// Number of a group.
pub(crate) type GroupId = Slot;

/// The watchers of one range.
#[derive(Debug)]
pub(crate) struct Group {
    /// What they watch; never empty.
    pub(crate) range: KeyRange,
    /// Fed by apply. Slots of watchers, in no particular order.
    pub(crate) synced: Vec<Slot>,
    /// Catching up. Slots of watchers, in no particular order.
    pub(crate) lagging: Vec<Slot>,
}

/// Which list of its group a watcher is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// Fed by apply.
    Synced,
    /// Catching up.
    Lagging,
}

impl Group {
    /// One of the two lists.
    pub(crate) fn list(&mut self, list: List) -> &mut Vec<Slot> {
        match list {
            List::Synced => &mut self.synced,
            List::Lagging => &mut self.lagging,
        }
    }
}

/// All groups, found by key.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Groups of a single key.
    exact: BTreeMap<Bytes, GroupId>,
    /// Groups of anything else.
    ranges: IntervalTree,
    groups: Slab<Group>,
}

impl Index {
    /// The group of `range`, made if there is none. `range` is not empty.
    pub(crate) fn group_for(&mut self, range: KeyRange) -> GroupId {
        let known =
            if range.is_single() { self.exact.get(&range.key).copied() } else { self.ranges.find(&range) };
        if let Some(group) = known {
            return group;
        }
        let group =
            self.groups.insert(Group { range: range.clone(), synced: Vec::new(), lagging: Vec::new() });
        if range.is_single() {
            self.exact.insert(range.key, group);
        } else {
            self.ranges.insert(&range, group);
        }
        group
    }

    /// Forgets the group when it has no watchers left.
    pub(crate) fn drop_if_empty(&mut self, group: GroupId) {
        let Group { synced, lagging, .. } = &self.groups[group];
        if !synced.is_empty() || !lagging.is_empty() {
            return;
        }
        let range = self.groups.remove(group).range;
        if range.is_single() {
            self.exact.remove(&range.key);
        } else {
            self.ranges.remove(&range);
        }
    }

    /// Calls `found` once with each group that watches `key`, always in the same order.
    pub(crate) fn matches(&self, key: &[u8], mut found: impl FnMut(GroupId, &Group)) {
        if let Some(group) = self.exact.get(key) {
            found(*group, &self.groups[*group]);
        }
        self.ranges.stab(key, &mut |group| found(group, &self.groups[group]));
    }

    /// A group.
    pub(crate) fn group(&self, group: GroupId) -> &Group {
        &self.groups[group]
    }

    /// A group, to change its lists.
    pub(crate) fn group_mut(&mut self, group: GroupId) -> &mut Group {
        &mut self.groups[group]
    }

    /// How many different ranges are watched.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ranges_share_a_group_and_groups_go_when_empty() {
        let mut index = Index::default();
        let (single, prefix) = (KeyRange::single("k/1"), KeyRange::new("k/", "k0"));
        let (a, b) = (index.group_for(single.clone()), index.group_for(prefix.clone()));
        assert_ne!(a, b);
        assert_eq!((index.group_for(single), index.group_for(prefix)), (a, b));
        let all = index.group_for(KeyRange::all());
        let found = |index: &Index, key: &[u8]| {
            let mut groups = Vec::new();
            index.matches(key, |group, _| groups.push(group));
            groups
        };
        assert_eq!(found(&index, b"k/1"), [a, all, b]);
        assert_eq!(found(&index, b"k/2"), [all, b]);
        index.group_mut(a).list(List::Lagging).push(7);
        for group in [a, b, all] {
            index.drop_if_empty(group);
        }
        assert_eq!((found(&index, b"k/1"), index.len()), (vec![a], 1));
    }
}
