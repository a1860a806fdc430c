//! The configuration of a member, typed and checked, which nobody changes any more.

mod build;
mod cluster;
mod compaction;
mod discovery;
mod log;
mod tls;
mod validate;

use std::{path::PathBuf, time::Duration};

use crate::{flag::Effect, gates::Gates, notice::Notice, url::Url, values::Values};

pub use self::{
    cluster::{Cluster, ClusterState},
    compaction::{AutoCompaction, Compaction},
    discovery::{Discovery, DiscoveryService},
    log::{Log, LogFormat, LogLevel, LogOutput, Rotation},
    tls::{Tls, TlsPolicy, TlsVersion},
};

pub(crate) use self::{
    build::{Context, Failure, build},
    tls::open_error,
    validate::Problem,
};

/// Everything that a member is started with. Made by [`crate::load`] only.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The member itself.
    pub member: Member,
    /// The cluster it belongs to.
    pub cluster: Cluster,
    /// The pace of consensus.
    pub raft: Raft,
    /// Files.
    pub storage: Storage,
    /// Bounds on requests.
    pub limits: Limits,
    /// Where to listen, and for whom.
    pub listeners: Listeners,
    /// Certificates for clients.
    pub client_tls: Tls,
    /// Certificates for other members.
    pub peer_tls: Tls,
    /// What versions and ciphers TLS may use, for both.
    pub tls_policy: TlsPolicy,
    /// Users.
    pub auth: Auth,
    /// The log.
    pub log: Log,
    /// Forgetting history.
    pub compaction: Compaction,
    /// Metrics, profiles, warnings, traces.
    pub monitoring: Monitoring,
    /// Checks for corruption, and other things done now and then.
    pub checks: Checks,
    /// Features that are on.
    pub gates: Gates,
    /// To be logged once the log is set up, in this order.
    pub notices: Vec<Notice>,
    /// What was given.
    pub(crate) values: Values,
}

impl Settings {
    /// Names of settings that have no effect yet and are not at their default; gates as `feature-gates=NAME`.
    pub fn without_effect(&self) -> Vec<String> {
        self.values.changed(Effect::NotYet)
    }
}

/// The member itself.
#[derive(Clone, Debug)]
pub struct Member {
    /// Key into `--initial-cluster`.
    pub name: String,
    /// Root of `member/`; never empty.
    pub data_dir: PathBuf,
    /// Folder of the WAL; `None` for `member/wal` in `data_dir`.
    pub wal_dir: Option<PathBuf>,
    /// The version of etcd that it is to the others.
    pub emulate: Emulate,
}

/// A version of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulate {
    /// 3.7.
    V3_7,
    /// 3.6.
    V3_6,
}

/// The pace of consensus.
#[derive(Clone, Copy, Debug)]
pub struct Raft {
    /// Length of a tick and of a heartbeat; above zero.
    pub tick: Duration,
    /// Ticks without a leader before an election; at least 5.
    pub election_ticks: u32,
    /// Skip most of the first election timeout.
    pub initial_election_tick_advance: bool,
    /// Ask before an election whether it could be won.
    pub pre_vote: bool,
    /// Of peer connections; at least 5 s.
    pub read_timeout: Duration,
    /// Of peer connections; at least 5 s.
    pub write_timeout: Duration,
}

/// Files.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Applied entries between raft snapshots; above zero.
    pub snapshot_count: u64,
    /// Entries kept behind a raft snapshot.
    pub snapshot_catchup_entries: u64,
    /// `.snap` files kept; 0 for all.
    pub snapshots_max: u64,
    /// WAL segments kept; 0 for all.
    pub wals_max: u64,
    /// Size of the backend, in bytes, from which writes are refused; `None` for no limit.
    pub quota_bytes: Option<u64>,
    /// The quota as Status shows it: as given, 2 GiB for 0.
    pub quota_reported: i64,
    /// Longest time between two backend commits.
    pub backend_batch_interval: Duration,
    /// Operations that start a backend commit at once; above zero.
    pub backend_batch_limit: u64,
    /// Free pages in an array, not a map.
    pub freelist_array: bool,
    /// Keep the backend's pages in memory.
    pub memory_mlock: bool,
    /// Do not wait for the disk.
    pub unsafe_no_fsync: bool,
    /// Defragment at the start when that many megabytes can be freed; 0 for never.
    pub bootstrap_defrag_threshold_megabytes: u64,
    /// Keep the data and forget all other members.
    pub force_new_cluster: bool,
}

/// Bounds on requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Compares or operations in one list of a transaction.
    pub txn_ops_max: u64,
    /// Bytes of a proposal.
    pub request_bytes_max: u64,
    /// Streams on one connection; `u32::MAX` for no bound.
    pub streams_max: u32,
}

/// Where to listen, and for whom.
#[derive(Clone, Debug)]
pub struct Listeners {
    /// For other members.
    pub peer: Vec<Url>,
    /// For clients: gRPC, and pages too when `client_http` is empty.
    pub client: Vec<Url>,
    /// For clients: pages alone.
    pub client_http: Vec<Url>,
    /// For `/metrics` and health alone; with the clients' TLS.
    pub metrics: Vec<Url>,
    /// `SO_REUSEPORT`.
    pub reuse_port: bool,
    /// `SO_REUSEADDR`.
    pub reuse_address: bool,
    /// Pings.
    pub keepalive: Keepalive,
    /// Origins allowed; `*` for all.
    pub cors: Vec<String>,
    /// Hosts allowed in plain HTTP; `*` for all.
    pub host_whitelist: Vec<String>,
    /// Serve the JSON gateway.
    pub grpc_gateway: bool,
}

/// Pings on client connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Closer pings are an offence.
    pub min_time: Duration,
    /// Silence after which we ping; zero for never.
    pub interval: Duration,
    /// How long the answer may take; zero for no pings.
    pub timeout: Duration,
}

/// Users.
#[derive(Clone, Debug)]
pub struct Auth {
    /// `simple`, or `jwt,...`.
    pub token: String,
    /// Cost of hashing passwords, 4 to 31.
    pub bcrypt_cost: u32,
    /// Life of an unused simple token.
    pub token_ttl: Duration,
    /// End open watches whose clients lose the permission to read what they watch. A flag of ours.
    pub end_revoked_watches: bool,
}

/// Metrics, profiles, warnings, traces.
#[derive(Clone, Debug)]
pub struct Monitoring {
    /// Fill histograms of gRPC calls too.
    pub extensive_metrics: bool,
    /// Serve profiles: asked for, or the log level is debug.
    pub pprof: bool,
    /// Warn of requests that take longer.
    pub warning_unary_request: Duration,
    /// Warn of entries that take longer to apply.
    pub warning_apply: Duration,
    /// OpenTelemetry; `None` when off.
    pub tracing: Option<Tracing>,
    /// The audit log; `None` when off.
    pub audit: Option<Audit>,
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Its file; `None` for standard error.
    pub file: Option<PathBuf>,
    /// Show sums instead of keys.
    pub redact_keys: bool,
}

/// OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// The collector.
    pub address: String,
    /// The same on all members.
    pub service_name: String,
    /// Different on all members; may be empty.
    pub instance_id: String,
    /// At most 1,000,000.
    pub samples_per_million: u32,
}

/// Checks for corruption, and other things done now and then.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    /// Between checks of all members; `None` for never.
    pub corrupt_check: Option<Duration>,
    /// Between checks of compaction hashes; above zero.
    pub compact_hash_check: Duration,
    /// Between checks whether a downgrade is done.
    pub downgrade_check: Duration,
    /// Between progress notifications of idle watchers; at least 100 ms.
    pub watch_progress_notify: Duration,
}
