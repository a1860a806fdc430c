//! What a store must do, in the plainest way: all rows that were ever written, and rules applied to all of them.

use std::collections::BTreeMap;

use prost::Message as _;
use types::{KeyRange, Revision};

/// A row with its fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelRow {
    pub(super) tombstone: bool,
    pub(super) pair: proto::mvccpb::KeyValue,
}

impl ModelRow {
    pub(super) fn encoded(&self) -> Vec<u8> {
        self.pair.encode_to_vec()
    }
}

pub(super) type RowsByRevision = BTreeMap<Revision, ModelRow>;

/// The model. Compaction only notes its revision; [`Model::on_disk`] says what is left of the rows.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) rows: RowsByRevision,
    pub(super) revision: i64,
    /// Each compaction, ascending.
    pub(super) compactions: Vec<i64>,
    /// Changes made so far in the revision under way.
    sub: i64,
}

impl Model {
    pub(super) fn new() -> Model {
        Model { rows: BTreeMap::new(), revision: 1, compactions: Vec::new(), sub: 0 }
    }

    pub(super) fn compacted(&self) -> i64 {
        self.compactions.last().copied().unwrap_or(-1)
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8], lease: i64) {
        let main = self.revision + 1;
        let before = self.pair(key, main);
        let pair = proto::mvccpb::KeyValue {
            key: key.to_vec().into(),
            create_revision: before.map_or(main, |row| row.pair.create_revision),
            mod_revision: main,
            version: before.map_or(1, |row| row.pair.version + 1),
            value: value.to_vec().into(),
            lease,
        };
        self.push(ModelRow { tombstone: false, pair });
    }

    pub(super) fn delete_range(&mut self, range: &KeyRange) -> usize {
        let keys: Vec<_> =
            self.list(range, self.revision + 1).iter().map(|row| row.1.pair.key.clone()).collect();
        for key in &keys {
            let pair = proto::mvccpb::KeyValue { key: key.clone(), ..Default::default() };
            self.push(ModelRow { tombstone: true, pair });
        }
        keys.len()
    }

    fn push(&mut self, row: ModelRow) {
        self.rows.insert(Revision { main: self.revision + 1, sub: self.sub }, row);
        self.sub += 1;
    }

    pub(super) fn end_txn(&mut self) {
        if self.sub > 0 {
            self.revision += 1;
            self.sub = 0;
        }
    }

    /// The pair of a key at a revision.
    pub(super) fn pair(&self, key: &[u8], at: i64) -> Option<&ModelRow> {
        let newest = self.rows.iter().rev().find(|(rev, row)| rev.main <= at && row.pair.key == key);
        newest.map(|(_, row)| row).filter(|row| !row.tombstone)
    }

    /// The pairs of a range at a revision, in key order, with their revisions.
    pub(super) fn list(&self, range: &KeyRange, at: i64) -> Vec<(Revision, &ModelRow)> {
        let mut newest = BTreeMap::new();
        for (rev, row) in self.rows.iter().filter(|(rev, _)| rev.main <= at) {
            newest.insert(row.pair.key.clone(), (*rev, row));
        }
        let found = newest.into_iter().filter(|(key, (_, row))| range.contains(key) && !row.tombstone);
        found.map(|(_, found)| found).collect()
    }

    /// The rows that are left when compaction to `compacted` is done (contract/semantics.md 4.3).
    pub(super) fn left_by(&self, compacted: i64) -> RowsByRevision {
        let mut rows = self.rows.clone();
        rows.retain(|rev, row| {
            let replaced = self.rows.iter().any(|(other, later)| {
                other > rev && other.main <= compacted && later.pair.key == row.pair.key
            });
            if rev.main > compacted || (row.tombstone && rev.main == compacted) {
                return true;
            }
            !row.tombstone && !replaced
        });
        rows
    }

    /// The rows that are left when all compactions are done.
    pub(super) fn on_disk(&self) -> RowsByRevision {
        self.left_by(self.compacted())
    }

    /// `HashKV` at a revision when all compactions are done (9.7).
    pub(super) fn hash(&self, at: i64) -> u32 {
        let rows = self.on_disk();
        let keep = kept(&rows, at, false);
        hash(&rows, self.compacted(), at, &keep)
    }

    /// The hash that the last compaction computes while it runs.
    pub(super) fn compaction_hash(&self) -> u32 {
        let (at, before) = match self.compactions[..] {
            [.., before, at] => (at, before),
            [at] => (at, -1),
            [] => panic!("no compaction"),
        };
        let rows = self.left_by(before);
        let keep = kept(&rows, at, true);
        hash(&rows, before, at, &keep)
    }
}

/// etcd's choice of what a compaction to `at` would keep: per key, of the first life whose tombstone is not before
/// `at` (else the last life), the newest change up to `at`; `HashKV` takes away tombstones, compaction does not.
fn kept(rows: &RowsByRevision, at: i64, with_tombstones: bool) -> Vec<Revision> {
    let mut lives: BTreeMap<Vec<u8>, Vec<Vec<(Revision, bool)>>> = BTreeMap::new();
    for (rev, row) in rows {
        let lives = lives.entry(row.pair.key.to_vec()).or_insert_with(|| vec![Vec::new()]);
        lives.last_mut().unwrap().push((*rev, row.tombstone));
        if row.tombstone {
            lives.push(Vec::new());
        }
    }
    let mut keep = Vec::new();
    for lives in lives.values() {
        let ends_late =
            |life: &&Vec<(Revision, bool)>| life.last().is_none_or(|end| !end.1 || end.0.main >= at);
        let life = lives.iter().find(ends_late).unwrap();
        if let Some((rev, tombstone)) = life.iter().rev().find(|(rev, _)| rev.main <= at)
            && (with_tombstones || !tombstone)
        {
            keep.push(*rev);
        }
    }
    keep
}

fn hash(rows: &RowsByRevision, compacted: i64, at: i64, keep: &[Revision]) -> u32 {
    let mut crc = crc32c::crc32c(b"key");
    for (rev, row) in rows.iter().filter(|(rev, _)| rev.main <= at) {
        let superseded = rev.main <= compacted && !keep.is_empty() && !keep.contains(rev);
        if superseded || (row.tombstone && rev.main == compacted) {
            continue;
        }
        let key = if row.tombstone { rev.encode_tombstone().to_vec() } else { rev.encode().to_vec() };
        crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, &key), &row.encoded());
    }
    crc
}
