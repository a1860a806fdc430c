//! What the binary tells this crate; validated by [`crate::serve`] and immutable afterwards.

use std::{future::Future, io, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::{
    audit::AuditLog, member::Caller, metrics::Metrics, offenders::Offenders, passwords::Passwords,
    tokens::Tokens,
};

/// Where to listen, and how: what [`crate::open`] needs to know.
#[derive(Clone, Debug, Default)]
pub struct Listen {
    /// Where, and for what.
    pub listeners: Vec<Listener>,
    /// Needed when a listener for clients is secure.
    pub client_tls: Option<Tls>,
    /// Needed when a listener for other members is secure.
    pub peer_tls: Option<Tls>,
    /// `SO_REUSEPORT` on TCP listeners (`--socket-reuse-port`).
    pub reuse_port: bool,
}

/// What the crate needs to know to serve.
#[derive(Clone)]
pub struct Config {
    /// Bounds.
    pub limits: Limits,
    /// Threads that speak with clients; at least one.
    pub network_threads: usize,
    /// `--grpc-keepalive-*`.
    pub keepalive: Keepalive,
    /// Streams that asked for a leader end after three times this without one.
    pub election_timeout: Duration,
    /// `--bcrypt-cost`, 4 to 31.
    pub bcrypt_cost: u32,
    /// `--auth-token`
    pub tokens: Arc<Tokens>,
    /// Whether to fill `grpc_server_handling_seconds` (`--metrics=extensive`).
    pub handling_histogram: bool,
    /// What the HTTP pages show.
    pub pages: Pages,
    /// Told about things that operators should read in the log.
    pub notify: Arc<dyn Fn(Notice) + Send + Sync>,
    /// Where each call leaves a line, when wanted.
    pub audit: Option<Arc<AuditLog>>,
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: Address,
    /// TLS: scheme `https` or `unixs`.
    pub secure: bool,
    /// For what.
    pub traffic: Traffic,
}

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`; an empty host is all interfaces, port 0 picks one.
    Tcp(String),
    /// A socket file, replaced if present and removed at the end.
    Unix(PathBuf),
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// gRPC and pages, told apart by what the client says first.
    All,
    /// gRPC alone (`--listen-client-urls` beside `--listen-client-http-urls`).
    Grpc,
    /// Pages alone (`--listen-client-http-urls`).
    Http,
    /// `/metrics` and health (`--listen-metrics-urls`).
    Metrics,
    /// What members ask each other, over HTTP/1.1 (`--listen-peer-urls`).
    Peer,
}

/// A URL that is none to listen at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme than http, https, unix, unixs, or none.
    #[error("{0}: URL scheme must be http, https, unix, or unixs")]
    Scheme(String),
    /// No `host:port`.
    #[error("{0}: URL address does not have the form \"host:port\"")]
    HostPort(String),
    /// Something behind the port.
    #[error("{0}: URL must not contain a path")]
    Path(String),
}

impl Listener {
    /// The listener of a URL.
    ///
    /// # Errors
    /// When the URL is none to listen at.
    pub fn parse(url: &str, traffic: Traffic) -> Result<Listener, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| UrlError::Scheme(url.into()))?;
        let secure = matches!(scheme, "https" | "unixs");
        let address = match scheme {
            "unix" | "unixs" => Address::Unix(rest.into()),
            "http" | "https" => Address::Tcp(tcp_address(url, rest)?),
            _ => return Err(UrlError::Scheme(url.into())),
        };
        Ok(Listener { address, secure, traffic })
    }
}

impl std::fmt::Display for Listener {
    /// The URL.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.address, self.secure) {
            (Address::Tcp(address), false) => write!(f, "http://{address}"),
            (Address::Tcp(address), true) => write!(f, "https://{address}"),
            (Address::Unix(path), false) => write!(f, "unix://{}", path.display()),
            (Address::Unix(path), true) => write!(f, "unixs://{}", path.display()),
        }
    }
}

fn tcp_address(url: &str, authority: &str) -> Result<String, UrlError> {
    if authority.contains('/') {
        return Err(UrlError::Path(url.into()));
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok() && (host.starts_with('[') == host.ends_with(']'))
    });
    if has_port { Ok(authority.into()) } else { Err(UrlError::HostPort(url.into())) }
}

/// Certificates and what is demanded of those who connect. Files are read again when they change. Flags are named
/// as for clients; [`crate::TlsSetting`] has them all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// `--cert-file`: the chain, PEM.
    pub cert: PathBuf,
    /// `--key-file`, PEM.
    pub key: PathBuf,
    /// `--trusted-ca-file`: clients must have a certificate of one of these.
    pub trusted_ca: Option<PathBuf>,
    /// `--client-cert-auth`: likewise, and the common name is the user.
    pub client_cert_auth: bool,
    /// `--client-crl-file`.
    pub crl: Option<PathBuf>,
    /// `--client-cert-allowed-hostname`: the certificate must be for one of these; empty for any.
    pub allowed_hostnames: Vec<String>,
    /// `--peer-cert-allowed-cn`: the certificate must have one of these common names; empty for any.
    pub allowed_common_names: Vec<String>,
    /// A certificate that names hosts must name the one it comes from; off by
    /// `--peer-skip-client-san-verification`, and for clients.
    pub check_origin: bool,
    /// `--cipher-suites` by IANA name; empty for the defaults.
    pub cipher_suites: Vec<String>,
    /// `--tls-min-version`.
    pub version_min: Option<TlsVersion>,
    /// `--tls-max-version`.
    pub version_max: Option<TlsVersion>,
}

/// Versions of TLS that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// `TLS1.2`
    Tls12,
    /// `TLS1.3`
    Tls13,
}

/// Bounds on what clients can make the server hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `--max-request-bytes`; a message may be [`MESSAGE_OVERHEAD`] longer.
    pub request_bytes_max: usize,
    /// `--max-txn-ops`.
    pub txn_ops_max: usize,
    /// `--max-concurrent-streams`, per connection; `u32::MAX` for no bound.
    pub streams_max: u32,
    /// Client connections at once; further ones wait to be accepted.
    pub connections_max: usize,
    /// Bytes of headers in one request.
    pub header_bytes_max: u32,
    /// Bytes that requests and replies hold at once, over all connections.
    pub bytes_in_flight_max: usize,
    /// A client that takes no further piece of a large range for this long loses the call: its rows are a view of
    /// the store, and nothing deleted since can be given back while it is open.
    pub reader_patience: Duration,
}

/// What a message may be longer than `--max-request-bytes`, in bytes (upstream: server/config/config.go).
pub const MESSAGE_OVERHEAD: usize = 512 << 10;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_bytes_max: 1536 << 10,
            txn_ops_max: 128,
            streams_max: u32::MAX,
            connections_max: usize::MAX >> 4,
            header_bytes_max: 64 << 10,
            bytes_in_flight_max: 512 << 20,
            reader_patience: Duration::from_secs(60),
        }
    }
}

/// When to suspect that a client is gone, and when it asks too often whether we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// `--grpc-keepalive-min-time`: closer pings are an offence.
    pub min_time: Duration,
    /// `--grpc-keepalive-interval`: silence after which we ask; zero for never.
    pub interval: Duration,
    /// `--grpc-keepalive-timeout`: how long the answer may take.
    pub timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive {
            min_time: Duration::from_secs(5),
            interval: Duration::from_secs(2 * 60 * 60),
            timeout: Duration::from_secs(20),
        }
    }
}

/// What the HTTP pages show. The functions may block for some milliseconds.
#[derive(Clone)]
pub struct Pages {
    /// Body of `/metrics`; the argument is the request's `Accept` header.
    pub metrics: Arc<dyn Fn(&str) -> MetricsPage + Send + Sync>,
    /// Body of `/version`.
    pub versions: Arc<dyn Fn() -> Versions + Send + Sync>,
    /// Body of `/debug/vars`: the expvar names with their JSON values, sorted by name.
    pub debug_vars: Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>,
    /// `--cors`: origins allowed; `*` for all, empty for all likewise.
    pub cors: Vec<String>,
    /// `--host-whitelist`: hosts allowed in plain HTTP; `*` for all, empty for all likewise.
    pub host_whitelist: Vec<String>,
    /// `--enable-grpc-gateway`: JSON under `/v3/`, for clients.
    pub gateway: bool,
    /// Answers what members ask each other and this crate has no page for; `None` when there are no others.
    pub between_members: Option<Arc<dyn BetweenMembers>>,
}

/// Pages for other members that are made elsewhere: raft's streams. Served over HTTP/1.1 at listeners for
/// [`Traffic::Peer`]. A connection to which nothing can be written for five seconds is closed.
pub trait BetweenMembers: Send + Sync {
    /// Whether a path is answered here; all else under it stays with this crate.
    fn serves(&self, path: &str) -> bool;

    /// The answer to a request from `remote` (`host:port`); its body may go on without end. Not to be called for
    /// other paths.
    fn answer<'a>(
        &'a self,
        remote: &'a str,
        request: Request<Incoming>,
    ) -> Pin<Box<dyn Future<Output = Response<StreamedBody>> + 'a>>;
}

/// A body that need not be whole before it is sent.
pub type StreamedBody = UnsyncBoxBody<Bytes, io::Error>;

/// A rendering of the metrics.
#[derive(Clone, Debug)]
pub struct MetricsPage {
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The text.
    pub body: String,
}

/// What `/version` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// This binary's.
    pub server: String,
    /// Of the cluster; `None` before it is decided.
    pub cluster: Option<String>,
    /// Of the file; `None` when unknown.
    pub storage: Option<String>,
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Somebody was turned away before they could ask anything (etcd: "rejected connection on client endpoint").
    Rejected {
        /// At a listener for other members.
        at_peer_listener: bool,
        /// Who.
        remote: String,
        /// Why.
        error: String,
    },
    /// Accepting failed, as when file descriptors run out; it is tried again.
    AcceptFailed {
        /// Why.
        error: String,
    },
    /// Changed TLS files could not be used; the old ones stay in force.
    TlsReloadFailed {
        /// Why.
        error: String,
    },
    /// A login that failed.
    LoginFailed {
        /// Who wanted to log in.
        user: String,
        /// What it was told.
        error: String,
    },
    /// A health page answered with a failure.
    Unhealthy {
        /// Which page.
        path: String,
        /// What it said.
        output: String,
    },
}

/// The part of the configuration that calls look at.
pub(crate) struct Common {
    pub(crate) limits: Limits,
    pub(crate) keepalive: Keepalive,
    pub(crate) passwords: Passwords,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) handling_histogram: bool,
    pub(crate) pages: Pages,
    pub(crate) notify: Arc<dyn Fn(Notice) + Send + Sync>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) offenders: Offenders,
    pub(crate) audit: Option<Arc<AuditLog>>,
    /// Some moment, for where a time is not wanted.
    pub(crate) epoch: Instant,
}

impl Common {
    /// Who calls: what a token says, if it speaks for itself, is read here.
    pub(crate) fn caller(&self, token: Option<String>, common_name: Option<String>) -> Caller {
        let claims = token.as_deref().and_then(|token| self.tokens.claims_of(token));
        Caller { token, claims, common_name, internal: false }
    }

    /// The longest request message in bytes.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.limits.request_bytes_max.saturating_add(MESSAGE_OVERHEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let tcp = |text: &str| Address::Tcp(text.into());
        let cases = [
            ("http://127.0.0.1:2379", Some((tcp("127.0.0.1:2379"), false))),
            ("https://[::1]:0", Some((tcp("[::1]:0"), true))),
            ("http://:2379", Some((tcp(":2379"), false))),
            ("unix://localhost:m0", Some((Address::Unix("localhost:m0".into()), false))),
            ("unixs:///tmp/sock", Some((Address::Unix("/tmp/sock".into()), true))),
            ("tcp://1.2.3.4:5", None),
            ("http://1.2.3.4", None),
            ("http://h:1/path", None),
            ("nothing", None),
        ];
        for (url, expected) in cases {
            let listener = Listener::parse(url, Traffic::All).ok();
            assert!(listener.as_ref().is_none_or(|listener| listener.to_string() == url));
            let parsed = listener.map(|l| (l.address, l.secure));
            assert_eq!(parsed, expected, "{url}");
        }
    }
}
