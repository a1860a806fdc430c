//! What storage reports: entries and snapshots are durable, entries are applied.

use types::raft::Entry;

use super::{Raft, core::Core, role::Role};
use crate::{
    EntryId, LogStore,
    journal::note,
    log::{encoded_len_sum, payload_len_sum},
};

/// Word that a write handed out in a `Ready`, and all before it, is durable. Give it back unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendAck {
    /// The term in which the write was handed out. Were it believed in a later one, the entries could be
    /// taken for durable while a write is under way that replaces them by others and a third one that
    /// brings them back (the ABA problem).
    term: u64,
    /// The end of the log then, if any of it was not known to be durable; also when this write itself had no
    /// entries, for an earlier word may have been disbelieved.
    last: Option<EntryId>,
    /// Index of the snapshot that was written.
    snapshot: Option<u64>,
}

/// Word that entries handed out in a `Ready`, and all before them, are applied. Give it back unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyAck {
    /// The last of them.
    index: u64,
    /// Their encoded size.
    bytes: u64,
    /// Their payload.
    payload: u64,
}

impl AppendAck {
    /// For everything handed out so far; `None` when nothing hangs on it.
    pub(crate) fn for_unstable<S: LogStore>(core: &Core<S>, snapshot: Option<u64>) -> Option<AppendAck> {
        let last = core.log.has_unstable().then(|| core.log.last());
        let needed = last.is_some() || snapshot.is_some();
        needed.then_some(AppendAck { term: core.term, last, snapshot })
    }

    /// The term in which the write was handed out.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The end of the log when the write was handed out.
    pub fn last(&self) -> Option<EntryId> {
        self.last
    }

    /// Index of the snapshot that the write had.
    pub fn snapshot_index(&self) -> Option<u64> {
        self.snapshot
    }
}

impl ApplyAck {
    /// For those entries; `None` when there are none.
    pub(crate) fn for_entries(entries: &[Entry]) -> Option<ApplyAck> {
        let index = entries.last()?.index;
        let (bytes, payload) = (encoded_len_sum(entries), payload_len_sum(entries));
        Some(ApplyAck { index, bytes, payload })
    }

    /// The last entry that was applied.
    pub fn index(&self) -> u64 {
        self.index
    }
}

impl<S: LogStore> Raft<S> {
    /// A write is durable.
    pub(crate) fn on_appended(&mut self, ack: &AppendAck) {
        let core = &mut self.core;
        if let Some(last) = ack.last {
            if ack.term == core.term {
                core.log.stable_to(last, &mut core.journal);
            } else {
                note!(
                    core.journal,
                    Info,
                    "{:x} [term: {}] ignored entry appends from a MsgStorageAppendResp message with lower term \
                     [term: {}]",
                    core.id(),
                    core.term,
                    ack.term
                );
            }
        }
        // What a snapshot has is committed, whatever the term.
        if let Some(index) = ack.snapshot {
            core.log.stable_snapshot_to(index);
            self.applied_to(index, 0, 0);
        }
    }

    /// Entries are applied.
    pub(crate) fn on_applied(&mut self, ack: &ApplyAck) {
        self.applied_to(ack.index, ack.bytes, ack.payload);
    }

    fn applied_to(&mut self, index: u64, bytes: u64, payload: u64) {
        let core = &mut self.core;
        let index = index.max(core.log.applied());
        core.log.applied_to(index, bytes);
        if let Role::Leader(leader) = &mut self.role {
            leader.on_applied(core, index, payload);
        }
    }
}
