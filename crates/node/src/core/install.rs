//! A leader's snapshot takes the place of everything: log, database, state.
//!
//! The log thread has made the snapshot's record durable; then the backend thread puts the received file in the
//! database's place and reads the state from it. Until that is done, the old state answers reads that may be stale, and
//! nothing is applied; what the log thread reports meanwhile waits its turn.

use std::{collections::VecDeque, rc::Rc};

use bolt::Snapshot;
use consensus::AppendWork;
use state::State;
use telemetry::{line, metrics};

use super::{Core, maintenance::AfterFlush};
use crate::backend_thread::BackendJob;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Installation {
    /// What raft waits for: the work that holds the snapshot, and those after it.
    works: VecDeque<AppendWork>,
    /// How often the state was replaced.
    count: u64,
}

impl Installation {
    /// Whether the state is about to be replaced.
    pub(super) fn is_running(&self) -> bool {
        !self.works.is_empty()
    }

    /// A number that changes with the state: what was computed from the last one is of no use.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

impl Core {
    /// `None` when the work begins an installation, or waits for one.
    pub(super) fn install_or_wait(&mut self, work: AppendWork) -> Option<AppendWork> {
        if self.installation.is_running() {
            self.installation.works.push_back(work);
            return None;
        }
        let Some(snapshot) = &work.snapshot else { return Some(work) };
        let meta = &snapshot.meta;
        line!(Info, "applying snapshot",
            "current-snapshot-index" => self.persist.last_snapshot(),
            "current-applied-index" => self.state.applied(),
            "incoming-leader-snapshot-index" => meta.index,
            "incoming-leader-snapshot-term" => meta.term);
        metrics().server_snapshot_apply_in_progress_total.set(1);
        self.backend.send(BackendJob::Install { index: meta.index });
        self.installation.works.push_back(work);
        None
    }

    /// The database is the leader's, and `state` is what it holds.
    pub(super) fn installed(&mut self, mut state: State, committed: Snapshot, size: (u64, u64)) {
        let mut works = std::mem::take(&mut self.installation.works).into_iter();
        let mut work = works.next().expect("an installation was begun");
        let snapshot = work.snapshot.take().expect("it began with a snapshot");
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
        self.hub.reset(self.state.store().revision(), self.state.store().compacted());
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
        if let Err(error) = self.raft.store_mut().apply_snapshot(snapshot) {
            return self.fault(format!("raft's log in memory does not take a leader's snapshot: {error}"));
        }
        self.lease_entry_applied();
        self.run_token_waits();
        for after in after {
            self.ask_again(after);
        }
        self.appended(work);
        for work in works {
            self.appended(work);
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
