//! Every metric of a member, once: field, kind, name, help, labels, buckets (contract/metrics.tsv).

use std::sync::OnceLock;

use crate::{
    metric::{Counter, Family, Gauge, Histogram},
    process,
    render::{Render, render},
};

const BUCKETS_0_1_TO_51_2: &[f64] = &[0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2];
const BUCKETS_0_0001_TO_3_2768: &[f64] = &[
    0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128, 0.0256, 0.0512, 0.1024, 0.2048, 0.4096,
    0.8192, 1.6384, 3.2768,
];
const BUCKETS_0_001_TO_8_192: &[f64] =
    &[0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192];
const BUCKETS_0_0001_TO_52_4288: &[f64] = &[
    0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128, 0.0256, 0.0512, 0.1024, 0.2048, 0.4096,
    0.8192, 1.6384, 3.2768, 6.5536, 13.1072, 26.2144, 52.4288,
];
const BUCKETS_1_TO_8388608: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0,
    32768.0, 65536.0, 131072.0, 262144.0, 524288.0, 1048576.0, 2097152.0, 4194304.0, 8388608.0,
];
const BUCKETS_0_1_TO_409_6: &[f64] =
    &[0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6];
const BUCKETS_0_01_TO_655_36: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68,
    655.36,
];
const BUCKETS_0_5_TO_4096: &[f64] =
    &[0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];
const BUCKETS_1_TO_4096: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];
const BUCKETS_100_TO_819200: &[f64] = &[
    100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, 12800.0, 25600.0, 51200.0, 102400.0, 204800.0,
    409600.0, 819200.0,
];
const BUCKETS_0_01_TO_163_84: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84];
const BUCKETS_0_005_TO_10: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Makes a metric of its kind; families make their children so.
trait Make {
    fn make(bounds: &'static [f64]) -> Self;
}

impl Make for Counter {
    fn make(_: &'static [f64]) -> Self {
        Counter::default()
    }
}

impl Make for Gauge {
    fn make(_: &'static [f64]) -> Self {
        Gauge::default()
    }
}

impl Make for Histogram {
    fn make(bounds: &'static [f64]) -> Self {
        Histogram::new(bounds)
    }
}

impl<M: Make> Make for Family<M> {
    fn make(bounds: &'static [f64]) -> Self {
        Family::new(M::make, bounds)
    }
}

/// What is known of a metric before it has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// Full name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Label names in order.
    pub labels: &'static [&'static str],
}

macro_rules! metrics {
    ($($field:ident: $kind:ty = $name:literal, $help:literal, [$($label:literal),*], $bounds:expr;)*) => {
        /// The metrics of this process. Fields are named like the metrics, without `etcd_`.
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $help] pub $field: $kind,)*
        }

        impl Metrics {
            fn new() -> Metrics {
                Metrics { $($field: Make::make($bounds),)* }
            }

            /// Each with its text in Prometheus' format.
            fn rendered(&self) -> Vec<(&'static str, String)> {
                let mut parts = Vec::new();
                $({
                    let mut text = String::new();
                    render(&self.$field, $name, $help, &[$($label),*], &mut text);
                    parts.push(($name, text));
                })*
                parts
            }

            /// All of them, whether they have values or not.
            pub fn described(&self) -> Vec<Described> {
                vec![$(Described { name: $name, kind: self.$field.kind(), labels: &[$($label),*] },)*]
            }
        }
    };
}

metrics! {
    debugging_auth_revision: Gauge = "etcd_debugging_auth_revision", "Auth store revision.", [], &[];
    server_health_success: Counter = "etcd_server_health_success", "/health answers with health true.", [], &[];
    server_health_failures: Counter = "etcd_server_health_failures", "/health answers with health false.", [], &[];
    server_healthcheck: Family<Gauge> = "etcd_server_healthcheck", "Last result of a livez/readyz check: 1 ok, 0 failed (type livez|readyz).", ["type", "name"], &[];
    server_healthchecks_total: Family<Counter> = "etcd_server_healthchecks_total", "Runs of each livez/readyz check by status success|error.", ["type", "name", "status"], &[];
    cluster_version: Family<Gauge> = "etcd_cluster_version", "1 on the current cluster version (label 'X.Y'), 0 on earlier ones seen.", ["cluster_version"], &[];
    network_known_peers: Family<Gauge> = "etcd_network_known_peers", "1 per known member id, 0 after removal; includes the local id.", ["Local", "Remote"], &[];
    server_is_learner: Gauge = "etcd_server_is_learner", "1 on a learner.", [], &[];
    network_active_peers: Family<Gauge> = "etcd_network_active_peers", "Active peer connections.", ["Local", "Remote"], &[];
    network_disconnected_peers_total: Family<Counter> = "etcd_network_disconnected_peers_total", "Active -> inactive transitions.", ["Local", "Remote"], &[];
    network_peer_sent_bytes_total: Family<Counter> = "etcd_network_peer_sent_bytes_total", "Raft bytes sent per member id.", ["To"], &[];
    network_peer_received_bytes_total: Family<Counter> = "etcd_network_peer_received_bytes_total", "Raft bytes received; id 0 for link heartbeats.", ["From"], &[];
    network_peer_sent_failures_total: Family<Counter> = "etcd_network_peer_sent_failures_total", "Failed or dropped sends.", ["To"], &[];
    network_peer_received_failures_total: Family<Counter> = "etcd_network_peer_received_failures_total", "Failed or dropped receives (label is id or remote address).", ["From"], &[];
    network_snapshot_send_success: Family<Counter> = "etcd_network_snapshot_send_success", "Db snapshots sent.", ["To"], &[];
    network_snapshot_send_inflights_total: Family<Gauge> = "etcd_network_snapshot_send_inflights_total", "Snapshots being sent.", ["To"], &[];
    network_snapshot_send_failures: Family<Counter> = "etcd_network_snapshot_send_failures", "Snapshot sends failed.", ["To"], &[];
    network_snapshot_send_total_duration_seconds: Family<Histogram> = "etcd_network_snapshot_send_total_duration_seconds", "Snapshot send time.", ["To"], BUCKETS_0_1_TO_51_2;
    network_snapshot_receive_success: Family<Counter> = "etcd_network_snapshot_receive_success", "Snapshots received.", ["From"], &[];
    network_snapshot_receive_inflights_total: Family<Gauge> = "etcd_network_snapshot_receive_inflights_total", "Snapshots being received.", ["From"], &[];
    network_snapshot_receive_failures: Family<Counter> = "etcd_network_snapshot_receive_failures", "Snapshot receives failed.", ["From"], &[];
    network_snapshot_receive_total_duration_seconds: Family<Histogram> = "etcd_network_snapshot_receive_total_duration_seconds", "Snapshot receive time.", ["From"], BUCKETS_0_1_TO_51_2;
    network_peer_round_trip_time_seconds: Family<Histogram> = "etcd_network_peer_round_trip_time_seconds", "Probe round trip per member id, observed every 5s (unhealthy) or 30s by each of two probers.", ["To"], BUCKETS_0_0001_TO_3_2768;
    debugging_snap_save_marshalling_duration_seconds: Histogram = "etcd_debugging_snap_save_marshalling_duration_seconds", "Snap file marshalling (not updated in main).", [], BUCKETS_0_001_TO_8_192;
    debugging_snap_save_total_duration_seconds: Histogram = "etcd_debugging_snap_save_total_duration_seconds", "Snap file save (not updated in main).", [], BUCKETS_0_001_TO_8_192;
    snap_fsync_duration_seconds: Histogram = "etcd_snap_fsync_duration_seconds", "Snap file fsync (not updated in main).", [], BUCKETS_0_001_TO_8_192;
    snap_db_save_total_duration_seconds: Histogram = "etcd_snap_db_save_total_duration_seconds", "Saving a received db snapshot.", [], BUCKETS_0_1_TO_51_2;
    snap_db_fsync_duration_seconds: Histogram = "etcd_snap_db_fsync_duration_seconds", "Fsync of a received db snapshot.", [], BUCKETS_0_001_TO_8_192;
    debugging_store_reads_total: Family<Counter> = "etcd_debugging_store_reads_total", "Legacy v2 store reads by action.", ["action"], &[];
    debugging_store_writes_total: Family<Counter> = "etcd_debugging_store_writes_total", "Legacy v2 store writes by action.", ["action"], &[];
    debugging_store_reads_failed_total: Family<Counter> = "etcd_debugging_store_reads_failed_total", "Legacy v2 store.", ["action"], &[];
    debugging_store_writes_failed_total: Family<Counter> = "etcd_debugging_store_writes_failed_total", "Legacy v2 store.", ["action"], &[];
    debugging_store_expires_total: Counter = "etcd_debugging_store_expires_total", "Legacy v2 store.", [], &[];
    debugging_store_watch_requests_total: Counter = "etcd_debugging_store_watch_requests_total", "Legacy v2 store.", [], &[];
    debugging_store_watchers: Gauge = "etcd_debugging_store_watchers", "Legacy v2 store.", [], &[];
    network_client_grpc_sent_bytes_total: Counter = "etcd_network_client_grpc_sent_bytes_total", "Marshalled grpc message bytes to clients.", [], &[];
    network_client_grpc_received_bytes_total: Counter = "etcd_network_client_grpc_received_bytes_total", "Grpc message bytes from clients.", [], &[];
    network_server_stream_failures_total: Family<Counter> = "etcd_network_server_stream_failures_total", "Watch / lease-keepalive stream errors; Type send|receive, API watch|lease-keepalive.", ["Type", "API"], &[];
    server_client_requests_total: Family<Counter> = "etcd_server_client_requests_total", "RPCs by type unary|stream and client-api-version metadata (unknown when absent).", ["type", "client_api_version"], &[];
    debugging_server_watch_send_loop_watch_stream_duration_seconds: Histogram = "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds", "Watch reply send time.", [], BUCKETS_0_001_TO_8_192;
    debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds: Histogram = "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds", "Same divided by events.", [], BUCKETS_0_001_TO_8_192;
    debugging_server_watch_send_loop_control_stream_duration_seconds: Histogram = "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds", "Created/canceled reply send time.", [], BUCKETS_0_001_TO_8_192;
    debugging_server_watch_send_loop_progress_duration_seconds: Histogram = "etcd_debugging_server_watch_send_loop_progress_duration_seconds", "Progress tick time.", [], BUCKETS_0_001_TO_8_192;
    debugging_server_alarms: Family<Gauge> = "etcd_debugging_server_alarms", "Active alarms by member id (hex) and type.", ["server_id", "alarm_type"], &[];
    server_has_leader: Gauge = "etcd_server_has_leader", "1 when a leader is known.", [], &[];
    server_is_leader: Gauge = "etcd_server_is_leader", "1 on the leader.", [], &[];
    server_leader_changes_seen_total: Counter = "etcd_server_leader_changes_seen_total", "Leader changes.", [], &[];
    server_learner_promote_failures: Family<Counter> = "etcd_server_learner_promote_failures", "Failed promotions by error text, on the leader.", ["Reason"], &[];
    server_learner_promote_successes: Counter = "etcd_server_learner_promote_successes", "Promotions.", [], &[];
    server_heartbeat_send_failures_total: Counter = "etcd_server_heartbeat_send_failures_total", "Heartbeats sent late (slow disk).", [], &[];
    server_snapshot_apply_in_progress_total: Gauge = "etcd_server_snapshot_apply_in_progress_total", "Snapshot being applied.", [], &[];
    server_proposals_committed_total: Gauge = "etcd_server_proposals_committed_total", "Raft commit index (gauge).", [], &[];
    server_proposals_applied_total: Gauge = "etcd_server_proposals_applied_total", "Raft applied index (gauge).", [], &[];
    server_proposals_pending: Gauge = "etcd_server_proposals_pending", "Proposals waiting.", [], &[];
    server_proposals_failed_total: Counter = "etcd_server_proposals_failed_total", "Proposals that errored or timed out.", [], &[];
    server_request_duration_seconds: Family<Histogram> = "etcd_server_request_duration_seconds", "Request latency by kind: Range, ReadonlyTxn and every raft request name (Put, Txn, DeleteRange, Compaction, LeaseGrant, LeaseRevoke, LeaseCheckpoint, Alarm, Authenticate, Auth*, ClusterVersionSet, ClusterMemberAttrSet, DowngradeInfoSet, DowngradeVersionTest, Unknown).", ["type", "success"], BUCKETS_0_001_TO_8_192;
    debugging_server_lease_expired_total: Counter = "etcd_debugging_server_lease_expired_total", "Leases revoked by expiry.", [], &[];
    server_version: Family<Gauge> = "etcd_server_version", "1, label server_version.", ["server_version"], &[];
    server_go_version: Family<Gauge> = "etcd_server_go_version", "1, label toolchain version.", ["server_go_version"], &[];
    server_id: Family<Gauge> = "etcd_server_id", "1, label member id in hex.", ["server_id"], &[];
    server_feature_enabled: Family<Gauge> = "etcd_server_feature_enabled", "1/0 per feature gate; stage ALPHA|BETA|'' |DEPRECATED.", ["name", "stage"], &[];
    os_fd_used: Gauge = "os_fd_used", "Open fds, refreshed every 10 min.", [], &[];
    os_fd_limit: Gauge = "os_fd_limit", "Fd limit.", [], &[];
    server_slow_read_indexes_total: Counter = "etcd_server_slow_read_indexes_total", "Late or timed out read-index.", [], &[];
    server_read_indexes_failed_total: Counter = "etcd_server_read_indexes_failed_total", "Failed read-index.", [], &[];
    server_slow_apply_total: Counter = "etcd_server_slow_apply_total", "Applies slower than warning-apply-duration.", [], &[];
    server_apply_duration_seconds: Family<Histogram> = "etcd_server_apply_duration_seconds", "Apply time; version is v3; op is the raft request name; compaction of a compacted revision counts as success.", ["version", "op", "success"], BUCKETS_0_0001_TO_52_4288;
    server_range_duration_seconds: Family<Histogram> = "etcd_server_range_duration_seconds", "Range execution time.", ["success"], BUCKETS_0_0001_TO_52_4288;
    debugging_lease_granted_total: Counter = "etcd_debugging_lease_granted_total", "Leases granted.", [], &[];
    debugging_lease_revoked_total: Counter = "etcd_debugging_lease_revoked_total", "Leases revoked.", [], &[];
    debugging_lease_renewed_total: Counter = "etcd_debugging_lease_renewed_total", "Renews on the leader.", [], &[];
    debugging_lease_ttl_total: Histogram = "etcd_debugging_lease_ttl_total", "Granted TTLs in seconds.", [], BUCKETS_1_TO_8388608;
    disk_backend_commit_duration_seconds: Histogram = "etcd_disk_backend_commit_duration_seconds", "Backend commit time.", [], BUCKETS_0_001_TO_8_192;
    debugging_disk_backend_commit_rebalance_duration_seconds: Histogram = "etcd_debugging_disk_backend_commit_rebalance_duration_seconds", "Part of commit.", [], BUCKETS_0_001_TO_8_192;
    debugging_disk_backend_commit_spill_duration_seconds: Histogram = "etcd_debugging_disk_backend_commit_spill_duration_seconds", "Part of commit.", [], BUCKETS_0_001_TO_8_192;
    debugging_disk_backend_commit_write_duration_seconds: Histogram = "etcd_debugging_disk_backend_commit_write_duration_seconds", "Part of commit.", [], BUCKETS_0_001_TO_8_192;
    disk_backend_defrag_duration_seconds: Histogram = "etcd_disk_backend_defrag_duration_seconds", "Defrag time.", [], BUCKETS_0_1_TO_409_6;
    disk_backend_snapshot_duration_seconds: Histogram = "etcd_disk_backend_snapshot_duration_seconds", "Backend snapshot write time.", [], BUCKETS_0_01_TO_655_36;
    disk_defrag_inflight: Gauge = "etcd_disk_defrag_inflight", "1 during defrag.", [], &[];
    server_quota_backend_bytes: Gauge = "etcd_server_quota_backend_bytes", "Effective quota (negative flag value when disabled).", [], &[];
    mvcc_range_total: Counter = "etcd_mvcc_range_total", "Range operations incl. inside txns.", [], &[];
    mvcc_put_total: Counter = "etcd_mvcc_put_total", "Puts incl. inside txns.", [], &[];
    mvcc_delete_total: Counter = "etcd_mvcc_delete_total", "Deleted-range operations.", [], &[];
    mvcc_txn_total: Counter = "etcd_mvcc_txn_total", "Txns with more than one operation.", [], &[];
    debugging_mvcc_keys_total: Gauge = "etcd_debugging_mvcc_keys_total", "Live keys.", [], &[];
    debugging_mvcc_watch_stream_total: Gauge = "etcd_debugging_mvcc_watch_stream_total", "Watch streams.", [], &[];
    debugging_mvcc_watcher_total: Gauge = "etcd_debugging_mvcc_watcher_total", "Watchers.", [], &[];
    debugging_mvcc_slow_watcher_total: Gauge = "etcd_debugging_mvcc_slow_watcher_total", "Unsynced watchers.", [], &[];
    debugging_mvcc_events_total: Counter = "etcd_debugging_mvcc_events_total", "Events sent.", [], &[];
    debugging_mvcc_pending_events_total: Gauge = "etcd_debugging_mvcc_pending_events_total", "Events waiting.", [], &[];
    debugging_mvcc_index_compaction_pause_duration_milliseconds: Histogram = "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds", "Index compaction time.", [], BUCKETS_0_5_TO_4096;
    debugging_mvcc_db_compaction_pause_duration_milliseconds: Histogram = "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds", "One db compaction batch.", [], BUCKETS_1_TO_4096;
    debugging_mvcc_db_compaction_total_duration_milliseconds: Histogram = "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds", "Whole db compaction.", [], BUCKETS_100_TO_819200;
    debugging_mvcc_db_compaction_last: Gauge = "etcd_debugging_mvcc_db_compaction_last", "Unix time of the last finished compaction.", [], &[];
    debugging_mvcc_db_compaction_keys_total: Counter = "etcd_debugging_mvcc_db_compaction_keys_total", "Revisions deleted by compaction.", [], &[];
    mvcc_db_total_size_in_bytes: Gauge = "etcd_mvcc_db_total_size_in_bytes", "Db file size.", [], &[];
    mvcc_db_total_size_in_use_in_bytes: Gauge = "etcd_mvcc_db_total_size_in_use_in_bytes", "Db size in use.", [], &[];
    mvcc_db_open_read_transactions: Gauge = "etcd_mvcc_db_open_read_transactions", "Open backend read txns.", [], &[];
    mvcc_hash_duration_seconds: Histogram = "etcd_mvcc_hash_duration_seconds", "Hash time.", [], BUCKETS_0_01_TO_163_84;
    mvcc_hash_rev_duration_seconds: Histogram = "etcd_mvcc_hash_rev_duration_seconds", "HashKV time.", [], BUCKETS_0_01_TO_163_84;
    debugging_mvcc_current_revision: Gauge = "etcd_debugging_mvcc_current_revision", "Store revision.", [], &[];
    debugging_mvcc_compact_revision: Gauge = "etcd_debugging_mvcc_compact_revision", "Compacted revision, -1 when never.", [], &[];
    debugging_mvcc_total_put_size_in_bytes: Gauge = "etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes put so far (gauge).", [], &[];
    disk_wal_fsync_duration_seconds: Histogram = "etcd_disk_wal_fsync_duration_seconds", "WAL fdatasync time.", [], BUCKETS_0_001_TO_8_192;
    disk_wal_write_duration_seconds: Histogram = "etcd_disk_wal_write_duration_seconds", "WAL write call time.", [], BUCKETS_0_001_TO_8_192;
    disk_wal_write_bytes_total: Gauge = "etcd_disk_wal_write_bytes_total", "Bytes written to the WAL (gauge).", [], &[];
    grpc_server_started_total: Family<Counter> = "grpc_server_started_total", "RPCs started; all KV/Watch/Lease/Cluster/Maintenance/Auth/Health methods pre-created at 0, Lock/Election appear on first use; grpc_type unary|server_stream|bidi_stream.", ["grpc_type", "grpc_service", "grpc_method"], &[];
    grpc_server_handled_total: Family<Counter> = "grpc_server_handled_total", "RPCs finished by code name (OK, Canceled, Unknown, ... 17 names), pre-created at 0.", ["grpc_type", "grpc_service", "grpc_method", "grpc_code"], &[];
    grpc_server_msg_received_total: Family<Counter> = "grpc_server_msg_received_total", "Messages received.", ["grpc_type", "grpc_service", "grpc_method"], &[];
    grpc_server_msg_sent_total: Family<Counter> = "grpc_server_msg_sent_total", "Messages sent.", ["grpc_type", "grpc_service", "grpc_method"], &[];
    grpc_server_handling_seconds: Family<Histogram> = "grpc_server_handling_seconds", "RPC latency; ONLY with --metrics=extensive, so alert etcdGRPCRequestsSlow needs it.", ["grpc_type", "grpc_service", "grpc_method"], BUCKETS_0_005_TO_10;
    promhttp_metric_handler_requests_total: Family<Counter> = "promhttp_metric_handler_requests_total", "Scrapes by HTTP code.", ["code"], &[];
    audit_lines_dropped_total: Counter = "mainstay_audit_lines_dropped_total", "Lines of the audit log that were dropped.", [], &[];
    promhttp_metric_handler_requests_in_flight: Gauge = "promhttp_metric_handler_requests_in_flight", "Scrapes in flight.", [], &[];
}

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(Metrics::new)
}

/// The whole page of `/metrics`: ours and the process's, sorted by name.
pub fn page() -> String {
    let mut parts = metrics().rendered();
    parts.extend(process::rendered());
    parts.sort_by_key(|(name, _)| *name);
    parts.into_iter().map(|(_, text)| text).collect()
}
