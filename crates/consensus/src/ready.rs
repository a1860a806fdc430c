//! What a node wants done.

use bytes::Bytes;
use types::raft::{Entry, HardState, Snapshot};

use crate::{AppendAck, ApplyAck, Message, RoleKind};

/// The place of an entry: no two entries of a cluster have the same one and differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryId {
    /// Term of the leader that proposed it.
    pub term: u64,
    /// Position in the log.
    pub index: u64,
}

impl EntryId {
    pub(crate) fn of(entry: &Entry) -> EntryId {
        EntryId { term: entry.term, index: entry.index }
    }
}

/// What need not survive a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftState {
    /// The leader of the current term as far as known; 0 = none.
    pub leader: u64,
    /// The node's role.
    pub role: RoleKind,
}

/// The answer to a read: once `index` is applied, the local state is at least as new as when it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadState {
    /// What must be applied first, inclusive.
    pub index: u64,
    /// The read's name, as given to `read_index`.
    pub context: Bytes,
}

/// Everything a node wants done since the last time it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Leader and role, when either changed.
    pub soft_state: Option<SoftState>,
    /// Reads that may go on.
    pub read_states: Vec<ReadState>,
    /// To be sent to other members. With asynchronous storage writes: at once, before the write even began.
    /// Else: after `append` is durable.
    pub messages: Vec<Message>,
    /// To be made durable.
    pub append: Option<AppendWork>,
    /// To be applied.
    pub apply: Option<ApplyWork>,
    /// Whether `append` needs a sync: not when it only moves the commit index.
    pub must_sync: bool,
}

/// What must be made durable, in the order handed out: the snapshot replaces the log, entries replace what the
/// log has from their first index on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendWork {
    /// Term, vote and commit index, when any changed.
    pub hard_state: Option<HardState>,
    /// Entries to append; none when there is a snapshot.
    pub entries: Vec<Entry>,
    /// A snapshot to take over, log and state machine both. It makes all [`ApplyWork`] handed out before it
    /// needless: report what is left of that without applying it.
    pub snapshot: Option<Snapshot>,
    /// For `RawNode::persisted`: messages that promise what is written here, to other members and to this
    /// node itself. Empty without asynchronous storage writes.
    pub responses: Vec<Message>,
    /// For `RawNode::persisted`. `None` without asynchronous storage writes, or when nothing hangs on it.
    pub ack: Option<AppendAck>,
}

/// Committed entries to be applied, in the order handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyWork {
    /// The entries; never empty.
    pub entries: Vec<Entry>,
    /// For `RawNode::applied`. `None` without asynchronous storage writes.
    pub ack: Option<ApplyAck>,
}

impl Ready {
    /// The hard state to be made durable, when it changed.
    pub fn hard_state(&self) -> Option<HardState> {
        self.append.as_ref().and_then(|append| append.hard_state)
    }

    /// The entries to be made durable.
    pub fn entries(&self) -> &[Entry] {
        self.append.as_ref().map_or(&[], |append| &append.entries)
    }

    /// The snapshot to be taken over.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.append.as_ref().and_then(|append| append.snapshot.as_ref())
    }

    /// The entries to be applied.
    pub fn committed(&self) -> &[Entry] {
        self.apply.as_ref().map_or(&[], |apply| &apply.entries)
    }
}
