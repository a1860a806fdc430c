//! Deadlines for a new leader, spread so that they do not all come at once.

use std::time::Duration;

use types::{LeaseId, Moment};

/// From this many leases on, deadlines are spread (upstream: the revoke rate per second).
const SPREAD_LEASES_MIN: usize = 1000;
/// At most this many leases may end in one second: three quarters of the revoke rate, so that a pile-up does
/// not take all of it.
const EXPIRES_PER_SEC_MAX: u32 = 750;

/// Sorts by deadline and, when there are many, moves deadlines later until neighbours are at least
/// 1/[`EXPIRES_PER_SEC_MAX`] s apart. Never earlier, order kept, no lease moved further than it must.
pub(crate) fn spread(mut deadlines: Vec<(Moment, LeaseId)>) -> Vec<(Moment, LeaseId)> {
    deadlines.sort_unstable();
    if deadlines.len() < SPREAD_LEASES_MIN {
        return deadlines;
    }
    let gap = Duration::from_secs(1) / EXPIRES_PER_SEC_MAX;
    let mut free_from = Moment(0);
    for (deadline, _) in &mut deadlines {
        *deadline = (*deadline).max(free_from);
        free_from = *deadline + gap;
    }
    deadlines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn spreads_only_later_and_never_more_than_the_rate(
            starts in prop::collection::vec(0u64..5_000_000_000, 1000..1500),
        ) {
            let given: Vec<_> = starts.iter().enumerate().map(|(i, &at)| (Moment(at), LeaseId(i as i64))).collect();
            let out = spread(given.clone());
            prop_assert_eq!(out.len(), given.len());
            for &(at, LeaseId(i)) in &out {
                prop_assert!(at.0 >= starts[i as usize]);
            }
            prop_assert!(out.is_sorted());
            for window in out.windows(EXPIRES_PER_SEC_MAX as usize + 2) {
                let first = window[0].0;
                let last = window[window.len() - 1].0;
                prop_assert!(last.since(first) >= Duration::from_secs(1));
            }
        }
    }

    #[test]
    fn few_leases_keep_their_deadlines() {
        let given: Vec<_> = (0..999).map(|i| (Moment(7), LeaseId(i))).collect();
        assert_eq!(spread(given.clone()), given);
    }
}
