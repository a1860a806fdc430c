//! Values in numbered slots. Numbers are reused, last freed first, so the same calls give the same numbers.

use std::ops::{Index, IndexMut};

/// Number of a slot.
pub(crate) type Slot = u32;

/// A growing array with holes.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    /// Numbers of the empty ones.
    free: Vec<Slot>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts a value somewhere and says where.
    pub(crate) fn insert(&mut self, value: T) -> Slot {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(value);
                slot
            }
            None => {
                let slot = Slot::try_from(self.slots.len()).expect("fewer than 2^32 values fit in memory");
                self.slots.push(Some(value));
                slot
            }
        }
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, slot: Slot) -> T {
        let value = self.slots[slot as usize].take().expect("a slot is freed once, by its owner");
        self.free.push(slot);
        value
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// All values, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        (0..).zip(&self.slots).filter_map(|(slot, value)| Some((slot, value.as_ref()?)))
    }
}

impl<T> Index<Slot> for Slab<T> {
    type Output = T;

    fn index(&self, slot: Slot) -> &T {
        self.slots[slot as usize].as_ref().expect("slots are used by their owner only while filled")
    }
}

impl<T> IndexMut<Slot> for Slab<T> {
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        self.slots[slot as usize].as_mut().expect("slots are used by their owner only while filled")
    }
}
