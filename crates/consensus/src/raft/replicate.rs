//! How a leader feeds its followers: appends, snapshots and heartbeats.

use bytes::Bytes;
use types::mutant::{self, Mutant};

use super::core::Core;
use crate::{LogStore, Message, MessageKind, StoreError, journal::note, log::payload_len_sum, tracker::Flow};

/// Whether an append without entries is worth sending: it tells the commit index and probes the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Appending {
    EvenIfEmpty,
    OnlyEntries,
}

impl<S: LogStore> Core<S> {
    /// Sends that follower an append with what it lacks, or a snapshot when that is gone; nothing while it
    /// is paused. Whether anything was sent.
    pub(super) fn append_to(&mut self, to: u64, appending: Appending) -> bool {
        let Some(progress) = self.tracker.progress.get(&to) else { return false };
        if progress.is_paused() {
            return false;
        }
        let (next, replicating, full) =
            (progress.next, progress.flow == Flow::Replicate, progress.window_is_full());
        let prev = next - 1;
        let log_term = match self.log.term(prev) {
            Ok(term) => term,
            Err(error) => return self.snapshot_instead(to, error),
        };
        // Into a full window go empty appends only: should all in it be lost, their rejection brings
        // replication back to life.
        let read = if replicating && full {
            Ok(Vec::new())
        } else {
            self.log.entries_from(next, self.config.message_bytes_max)
        };
        let entries = match read {
            Ok(entries) => entries,
            Err(StoreError::Compacted | StoreError::Unavailable) if appending == Appending::OnlyEntries => {
                return false;
            }
            Err(error) => return self.snapshot_instead(to, error),
        };
        if entries.is_empty() && appending == Appending::OnlyEntries {
            return false;
        }
        let commit = self.log.committed();
        if let Some(progress) = self.tracker.progress.get_mut(&to) {
            progress.sent_entries(entries.len(), payload_len_sum(&entries));
            progress.sent_commit(commit);
        }
        let append = Message::new(MessageKind::Append, to);
        self.send(Message { log_term, index: prev, entries, commit, ..append });
        true
    }

    /// The log does not reach back far enough for that follower, or cannot be read at all.
    fn snapshot_instead(&mut self, to: u64, error: StoreError) -> bool {
        match error {
            StoreError::Compacted | StoreError::Unavailable => self.snapshot_to(to),
            error => {
                self.fail(error);
                false
            }
        }
    }

    fn snapshot_to(&mut self, to: u64) -> bool {
        let id = self.id();
        let Some(progress) = self.tracker.progress.get_mut(&to) else { return false };
        if !progress.recent_active {
            note!(self.journal, Debug, "ignore sending snapshot to {to:x} since it is not recently active");
            return false;
        }
        let snapshot = match self.log.snapshot() {
            Ok(snapshot) if snapshot.meta.index > 0 => snapshot,
            Ok(_) | Err(StoreError::SnapshotUnavailable) => {
                note!(
                    self.journal,
                    Debug,
                    "{id:x} failed to send snapshot to {to:x} because snapshot is temporarily unavailable"
                );
                return false;
            }
            Err(error) => {
                self.fail(error);
                return false;
            }
        };
        let (index, term) = (snapshot.meta.index, snapshot.meta.term);
        note!(
            self.journal,
            Debug,
            "{id:x} [firstindex: {}, commit: {}] sent snapshot[index: {index}, term: {term}] to {to:x} [{progress}]",
            self.log.first_index(),
            self.log.committed()
        );
        progress.become_snapshot(index);
        note!(self.journal, Debug, "{id:x} paused sending replication messages to {to:x} [{progress}]");
        let message = Message::new(MessageKind::Snapshot, to);
        self.send(Message { snapshot: Some(Box::new(snapshot)), ..message });
        true
    }

    /// Sends everybody else a heartbeat; an answer to it confirms the reads that `context` numbers.
    pub(super) fn broadcast_heartbeat(&mut self, context: &Bytes) {
        for to in self.tracker.others(self.id()) {
            let Some(progress) = self.tracker.progress.get_mut(&to) else { continue };
            // Never more than the follower is known to have: it may hold other entries there.
            let beyond = mutant::is_on(Mutant::CommitBeyondMatch);
            let matched = if beyond { u64::MAX } else { progress.matched };
            let commit = matched.min(self.log.committed());
            progress.sent_commit(commit);
            let heartbeat = Message::new(MessageKind::Heartbeat, to);
            self.send(Message { commit, context: context.clone(), ..heartbeat });
        }
    }
}
