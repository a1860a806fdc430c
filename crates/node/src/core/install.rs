//! A leader's snapshot takes the place of everything: log, database, state.
//!
//! The log thread has made the snapshot's record durable, and the received database was before: that is as good as any
//! entry that is durable, so the leader is told at once, and sends what comes after. Then the backend thread puts the
//! received file in the database's place and reads the state from it. Until that is done, the old state answers reads that
//! may be stale, and what is committed waits to be applied. A leader that had to wait for the end of it might never
//! see one: by then its log may begin beyond the snapshot again.

use std::rc::Rc;

use state::State;
use telemetry::{line, metrics};
use types::{
    mutant::{self, Mutant},
    raft::Snapshot,
};

use super::{Core, maintenance::AfterFlush};
use crate::backend_thread::BackendJob;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Installation {
    /// What the backend thread is about.
    running: Option<Snapshot>,
    /// The newest that came meanwhile. What was between the two is needless.
    next: Option<Snapshot>,
    /// How often the state was replaced.
    count: u64,
}

impl Installation {
    /// Whether the state is about to be replaced.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// A number that changes with the state: what was computed from the last one is of no use.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

impl Core {
    /// Raft's log goes on from a snapshot that is durable, and the state will.
    pub(super) fn take_over(&mut self, snapshot: Snapshot) {
        if let Err(error) = self.raft.store_mut().apply_snapshot(snapshot.clone()) {
            return self.fault(format!("raft's log in memory does not take a leader's snapshot: {error}"));
        }
        if self.installation.is_running() {
            self.installation.next = Some(snapshot);
        } else {
            self.install(snapshot);
        }
    }

    fn install(&mut self, snapshot: Snapshot) {
        let meta = &snapshot.meta;
        line!(Info, "applying snapshot",
            "current-snapshot-index" => self.persist.last_snapshot(),
            "current-applied-index" => self.state.applied(),
            "incoming-leader-snapshot-index" => meta.index,
            "incoming-leader-snapshot-term" => meta.term);
        metrics().server_snapshot_apply_in_progress_total.set(1);
        self.backend.send(BackendJob::Install { index: meta.index });
        self.installation.running = Some(snapshot);
    }

    /// The database is the leader's, and `state` is what it holds.
    pub(super) fn installed(&mut self, mut state: State, committed: bolt::Snapshot, size: (u64, u64)) {
        let snapshot = self.installation.running.take().expect("an installation was begun");
        self.installation.count += 1;
        state.goes_on_from(&self.state);
        if state.auth().revision() != self.state.auth().revision() || !state.auth().is_enabled() {
            // Users may be gone, or their passwords changed, by entries that this member does not get to see.
            self.tokens.clear();
        }
        let old = std::mem::replace(&mut self.state, state);
        self.ranges.keep_state(&Rc::new(old));
        let after = self.persist.replaced(committed, size, &snapshot, self.state.counts().put_bytes);
        self.restart_compaction();
        if !mutant::is_on(Mutant::WatchersForgotten) {
            self.hub.reset(self.state.store().revision(), self.state.store().compacted());
        }
        self.refresh_watch_header();
        // What the snapshot brings is behind the changes of permissions that it brings.
        self.end_revoked_watches();
        self.alarms_changed();
        self.meter_facts();
        self.use_membership();
        self.publish_versions();
        metrics().server_snapshot_apply_in_progress_total.set(0);
        line!(Info, "applied snapshot",
            "current-snapshot-index" => snapshot.meta.index,
            "current-applied-index" => self.state.applied(),
            "incoming-leader-snapshot-index" => snapshot.meta.index,
            "incoming-leader-snapshot-term" => snapshot.meta.term);
        self.lease_entry_applied();
        self.run_token_waits();
        for after in after {
            self.ask_again(after);
        }
        match self.installation.next.take() {
            Some(newer) => self.install(newer),
            None => self.apply_waiting(),
        }
    }

    /// What waited for the old state to be in the file.
    fn ask_again(&mut self, after: AfterFlush) {
        match after {
            // A plan is one of the store that it was made for.
            AfterFlush::HashKv(reply_to, plan) => self.hash_kv(reply_to, plan.revision()),
            other => self.after_flush(other),
        }
    }

    fn restart_compaction(&mut self) {
        // Whoever waits for one that is gone has what he wants: a leader's snapshot holds no less compacted.
        let waiting = std::mem::take(&mut self.compaction);
        for (reply_to, answer) in waiting.into_answers() {
            self.outbox.reply(reply_to, answer);
        }
        self.compaction.resume_if_needed(&self.state);
    }
}
