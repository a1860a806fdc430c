//! Flags of older releases.

/// Accepted and ignored, with a warning; they take any value, or none.
pub const IGNORED: &[&str] = &[
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "force",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-heartbeat-interval",
    "peer-election-timeout",
    "retry-interval",
    "snapshot",
    "v",
    "vv",
    "test.coverprofile",
    "test.outputdir",
];

/// A spelling of 3.6 and older that etcd 3.7 knows no more. It is taken for what replaced it, with a warning
/// (contract/deviations.tsv).
#[derive(Clone, Copy, Debug)]
pub struct Renamed {
    /// The old name.
    pub name: &'static str,
    /// What it is now.
    pub now: Replacement,
}

/// What replaced a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// A flag.
    Flag(&'static str),
    /// A feature gate.
    Gate(&'static str),
}

/// The old spellings.
pub const RENAMED: &[Renamed] = &[
    flag("experimental-bootstrap-defrag-threshold-megabytes", "bootstrap-defrag-threshold-megabytes"),
    gate("experimental-compact-hash-check-enabled", "CompactHashCheck"),
    flag("experimental-compact-hash-check-time", "compact-hash-check-time"),
    flag("experimental-compaction-batch-limit", "compaction-batch-limit"),
    flag("experimental-compaction-sleep-interval", "compaction-sleep-interval"),
    flag("experimental-corrupt-check-time", "corrupt-check-time"),
    flag("experimental-distributed-tracing-address", "distributed-tracing-address"),
    flag("experimental-distributed-tracing-instance-id", "distributed-tracing-instance-id"),
    flag("experimental-distributed-tracing-sampling-rate", "distributed-tracing-sampling-rate"),
    flag("experimental-distributed-tracing-service-name", "distributed-tracing-service-name"),
    flag("experimental-downgrade-check-time", "downgrade-check-time"),
    flag("experimental-enable-distributed-tracing", "enable-distributed-tracing"),
    gate("experimental-enable-lease-checkpoint", "LeaseCheckpoint"),
    gate("experimental-enable-lease-checkpoint-persist", "LeaseCheckpointPersist"),
    gate("experimental-initial-corrupt-check", "InitialCorruptCheck"),
    flag("experimental-memory-mlock", "memory-mlock"),
    flag("experimental-peer-skip-client-san-verification", "peer-skip-client-san-verification"),
    flag("experimental-snapshot-catch-up-entries", "snapshot-catchup-entries"),
    flag("experimental-snapshot-catchup-entries", "snapshot-catchup-entries"),
    gate("experimental-stop-grpc-service-on-defrag", "StopGRPCServiceOnDefrag"),
    gate("experimental-txn-mode-write-with-shared-buffer", "TxnModeWriteWithSharedBuffer"),
    flag("experimental-warning-apply-duration", "warning-apply-duration"),
    flag("experimental-warning-unary-request-duration", "warning-unary-request-duration"),
    flag("experimental-watch-progress-notify-interval", "watch-progress-notify-interval"),
];

/// Gone without replacement: unknown flags, with the reason.
pub const GONE: &[(&str, &str)] = &[
    ("discovery", "v2 discovery is gone; use --discovery-token and --discovery-endpoints"),
    ("discovery-proxy", "v2 discovery is gone; use --discovery-token and --discovery-endpoints"),
    ("enable-v2", "the v2 API is gone"),
    ("experimental-enable-v2v3", "the v2 API is gone"),
    ("proxy", "the v2 proxy is gone"),
    ("proxy-dial-timeout", "the v2 proxy is gone"),
    ("proxy-failure-wait", "the v2 proxy is gone"),
    ("proxy-read-timeout", "the v2 proxy is gone"),
    ("proxy-refresh-interval", "the v2 proxy is gone"),
    ("proxy-write-timeout", "the v2 proxy is gone"),
];

const fn flag(name: &'static str, now: &'static str) -> Renamed {
    Renamed { name, now: Replacement::Flag(now) }
}

const fn gate(name: &'static str, now: &'static str) -> Renamed {
    Renamed { name, now: Replacement::Gate(now) }
}
