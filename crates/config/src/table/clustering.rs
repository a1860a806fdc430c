//! What concerns the cluster.

use crate::flag::{Flag, Kind};

/// Members, discovery, consensus, compaction.
pub(super) const CLUSTERING: &[Flag] = &[
    Flag::new(
        "initial-advertise-peer-urls",
        Kind::Urls,
        "http://localhost:2380",
        "Peer URLs that this member tells the others.",
    ),
    Flag::new(
        "initial-cluster",
        Kind::Text,
        "default=http://localhost:2380",
        "Members of a new cluster as NAME=URL,NAME=URL; follows --name and --initial-advertise-peer-urls when not set.",
    ),
    Flag::new(
        "initial-cluster-state",
        Kind::Choice(&["new", "existing"]),
        "new",
        "Start a cluster, or join one: new or existing. Ignored once the member has data.",
    ),
    Flag::new(
        "initial-cluster-token",
        Kind::Text,
        "etcd-cluster",
        "Mixed into the ids of a new cluster, so that clusters cannot be confused.",
    ),
    Flag::new(
        "emulate-version",
        Kind::Choice(&["3.7", "3.6"]),
        "3.7",
        "Be a member of this version of etcd: with 3.6 the cluster and its files stay at 3.6, so that 3.6 can take over.",
    ),
    Flag::new(
        "advertise-client-urls",
        Kind::Urls,
        "http://localhost:2379",
        "Client URLs that this member tells everybody; must be set when --listen-client-urls is.",
    ),
    Flag::new("discovery-token", Kind::Text, "", "V3 discovery: token of the cluster.")
        .at("discovery-config.token"),
    Flag::new("discovery-endpoints", Kind::Set, "", "V3 discovery: endpoints of the discovery service.")
        .at("discovery-config.client.endpoints"),
    Flag::new("discovery-dial-timeout", Kind::Duration, "2s", "V3 discovery: timeout of connecting.")
        .at("discovery-config.client.dial-timeout"),
    Flag::new("discovery-request-timeout", Kind::Duration, "5s", "V3 discovery: timeout of a request.")
        .at("discovery-config.client.request-timeout"),
    Flag::new("discovery-keepalive-time", Kind::Duration, "2s", "V3 discovery: silence before a ping.")
        .at("discovery-config.client.keepalive-time"),
    Flag::new("discovery-keepalive-timeout", Kind::Duration, "6s", "V3 discovery: timeout of a ping.")
        .at("discovery-config.client.keepalive-timeout"),
    Flag::new("discovery-insecure-transport", Kind::Bool, "true", "V3 discovery: speak without TLS.")
        .at("discovery-config.client.secure.insecure-transport"),
    Flag::new(
        "discovery-insecure-skip-tls-verify",
        Kind::Bool,
        "false",
        "V3 discovery: do not check the service's certificate.",
    )
    .at("discovery-config.client.secure.insecure-skip-tls-verify"),
    Flag::new("discovery-cert", Kind::Text, "", "V3 discovery: client certificate.")
        .at("discovery-config.client.secure.cert"),
    Flag::new("discovery-key", Kind::Text, "", "V3 discovery: its key.")
        .at("discovery-config.client.secure.key"),
    Flag::new("discovery-cacert", Kind::Text, "", "V3 discovery: CA of the service's certificate.")
        .at("discovery-config.client.secure.cacert"),
    Flag::new("discovery-user", Kind::Text, "", "V3 discovery: user, or user:password.")
        .at("discovery-config.client.auth.username"),
    Flag::new("discovery-password", Kind::Text, "", "V3 discovery: password.")
        .at("discovery-config.client.auth.password"),
    Flag::new(
        "discovery-fallback",
        Kind::Choice(&["exit", "proxy"]),
        "exit",
        "What to do when discovery fails: exit, which is the only choice left.",
    )
    .nowhere(),
    Flag::new("discovery-srv", Kind::Text, "", "DNS domain whose SRV records name the members."),
    Flag::new("discovery-srv-name", Kind::Text, "", "Suffix of the service name in those records."),
    Flag::new(
        "strict-reconfig-check",
        Kind::Bool,
        "true",
        "Refuse changes of membership that would lose quorum.",
    ),
    Flag::new(
        "pre-vote",
        Kind::Bool,
        "true",
        "Ask before an election whether it could be won, so that returning members disturb nobody.",
    ),
    Flag::new(
        "auto-compaction-retention",
        Kind::Text,
        "0",
        "History to keep: a duration or hours (mode periodic), a number of revisions (mode revision); 0 for all.",
    ),
    Flag::new(
        "auto-compaction-mode",
        Kind::Text,
        "periodic",
        "What the retention means: periodic or revision.",
    ),
    Flag::new(
        "v2-deprecation",
        Kind::Choices(&["write-only", "write-only-skip-check", "write-only-drop-data", "gone"]),
        "write-only",
        "Accepted and ignored. Deprecated, removed in v3.8.",
    ),
];
