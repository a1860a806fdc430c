//! What raft wants done: written, sent, applied; and what comes back from the log thread.

use consensus::{AppendWork, LogStore, Ready, RoleKind, SoftState};
use telemetry::{line, metrics};
use types::raft::Entry;

use super::Core;
use crate::{
    log_thread::{LogDone, LogJob},
    stepping::RaftFigures,
};

impl Core {
    /// What consensus stands at, for a simulator's checks.
    pub(crate) fn figures(&self) -> RaftFigures {
        let status = self.raft.basic_status();
        RaftFigures {
            term: status.hard_state.term,
            vote: status.hard_state.vote,
            commit: status.hard_state.commit,
            last_index: status.last_index,
            leader: status.soft_state.leader,
            applied: self.state.applied(),
            revision: self.state.store().revision(),
            compacted: self.state.store().compacted(),
        }
    }

    /// Entries of the log in memory from `low` up to `high`, both inclusive, as far as they are there.
    pub(crate) fn entries(&self, low: u64, high: u64) -> Vec<Entry> {
        let store = self.raft.store();
        let (low, end) = (low.max(store.first_index()), high.min(store.last_index()) + 1);
        if low >= end { Vec::new() } else { store.entries(low, end, u64::MAX).unwrap_or_default() }
    }

    pub(super) fn handle_ready(&mut self) {
        let ready: Ready = self.raft.ready();
        if let Some(soft) = ready.soft_state {
            self.soft_state_changed(soft);
        }
        for read in ready.read_states {
            self.read_index_known(&read.context, read.index);
        }
        self.send_to_peers(ready.messages);
        if let Some(work) = ready.append {
            if work.snapshot.is_some() {
                self.forget_applies();
            }
            self.write(work, ready.must_sync);
        }
        if let Some(work) = ready.apply {
            self.apply_in_turn(work);
        }
        for entry in self.raft.take_log_lines() {
            // Each batch confirms all that came before it, so this is no news when several are on their way.
            if entry.text.ends_with("missing from unstable log; ignoring") {
                continue;
            }
            line!(Info, &entry.text, "member" => self.member_id.to_string());
        }
    }

    fn write(&mut self, work: AppendWork, must_sync: bool) {
        if let Some(hard_state) = work.hard_state {
            self.hard_state = hard_state;
        }
        self.persist.log_job_sent(self.now, &work.entries);
        self.log.send(LogJob::Append { work: Box::new(work), hard_state: self.hard_state, must_sync });
    }

    /// Has the current hard state made durable, without anything new.
    pub(super) fn sync_hard_state(&mut self) {
        self.persist.log_job_sent(self.now, &[]);
        self.log.send(LogJob::Append { work: Box::default(), hard_state: self.hard_state, must_sync: true });
    }

    pub(super) fn log_done(&mut self, done: LogDone) {
        match done {
            LogDone::Appended { works, hard_state, synced, timing } => {
                metrics().disk_wal_write_duration_seconds.observe(timing.write_secs);
                metrics().disk_wal_write_bytes_total.add(timing.bytes as i64);
                if synced {
                    metrics().disk_wal_fsync_duration_seconds.observe(timing.sync_secs);
                }
                self.persist.log_jobs_done(works.len(), hard_state, synced);
                for work in works {
                    self.appended(work);
                }
                self.apply_waiting();
            }
            LogDone::SnapshotSaved { index } => self.snapshot_saved(index),
            LogDone::Failed(error) => self.fault(format!("the write-ahead log failed: {error}")),
        }
    }

    pub(super) fn appended(&mut self, work: AppendWork) {
        let AppendWork { snapshot, entries, responses, ack, hard_state } = work;
        if let Some(snapshot) = snapshot {
            self.take_over(snapshot);
        }
        self.persist.logged(&entries);
        if let Err(error) = self.raft.store_mut().append(entries) {
            self.fault(format!("raft's log in memory does not take what was written: {error}"));
            return;
        }
        if let Some(hard_state) = hard_state {
            self.raft.store_mut().set_hard_state(hard_state);
        }
        let answers = self.raft.persisted(responses, ack);
        self.send_to_peers(answers);
    }

    fn soft_state_changed(&mut self, soft: SoftState) {
        let leads = soft.role == RoleKind::Leader;
        metrics().server_has_leader.set(i64::from(soft.leader != 0));
        metrics().server_is_leader.set(i64::from(leads));
        if soft.leader != 0 {
            metrics().server_leader_changes_seen_total.inc();
            self.leader_known_since = self.now;
            // What was proposed to the last one may be lost with it.
            self.publisher.retry();
        }
        if !leads && self.state.leases().is_primary() {
            self.state.leases_mut().demote();
        }
        self.leader_changed();
        self.transfer_ended(soft.leader);
    }
}
