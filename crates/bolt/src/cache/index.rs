//! Page number → place, as a hash table with linear probing: several times faster than an ordered map, and always
//! the same for the same history, unlike the standard library's.

use crate::format::PageId;

/// Marks an empty place; page 0 is a meta page and never cached.
const EMPTY: PageId = 0;
const CAPACITY_MIN: usize = 16;

/// At most half full.
#[derive(Debug, Default)]
pub(super) struct PageIndex {
    /// Length 0 or a power of two.
    keys: Vec<PageId>,
    places: Vec<usize>,
    len: usize,
}

impl PageIndex {
    pub(super) fn find(&self, id: PageId) -> Option<usize> {
        self.position(id).map(|at| self.places[at])
    }

    /// Adds a page that is not there yet.
    pub(super) fn insert(&mut self, id: PageId, place: usize) {
        assert_ne!(id, EMPTY, "page 0 is not cached");
        if (self.len + 1) * 2 > self.keys.len() {
            self.grow();
        }
        let mut at = self.home(id);
        while self.keys[at] != EMPTY {
            at = self.after(at);
        }
        self.keys[at] = id;
        self.places[at] = place;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, id: PageId) -> Option<usize> {
        let mut hole = self.position(id)?;
        let place = self.places[hole];
        // Entries behind the hole move into it, when that is not before their home: no marks are left behind.
        let mut at = self.after(hole);
        while self.keys[at] != EMPTY {
            let home = self.home(self.keys[at]);
            if self.distance(home, at) >= self.distance(hole, at) {
                self.keys[hole] = self.keys[at];
                self.places[hole] = self.places[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.keys[hole] = EMPTY;
        self.len -= 1;
        Some(place)
    }

    fn position(&self, id: PageId) -> Option<usize> {
        if self.keys.is_empty() {
            return None;
        }
        let mut at = self.home(id);
        loop {
            match self.keys[at] {
                EMPTY => return None,
                key if key == id => return Some(at),
                _ => at = self.after(at),
            }
        }
    }

    fn grow(&mut self) {
        let capacity = (self.keys.len() * 2).max(CAPACITY_MIN);
        let keys = std::mem::replace(&mut self.keys, vec![EMPTY; capacity]);
        let places = std::mem::replace(&mut self.places, vec![0; capacity]);
        self.len = 0;
        for (id, place) in keys.into_iter().zip(places) {
            if id != EMPTY {
                self.insert(id, place);
            }
        }
    }

    fn home(&self, id: PageId) -> usize {
        // Fibonacci hashing: neighbouring pages go far apart.
        let mixed = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> (64 - self.keys.len().ilog2())) as usize
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.keys.len() - 1)
    }

    /// Steps from `from` forward to `to`.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.keys.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_map(ops in proptest::collection::vec((any::<bool>(), 1_u64..60, 0_usize..1000), 1..300)) {
            let mut index = PageIndex::default();
            let mut model = BTreeMap::new();
            for (insert, id, place) in ops {
                if !insert {
                    prop_assert_eq!(index.remove(id), model.remove(&id));
                } else if let std::collections::btree_map::Entry::Vacant(vacant) = model.entry(id) {
                    index.insert(id, place);
                    vacant.insert(place);
                }
                prop_assert!((1..60).all(|id| index.find(id) == model.get(&id).copied()));
            }
        }
    }
}
