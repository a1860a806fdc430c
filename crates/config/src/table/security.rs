//! TLS, origins, tokens.

use crate::flag::{Flag, Kind};

/// Who may connect.
pub(super) const SECURITY: &[Flag] = &[
    Flag::new("cert-file", Kind::Text, "", "Certificate for clients, PEM.")
        .at("client-transport-security.cert-file"),
    Flag::new("key-file", Kind::Text, "", "Its key, PEM.").at("client-transport-security.key-file"),
    Flag::new(
        "client-cert-auth",
        Kind::Bool,
        "false",
        "Demand certificates of clients; with authentication on, their common name is the user.",
    )
    .at("client-transport-security.client-cert-auth"),
    Flag::new("client-cert-file", Kind::Text, "", "Certificate for the member's connections to itself.")
        .at("client-transport-security.client-cert-file")
        .not_yet(),
    Flag::new("client-key-file", Kind::Text, "", "Its key.")
        .at("client-transport-security.client-key-file")
        .not_yet(),
    Flag::new("client-crl-file", Kind::Text, "", "Revocation list for certificates of clients.").nowhere(),
    Flag::new(
        "client-cert-allowed-hostname",
        Kind::List,
        "",
        "Host names, separated by commas; a client's certificate must be for one of them.",
    )
    .at("client-transport-security.allowed-hostname"),
    Flag::new("trusted-ca-file", Kind::Text, "", "CA of the certificates of clients.")
        .at("client-transport-security.trusted-ca-file"),
    Flag::new("auto-tls", Kind::Bool, "false", "TLS for clients with a certificate of our own making.")
        .at("client-transport-security.auto-tls"),
    Flag::new("peer-cert-file", Kind::Text, "", "Certificate for other members, PEM.")
        .at("peer-transport-security.cert-file"),
    Flag::new("peer-key-file", Kind::Text, "", "Its key, PEM.").at("peer-transport-security.key-file"),
    Flag::new("peer-client-cert-auth", Kind::Bool, "false", "Demand certificates of other members.")
        .at("peer-transport-security.client-cert-auth"),
    Flag::new("peer-client-cert-file", Kind::Text, "", "Certificate for connections to other members.")
        .at("peer-transport-security.client-cert-file"),
    Flag::new("peer-client-key-file", Kind::Text, "", "Its key.")
        .at("peer-transport-security.client-key-file"),
    Flag::new("peer-trusted-ca-file", Kind::Text, "", "CA of the certificates of other members.")
        .at("peer-transport-security.trusted-ca-file"),
    Flag::new(
        "peer-cert-allowed-cn",
        Kind::List,
        "",
        "Common names, separated by commas; a member's certificate must have one.",
    )
    .at("peer-transport-security.allowed-cn"),
    Flag::new(
        "peer-cert-allowed-hostname",
        Kind::List,
        "",
        "Host names, separated by commas; a member's certificate must be for one of them.",
    )
    .at("peer-transport-security.allowed-hostname"),
    Flag::new("peer-auto-tls", Kind::Bool, "false", "TLS for members with a certificate of our own making.")
        .at("peer-transport-security.auto-tls"),
    Flag::new(
        "self-signed-cert-validity",
        Kind::Unsigned,
        "1",
        "Years for which certificates of our own making last.",
    ),
    Flag::new("peer-crl-file", Kind::Text, "", "Revocation list for certificates of other members.")
        .nowhere(),
    Flag::new(
        "cipher-suites",
        Kind::List,
        "",
        "Cipher suites of TLS 1.2, separated by commas; empty for a sound choice.",
    ),
    Flag::new(
        "cors",
        Kind::Origins,
        "*",
        "Origins that browsers may come from, separated by commas; * for all.",
    ),
    Flag::new(
        "host-whitelist",
        Kind::Hosts,
        "*",
        "Host names under which plain HTTP may be asked for, separated by commas; * for all.",
    ),
    Flag::new("tls-min-version", Kind::Text, "TLS1.2", "Lowest version of TLS: TLS1.2 or TLS1.3."),
    Flag::new(
        "tls-max-version",
        Kind::Text,
        "",
        "Highest version of TLS: TLS1.2 or TLS1.3; empty for the newest.",
    ),
];

/// Users.
pub(super) const AUTH: &[Flag] = &[
    Flag::new("auth-token", Kind::Text, "simple", "Kind of tokens: simple, or jwt with its options."),
    Flag::new("bcrypt-cost", Kind::Unsigned, "10", "Cost of hashing passwords, 4 to 31; 10 when outside."),
    Flag::new("auth-token-ttl", Kind::Unsigned, "300", "Seconds for which an unused simple token lasts."),
    Flag::new(
        "auth-end-revoked-watches",
        Kind::Bool,
        "false",
        "End open watches when their user loses the permission to read what they watch; etcd has no such flag and lets them go on.",
    ),
];

/// Settings of the configuration file that are no flags.
pub(super) const FILE_ONLY: &[Flag] = &[Flag::new(
    "client-transport-security.allowed-cn",
    Kind::List,
    "",
    "Common names; a client's certificate must have one.",
)];
