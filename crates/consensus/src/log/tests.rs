use bytes::Bytes;
use types::raft::{ConfState, HardState, SnapshotMeta};

use super::*;
use crate::Level;

fn entries(ids: &[(u64, u64)]) -> Vec<Entry> {
    ids.iter().map(|&(term, index)| Entry { term, index, ..Entry::default() }).collect()
}

fn journal() -> Journal {
    Journal::new(Level::Off)
}

/// A log with `stable` in the store and `unstable` after it.
fn log(stable: &[(u64, u64)], unstable: &[(u64, u64)]) -> RaftLog<MemLog> {
    let mut store = MemLog::new();
    store.append(entries(stable)).unwrap();
    let mut log = RaftLog::new(store, u64::MAX).unwrap();
    log.append(entries(unstable), &mut journal());
    log
}

fn id(term: u64, index: u64) -> EntryId {
    EntryId { term, index }
}

fn indexes(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.index).collect()
}

#[test]
fn up_to_date_compares_the_last_term_first() {
    let log = log(&[(1, 1), (2, 2)], &[(3, 3)]);
    for (their, expected) in
        [((4, 1), true), ((3, 3), true), ((3, 4), true), ((3, 2), false), ((2, 9), false), ((0, 0), false)]
    {
        assert_eq!(log.is_up_to_date(id(their.0, their.1)), expected, "{their:?}");
    }
}

#[test]
fn conflict_by_term_skips_terms_that_cannot_agree() {
    let log = log(&[(2, 1), (2, 2), (4, 3)], &[(4, 4), (4, 5), (6, 6)]);
    for ((index, term), expected) in [
        ((6, 6), id(6, 6)),
        ((6, 5), id(4, 5)),
        ((6, 3), id(2, 2)),
        ((5, 9), id(4, 5)),
        ((6, 1), id(0, 0)),
        ((9, 9), id(0, 9)),
        ((0, 9), id(0, 0)),
    ] {
        assert_eq!(log.find_conflict_by_term(index, term), expected, "index {index} term {term}");
    }
}

#[test]
fn try_append_keeps_what_agrees_and_replaces_what_does_not() {
    type Id = (u64, u64);
    type Outcome = (Result<Option<u64>, Divergence>, Id, u64);
    let case = |prev: Id, new: &'static [Id], commit: u64, result, last: Id, committed: u64| {
        let outcome: Outcome = (result, last, committed);
        (prev, new, commit, outcome)
    };
    let cases = [
        case((2, 3), &[(4, 4)], 3, Ok(None), (3, 3), 1),
        case((3, 4), &[(4, 5)], 3, Ok(None), (3, 3), 1),
        case((3, 3), &[], 3, Ok(Some(3)), (3, 3), 3),
        case((3, 3), &[], 9, Ok(Some(3)), (3, 3), 3),
        case((3, 3), &[(4, 4)], 4, Ok(Some(4)), (4, 4), 4),
        case((1, 1), &[(2, 2)], 9, Ok(Some(2)), (3, 3), 2),
        case((1, 1), &[(4, 2), (4, 3)], 2, Ok(Some(3)), (4, 3), 2),
        case((2, 2), &[(4, 3), (4, 4)], 0, Ok(Some(4)), (4, 4), 1),
        case((0, 0), &[(9, 1)], 1, Err(Divergence::CommittedEntry { index: 1, committed: 1 }), (3, 3), 1),
    ];
    for (prev, new, commit, (expected, last, committed)) in cases {
        for stable in 0..=3 {
            let all = [(1, 1), (2, 2), (3, 3)];
            let mut log = log(&all[..stable], &all[stable..]);
            log.commit_to(1).unwrap();
            let result = log.try_append(id(prev.0, prev.1), entries(new), commit, &mut journal());
            assert_eq!(result, expected, "{prev:?} {new:?}");
            assert_eq!(log.last(), id(last.0, last.1), "{prev:?} {new:?}");
            assert_eq!(log.committed(), committed, "{prev:?} {new:?}");
        }
    }
}

#[test]
fn slices_cross_from_store_to_memory_within_the_bound() {
    let all: Vec<(u64, u64)> = (1..=6).map(|index| (1, index)).collect();
    let one = size::encoded_len(&entries(&all)[0]);
    for stable in 0..=6 {
        let log = log(&all[..stable], &all[stable..]);
        for (low, high, bytes, expected) in [
            (1, 7, u64::MAX, vec![1, 2, 3, 4, 5, 6]),
            (2, 5, u64::MAX, vec![2, 3, 4]),
            (2, 7, 0, vec![2]),
            (2, 7, one, vec![2]),
            (2, 7, 2 * one + one / 2, vec![2, 3]),
            (2, 7, 3 * one, vec![2, 3, 4]),
            (6, 7, 1, vec![6]),
        ] {
            assert_eq!(
                indexes(&log.slice(low, high, bytes).unwrap()),
                expected,
                "{stable} {low}..{high} {bytes}"
            );
        }
        assert_eq!(log.entries_from(7, 9), Ok(vec![]));
        assert_eq!(log.slice(0, 3, 9), Err(StoreError::Compacted));
    }
}

#[test]
fn terms_are_known_from_before_the_first_entry_to_the_last() {
    let mut store = MemLog::new();
    let meta = SnapshotMeta { index: 5, term: 2, conf_state: ConfState::default() };
    store.apply_snapshot(Snapshot { meta, data: Bytes::new() }).unwrap();
    store.append(entries(&[(2, 6)])).unwrap();
    let mut log = RaftLog::new(store, u64::MAX).unwrap();
    log.append(entries(&[(3, 7)]), &mut journal());
    assert_eq!((log.committed(), log.applied()), (5, 5));
    assert_eq!(log.term(4), Err(StoreError::Compacted));
    assert_eq!((log.term(5), log.term(6), log.term(7)), (Ok(2), Ok(2), Ok(3)));
    assert_eq!(log.term(8), Err(StoreError::Unavailable));
    assert_eq!(log.term_or_zero(u64::MAX), 0);
}

#[test]
fn only_durable_entries_are_applied_when_writes_are_asynchronous() {
    let mut log = log(&[], &[(1, 1), (1, 2), (1, 3)]);
    log.commit_to(3).unwrap();
    assert!(log.has_next_committed(true) && !log.has_next_committed(false));
    log.accept_unstable();
    log.store.append(entries(&[(1, 1), (1, 2)])).unwrap();
    log.stable_to(id(1, 2), &mut journal());
    assert_eq!(indexes(&log.take_next_committed(false).unwrap()), [1, 2]);
    assert!(!log.has_next_committed(false));
    assert_eq!(indexes(&log.take_next_committed(true).unwrap()), [3]);
}

#[test]
fn handing_out_stops_at_the_bound_until_application_is_reported() {
    let all = entries(&[(1, 1), (1, 2), (1, 3), (1, 4)]);
    let one = size::encoded_len(&all[0]);
    let mut store = MemLog::new();
    store.append(all).unwrap();
    let mut log = RaftLog::new(store, 2 * one).unwrap();
    log.commit_to(4).unwrap();
    assert_eq!(indexes(&log.take_next_committed(true).unwrap()), [1, 2]);
    assert!(!log.has_next_committed(true));
    log.applied_to(1, one);
    assert_eq!(indexes(&log.take_next_committed(true).unwrap()), [3]);
    log.applied_to(3, 2 * one);
    assert_eq!(indexes(&log.take_next_committed(true).unwrap()), [4]);
    log.applied_to(4, one);
    assert!(!log.has_next_committed(true));
}

#[test]
fn handing_out_also_stops_before_the_entry_that_would_cross_the_bound() {
    let all = entries(&[(1, 1), (1, 2), (1, 3)]);
    let one = size::encoded_len(&all[0]);
    let mut store = MemLog::new();
    store.append(all).unwrap();
    let mut log = RaftLog::new(store, 2 * one + 1).unwrap();
    log.commit_to(3).unwrap();
    assert_eq!(indexes(&log.take_next_committed(true).unwrap()), [1, 2]);
    assert!(!log.has_next_committed(true), "one byte of room is left, but not for a whole entry");
    log.applied_to(2, 2 * one);
    assert_eq!(indexes(&log.take_next_committed(true).unwrap()), [3]);
}

#[test]
fn a_snapshot_replaces_the_log_and_holds_application_back() {
    let mut log = log(&[(1, 1)], &[(1, 2)]);
    let meta = SnapshotMeta { index: 9, term: 3, conf_state: ConfState::default() };
    log.restore(Snapshot { meta: meta.clone(), data: Bytes::new() }, &mut journal());
    assert_eq!((log.last(), log.committed(), log.first_index()), (id(3, 9), 9, 10));
    assert!(log.has_pending_snapshot() && log.next_snapshot().is_some() && !log.has_unstable());
    assert!(!log.has_next_committed(true));
    assert_eq!(log.term(1), Err(StoreError::Compacted));
    log.append(entries(&[(3, 10)]), &mut journal());
    log.accept_unstable();
    assert!(log.next_snapshot().is_none() && log.next_unstable().is_empty());
    log.store.apply_snapshot(Snapshot { meta, data: Bytes::new() }).unwrap();
    log.stable_snapshot_to(8);
    assert!(log.has_pending_snapshot(), "an older report");
    log.stable_snapshot_to(9);
    log.applied_to(9, 0);
    assert!(!log.has_pending_snapshot());
    log.commit_to(10).unwrap();
    assert_eq!(indexes(&log.take_next_committed(true).unwrap()), [10]);
}

#[test]
fn conf_changes_that_wait_are_found() {
    let mut list = entries(&[(1, 1), (1, 2), (1, 3)]);
    list[1].kind = EntryKind::ConfChange;
    let mut store = MemLog::new();
    store.append(list).unwrap();
    store.set_hard_state(HardState::default());
    let mut log = RaftLog::new(store, 1).unwrap();
    assert_eq!(log.has_unapplied_conf_change(), Ok(false));
    log.commit_to(1).unwrap();
    assert_eq!(log.has_unapplied_conf_change(), Ok(false));
    log.commit_to(3).unwrap();
    assert_eq!(log.has_unapplied_conf_change(), Ok(true));
    log.applied_to(2, 0);
    assert_eq!(log.has_unapplied_conf_change(), Ok(false));
}
