//! How a worker waits for space when somebody else says how time passes: its turn stops where it is, on a thread of its
//! own, until it is told to go on.

use std::cell::RefCell;

type Wait = Box<dyn Fn() -> bool>;

thread_local! {
    /// Waits until somebody says that the turn goes on; `false` when nobody will.
    static WAIT: RefCell<Option<Wait>> = const { RefCell::new(None) };
}

/// Writes on this thread wait for space by calling this, until the thread ends.
pub(crate) fn wait_by(wait: impl Fn() -> bool + 'static) {
    WAIT.set(Some(Box::new(wait)));
}

/// Whether writes on this thread can wait in steps.
pub(super) fn are_taken() -> bool {
    WAIT.with_borrow(Option::is_some)
}

/// Waits for the next step; `false` when there will be none.
pub(super) fn wait() -> bool {
    WAIT.with_borrow(|wait| wait.as_ref().is_some_and(|wait| wait()))
}
