//! Append messages on their way to a follower.

use std::collections::VecDeque;

/// A window of append messages sent and not acknowledged, bounded in number and in bytes.
///
/// The bound on bytes is soft: the message that crosses it still goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inflights {
    /// Last index and payload bytes of each message, in the order sent; indexes grow.
    window: VecDeque<(u64, u64)>,
    /// Sum of the window's bytes.
    bytes: u64,
    messages_max: usize,
    bytes_max: u64,
}

impl Inflights {
    pub(crate) fn new(messages_max: usize, bytes_max: u64) -> Inflights {
        Inflights { window: VecDeque::new(), bytes: 0, messages_max, bytes_max }
    }

    /// Adds a message; only when not [`Inflights::full`].
    pub(crate) fn add(&mut self, last_index: u64, bytes: u64) {
        assert!(!self.full(), "a message was sent into a full window");
        self.window.push_back((last_index, bytes));
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Forgets the messages whose last index is at most `index`.
    pub(crate) fn free_through(&mut self, index: u64) {
        while let Some(&(last_index, bytes)) = self.window.front()
            && last_index <= index
        {
            self.window.pop_front();
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    pub(crate) fn full(&self) -> bool {
        self.window.len() >= self.messages_max || self.bytes >= self.bytes_max
    }

    pub(crate) fn count(&self) -> usize {
        self.window.len()
    }

    pub(crate) fn clear(&mut self) {
        self.window.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_acknowledgements_make_room() {
        let mut inflights = Inflights::new(3, 100);
        inflights.add(1, 10);
        inflights.add(2, 10);
        assert!(!inflights.full());
        inflights.add(3, 10);
        assert!(inflights.full(), "three messages");
        inflights.free_through(2);
        assert_eq!(inflights.count(), 1);
        inflights.add(4, 200);
        assert!(inflights.full(), "210 bytes, the last message crossing the bound");
        inflights.free_through(3);
        assert!(inflights.full());
        inflights.free_through(9);
        assert_eq!((inflights.count(), inflights.full()), (0, false));
        inflights.free_through(9);
        inflights.add(10, 5);
        inflights.clear();
        assert_eq!(inflights, Inflights::new(3, 100));
    }
}
