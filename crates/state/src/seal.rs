//! Batches for the backend: what was changed since the last one, with the consistent index of the last change.

use bolt::Snapshot;
use types::{
    Write, bucket,
    bucket::meta,
    mutant::{self, Mutant},
    raft::ConfState,
};

use crate::State;

/// One backend transaction.
#[derive(Debug)]
pub struct Sealed {
    /// To be applied in order, all or nothing.
    pub writes: Vec<Write>,
    /// For [`State::committed`].
    pub batch: u64,
    /// Consistent index that the batch carries.
    pub index: u64,
    /// Term of that entry.
    pub term: u64,
    /// The configuration at that index.
    pub conf_state: ConfState,
    /// The v2 membership at that index, for a `.snap` file.
    pub membership: String,
}

/// A batch on its way to the disk.
#[derive(Debug)]
pub(crate) struct InFlight {
    batch: u64,
    /// Ops that the store had ever emitted when it was sealed.
    store_ops: u64,
}

/// A place in the writes that no batch holds yet.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    writes: usize,
    store_ops: u64,
}

impl State {
    /// Where the next write will stand.
    pub fn mark(&self) -> Mark {
        Mark { writes: self.writes.len(), store_ops: self.store.ops_emitted() }
    }

    /// What was written since `mark`, if no batch was sealed since. With an entry applied in between, this is what the
    /// entry did: equal on every member.
    pub fn writes_since(&self, mark: Mark) -> impl Iterator<Item = &Write> {
        self.store.ops_after(mark.store_ops).iter().chain(self.writes.iter().skip(mark.writes))
    }

    /// Whether anything was applied or compacted since the last batch.
    pub fn is_dirty(&self) -> bool {
        self.touched || self.dirty_writes() > 0
    }

    /// How many writes the next batch would hold, about.
    pub fn dirty_writes(&self) -> usize {
        self.writes.len() + (self.store.ops_emitted() - self.store_ops_sealed) as usize
    }

    /// Takes everything changed since the last batch.
    pub fn seal(&mut self) -> Sealed {
        let mut writes = self.store.take_ops();
        self.store_ops_sealed = self.store.ops_emitted();
        writes.append(&mut self.writes);
        if !(mutant::is_on(Mutant::IndexApart) && self.batch % 2 == 1) {
            writes.push(number(meta::CONSISTENT_INDEX, self.applied));
        }
        writes.push(number(meta::TERM, self.term));
        self.touched = false;
        self.batch += 1;
        self.sealed.push_back(InFlight { batch: self.batch, store_ops: self.store_ops_sealed });
        Sealed {
            writes,
            batch: self.batch,
            index: self.applied,
            term: self.term,
            conf_state: self.cluster.conf_state(),
            membership: self.membership(),
        }
    }

    fn membership(&mut self) -> String {
        let known = self.membership.take().filter(|(cluster, _)| *cluster == self.cluster);
        let (_, text) = self.membership.insert(known.unwrap_or_else(|| {
            let text = self.cluster.v2_snapshot();
            (self.cluster.clone(), text)
        }));
        text.clone()
    }

    /// Batch `batch` is durable, and `snapshot` shows it.
    ///
    /// # Panics
    /// When batches are reported out of order: they are committed by one thread, one after the other.
    pub fn committed(&mut self, batch: u64, snapshot: Snapshot) {
        let oldest = self.sealed.pop_front().expect("a batch was handed out");
        assert_eq!(oldest.batch, batch, "batches are committed in order");
        self.store_ops_committed = oldest.store_ops;
        self.store.committed(oldest.store_ops, snapshot);
    }

    /// Takes the place of `old`, of the same member: numbers of batches and figures go on from there.
    pub fn goes_on_from(&mut self, old: &State) {
        self.batch = old.batch;
        self.counts = old.counts;
    }

    /// The backend has moved pages without a batch: read from `snapshot` from now on, so that the old pages can go.
    pub fn refreshed(&mut self, snapshot: Snapshot) {
        self.store.committed(self.store_ops_committed, snapshot);
    }
}

/// A meta row that holds a number. etcd never writes 0 there, and nothing is applied at index 0.
fn number(key: &'static [u8], value: u64) -> Write {
    Write::put(bucket::META, key, value.to_be_bytes().to_vec())
}
