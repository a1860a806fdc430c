//! What is written is what is read, whatever the batches, cuts, snapshots and restarts in between.

use std::collections::BTreeMap;

use crate::common::*;
use proptest::prelude::*;
use types::raft::{Entry, HardState};
use wal::SnapshotRecord;

#[derive(Clone, Debug)]
enum Op {
    /// So many entries of so many bytes, the first ones replacing up to `back` uncommitted ones.
    Append {
        count: u64,
        back: u64,
        len: usize,
        commit: u64,
    },
    /// A hard state alone.
    Commit,
    /// An own snapshot at the commit index.
    Snapshot,
    /// A snapshot from the leader, beyond the log.
    Receive {
        ahead: u64,
    },
    Sync,
    Reopen,
    Prepare,
    Purge,
    SyncSide,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..6u64, 0..4u64, 0..700usize, 0..4u64)
            .prop_map(|(count, back, len, commit)| Op::Append { count, back, len, commit }),
        1 => Just(Op::Commit),
        1 => Just(Op::Snapshot),
        1 => (1..9u64).prop_map(|ahead| Op::Receive { ahead }),
        2 => Just(Op::Sync),
        3 => Just(Op::Reopen),
        1 => Just(Op::Prepare),
        1 => Just(Op::Purge),
        1 => Just(Op::SyncSide),
    ]
}

/// The obvious log.
#[derive(Default)]
struct Naive {
    entries: BTreeMap<u64, Entry>,
    last: u64,
    state: HardState,
    start: SnapshotRecord,
    snapshots: Vec<u64>,
}

impl Naive {
    fn append(&mut self, batch: &[Entry]) {
        for entry in batch {
            self.entries.split_off(&entry.index);
            self.entries.insert(entry.index, entry.clone());
            self.last = entry.index;
        }
    }

    fn above_start(&self) -> Vec<Entry> {
        self.entries.range(self.start.index + 1..).map(|(_, entry)| entry.clone()).collect()
    }

    fn save(&mut self, snapshot: &SnapshotRecord) {
        self.start = snapshot.clone();
        self.snapshots.push(snapshot.index);
        self.state.commit = self.state.commit.max(snapshot.index);
        self.last = self.last.max(snapshot.index);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn everything_comes_back(
        ops in proptest::collection::vec(op(), 1..60),
        segment_bytes in 200..4000u64,
        side in any::<bool>(),
    ) {
        let disk = disk();
        let options = options(segment_bytes, side);
        let mut wal = create(&disk, &options);
        let mut naive = Naive { snapshots: vec![0], ..Naive::default() };
        let mut term = 1;
        for op in ops.into_iter().chain([Op::Reopen]) {
            match op {
                Op::Append { count, back, len, commit } => {
                    let back = back.min(naive.last - naive.state.commit);
                    term += u64::from(back > 0);
                    let first = naive.last - back + 1;
                    let batch: Vec<_> = (first..first + count).map(|i| entry(i, term, len)).collect();
                    naive.append(&batch);
                    naive.state = HardState {
                        term,
                        vote: 7,
                        commit: (naive.state.commit + commit).min(naive.last),
                    };
                    wal.append(&batch, naive.state).unwrap();
                }
                Op::Commit => {
                    naive.state.commit = naive.last;
                    wal.append(&[], naive.state).unwrap();
                }
                Op::Snapshot => {
                    let index = naive.state.commit;
                    let Some(entry) = naive.entries.get(&index) else { continue };
                    let record = snapshot(index, entry.term);
                    naive.save(&record);
                    wal.save_snapshot(record).unwrap();
                }
                Op::Receive { ahead } => {
                    term += 1;
                    let record = snapshot(naive.last + ahead, term);
                    naive.entries.clear();
                    naive.save(&record);
                    wal.save_snapshot(record).unwrap();
                }
                Op::Sync => wal.sync().unwrap(),
                Op::SyncSide => wal.sync_side(),
                Op::Prepare => {
                    wal.preparer().prepare().unwrap();
                }
                Op::Purge => {
                    wal.purge(1, naive.state.commit).unwrap();
                }
                Op::Reopen => {
                    drop(wal);
                    let (again, recovered) = open(&disk, &options).unwrap();
                    prop_assert_eq!(&recovered.start, &naive.start);
                    prop_assert_eq!(recovered.hard_state, naive.state);
                    prop_assert_eq!(recovered.entries, naive.above_start());
                    prop_assert!(recovered.snapshots.iter().rev().zip(naive.snapshots.iter().rev())
                        .all(|(found, wanted)| found.index == *wanted));
                    prop_assert_eq!(recovered.report.torn, None);
                    prop_assert_eq!(recovered.report.side_bytes_unreadable, 0);
                    wal = again;
                }
            }
            prop_assert_eq!(wal.last_index(), naive.last);
            prop_assert_eq!(wal.side_error(), None);
        }
    }
}
