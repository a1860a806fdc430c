//! The naive store: every change of every revision, in a map.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mvcc::{Change, ChangeKind, HistoryRow, MvccError, RowRef};
use prost::Message;
use proto::mvccpb::KeyValue;
use types::{LeaseId, Revision};

use super::backing::Backing;
use crate::{HistoryChunk, HistoryError, HistoryQuery, PrevRows};

/// One operation of a write transaction.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Put(&'static str, String),
    Delete(&'static str),
}

/// A change with the pair it left.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) change: Change,
    /// As clients see it: a deleted pair has its key and revision.
    pub(super) kv: KeyValue,
}

impl Made {
    fn row(&self) -> RowRef {
        RowRef {
            key: self.change.key.clone(),
            rev: self.change.revision,
            create_revision: self.kv.create_revision,
            version: self.kv.version,
            row_len: self.change.row.len() as u32,
        }
    }
}

#[derive(Debug)]
pub(super) struct Store {
    /// Every revision, compacted ones too.
    pub(super) history: BTreeMap<i64, Vec<Made>>,
    pub(super) head: i64,
    pub(super) compacted: i64,
    /// Every revision that was ever compacted to.
    pub(super) compactions: BTreeSet<i64>,
    /// The real one, when it is to answer in place of this.
    pub(super) real: Option<Backing>,
}

impl Store {
    pub(super) fn new() -> Store {
        Store { history: BTreeMap::new(), head: 1, compacted: -1, compactions: BTreeSet::new(), real: None }
    }

    /// The live pair of a key after all changes before `before`.
    pub(super) fn pair_before(&self, key: &[u8], before: Revision) -> Option<&Made> {
        let mut earlier = self.history.range(..=before.main).rev().flat_map(|(_, made)| made.iter().rev());
        let newest = earlier.find(|made| made.change.key == key && made.change.revision < before)?;
        (newest.change.kind == ChangeKind::Put).then_some(newest)
    }

    /// Applies a transaction: its changes, or nothing when it has no effect.
    pub(super) fn write(&mut self, ops: &[Op]) -> Vec<Change> {
        let main = self.head + 1;
        for op in ops {
            let sub = self.history.get(&main).map_or(0, |made| made.len() as i64);
            let revision = Revision::new(main, sub);
            let (Op::Put(key, _) | Op::Delete(key)) = op;
            let found = self.pair_before(key.as_bytes(), revision);
            let (before, prev) = (found.map(|made| made.kv.clone()), found.map(Made::row));
            let key = Bytes::from_static(key.as_bytes());
            let stored = match (op, &before) {
                (Op::Delete(_), None) => continue,
                (Op::Delete(_), Some(_)) => KeyValue { key: key.clone(), ..KeyValue::default() },
                (Op::Put(_, value), before) => KeyValue {
                    key: key.clone(),
                    create_revision: before.as_ref().map_or(main, |kv| kv.create_revision),
                    mod_revision: main,
                    version: before.as_ref().map_or(1, |kv| kv.version + 1),
                    value: value.clone().into(),
                    lease: 0,
                },
            };
            let change = Change {
                revision,
                key,
                row: stored.encode_to_vec().into(),
                kind: if matches!(op, Op::Delete(_)) { ChangeKind::Delete } else { ChangeKind::Put },
                create: stored.version == 1,
                lease: LeaseId::NONE,
                prev,
            };
            self.history
                .entry(main)
                .or_default()
                .push(Made { change, kv: KeyValue { mod_revision: main, ..stored } });
        }
        let made = self.history.get(&main).cloned().unwrap_or_default();
        self.head += i64::from(!made.is_empty());
        let changes: Vec<Change> = made.into_iter().map(|made| made.change).collect();
        let Some(real) = &mut self.real else { return changes };
        let real = real.write(ops);
        assert_eq!(real, changes);
        real
    }

    /// Whether a watch may miss a change: of a revision that was compacted to, only the last of each key stays.
    pub(super) fn may_be_gone(&self, made: &Made) -> bool {
        let Change { revision, key, .. } = &made.change;
        let mut later = self.history[&revision.main].iter().skip(revision.sub as usize + 1);
        self.compactions.contains(&revision.main) && later.any(|later| later.change.key == key)
    }

    /// What is left of history on disk: for each key, the newest row at or below the compacted revision, unless
    /// it is a tombstone below it, and everything above.
    fn stored(&self, made: &Made) -> bool {
        let revision = made.change.revision;
        if revision.main >= self.compacted {
            return revision.main > self.compacted || !self.may_be_gone(made);
        }
        let superseded = (self.history.range(revision.main..=self.compacted).flat_map(|(_, made)| made))
            .any(|later| later.change.key == made.change.key && later.change.revision > revision);
        !superseded && made.change.kind == ChangeKind::Put
    }

    pub(super) fn compact(&mut self, revision: i64) {
        self.compacted = revision;
        self.compactions.insert(revision);
        if let Some(real) = &mut self.real {
            real.store.compact(revision).unwrap();
        }
    }

    pub(super) fn read(&self, query: &HistoryQuery) -> Result<HistoryChunk, HistoryError> {
        let (rows, covered_to) = self.read_rows(query);
        HistoryChunk::new(query, &rows, covered_to)
    }

    pub(super) fn read_rows(&self, query: &HistoryQuery) -> (Vec<HistoryRow>, i64) {
        let mut rows = Vec::new();
        let mut bytes = 0;
        for (main, made) in self.history.range(query.from..=query.to) {
            for Made { change, .. } in made.iter().filter(|made| self.stored(made)) {
                bytes += change.row.len();
                rows.push(HistoryRow {
                    revision: change.revision,
                    tombstone: change.kind == ChangeKind::Delete,
                    row: change.row.clone(),
                });
            }
            if bytes >= query.bytes_max || rows.len() >= query.rows_max {
                return (rows, *main);
            }
        }
        (rows, query.to)
    }
}

impl PrevRows for Store {
    fn prev(&self, key: &[u8], before_main: i64) -> Option<RowRef> {
        assert!(before_main > self.compacted, "a read below the compacted revision");
        if let Some(real) = &self.real {
            return real.prev(key, before_main);
        }
        self.pair_before(key, Revision::new(before_main, 0)).map(Made::row)
    }

    fn fetch(&self, row: &RowRef) -> Result<Bytes, MvccError> {
        if let Some(real) = &self.real {
            return real.fetch(row);
        }
        Ok(self.history[&row.rev.main][row.rev.sub as usize].change.row.clone())
    }
}
