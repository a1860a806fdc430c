//! Pins: reads that take several steps hold the revision that they read at.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use crate::{MvccError, limits::PINNED_REVISIONS_MAX};

/// Keeps compaction from taking rows that are visible at a revision. Released by dropping it, on any thread.
///
/// A compaction above a pinned revision is accepted, and hides older revisions from new reads, but removes nothing
/// until the pin is gone: whoever pins must bound how long.
#[derive(Clone, Debug)]
pub struct Pin {
    revision: i64,
    holders: Arc<()>,
}

impl Pin {
    /// The revision that stays readable.
    pub fn revision(&self) -> i64 {
        self.revision
    }
}

/// The pinned revisions.
#[derive(Default)]
pub(crate) struct Pins {
    /// Entries whose holders are all gone are dropped on the next call.
    by_revision: BTreeMap<i64, Weak<()>>,
}

impl Pins {
    /// Pins a revision that can be read now.
    ///
    /// # Errors
    /// `TooManyPins`.
    pub(crate) fn pin(&mut self, revision: i64) -> Result<Pin, MvccError> {
        if let Some(holders) = self.by_revision.get(&revision).and_then(Weak::upgrade) {
            return Ok(Pin { revision, holders });
        }
        if self.by_revision.len() >= PINNED_REVISIONS_MAX {
            self.drop_released();
            if self.by_revision.len() >= PINNED_REVISIONS_MAX {
                return Err(MvccError::TooManyPins);
            }
        }
        let holders = Arc::new(());
        self.by_revision.insert(revision, Arc::downgrade(&holders));
        Ok(Pin { revision, holders })
    }

    /// Whether `pin` is of this store.
    pub(crate) fn holds(&self, pin: &Pin) -> bool {
        self.by_revision
            .get(&pin.revision)
            .is_some_and(|holders| std::ptr::eq(holders.as_ptr(), Arc::as_ptr(&pin.holders)))
    }

    /// The lowest pinned revision.
    pub(crate) fn oldest(&mut self) -> Option<i64> {
        self.drop_released();
        self.by_revision.keys().next().copied()
    }

    fn drop_released(&mut self) {
        self.by_revision.retain(|_, holders| holders.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_shared_bounded_and_released_by_drop() {
        let mut pins = Pins::default();
        let first = pins.pin(5).unwrap();
        let again = pins.pin(5).unwrap();
        let lower = pins.pin(3).unwrap();
        assert!(pins.holds(&first) && pins.holds(&lower));
        assert!(!Pins::default().holds(&first));
        drop(lower);
        assert_eq!(pins.oldest(), Some(5));
        drop(first);
        assert_eq!(pins.oldest(), Some(5));
        drop(again);
        assert_eq!(pins.oldest(), None);

        let mut held: Vec<_> = (0..PINNED_REVISIONS_MAX as i64).map(|rev| pins.pin(rev).unwrap()).collect();
        assert!(matches!(pins.pin(-1), Err(MvccError::TooManyPins)));
        assert!(pins.pin(7).is_ok(), "a revision that is pinned already");
        held.truncate(1);
        assert!(pins.pin(1_000_000).is_ok(), "places of released pins are used again");
    }
}
