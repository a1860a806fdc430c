//! Counts what a thread has allocated.
#![allow(unsafe_code, reason = "an allocator is unsafe to implement; this one only counts")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The allocator of whoever links this crate.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes that are in use. May be negative: a thread may give back what another took.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    /// The most since [`start`].
    static PEAK: Cell<isize> = const { Cell::new(0) };
    /// What was in use at [`start`].
    static START: Cell<isize> = const { Cell::new(0) };
    /// Nothing is measured: a world is being set up.
    static ASIDE: Cell<bool> = const { Cell::new(false) };
}

fn count(bytes: isize) {
    // An error means that the thread ends, and nobody measures any more.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        if bytes > 0 && !ASIDE.get() {
            PEAK.set(PEAK.get().max(live.get()));
        }
    });
}

// SAFETY: every call is passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        // What grows is there twice for a moment, unless the allocator is lucky.
        count(new as isize);
        count(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, new) }
    }
}

/// Begins to measure on this thread.
pub fn start() {
    START.set(LIVE.get());
    PEAK.set(LIVE.get());
}

/// The most bytes in use since [`start`], beyond what was in use then.
#[must_use]
pub fn peak() -> usize {
    usize::try_from(PEAK.get() - START.get()).unwrap_or(0)
}

/// Does something that is not measured, such as setting up a world. What it leaves allocated does not count.
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    let (before, measured) = (LIVE.get(), ASIDE.replace(true));
    let made = work();
    ASIDE.set(measured);
    let kept = LIVE.get() - before;
    START.set(START.get() + kept);
    PEAK.set(PEAK.get() + kept);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_seen_and_what_is_set_up_is_not() {
        start();
        drop(vec![0u8; 1000]);
        assert!((1000..1100).contains(&peak()), "{}", peak());
        let kept = aside(|| vec![0u8; 5000]);
        let more = vec![0u8; 700];
        assert!((1000..1100).contains(&peak()), "{}", peak());
        let most = vec![0u8; 900];
        assert!((1600..1700).contains(&peak()), "{}", peak());
        assert_eq!(kept.len() + more.len() + most.len(), 6600);
    }
}
