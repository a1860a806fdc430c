//! One bound on the bytes that requests and replies hold at any moment, over all connections.
//!
//! Threads take the budget in slabs, so that a call costs no shared write. A thread may therefore find the
//! budget spent while others hold up to a slab each that they do not use.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// What a thread takes from the common budget at once, in bytes.
const SLAB: usize = 1 << 20;

/// The common budget.
#[derive(Debug)]
pub(crate) struct Budget {
    free: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Arc<Budget> {
        Arc::new(Budget { free: AtomicUsize::new(bytes) })
    }

    fn take(&self, bytes: usize) -> bool {
        self.free.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(bytes)).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.free.fetch_add(bytes, Relaxed);
    }
}

/// One thread's share.
#[derive(Debug)]
pub(crate) struct Share {
    common: Arc<Budget>,
    /// Taken from `common` and not in use; below two slabs.
    free: Cell<usize>,
}

impl Share {
    pub(crate) fn new(common: Arc<Budget>) -> Rc<Share> {
        Rc::new(Share { common, free: Cell::new(0) })
    }

    /// Holds `bytes` until the hold is dropped; `None` when the budget is spent.
    pub(crate) fn hold(self: &Rc<Self>, bytes: usize) -> Option<Hold> {
        let mut hold = Hold { share: Rc::clone(self), bytes: 0 };
        hold.resize(bytes).then_some(hold)
    }

    fn take(&self, bytes: usize) -> bool {
        let free = self.free.get();
        if let Some(left) = free.checked_sub(bytes) {
            self.free.set(left);
            return true;
        }
        let missing = bytes - free;
        // A whole slab when there is one, else exactly what is needed.
        let slab = missing.next_multiple_of(SLAB);
        let taken = if self.common.take(slab) {
            slab
        } else if self.common.take(missing) {
            missing
        } else {
            return false;
        };
        self.free.set(taken - missing);
        true
    }

    fn give(&self, bytes: usize) {
        let free = self.free.get() + bytes;
        if free < 2 * SLAB {
            self.free.set(free);
        } else {
            self.common.give(free - SLAB);
            self.free.set(SLAB);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.common.give(self.free.get());
    }
}

/// Bytes in use by one call.
#[derive(Debug)]
pub(crate) struct Hold {
    share: Rc<Share>,
    bytes: usize,
}

impl Hold {
    /// What is held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes what is held; `false`, and no change, when the budget is spent.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        if bytes <= self.bytes {
            self.share.give(self.bytes - bytes);
        } else if !self.share.take(bytes - self.bytes) {
            return false;
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.share.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_the_budget() {
        let budget = Budget::new(3 * SLAB);
        let (one, two) = (Share::new(Arc::clone(&budget)), Share::new(Arc::clone(&budget)));
        let small = one.hold(10).unwrap();
        let mut large = two.hold(2 * SLAB).unwrap();
        assert!(two.hold(1).is_none(), "one slab is with the first thread, two are in use");
        assert!(one.hold(SLAB - 10).is_some());
        assert!(!large.resize(2 * SLAB + 1));
        assert!(large.resize(5));
        assert!(two.hold(2 * SLAB - 5).is_some());
        drop((small, large, one, two));
        assert_eq!(budget.free.load(Relaxed), 3 * SLAB);
    }

    #[test]
    fn the_last_bytes_are_usable() {
        let budget = Budget::new(100);
        let share = Share::new(Arc::clone(&budget));
        let all = share.hold(100).unwrap();
        assert!(share.hold(1).is_none());
        drop(all);
        assert!(share.hold(100).is_some());
    }
}
