//! What will happen, in order: by time, and at equal times in the order in which it was planned.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Events by time.
#[derive(Debug)]
pub(crate) struct Heap<E> {
    heap: BinaryHeap<Planned<E>>,
    planned: u64,
}

#[derive(Debug)]
struct Planned<E> {
    at: u64,
    number: u64,
    event: E,
}

impl<E> Heap<E> {
    pub(crate) fn new() -> Heap<E> {
        Heap { heap: BinaryHeap::new(), planned: 0 }
    }

    /// Plans an event for a time of the world, in nanoseconds.
    pub(crate) fn plan(&mut self, at: u64, event: E) {
        self.planned += 1;
        self.heap.push(Planned { at, number: self.planned, event });
    }

    /// The next event and its time.
    pub(crate) fn next(&mut self) -> Option<(u64, E)> {
        self.heap.pop().map(|planned| (planned.at, planned.event))
    }
}

impl<E> Ord for Planned<E> {
    /// The greatest is the next.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Planned<E> {}
