//! From values to settings.

use std::{io, path::Path, time::Duration};

use super::{
    Audit, Auth, Checks, Cluster, ClusterState, Discovery, Emulate, Keepalive, Limits, Listeners, Log,
    Member, Monitoring, Problem, Raft, Settings, Storage, Tls, TlsPolicy, Tracing, compaction, log, validate,
};
use crate::{
    duration,
    notice::Notice,
    url::{self, Url},
    values::Values,
};

/// The value of `--initial-cluster` when nobody sets it.
const INITIAL_CLUSTER: &str = "default=http://localhost:2380";
/// Timeouts of peer connections are at least this long.
const PEER_TIMEOUT_MIN: Duration = Duration::from_secs(5);
/// The quota of a member that names none.
const QUOTA_BYTES: i64 = 2 << 30;
/// From here on a quota is warned about.
const QUOTA_BYTES_ADVISED: i64 = 8 << 30;
/// From here on a request size is warned about.
const REQUEST_BYTES_ADVISED: u64 = 10 << 20;
/// Progress notifications come no more often than this.
const PROGRESS_MIN: Duration = Duration::from_millis(100);

/// Where values come from, and what else is needed to make settings of them.
pub(crate) struct Context<'a> {
    /// They come from a configuration file.
    pub(crate) from_file: bool,
    /// Reads a file.
    pub(crate) read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// The address under which others most likely reach this machine.
    pub(crate) default_host: &'a dyn Fn() -> Result<String, String>,
}

/// Settings that broke a rule, with the log to tell it in, if that far.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) problem: Problem,
    pub(crate) log: Option<Log>,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        Failure { problem, log: None }
    }
}

/// Checks values and makes settings of them. `running` is logged between what concerns flags and what concerns the
/// start, as in etcd.
///
/// # Errors
/// The first rule that is broken.
pub(crate) fn build(
    values: Values,
    context: &Context<'_>,
    running: &[Notice],
    notices: &mut Vec<Notice>,
) -> Result<Settings, Failure> {
    let log = log::build(&values, notices)?;
    let with_log = |problem| Failure { problem, log: Some(log.clone()) };
    let listeners = listeners(&values);
    let raft = raft(&values, context.from_file, notices);
    let advertise = advertise(&values, context.from_file);
    let initial = initial_cluster(&values, context.from_file);
    let advertised = (advertise.0.as_slice(), advertise.1.as_deref());
    validate::flags(&values, &listeners, advertised, &initial, notices).map_err(with_log)?;
    let tls_policy = TlsPolicy::build(&values).map_err(with_log)?;
    deprecated(&values, notices);
    notices.extend_from_slice(running);

    let member = member(&values, notices);
    let cluster = cluster(&values, &member, &listeners, advertise, initial, context, notices);
    let (client_tls, peer_tls) = (Tls::for_clients(&values), Tls::for_peers(&values));
    tls_policy.check_cipher_suites().map_err(with_log)?;
    validate::peer_listeners(&listeners, &peer_tls, notices).map_err(with_log)?;
    peer_tls.check(context.read).map_err(with_log)?;
    validate::client_listeners(&listeners, &client_tls, notices).map_err(with_log)?;
    let secure = [&listeners.client, &listeners.client_http, &listeners.metrics];
    if secure.into_iter().flatten().any(|url| url.scheme().is_tls()) {
        client_tls.check(context.read).map_err(with_log)?;
    }
    let compaction = compaction::build(&values).map_err(with_log)?;
    let auth = auth(&values, notices).map_err(with_log)?;
    Ok(Settings {
        storage: storage(&values, notices),
        limits: limits(&values, notices),
        monitoring: monitoring(&values, &log),
        checks: checks(&values, notices),
        gates: values.gates(),
        member,
        cluster,
        raft,
        listeners,
        client_tls,
        peer_tls,
        tls_policy,
        auth,
        log,
        compaction,
        notices: Vec::new(),
        values,
    })
}

fn listeners(values: &Values) -> Listeners {
    Listeners {
        peer: values.urls("listen-peer-urls"),
        client: values.urls("listen-client-urls"),
        client_http: values.urls("listen-client-http-urls"),
        metrics: values.urls("listen-metrics-urls"),
        reuse_port: values.bool("socket-reuse-port"),
        reuse_address: values.bool("socket-reuse-address"),
        keepalive: Keepalive {
            min_time: values.wait("grpc-keepalive-min-time"),
            interval: values.wait("grpc-keepalive-interval"),
            timeout: values.wait("grpc-keepalive-timeout"),
        },
        cors: values.list("cors"),
        host_whitelist: values.list("host-whitelist"),
        grpc_gateway: values.bool("enable-grpc-gateway"),
    }
}

/// Peer and client URLs to announce. The default of the latter is none as soon as flags say where to listen for clients.
fn advertise(values: &Values, from_file: bool) -> (Vec<Url>, Option<Vec<Url>>) {
    let unset = !from_file && values.is_set("listen-client-urls") && !values.is_set("advertise-client-urls");
    let client = (!unset).then(|| values.urls("advertise-client-urls"));
    (values.urls("initial-advertise-peer-urls"), client)
}

/// As given, unless discovery is to find the members.
fn initial_cluster(values: &Values, from_file: bool) -> String {
    let initial = values.text("initial-cluster");
    let discovers = !values.text("discovery-srv").is_empty()
        || !values.list("discovery-endpoints").is_empty()
        || (!from_file && !values.text("discovery-srv-name").is_empty());
    let is_default = if from_file { initial == INITIAL_CLUSTER } else { !values.is_set("initial-cluster") };
    if discovers && is_default { String::new() } else { initial }
}

fn raft(values: &Values, from_file: bool, notices: &mut Vec<Notice>) -> Raft {
    let mut timeout = |name: &str| {
        let timeout = values.wait(name);
        if timeout < PEER_TIMEOUT_MIN && !from_file {
            notices.push(Notice::info(format!("{name} increased to minimum value: 5s")));
        }
        timeout.max(PEER_TIMEOUT_MIN)
    };
    let tick = values.unsigned("heartbeat-interval");
    let election_ticks = values.unsigned("election-timeout").checked_div(tick).unwrap_or_default();
    Raft {
        read_timeout: timeout("raft-read-timeout"),
        write_timeout: timeout("raft-write-timeout"),
        tick: Duration::from_millis(tick),
        // At most 50000 once the rules are checked.
        election_ticks: u32::try_from(election_ticks).unwrap_or(u32::MAX),
        initial_election_tick_advance: values.bool("initial-election-tick-advance"),
        pre_vote: values.bool("pre-vote"),
    }
}

fn deprecated(values: &Values, notices: &mut Vec<Notice>) {
    for name in values.names() {
        notices.extend(match name {
            "max-snapshots" => {
                Some(Notice::warn("--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8."))
            }
            "v2-deprecation" => Some(Notice::warn(
                "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, \
                 ignoring user input.",
            )),
            _ => None,
        });
    }
}

fn member(values: &Values, notices: &mut Vec<Notice>) -> Member {
    let name = values.text("name");
    let data_dir = values.text_option("data-dir").unwrap_or_else(|| {
        let folder = format!("{name}.etcd");
        notices.push(Notice::warn("'data-dir' was empty; using default").with("data-dir", folder.as_str()));
        folder
    });
    let emulate = if values.text("emulate-version") == "3.6" { Emulate::V3_6 } else { Emulate::V3_7 };
    Member {
        name,
        data_dir: data_dir.into(),
        wal_dir: values.text_option("wal-dir").map(Into::into),
        emulate,
    }
}

/// Replaces defaults that follow from the name and from where the member listens
/// (upstream: server/embed/config.go, UpdateDefaultClusterFromName).
fn cluster(
    values: &Values,
    member: &Member,
    listeners: &Listeners,
    (mut advertise_peer, advertise_client): (Vec<Url>, Option<Vec<Url>>),
    mut initial: String,
    context: &Context<'_>,
    notices: &mut Vec<Notice>,
) -> Cluster {
    let mut advertise_client = advertise_client.unwrap_or_default();
    let peer_port =
        everywhere(&listeners.peer).filter(|_| url::join(&advertise_peer) == "http://localhost:2380");
    let client_port =
        everywhere(&listeners.client).filter(|_| url::join(&advertise_client) == "http://localhost:2379");
    if peer_port.is_some() || client_port.is_some() {
        match (context.default_host)() {
            Ok(host) => {
                for (port, urls) in [(peer_port, &mut advertise_peer), (client_port, &mut advertise_client)] {
                    if let Some(port) = port {
                        *urls = urls.iter().map(|url| url.with_address(&host, port)).collect();
                    }
                }
                notices.push(Notice::info("detected default host for advertise").with("host", host));
            }
            Err(error) => notices.push(Notice::info("failed to detect default host").with("error", error)),
        }
    }
    if member.name != "default" && initial == INITIAL_CLUSTER {
        let name = if member.name.is_empty() { "default" } else { &member.name };
        let pairs: Vec<_> = advertise_peer.iter().map(|url| format!("{name}={url}")).collect();
        initial = pairs.join(",");
    }
    let state = values.text("initial-cluster-state");
    Cluster {
        advertise_peer,
        advertise_client,
        initial,
        state: if state == "existing" { ClusterState::Existing } else { ClusterState::New },
        token: values.text("initial-cluster-token"),
        discovery: Discovery::build(values),
        strict_reconfig_check: values.bool("strict-reconfig-check"),
        learners_max: usize::try_from(values.signed("max-learners")).unwrap_or(0),
    }
}

/// The port, when the first URL listens on all addresses.
fn everywhere(urls: &[Url]) -> Option<&str> {
    urls.first().filter(|url| url.host() == "0.0.0.0").map(Url::port)
}

fn storage(values: &Values, notices: &mut Vec<Notice>) -> Storage {
    let quota = match values.signed("quota-backend-bytes") {
        0 => QUOTA_BYTES,
        quota => quota,
    };
    if quota > QUOTA_BYTES_ADVISED {
        notices.push(
            Notice::warn("quota exceeds the maximum value")
                .with("quota-size-bytes", quota)
                .with("quota-maximum-size-bytes", QUOTA_BYTES_ADVISED),
        );
    }
    let count = values.unsigned("snapshot-count");
    let batch_limit = match values.signed("backend-batch-limit") {
        0 => 10_000,
        limit => u64::try_from(limit).unwrap_or(1),
    };
    Storage {
        snapshot_count: if count == 0 { 10_000 } else { count },
        snapshot_catchup_entries: values.unsigned("snapshot-catchup-entries"),
        snapshots_max: values.unsigned("max-snapshots"),
        wals_max: values.unsigned("max-wals"),
        quota_bytes: u64::try_from(quota).ok(),
        quota_reported: quota,
        backend_batch_interval: values.wait_or("backend-batch-interval", Duration::from_millis(100)),
        backend_batch_limit: batch_limit,
        freelist_array: values.text("backend-bbolt-freelist-type") == "array",
        memory_mlock: values.bool("memory-mlock"),
        unsafe_no_fsync: values.bool("unsafe-no-fsync"),
        bootstrap_defrag_threshold_megabytes: values.unsigned("bootstrap-defrag-threshold-megabytes"),
        force_new_cluster: values.bool("force-new-cluster"),
    }
}

fn limits(values: &Values, notices: &mut Vec<Notice>) -> Limits {
    let request_bytes_max = values.unsigned("max-request-bytes");
    if request_bytes_max > REQUEST_BYTES_ADVISED {
        notices.push(
            Notice::warn("exceeded recommended request limit")
                .with("max-request-bytes", request_bytes_max)
                .with("recommended-request-bytes", REQUEST_BYTES_ADVISED),
        );
    }
    Limits {
        txn_ops_max: values.unsigned("max-txn-ops"),
        request_bytes_max,
        streams_max: u32::try_from(values.unsigned("max-concurrent-streams")).unwrap_or(u32::MAX),
    }
}

/// # Errors
/// When there is no such kind of tokens.
fn auth(values: &Values, notices: &mut Vec<Notice>) -> Result<Auth, Problem> {
    const COSTS: std::ops::RangeInclusive<u64> = 4..=31;
    const COST: u32 = 10;
    const TTL_SECS: u64 = 300;
    let token = values.text("auth-token");
    validate::token(&token)?;
    let given = values.unsigned("bcrypt-cost");
    let bcrypt_cost = u32::try_from(given).ok().filter(|_| COSTS.contains(&given)).unwrap_or_else(|| {
        notices.push(
            Notice::warn("use default bcrypt cost instead of the invalid given cost")
                .with("min-cost", *COSTS.start())
                .with("max-cost", *COSTS.end())
                .with("default-cost", COST)
                .with("given-cost", given),
        );
        COST
    });
    let ttl = values.unsigned("auth-token-ttl");
    Ok(Auth {
        token,
        bcrypt_cost,
        token_ttl: Duration::from_secs(if ttl == 0 { TTL_SECS } else { ttl }),
        end_revoked_watches: values.bool("auth-end-revoked-watches"),
    })
}

fn monitoring(values: &Values, log: &Log) -> Monitoring {
    let tracing = values.bool("enable-distributed-tracing").then(|| Tracing {
        address: values.text("distributed-tracing-address"),
        service_name: values.text("distributed-tracing-service-name"),
        instance_id: values.text("distributed-tracing-instance-id"),
        samples_per_million: u32::try_from(values.signed("distributed-tracing-sampling-rate")).unwrap_or(0),
    });
    Monitoring {
        extensive_metrics: values.text("metrics") == "extensive",
        pprof: values.bool("enable-pprof") || log.level == super::LogLevel::Debug,
        warning_unary_request: values.wait_or("warning-unary-request-duration", Duration::from_millis(300)),
        warning_apply: values.wait("warning-apply-duration"),
        tracing,
        audit: audit(values),
    }
}

fn audit(values: &Values) -> Option<Audit> {
    let output = values.text("mainstay-audit-log");
    let file = match output.as_str() {
        "" => return None,
        "stderr" => None,
        path => Some(path.into()),
    };
    Some(Audit { file, redact_keys: values.bool("mainstay-audit-log-redact-keys") })
}

fn checks(values: &Values, notices: &mut Vec<Notice>) -> Checks {
    let mut watch_progress_notify = match values.nanos("watch-progress-notify-interval") {
        ..=0 => Duration::from_secs(600),
        nanos => duration::wait(nanos),
    };
    if watch_progress_notify < PROGRESS_MIN {
        notices.push(
            Notice::warn("adjusting watch progress notify interval to minimum period")
                .with("min-watch-progress-notify-interval", PROGRESS_MIN.as_secs_f64()),
        );
        watch_progress_notify = PROGRESS_MIN;
    }
    Checks {
        corrupt_check: Some(values.wait("corrupt-check-time")).filter(|interval| !interval.is_zero()),
        compact_hash_check: values.wait("compact-hash-check-time"),
        downgrade_check: values.wait("downgrade-check-time"),
        watch_progress_notify,
    }
}
