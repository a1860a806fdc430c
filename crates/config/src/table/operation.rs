//! Watching over a member: metrics, logs, tracing, checks.

use crate::flag::{Flag, Kind};

/// What others can look at.
pub(super) const MONITORING: &[Flag] = &[
    Flag::new("enable-pprof", Kind::Bool, "false", "Serve profiles under /debug/pprof/.").not_yet(),
    Flag::new("metrics", Kind::Text, "basic", "basic, or extensive for histograms of gRPC calls too."),
    Flag::new(
        "listen-metrics-urls",
        Kind::Urls,
        "",
        "Where to listen for /metrics and health alone; with https the clients' TLS settings hold.",
    ),
];

/// The log.
pub(super) const LOGGING: &[Flag] = &[
    Flag::new("logger", Kind::Text, "zap", "zap, which is the only choice."),
    Flag::new(
        "log-outputs",
        Kind::Set,
        "default",
        "default, stderr, stdout, systemd/journal, or files, separated by commas.",
    ),
    Flag::new("log-level", Kind::Text, "info", "debug, info, warn, error, panic or fatal."),
    Flag::new("log-format", Kind::Text, "json", "json or console."),
    Flag::new("enable-log-rotation", Kind::Bool, "false", "Rotate the one file among --log-outputs.").not_yet(),
    Flag::new(
        "log-rotation-config-json",
        Kind::Text,
        r#"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#,
        "How: megabytes, days, old files, whether names have local time, whether old files are compressed; 0 for no limit.",
    )
    .not_yet(),
    Flag::new("warning-unary-request-duration", Kind::Duration, "300ms", "Warn of requests that take longer.").not_yet(),
];

/// OpenTelemetry.
pub(super) const TRACING: &[Flag] = &[
    Flag::new("enable-distributed-tracing", Kind::Bool, "false", "Send traces.").not_yet(),
    Flag::new("distributed-tracing-address", Kind::Text, "localhost:4317", "Collector to send them to.")
        .not_yet(),
    Flag::new(
        "distributed-tracing-service-name",
        Kind::Text,
        "etcd",
        "Service name, the same on all members.",
    )
    .not_yet(),
    Flag::new("distributed-tracing-instance-id", Kind::Text, "", "Instance id, different on all members.")
        .not_yet(),
    Flag::new(
        "distributed-tracing-sampling-rate",
        Kind::Signed,
        "0",
        "Samples in a million spans, 0 to 1000000.",
    )
    .not_yet(),
];

/// Checks and limits.
pub(super) const FEATURES: &[Flag] = &[
    Flag::new(
        "corrupt-check-time",
        Kind::Duration,
        "0s",
        "Time between checks of all members for corruption; 0 for none.",
    ),
    Flag::new("compact-hash-check-time", Kind::Duration, "1m0s", "Time between checks of compaction hashes."),
    Flag::new(
        "compaction-batch-limit",
        Kind::Signed,
        "0",
        "Revisions that a step of a compaction removes; 0 for 1000.",
    ),
    Flag::new(
        "peer-skip-client-san-verification",
        Kind::Bool,
        "false",
        "Do not check names in certificates of other members.",
    )
    .at("peer-transport-security.skip-client-san-verification"),
    Flag::new(
        "watch-progress-notify-interval",
        Kind::Duration,
        "0",
        "Time between progress notifications of idle watchers, at least 100ms; 0 for 10m.",
    ),
    Flag::new(
        "warning-apply-duration",
        Kind::Duration,
        "100ms",
        "Warn of entries that take longer to apply.",
    ),
    Flag::new(
        "bootstrap-defrag-threshold-megabytes",
        Kind::Unsigned,
        "0",
        "Defragment at the start when that many megabytes can be freed; 0 for never.",
    )
    .not_yet(),
    Flag::new("max-learners", Kind::Signed, "1", "Learners that the cluster may have; equal on all members."),
    Flag::new(
        "compaction-sleep-interval",
        Kind::Duration,
        "0",
        "Pause between steps of a compaction; 0 for 10ms.",
    ),
    Flag::new(
        "downgrade-check-time",
        Kind::Duration,
        "5s",
        "Time between checks whether a downgrade is done.",
    )
    .not_yet(),
    Flag::new(
        "snapshot-catchup-entries",
        Kind::Unsigned,
        "5000",
        "Entries kept behind a raft snapshot for slow followers.",
    ),
];

/// What can lose data.
pub(super) const UNSAFE: &[Flag] = &[
    Flag::new("force-new-cluster", Kind::Bool, "false", "Keep the data and forget all other members."),
    Flag::new("unsafe-no-fsync", Kind::Bool, "false", "Do not wait for the disk: a crash loses data.")
        .not_yet(),
];

/// What etcd does not have. Names begin so that none of etcd's can ever be the same.
pub(super) const OWN: &[Flag] = &[
    Flag::new(
        "mainstay-audit-log",
        Kind::Text,
        "",
        "Where each call of a client leaves a line: stderr, or a file; empty for nowhere.",
    ),
    Flag::new(
        "mainstay-audit-log-redact-keys",
        Kind::Bool,
        "false",
        "Show sums instead of keys in the audit log.",
    ),
];
