//! Raft's records, as the log, the WAL and consensus share them. Wire forms are in `proto::raft`.

use bytes::Bytes;

/// What an entry's payload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntryKind {
    /// An `InternalRaftRequest`, or nothing (a new leader's first entry).
    #[default]
    Normal,
    /// A `raftpb.ConfChange`.
    ConfChange,
    /// A `raftpb.ConfChangeV2`; etcd never writes one.
    ConfChangeV2,
}

/// One entry of the replicated log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Term of the leader that proposed it.
    pub term: u64,
    /// Position in the log; the first is 1.
    pub index: u64,
    /// How to read `data`.
    pub kind: EntryKind,
    /// The payload; shared, never copied after the proposal was encoded.
    pub data: Bytes,
}

/// What a member must remember across a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// Highest term seen.
    pub term: u64,
    /// Whom it voted for in that term; 0 = nobody.
    pub vote: u64,
    /// Highest index known to be committed, inclusive.
    pub commit: u64,
}

/// The members that take part, and how. While `voters_outgoing` is not empty, two configurations hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfState {
    /// Voters of the incoming configuration.
    pub voters: Vec<u64>,
    /// Members that get the log and do not vote.
    pub learners: Vec<u64>,
    /// Voters of the outgoing configuration of a joint one.
    pub voters_outgoing: Vec<u64>,
    /// Outgoing voters that become learners when the joint configuration ends.
    pub learners_next: Vec<u64>,
    /// Whether the leader leaves the joint configuration by itself.
    pub auto_leave: bool,
}

/// The point in the log that a snapshot stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// Last index it includes.
    pub index: u64,
    /// Term of that index.
    pub term: u64,
    /// The configuration at that index.
    pub conf_state: ConfState,
}

/// A snapshot as raft passes it around: its place, and opaque bytes of the owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Where in the log it stands.
    pub meta: SnapshotMeta,
    /// Opaque to raft (etcd: JSON of the v2 membership tree).
    pub data: Bytes,
}
