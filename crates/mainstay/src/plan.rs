//! From settings to what the member and the network side take.

use std::sync::Arc;

use anyhow::Result;
use config::{ClusterState, Emulate, Gate, Settings, TlsVersion, Url};
use node::Release;

use crate::{
    corruption::Checks,
    peers,
    server::{Network, Plan},
    tokens,
};

/// Threads that speak with clients. More of them pay only with more cores than the core and log threads need.
const NETWORK_THREADS_MAX: usize = 4;

/// What a server with these settings is made from.
///
/// # Errors
/// When there is nothing to make tokens with.
pub(crate) fn plan(settings: &Settings) -> Result<Plan> {
    let (tokens, kind) = tokens::tokens(&settings.auth)?;
    Ok(Plan {
        node: node::Config { tokens: kind, ..node(settings) },
        peers: Some(peers::plan(settings)),
        checks: checks(settings),
        network: Network { tokens, ..network(settings) },
    })
}

fn checks(settings: &Settings) -> Checks {
    let Settings { checks, gates, .. } = settings;
    Checks {
        initial: gates.enabled(Gate::InitialCorruptCheck),
        periodic: checks.corrupt_check,
        compaction: Some(checks.compact_hash_check).filter(|_| gates.enabled(Gate::CompactHashCheck)),
    }
}

fn texts(urls: &[Url]) -> Vec<String> {
    urls.iter().map(Url::to_string).collect()
}

fn node(settings: &Settings) -> node::Config {
    let Settings { member, cluster, raft, storage, limits, compaction, checks, gates, .. } = settings;
    let features = gates.all().map(|(facts, on)| (facts.name.to_string(), facts.stage.to_string(), on));
    node::Config {
        wal_dir: member.wal_dir.clone(),
        initial_cluster: cluster.initial.clone(),
        initial_cluster_token: cluster.token.clone(),
        advertise_peer_urls: texts(&cluster.advertise_peer),
        advertise_client_urls: texts(&cluster.advertise_client),
        join_existing: cluster.state == ClusterState::Existing,
        force_new_cluster: storage.force_new_cluster,
        strict_reconfig_check: cluster.strict_reconfig_check,
        pre_vote: raft.pre_vote,
        initial_election_tick_advance: raft.initial_election_tick_advance,
        release: match member.emulate {
            Emulate::V3_7 => Release::V3_7,
            Emulate::V3_6 => Release::V3_6,
        },
        tick: raft.tick,
        election_ticks: raft.election_ticks,
        snapshot_count: storage.snapshot_count,
        snapshot_catchup_entries: storage.snapshot_catchup_entries,
        wals_max: size(storage.wals_max),
        snaps_max: size(storage.snapshots_max),
        quota_bytes: storage.quota_bytes,
        quota_reported: storage.quota_reported,
        backend_batch_interval: storage.backend_batch_interval,
        backend_batch_limit: size(storage.backend_batch_limit),
        request_bytes_max: size(limits.request_bytes_max),
        compaction_batch_limit: size(compaction.batch_limit),
        compaction_sleep: compaction.sleep,
        auto_compaction: match compaction.auto {
            config::AutoCompaction::Off => node::AutoCompaction::Off,
            config::AutoCompaction::Periodic(period) => node::AutoCompaction::Periodic(period),
            config::AutoCompaction::Revision(count) => node::AutoCompaction::Revision(count),
        },
        progress_notify_interval: checks.watch_progress_notify,
        lease_checkpoint: gates.enabled(Gate::LeaseCheckpoint),
        fast_lease_keep_alive: gates.enabled(Gate::FastLeaseKeepAlive),
        lease_checkpoint_persist: gates.enabled(Gate::LeaseCheckpointPersist),
        learners_max: cluster.learners_max,
        end_revoked_watches: settings.auth.end_revoked_watches,
        warning_apply: settings.monitoring.warning_apply,
        features: features.collect(),
        seed: seed(),
        ..node::Config::new(&member.name, &member.data_dir)
    }
}

/// A setting as a size in memory; what does not fit is as good as no bound.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Different in each process: the spreading of election timeouts and jitter, and names that must not come again.
fn seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64 ^ (u64::from(std::process::id()) << 32)
}

fn listener(url: &Url, traffic: rpc::Traffic) -> rpc::Listener {
    let address = if url.scheme().is_unix() {
        rpc::Address::Unix(url.address().into())
    } else {
        rpc::Address::Tcp(url.address().to_string())
    };
    rpc::Listener { address, secure: url.scheme().is_tls(), traffic }
}

/// Where to listen, peers first: they are what a member cannot do without.
fn listen(settings: &Settings) -> rpc::Listen {
    let listeners = &settings.listeners;
    let traffic = if listeners.client_http.is_empty() { rpc::Traffic::All } else { rpc::Traffic::Grpc };
    let groups = [
        (&listeners.peer, rpc::Traffic::Peer),
        (&listeners.client, traffic),
        (&listeners.client_http, rpc::Traffic::Http),
        (&listeners.metrics, rpc::Traffic::Metrics),
    ];
    let mut all = Vec::new();
    for (urls, traffic) in groups {
        for url in urls {
            all.push(listener(url, traffic));
        }
    }
    let peer_tls = tls(&settings.peer_tls, settings)
        .map(|tls| rpc::Tls { check_origin: !settings.peer_tls.skip_san_check, ..tls });
    rpc::Listen {
        listeners: all,
        client_tls: tls(&settings.client_tls, settings),
        peer_tls,
        reuse_port: listeners.reuse_port,
    }
}

fn network(settings: &Settings) -> Network {
    let listeners = &settings.listeners;
    let keepalive = &listeners.keepalive;
    Network {
        listen: listen(settings),
        limits: rpc::Limits {
            request_bytes_max: size(settings.limits.request_bytes_max),
            txn_ops_max: size(settings.limits.txn_ops_max),
            streams_max: settings.limits.streams_max,
            ..rpc::Limits::default()
        },
        network_threads: network_threads(),
        keepalive: rpc::Keepalive {
            min_time: keepalive.min_time,
            interval: keepalive.interval,
            timeout: keepalive.timeout,
        },
        bcrypt_cost: settings.auth.bcrypt_cost,
        tokens: Arc::default(),
        extensive_metrics: settings.monitoring.extensive_metrics,
        cors: listeners.cors.clone(),
        host_whitelist: listeners.host_whitelist.clone(),
        gateway: listeners.grpc_gateway,
        audit: settings.monitoring.audit.clone(),
    }
}

/// The network side when nobody has said anything about it; without listeners.
pub(crate) fn network_defaults() -> Network {
    Network {
        listen: rpc::Listen::default(),
        limits: rpc::Limits::default(),
        network_threads: network_threads(),
        keepalive: rpc::Keepalive::default(),
        bcrypt_cost: 10,
        tokens: Arc::default(),
        extensive_metrics: false,
        cors: Vec::new(),
        host_whitelist: Vec::new(),
        gateway: true,
        audit: None,
    }
}

/// The core and the log thread want a processor each where there are enough.
fn network_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    processors.saturating_sub(2).clamp(1, NETWORK_THREADS_MAX)
}

fn tls(tls: &config::Tls, settings: &Settings) -> Option<rpc::Tls> {
    let policy = &settings.tls_policy;
    let (cert, key) = (tls.cert.clone()?, tls.key.clone()?);
    let version = |version: TlsVersion| match version {
        TlsVersion::Tls12 => rpc::TlsVersion::Tls12,
        TlsVersion::Tls13 => rpc::TlsVersion::Tls13,
    };
    Some(rpc::Tls {
        cert,
        key,
        trusted_ca: tls.trusted_ca.clone(),
        client_cert_auth: tls.client_cert_auth,
        crl: tls.crl.clone(),
        allowed_hostnames: tls.allowed_hostnames.clone(),
        allowed_common_names: tls.allowed_cns.clone(),
        check_origin: false,
        cipher_suites: policy.cipher_suites.clone(),
        version_min: policy.version_min.map(version),
        version_max: policy.version_max.map(version),
    })
}
