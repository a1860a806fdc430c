//! Raft without I/O: messages and ticks in, effects out.
//!
//! [`RawNode`] is one member's part in the algorithm, with the behaviour of etcd-io/raft 3.7 (whose recorded
//! scripts judge it, see `tests/scripts`): elections with pre-votes, leases by check-quorum, replication
//! with flow control, conf changes by joint consensus, learners, snapshots, linearizable reads, transfer of
//! leadership. It has no disk, socket, clock or thread; time is [`RawNode::tick`], randomness comes from
//! [`Config::seed`], log lines are effects too. The same inputs give the same effects.
//!
//! # The loop around it
//! With asynchronous storage writes ([`Config::async_storage_writes`], the default), followers get a batch
//! before the local sync starts, and an entry counts only when durable, on the leader too:
//! ```
//! # use consensus::*;
//! # use bytes::Bytes;
//! # use types::raft::*;
//! # let conf_state = ConfState { voters: vec![1], ..ConfState::default() };
//! # let meta = SnapshotMeta { index: 1, term: 1, conf_state };
//! # let store = MemLog::restore(HardState::default(), Snapshot { meta, data: Bytes::new() }, vec![]).unwrap();
//! # let send = |_: Message| {};
//! let mut node = RawNode::new(Config { applied: 1, ..Config::new(1) }, store)?;
//! node.campaign()?;
//! # let mut applied = Vec::new();
//! # for round in 0..9 {
//! # if round == 3 { node.propose(Bytes::from_static(b"x"))?; }
//! while node.has_ready() {
//!     let ready = node.ready();
//!     ready.messages.into_iter().for_each(send);
//!     if let Some(AppendWork { hard_state, entries, responses, ack, .. }) = ready.append {
//!         // Here the log thread writes and syncs; what follows is its report, in the order of the work.
//!         hard_state.into_iter().for_each(|state| node.store_mut().set_hard_state(state));
//!         node.store_mut().append(entries)?;
//!         node.persisted(responses, ack).into_iter().for_each(send);
//!     }
//!     if let Some(ApplyWork { entries, ack: Some(ack) }) = ready.apply {
//!         // Here the state machine applies; conf changes go to `apply_conf_change`.
//!         # applied.extend(entries);
//!         node.applied(&ack);
//!     }
//! }
//! # }
//! # assert_eq!(applied.len(), 2);
//! # assert_eq!(node.basic_status().soft_state.role, RoleKind::Leader);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! # What the driver must see to
//! Each of these was found, or is checked, by `tests/cluster`.
//! - Works of one kind are reported in the order handed out; the two kinds are independent of each other, with one
//!   exception: a snapshot in [`AppendWork::snapshot`] replaces log and state machine, and makes all [`ApplyWork`]
//!   handed out before it needless. Report what is left of that without applying it.
//! - Entries are applied before the commit index that covers them is durable. Make a snapshot or compact the log
//!   only up to a commit index that is; else the next start finds a log that begins after its commit index.
//!   For the same reason apply conf changes only when the commit index that covers them is durable: a member that
//!   restarts in an older configuration may wait for votes of members that were removed.
//! - On a start, [`Config::applied`] is at least the index of the snapshot whose [`types::raft::ConfState`] the store
//!   gives.
//! - A snapshot that is sent should be of the newest applied state: in the configuration of an older one its
//!   receiver may not be yet, and it would refuse it, again and again. Report each one sent, delivered or not.
//! - On [`Error::Diverged`] or [`Error::Store`] the member stops.
//!
//! # Inside
//! `raft` decides: `raft/core` is what a node always is, `raft/{follower,candidate,leader}` are its roles,
//! which own what they know only in that role. `log` is the log with its part in memory and the [`LogStore`]
//! behind it, `tracker` the configuration and the leader's view of each follower, `quorum` the arithmetic.
//!
//! # What is not here
//! The WAL, the wire form of messages, the membership of etcd (names, addresses), the first entries of a new
//! cluster. Messages are not authenticated: whoever may send them is trusted to be a member, but no message
//! makes a node panic.
//!
//! # Where it differs from upstream
//! Messages that no correct member sends are errors rather than panics or accepted. A leader that is the only voter
//! also commits an entry of its term before it answers reads (its commit index may be older than its last crash).
//! Reads that wait are lost with leadership, as their readers ask again anyway. A candidate that was removed while
//! votes were counted does not lead.

mod conf_change;
mod config;
pub mod describe;
mod error;
mod journal;
mod log;
mod message;
mod prng;
pub mod quorum;
mod raft;
mod raw_node;
mod ready;
mod status;
pub mod tracker;

pub use conf_change::{
    AnyConfChange, Change, ChangeKind, CodecError, ConfChange, ConfChangeError, ConfChangeV2, Transition,
};
pub use config::{Config, ReadMode};
pub use error::{Divergence, Error, StartError};
pub use journal::{Level, LogLine};
pub use log::{LogStore, MemLog, StoreError};
pub use message::{Message, MessageKind, NO_NODE};
pub use raft::{AppendAck, ApplyAck, RoleKind};
pub use raw_node::RawNode;
pub use ready::{AppendWork, ApplyWork, EntryId, ReadState, Ready, SoftState};
pub use status::{BasicStatus, Status};
