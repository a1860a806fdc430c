//! What will happen, in order: by time, and at equal times in the order in which it was planned.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Events by time. The events themselves stay where they are: messages are large, and a heap moves what it holds.
#[derive(Debug)]
pub(crate) struct Heap<E> {
    heap: BinaryHeap<Planned>,
    events: Vec<Option<E>>,
    /// Places in `events` that are free.
    free: Vec<usize>,
    planned: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Planned {
    at: u64,
    number: u64,
    /// Its event's place.
    place: usize,
}

impl<E> Heap<E> {
    pub(crate) fn new() -> Heap<E> {
        Heap { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), planned: 0 }
    }

    /// Plans an event for a time of the world, in nanoseconds.
    pub(crate) fn plan(&mut self, at: u64, event: E) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[place] = Some(event);
        self.planned += 1;
        self.heap.push(Planned { at, number: self.planned, place });
    }

    /// The next event and its time.
    pub(crate) fn next(&mut self) -> Option<(u64, E)> {
        let Planned { at, place, .. } = self.heap.pop()?;
        self.free.push(place);
        self.events[place].take().map(|event| (at, event))
    }
}

impl Ord for Planned {
    /// The greatest is the next.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
