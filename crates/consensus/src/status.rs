//! A node as its operator sees it.

use std::collections::BTreeMap;

use types::raft::HardState;

use crate::{
    SoftState,
    tracker::{ActiveConfig, Progress},
};

/// The state of a node; cheap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BasicStatus {
    /// This member.
    pub id: u64,
    /// Term, vote and commit index.
    pub hard_state: HardState,
    /// Leader and role.
    pub soft_state: SoftState,
    /// Highest index reported as applied, inclusive.
    pub applied: u64,
    /// To whom this leader hands leadership over; 0 = nobody.
    pub transferee: u64,
    /// A leader voids changes of membership until this index is applied; 0 on others.
    pub pending_conf_index: u64,
    /// First index of the log that is kept.
    pub first_index: u64,
    /// Last index of the log, durable or not.
    pub last_index: u64,
}

/// The state of a node and what it knows about the others; a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The node itself.
    pub basic: BasicStatus,
    /// The active configuration.
    pub config: ActiveConfig,
    /// All members, itself included; empty unless it leads.
    pub progress: BTreeMap<u64, Progress>,
}
