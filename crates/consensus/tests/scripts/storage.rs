//! A log store that always has a snapshot of the newest applied state.

use consensus::{LogStore, MemLog, StoreError};
use types::raft::{ConfState, Entry, HardState, Snapshot};

#[derive(Debug)]
pub(crate) struct ScriptStore {
    pub(crate) log: MemLog,
    /// State after the entry applied last; its data is the payload of all entries, one after the other.
    pub(crate) newest: Snapshot,
}

impl LogStore for ScriptStore {
    fn initial_state(&self) -> Result<(HardState, ConfState), StoreError> {
        self.log.initial_state()
    }

    fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StoreError> {
        self.log.entries(low, high, bytes_max)
    }

    fn term(&self, index: u64) -> Result<u64, StoreError> {
        self.log.term(index)
    }

    fn first_index(&self) -> u64 {
        self.log.first_index()
    }

    fn last_index(&self) -> u64 {
        self.log.last_index()
    }

    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(self.newest.clone())
    }
}
