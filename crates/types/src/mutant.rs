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
    /// After a restart the revision of users and permissions begins anew (etcd #11651).
    AuthRevisionLost,
    /// What users were granted is not worked out after a restart or an installed snapshot (etcd #14571).
    GrantsForgotten,
    /// A lease that is gone is renewed (etcd #20615).
    RenewedAfterEnd,
    /// Who led goes on to let leases expire (etcd #16822, #15247).
    DemotedExpires,
    /// The database writes its meta page before the pages are durable (in the manner of etcd #14211).
    MetaBeforePages,
    /// Whatever is wrong with the end of the log counts as a torn write (reliability.md A).
    TailTruncated,
    /// Checksums of pages are not compared (reliability.md A).
    SumsIgnored,
    /// After a restart leases have no keys (in the manner of etcd #11651).
    LeaseKeysForgotten,
    /// A pair that is put without its lease stays with the lease.
    LeaseNotDetached,
    /// A watcher that was behind gets the last event again (etcd #17247).
    EventTwice,
    /// An installed snapshot takes watchers back (etcd #15271).
    TimeTravel,
    /// An installed snapshot takes watchers of the future back (etcd #20221).
    FutureWatchNow,
    /// A vote does not depend on the log (raft, 5.4.1).
    VoteForStaleLog,
    /// A member votes for whoever asks (raft, 5.2).
    VoteTwice,
    /// A leader answers reads without asking whether it still leads (in the manner of etcd #21417).
    ReadWithoutQuorum,
    /// A leader answers reads before it knows what is committed (raft, 8).
    ReadBeforeOwnTerm,
    /// Heartbeats carry what the leader has committed, and followers commit it, whatever they hold (raft, 5.3).
    CommitBeyondMatch,
    /// A write that finds the disk full fails (etcd stops).
    FullDiskStops,
    /// A failed sync is done again, and then believed (reliability.md G).
    SyncAgain,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 33] = [
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
        Mutant::AuthRevisionLost,
        Mutant::GrantsForgotten,
        Mutant::RenewedAfterEnd,
        Mutant::DemotedExpires,
        Mutant::MetaBeforePages,
        Mutant::TailTruncated,
        Mutant::SumsIgnored,
        Mutant::LeaseKeysForgotten,
        Mutant::LeaseNotDetached,
        Mutant::EventTwice,
        Mutant::TimeTravel,
        Mutant::FutureWatchNow,
        Mutant::VoteForStaleLog,
        Mutant::VoteTwice,
        Mutant::ReadWithoutQuorum,
        Mutant::ReadBeforeOwnTerm,
        Mutant::CommitBeyondMatch,
        Mutant::FullDiskStops,
        Mutant::SyncAgain,
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
