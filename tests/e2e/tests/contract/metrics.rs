//! contract/metrics.tsv: after some of everything, each metric is on the page with its type, labels and buckets.

use std::{collections::BTreeSet, time::Duration};

use e2e::{
    exposition::Page,
    server::{Server, poll, poll_for},
    table,
};
use proto::etcdserverpb as pb;

use crate::{
    common::*,
    gaps::{GAPS, KNOWN_GAPS},
    grpc::auth::user_add,
};

e2e::cases! { KNOWN_GAPS;
    names_types_labels_and_buckets => "metrics" [];
    writes_and_reads_are_counted => "metrics" [];
    watchers_are_counted => "metrics" [];
    leases_are_counted => "metrics" [];
    calls_are_counted => "metrics" [];
    the_member_and_its_disk => "metrics" [];
    what_happened_is_seen => "metrics" [];
    failed_calls_count_as_sent => "metrics" [];
    alarms_are_shown => "metrics" [];
    nothing_is_pending => "metrics" [];
    ranges_are_timed => "metrics" ["etcd_server_range_duration_seconds"];
    failed_streams_are_counted => "metrics" ["etcd_network_server_stream_failures_total"];
    handling_times_are_extensive => "metrics" [];
}

/// Rows that the first test goes through.
pub(crate) fn listed_cases() -> Vec<(String, &'static str)> {
    rows().into_iter().map(|row| (row.key, CASES[0].name)).collect()
}

/// Rows that one member shows, less those that have a test of their own.
fn rows() -> Vec<table::Row> {
    let gaps = GAPS.iter().filter(|gap| gap.table == "metrics").flat_map(|gap| gap.rows);
    let own = CASES.iter().chain(crate::cluster::metrics::CASES).flat_map(|case| case.rows);
    let elsewhere: Vec<&str> = gaps.chain(own).copied().collect();
    table::rows("metrics").into_iter().filter(|row| !elsewhere.contains(&row.key.as_str())).collect()
}

/// How long figures may take.
const LAG: Duration = Duration::from_secs(5);

/// The page once `ready`: figures follow what they count by a moment.
fn page(server: &Server, ready: impl Fn(&Page) -> bool) -> Page {
    let found = poll_for(LAG, || Some(server.metrics()).filter(&ready));
    found.expect("the page gets there")
}

/// Some of everything that is counted.
fn traffic(server: &Server) {
    let client = server.client();
    for n in 0..5 {
        put_ok(&client, &format!("m/{n}"), "value");
    }
    client.ok(prefix("m/"));
    client.ok(pb::RangeRequest { serializable: true, ..prefix("m/") });
    client.ok(delete("m/0"));
    client.ok(txn(vec![put_op("m/t", ""), range_op("m/t")]));
    client.ok(txn(vec![range_op("m/t")]));
    let lease = grant(&client, 60);
    client.ok(pb::LeaseRevokeRequest { id: lease });
    let mut stream = watch(&client);
    create_ok(
        &mut stream,
        pb::WatchCreateRequest { start_revision: 2, range_end: text("\0"), ..create("m/") },
    );
    stream.message();
    let now = revision(&client.ok(range("m/t")).header);
    client.ok(pb::CompactionRequest { revision: now, physical: true });
    client.ok(pb::DefragmentRequest {});
    client.ok(pb::HashRequest {});
    client.ok(pb::HashKvRequest { revision: 0 });
    client.ok(user_add("metrics"));
    client.fails(pb::MemberPromoteRequest { id: 1 });
    let mut snapshot =
        client.open::<pb::SnapshotRequest, pb::SnapshotResponse>("etcdserverpb.Maintenance/Snapshot");
    snapshot.send(&pb::SnapshotRequest {});
    snapshot.finish();
    snapshot.rest().unwrap_or_else(|status| panic!("{status}"));
    let alarm = |action| pb::AlarmRequest { action, member_id: 1, alarm: pb::AlarmType::Nospace as i32 };
    client.ok(alarm(1));
    client.ok(alarm(2));
    for path in ["/health", "/livez", "/readyz"] {
        server.get(path);
    }
}

fn names_types_labels_and_buckets() {
    let server = Server::start(&["--metrics=extensive", "--bcrypt-cost=4"]);
    traffic(&server);
    let page = server.metrics();
    let mut wrong = Vec::new();
    for row in rows() {
        if let Err(what) = check(&row, &page) {
            wrong.push(format!("{}: {what}", row.key));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let known: BTreeSet<String> = table::rows("metrics").into_iter().map(|row| row.key).collect();
    // Ours have our name (contract/deviations.tsv).
    let elsewhere = |name: &&String| name.starts_with("go_") || name.starts_with("mainstay_");
    let unknown: Vec<_> =
        page.families.keys().filter(|name| !known.contains(*name) && !elsewhere(name)).collect();
    assert!(unknown.is_empty(), "metrics that etcd does not have: {unknown:?}");
}

fn check(row: &table::Row, page: &Page) -> Result<(), String> {
    let family = page.families.get(&row.key).ok_or("is missing")?;
    if family.kind != row.cell("type") {
        return Err(format!("is a {}, not a {}", family.kind, row.cell("type")));
    }
    let wanted: BTreeSet<&str> = row.cell("labels").split(',').filter(|label| !label.is_empty()).collect();
    if family.samples.is_empty() {
        return Err("has no samples".into());
    }
    for sample in &family.samples {
        let labels: BTreeSet<&str> =
            sample.labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
        if labels != wanted {
            return Err(format!("has labels {labels:?}, not {wanted:?}"));
        }
    }
    if family.kind != "histogram" {
        return Ok(());
    }
    let first = family.samples[0].labels.clone();
    let same = |labels: &std::collections::BTreeMap<String, String>| {
        labels.iter().all(|(name, value)| name == "le" || first.get(name) == Some(value))
    };
    let buckets = family.samples.iter().filter(|s| s.name.ends_with("_bucket") && same(&s.labels));
    let bounds: Vec<f64> =
        buckets.map(|s| s.labels["le"].replace("+Inf", "inf").parse().expect("a bound")).collect();
    let wanted = row.cell("buckets").split(',').map(|bound| bound.parse().expect("a bound"));
    let wanted: Vec<f64> = wanted.chain([f64::INFINITY]).collect();
    if bounds != wanted {
        return Err(format!("has buckets {bounds:?}, not {wanted:?}"));
    }
    Ok(())
}

fn writes_and_reads_are_counted() {
    let server = Server::start(&[]);
    let client = server.client();
    for n in 0..7 {
        put_ok(&client, &format!("k{n}"), "0123456789");
    }
    client.ok(delete("k0"));
    client.ok(txn(vec![put_op("t1", ""), put_op("t2", ""), range_op("k1")]));
    for _ in 0..3 {
        client.ok(range("k1"));
    }
    let page = page(&server, |page| page.value("etcd_mvcc_put_total", &[]) == 9.0);
    let value = |name| page.value(name, &[]);
    assert_eq!(value("etcd_mvcc_delete_total"), 1.0);
    assert_eq!(value("etcd_mvcc_txn_total"), 1.0);
    assert!(value("etcd_mvcc_range_total") >= 4.0);
    assert_eq!(value("etcd_debugging_mvcc_keys_total"), 8.0);
    assert_eq!(value("etcd_debugging_mvcc_current_revision"), 10.0);
    assert_eq!(value("etcd_debugging_mvcc_compact_revision"), -1.0);
    let bytes: usize = 7 * (2 + 10) + 2 * 2;
    assert!(value("etcd_debugging_mvcc_total_put_size_in_bytes") >= bytes as f64);
    let puts = [("type", "Put"), ("success", "true")];
    assert_eq!(page.value("etcd_server_request_duration_seconds_count", &puts), 7.0);
    let applied = [("version", "v3"), ("op", "Put"), ("success", "true")];
    assert_eq!(page.value("etcd_server_apply_duration_seconds_count", &applied), 7.0);
    client.ok(compact(5));
    let compacted = poll(|| {
        let page = server.metrics();
        let done = page.value("etcd_debugging_mvcc_db_compaction_last", &[]) > 0.0;
        done.then(|| page.value("etcd_debugging_mvcc_compact_revision", &[]))
    });
    assert_eq!(compacted, Some(5.0));
}

fn watchers_are_counted() {
    let server = Server::start(&[]);
    let client = server.client();
    let watchers = |page: &Page| {
        let value = |name| page.value(name, &[]);
        (value("etcd_debugging_mvcc_watch_stream_total"), value("etcd_debugging_mvcc_watcher_total"))
    };
    page(&server, |page| watchers(page) == (0.0, 0.0));
    let mut stream = watch(&client);
    create_ok(&mut stream, create("a"));
    create_ok(&mut stream, create("b"));
    page(&server, |page| watchers(page) == (1.0, 2.0));
    put_ok(&client, "a", "");
    stream.message();
    page(&server, |page| page.value("etcd_debugging_mvcc_events_total", &[]) == 1.0);
    stream.send(&cancel_request(0));
    stream.message();
    page(&server, |page| watchers(page) == (1.0, 1.0));
    drop(stream);
    // The reset leaves with whatever is sent next on the connection.
    client.ok(range("a"));
    page(&server, |page| watchers(page) == (0.0, 0.0));
}

fn leases_are_counted() {
    let server = Server::start(&[]);
    let client = server.client();
    let lease = grant(&client, 60);
    grant(&client, 70);
    client.ok(pb::LeaseRevokeRequest { id: lease });
    let page = page(&server, |page| page.value("etcd_debugging_lease_revoked_total", &[]) == 1.0);
    let value = |name| page.value(name, &[]);
    assert_eq!(value("etcd_debugging_lease_granted_total"), 2.0);
}

fn calls_are_counted() {
    let server = Server::start(&[]);
    let client = server.client();
    put_ok(&client, "k", "v");
    put_ok(&client, "k", "v");
    client.fails(put("", "v"));
    let page = server.metrics();
    let put = [("grpc_type", "unary"), ("grpc_service", "etcdserverpb.KV"), ("grpc_method", "Put")];
    assert_eq!(page.value("grpc_server_started_total", &put), 3.0);
    assert_eq!(page.value("grpc_server_msg_received_total", &put), 3.0);
    let handled =
        |code| page.value("grpc_server_handled_total", &[put[0], put[1], put[2], ("grpc_code", code)]);
    assert_eq!((handled("OK"), handled("InvalidArgument"), handled("Unavailable")), (2.0, 1.0, 0.0));
    let requests = [("type", "unary"), ("client_api_version", "unknown")];
    assert_eq!(page.value("etcd_server_client_requests_total", &requests), 3.0);
    assert!(page.value("etcd_network_client_grpc_received_bytes_total", &[]) > 0.0);
    assert!(page.value("etcd_network_client_grpc_sent_bytes_total", &[]) > 0.0);
    // Methods are there before they are called.
    let watch =
        [("grpc_type", "bidi_stream"), ("grpc_service", "etcdserverpb.Watch"), ("grpc_method", "Watch")];
    assert_eq!(page.value("grpc_server_started_total", &watch), 0.0);
}

fn the_member_and_its_disk() {
    let server = Server::start(&["--quota-backend-bytes=123456789"]);
    let client = server.client();
    put_ok(&client, "k", "v");
    let status = client.ok(pb::StatusRequest {});
    let applied = status.raft_applied_index as f64;
    let page = page(&server, |page| {
        let value = |name| page.value(name, &[]);
        value("etcd_server_proposals_applied_total") == applied
            && value("etcd_mvcc_db_total_size_in_bytes") > 0.0
    });
    let value = |name| page.value(name, &[]);
    assert_eq!(
        (value("etcd_server_has_leader"), value("etcd_server_is_leader"), value("etcd_server_is_learner")),
        (1.0, 1.0, 0.0)
    );
    assert_eq!(value("etcd_server_quota_backend_bytes"), 123_456_789.0);
    assert!(value("etcd_server_leader_changes_seen_total") >= 1.0);
    assert_eq!(value("etcd_server_proposals_committed_total"), status.raft_index as f64);
    assert_eq!(value("etcd_server_proposals_failed_total"), 0.0);
    assert_eq!(page.value("etcd_cluster_version", &[("cluster_version", "3.7")]), 1.0);
    assert_eq!(page.value("etcd_server_version", &[("server_version", "3.7.1")]), 1.0);
    let own = format!("{:x}", status.leader);
    assert_eq!(page.value("etcd_server_id", &[("server_id", &own)]), 1.0);
    let peers = &page.families["etcd_network_known_peers"].samples;
    assert!(
        peers.iter().any(|peer| peer.labels["Local"] == own && peer.labels["Remote"] == own),
        "{peers:?}"
    );
    assert!(value("etcd_mvcc_db_total_size_in_bytes") >= value("etcd_mvcc_db_total_size_in_use_in_bytes"));
    assert!(value("etcd_mvcc_db_total_size_in_use_in_bytes") > 0.0);
    assert!(value("etcd_disk_wal_fsync_duration_seconds_count") >= 1.0);
    assert!(value("process_resident_memory_bytes") > 1e6 && value("process_open_fds") > 3.0);
    assert!(value("process_start_time_seconds") > 1.6e9);
    assert!(value("os_fd_limit") >= value("os_fd_used"));
}

/// Figures that move with [`traffic`].
const MOVES: &[&str] = &[
    "etcd_debugging_disk_backend_commit_rebalance_duration_seconds",
    "etcd_debugging_disk_backend_commit_spill_duration_seconds",
    "etcd_debugging_disk_backend_commit_write_duration_seconds",
    "etcd_debugging_lease_granted_total",
    "etcd_debugging_lease_revoked_total",
    "etcd_debugging_lease_renewed_total",
    "etcd_debugging_lease_ttl_total",
    "etcd_debugging_mvcc_db_compaction_keys_total",
    "etcd_debugging_mvcc_db_compaction_last",
    "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
    "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
    "etcd_debugging_mvcc_events_total",
    "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
    "etcd_debugging_mvcc_keys_total",
    "etcd_debugging_mvcc_total_put_size_in_bytes",
    "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds",
    "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds",
    "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds",
    "etcd_disk_backend_commit_duration_seconds",
    "etcd_disk_backend_defrag_duration_seconds",
    "etcd_disk_backend_snapshot_duration_seconds",
    "etcd_disk_wal_fsync_duration_seconds",
    "etcd_disk_wal_write_bytes_total",
    "etcd_disk_wal_write_duration_seconds",
    "etcd_mvcc_delete_total",
    "etcd_mvcc_hash_duration_seconds",
    "etcd_mvcc_hash_rev_duration_seconds",
    "etcd_mvcc_put_total",
    "etcd_mvcc_range_total",
    "etcd_mvcc_txn_total",
    "etcd_network_client_grpc_received_bytes_total",
    "etcd_network_client_grpc_sent_bytes_total",
    "etcd_server_apply_duration_seconds",
    "etcd_server_client_requests_total",
    "etcd_server_health_success",
    "etcd_server_healthchecks_total",
    "etcd_server_range_duration_seconds",
    "etcd_server_request_duration_seconds",
    "grpc_server_handled_total",
    "grpc_server_handling_seconds",
    "grpc_server_msg_received_total",
    "grpc_server_msg_sent_total",
    "grpc_server_started_total",
    "os_fd_limit",
    "os_fd_used",
    "process_cpu_seconds_total",
    "promhttp_metric_handler_requests_total",
];

fn what_happened_is_seen() {
    let server = Server::start(&["--metrics=extensive", "--bcrypt-cost=4"]);
    traffic(&server);
    let client = server.client();
    let lease = grant(&client, 60);
    let method = "etcdserverpb.Lease/LeaseKeepAlive";
    let mut stream = client.open::<pb::LeaseKeepAliveRequest, pb::LeaseKeepAliveResponse>(method);
    stream.send(&pb::LeaseKeepAliveRequest { id: lease });
    stream.message();
    let still = |page: &Page| -> Vec<&str> {
        let moved = |name: &str| {
            page.families.get(name).is_some_and(|family| {
                family.samples.iter().any(|sample| !sample.name.ends_with("_bucket") && sample.value > 0.0)
            })
        };
        MOVES.iter().copied().filter(|name| !moved(name)).collect()
    };
    poll_for(LAG, || still(&server.metrics()).is_empty().then_some(()));
    assert_eq!(still(&server.metrics()), [""; 0], "did not move");
}

/// A call that fails counts as answered with a message, too: so does the library that etcd counts with.
fn failed_calls_count_as_sent() {
    let server = Server::start(&[]);
    let client = server.client();
    put_ok(&client, "k", "v");
    client.fails(put("", "v"));
    let put = [("grpc_type", "unary"), ("grpc_service", "etcdserverpb.KV"), ("grpc_method", "Put")];
    assert_eq!(server.metrics().value("grpc_server_msg_sent_total", &put), 2.0);
}

/// One series per alarm; a cleared one stays at 0, where upstream counts each time that it is raised.
fn alarms_are_shown() {
    let server = Server::start(&[]);
    let client = server.client();
    let alarm = |action| pb::AlarmRequest { action, member_id: 0xab, alarm: pb::AlarmType::Nospace as i32 };
    let labels = [("server_id", "ab"), ("alarm_type", "NOSPACE")];
    for (action, value) in [(1, 1.0), (2, 0.0)] {
        client.ok(alarm(action));
        page(&server, |page| page.value("etcd_debugging_server_alarms", &labels) == value);
    }
}

/// Nobody waits once everything is answered.
fn nothing_is_pending() {
    let server = Server::start(&[]);
    put_ok(&server.client(), "k", "v");
    page(&server, |page| page.value("etcd_server_proposals_pending", &[]) == 0.0);
}

fn ranges_are_timed() {
    let server = Server::start(&[]);
    server.client().ok(range("k"));
    let page = page(&server, |page| page.families.contains_key("etcd_server_range_duration_seconds"));
    let row = table::row("metrics", "etcd_server_range_duration_seconds");
    assert_eq!(check(&row, &page), Ok(()));
}

fn failed_streams_are_counted() {
    let server = Server::start(&[]);
    let mut broken = watch(&server.client());
    broken.send_raw(bytes::Bytes::from_static(b"\0\xff\xff\xff\xff"));
    broken.next().expect_err("a message that is too large ends a stream");
    let page = page(&server, |page| page.families.contains_key("etcd_network_server_stream_failures_total"));
    let labels = [("API", "watch"), ("Type", "receive")];
    assert_eq!(page.value("etcd_network_server_stream_failures_total", &labels), 1.0);
}

fn handling_times_are_extensive() {
    let page = Server::start(&[]).metrics();
    assert!(!page.families.contains_key("grpc_server_handling_seconds"), "only with --metrics=extensive");
    let server = Server::start(&["--metrics=extensive"]);
    put_ok(&server.client(), "k", "v");
    let put = [("grpc_type", "unary"), ("grpc_service", "etcdserverpb.KV"), ("grpc_method", "Put")];
    assert_eq!(server.metrics().value("grpc_server_handling_seconds_count", &put), 1.0);
}
