//! How the command starts, and what concerns this member alone.

use crate::flag::{Flag, Kind};

/// What to start with.
pub(super) const START: &[Flag] = &[
    Flag::new(
        "config-file",
        Kind::Text,
        "",
        "Configuration file, YAML or JSON. With it all other flags and environment variables are ignored. Durations in it are whole nanoseconds.",
    )
    .nowhere(),
    Flag::new("version", Kind::Bool, "false", "Print the version and exit.").nowhere(),
];

/// The member itself.
pub(super) const MEMBER: &[Flag] = &[
    Flag::new("name", Kind::Text, "default", "Name of this member; it must stand in --initial-cluster."),
    Flag::new("data-dir", Kind::Text, "", "Folder for all data; NAME.etcd when empty."),
    Flag::new(
        "wal-dir",
        Kind::Text,
        "",
        "Folder for the write-ahead log; member/wal in --data-dir when empty.",
    ),
    Flag::new(
        "snapshot-count",
        Kind::Unsigned,
        "10000",
        "Applied entries between two raft snapshots; 0 for the default.",
    ),
    Flag::new("heartbeat-interval", Kind::Unsigned, "100", "Milliseconds between heartbeats of the leader."),
    Flag::new(
        "election-timeout",
        Kind::Unsigned,
        "1000",
        "Milliseconds without a leader before an election; at least 5 heartbeats, at most 50000.",
    ),
    Flag::new(
        "initial-election-tick-advance",
        Kind::Bool,
        "true",
        "Skip most of the first election timeout after the start.",
    ),
    Flag::new("listen-peer-urls", Kind::Urls, "http://localhost:2380", "Where to listen for other members."),
    Flag::new(
        "listen-client-urls",
        Kind::Urls,
        "http://localhost:2379",
        "Where to listen for clients: gRPC, and HTTP too unless --listen-client-http-urls is set.",
    ),
    Flag::new(
        "listen-client-http-urls",
        Kind::Urls,
        "",
        "Where to listen for HTTP clients; --listen-client-urls then serve gRPC alone.",
    ),
    Flag::new(
        "max-snapshots",
        Kind::Unsigned,
        "5",
        "Raft snapshot files to keep; 0 for all. Deprecated, removed in v3.8.",
    ),
    Flag::new("max-wals", Kind::Unsigned, "5", "Segments of the write-ahead log to keep; 0 for all."),
    Flag::new("memory-mlock", Kind::Bool, "false", "Keep the pages of the backend in memory.").not_yet(),
    Flag::new(
        "quota-backend-bytes",
        Kind::Signed,
        "0",
        "Size of the backend file, in bytes, from which writes are refused; 0 for 2 GiB, negative for no limit.",
    ),
    Flag::new(
        "backend-bbolt-freelist-type",
        Kind::Text,
        "map",
        "How free pages of the backend are kept in memory: map or array.",
    )
    .not_yet(),
    Flag::new(
        "backend-batch-interval",
        Kind::Duration,
        "0",
        "Longest time between two backend commits; 0 for 100ms.",
    ),
    Flag::new(
        "backend-batch-limit",
        Kind::Signed,
        "0",
        "Operations that start a backend commit at once; 0 for 10000.",
    ),
    Flag::new("max-txn-ops", Kind::Unsigned, "128", "Compares or operations in one list of a transaction."),
    Flag::new("max-request-bytes", Kind::Unsigned, "1572864", "Size of a request in bytes."),
    Flag::new(
        "max-concurrent-streams",
        Kind::Unsigned32,
        "4294967295",
        "Streams that one client connection may have open at a time.",
    ),
    Flag::new(
        "grpc-keepalive-min-time",
        Kind::Duration,
        "5s",
        "Clients that ping more often than this are disconnected.",
    ),
    Flag::new(
        "grpc-keepalive-interval",
        Kind::Duration,
        "2h0m0s",
        "Silence after which a client is pinged; 0 for never.",
    ),
    Flag::new(
        "grpc-keepalive-timeout",
        Kind::Duration,
        "20s",
        "How long the answer to that ping may take; 0 for no pings.",
    ),
    Flag::new("socket-reuse-port", Kind::Bool, "false", "Set SO_REUSEPORT on listeners.")
        .at("socket-options.reuse-port"),
    Flag::new(
        "socket-reuse-address",
        Kind::Bool,
        "false",
        "Set SO_REUSEADDR on listeners; they always have it.",
    )
    .at("socket-options.reuse-address"),
    Flag::new("enable-grpc-gateway", Kind::Bool, "true", "Serve JSON over HTTP under /v3/."),
    Flag::new("raft-read-timeout", Kind::Duration, "5s", "Read timeout of peer connections, at least 5s.")
        .nowhere()
        .not_yet(),
    Flag::new("raft-write-timeout", Kind::Duration, "5s", "Write timeout of peer connections, at least 5s.")
        .nowhere()
        .not_yet(),
    Flag::new("feature-gates", Kind::Gates, "", "Features to switch on or off, as NAME=true,NAME=false:"),
];
