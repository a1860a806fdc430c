//! Old bugs, put back on purpose, to prove that the simulator finds them (docs/simulator.md).
//!
//! Without the feature `mutants`, which nothing but the simulator asks for, [`is_on`] is a constant and every mutant
//! is gone from the program.

#[cfg(feature = "mutants")]
use std::sync::atomic::{AtomicU8, Ordering};

/// A bug that somebody had, in the fewest lines that have its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// A batch is reported as durable without a sync (etcd #14370).
    AckBeforeSync = 1,
    /// Every second batch leaves the consistent index behind its effects (etcd #13766, #14685).
    IndexApart,
    /// After a restart the revision is that of the newest row that is left (etcd #17780).
    RevisionFromRows,
    /// Watchers that are behind are told of progress (etcd #15220).
    EarlyProgress,
    /// A watcher whose history is compacted goes on after it, without a word (etcd #17529).
    SkipCompacted,
    /// A tombstone at the compacted revision goes with the rows below it (etcd #18089).
    TombstoneGone,
    /// A read round that is asked again keeps its name (etcd #20418).
    ReadNameReused,
    /// An installed snapshot does not reach the watchers (etcd #9086).
    WatchersForgotten,
    /// A hard state alone is not synced: a vote may be given twice (a classic of raft).
    VoteNotSynced,
    /// A new leader gives leases no time of their own (in the manner of etcd #16822).
    LeaseNotExtended,
    /// A transaction runs without having been checked, and stops where it fails (etcd #18799).
    HalfTxn,
    /// A leader commits what former leaders left by counting alone (figure 8 of raft's paper).
    OldTermCommitted,
    /// A member that lost its disk comes back under its old id (reliability.md, P3).
    LostDiskRejoins,
    /// Names of read rounds begin anew with each life (Mainstay before the simulator looked).
    ReadNamesAgain,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 14] = [
        Mutant::AckBeforeSync,
        Mutant::IndexApart,
        Mutant::RevisionFromRows,
        Mutant::EarlyProgress,
        Mutant::SkipCompacted,
        Mutant::TombstoneGone,
        Mutant::ReadNameReused,
        Mutant::WatchersForgotten,
        Mutant::VoteNotSynced,
        Mutant::LeaseNotExtended,
        Mutant::HalfTxn,
        Mutant::OldTermCommitted,
        Mutant::LostDiskRejoins,
        Mutant::ReadNamesAgain,
    ];
}

#[cfg(feature = "mutants")]
static ON: AtomicU8 = AtomicU8::new(0);

/// Puts this one back, or none, for the whole process.
#[cfg(feature = "mutants")]
pub fn choose(mutant: Option<Mutant>) {
    ON.store(mutant.map_or(0, |mutant| mutant as u8), Ordering::Relaxed);
}

/// Whether this one was chosen.
#[cfg(feature = "mutants")]
pub fn is_on(mutant: Mutant) -> bool {
    ON.load(Ordering::Relaxed) == mutant as u8
}

/// Never.
#[cfg(not(feature = "mutants"))]
pub const fn is_on(_: Mutant) -> bool {
    false
}
