//! Errors, by what the caller does about them.

use crate::{MessageKind, StoreError, conf_change::ConfChangeError};

/// Why an input was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The proposal did not enter the log: no leader, a transfer of leadership, or too much uncommitted.
    /// Tell the proposer at once; it may try again.
    #[error("raft proposal dropped")]
    ProposalDropped,
    /// A reply from a member that is not in the configuration. Drop it.
    #[error("raft: cannot step as peer not found")]
    UnknownPeer,
    /// A message no correct member sends. The log did not change; drop the message and log it.
    #[error("malformed {kind} from {from:x}: {what}")]
    Malformed {
        /// The message's kind.
        kind: MessageKind,
        /// Who claims to have sent it.
        from: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A leader contradicts what is committed here: either this member lost acknowledged entries, or that
    /// leader breaks Raft. The log did not change. This member must not go on without repair.
    #[error(transparent)]
    Diverged(#[from] Divergence),
    /// A conf change that cannot be decoded or does not fit the configuration. Nothing changed.
    #[error(transparent)]
    ConfChange(#[from] ConfChangeError),
    /// The log store failed; this node takes no further input. Stop the member.
    #[error("raft log store failed: {0}")]
    Store(#[from] StoreError),
}

/// How a leader's claim contradicts the local log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Divergence {
    /// An entry of the leader differs from a committed one.
    #[error("entry {index} conflict with committed entry [committed({committed})]")]
    CommittedEntry {
        /// The first index that differs.
        index: u64,
        /// What is committed here, inclusive.
        committed: u64,
    },
    /// The leader says that entries are committed which it knows to be here, and they are not.
    #[error(
        "tocommit({commit}) is out of range [lastIndex({last})]. Was the raft log corrupted, truncated, or lost?"
    )]
    CommitBeyondLog {
        /// What the leader takes for committed, inclusive.
        commit: u64,
        /// The last index of the local log.
        last: u64,
    },
}

/// Why a node cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A setting, or a combination of settings, makes no sense.
    #[error("invalid raft configuration: {0}")]
    Config(&'static str),
    /// What the store holds does not fit together, or does not fit `Config::applied`.
    #[error("inconsistent raft state: {what} {value} is out of range [{low}, {high}]")]
    State {
        /// Which index is wrong.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The lowest sensible value, inclusive.
        low: u64,
        /// The highest sensible value, inclusive.
        high: u64,
    },
    /// The stored conf state is not one that conf changes can produce.
    #[error("unable to restore the conf state: {0}")]
    ConfState(#[from] ConfChangeError),
    /// The store could not be read.
    #[error("raft log store failed: {0}")]
    Store(#[from] StoreError),
}
