//! Metrics of the core, with their label values looked up once.

use std::{collections::HashMap, sync::Arc};

use state::Counts;
use telemetry::{Histogram, metrics};

use super::Core;

/// The histograms of one kind of request.
#[derive(Debug)]
struct Operation {
    request_ok: Arc<Histogram>,
    request_failed: Arc<Histogram>,
    apply_ok: Arc<Histogram>,
    apply_failed: Arc<Histogram>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    operations: HashMap<&'static str, Operation>,
    /// Ranges that were executed, and ranges that were refused.
    ranges: Option<[Arc<Histogram>; 2]>,
    /// What was added to the counters so far.
    counted: Counts,
}

impl Meters {
    fn operation(&mut self, name: &'static str) -> &Operation {
        self.operations.entry(name).or_insert_with(|| {
            let m = metrics();
            Operation {
                request_ok: m.server_request_duration_seconds.with(&[name, "true"]),
                request_failed: m.server_request_duration_seconds.with(&[name, "false"]),
                apply_ok: m.server_apply_duration_seconds.with(&["v3", name, "true"]),
                apply_failed: m.server_apply_duration_seconds.with(&["v3", name, "false"]),
            }
        })
    }

    /// A request was answered.
    pub(crate) fn answered(&mut self, name: &'static str, secs: f64, success: bool) {
        let operation = self.operation(name);
        if success { &operation.request_ok } else { &operation.request_failed }.observe(secs);
    }

    /// An entry was applied.
    pub(crate) fn applied(&mut self, name: &'static str, secs: f64, success: bool) {
        let operation = self.operation(name);
        if success { &operation.apply_ok } else { &operation.apply_failed }.observe(secs);
    }

    /// A range was looked up; its rows leave later.
    pub(crate) fn ranged(&mut self, secs: f64, success: bool) {
        let [executed, refused] = self.ranges.get_or_insert_with(|| {
            ["true", "false"].map(|s| metrics().server_range_duration_seconds.with(&[s]))
        });
        if success { executed } else { refused }.observe(secs);
    }

    /// Adds what was done since the last call.
    pub(crate) fn count(&mut self, now: Counts) {
        let (m, before) = (metrics(), std::mem::replace(&mut self.counted, now));
        m.mvcc_range_total.add(now.ranges - before.ranges);
        m.mvcc_put_total.add(now.puts - before.puts);
        m.mvcc_delete_total.add(now.deletes - before.deletes);
        m.mvcc_txn_total.add(now.txns - before.txns);
        m.debugging_mvcc_total_put_size_in_bytes.set(now.put_bytes as i64);
        m.debugging_lease_granted_total.add(now.leases_granted - before.leases_granted);
        m.debugging_lease_revoked_total.add(now.leases_revoked - before.leases_revoked);
    }
}

impl Core {
    /// Sets what does not change while the member runs.
    pub(super) fn meter_facts(&self) {
        let m = metrics();
        m.server_id.with(&[&self.member_id.to_string()]).set(1);
        m.server_version.with(&[self.config.release.text()]).set(1);
        m.server_go_version.with(&["none; built with Rust"]).set(1);
        m.server_quota_backend_bytes.set(self.config.quota_reported);
        for (name, stage, on) in &self.config.features {
            m.server_feature_enabled.with(&[name, stage]).set(i64::from(*on));
        }
        for action in ["create", "set", "get", "update", "delete", "compareAndSwap", "compareAndDelete"] {
            // The v2 store is gone; its series stay, at nothing, for dashboards that name them.
            m.debugging_store_writes_total.with(&[action]);
        }
        m.debugging_mvcc_compact_revision.set(self.state.store().compacted());
        m.debugging_mvcc_current_revision.set(self.state.store().revision());
        m.debugging_mvcc_keys_total.set(self.state.store().key_count() as i64);
        m.debugging_auth_revision.set(self.state.auth().revision() as i64);
        if let Some(version) = self.state.cluster().version() {
            m.cluster_version.with(&[&version.cluster_text()]).set(1);
        }
        self.meter_files();
        self.meter_alarms();
    }

    /// Open file descriptors and their limit.
    pub(super) fn meter_files(&self) {
        metrics().os_fd_used.set(telemetry::open_fds().unwrap_or(0) as i64);
        metrics().os_fd_limit.set(telemetry::fd_limit().unwrap_or(0) as i64);
    }

    /// One series per alarm that is or was on, and the list for health checks.
    pub(super) fn meter_alarms(&self) {
        self.summary.set_alarms(self.state.alarms(proto::etcdserverpb::AlarmType::None).collect());
        let family = &metrics().debugging_server_alarms;
        family.set_all(0);
        for alarm in self.state.alarms(proto::etcdserverpb::AlarmType::None) {
            let id = types::MemberId(alarm.member_id).to_string();
            family.with(&[&id, alarm.alarm().as_str_name()]).set(1);
        }
    }

    /// Figures that follow from this turn.
    pub(super) fn meter_turn(&mut self) {
        self.meters.count(self.state.counts());
        let m = metrics();
        m.mvcc_db_open_read_transactions.set(self.persist.committed.readers() as i64);
        let stats = self.hub.stats();
        m.debugging_mvcc_watcher_total.set(stats.watchers as i64);
        m.debugging_mvcc_slow_watcher_total.set(stats.lagging as i64);
        m.debugging_mvcc_pending_events_total.set(stats.events_queued as i64);
        let sent = stats.events_total.saturating_sub(m.debugging_mvcc_events_total.value());
        m.debugging_mvcc_events_total.add(sent);
    }
}
