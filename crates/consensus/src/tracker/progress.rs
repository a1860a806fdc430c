//! The leader's view of one follower.

use std::fmt;

use super::inflights::Inflights;

/// How the leader sends to a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The follower's log is not known to agree: one append at a time, until one is accepted.
    Probe,
    /// The logs agree: appends go out without waiting, as far as the window allows.
    Replicate,
    /// The follower needs entries that are gone here and was sent a raft snapshot of index `pending`; no
    /// appends until it has one that connects to the log.
    Snapshot {
        /// Index of the snapshot that was sent.
        pending: u64,
    },
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flow::Probe => "StateProbe",
            Flow::Replicate => "StateReplicate",
            Flow::Snapshot { .. } => "StateSnapshot",
        })
    }
}

/// The leader's view of one follower (or of itself). Meaningless on members that do not lead, but for
/// `is_learner`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Highest index that the follower has acknowledged as durable, inclusive.
    pub matched: u64,
    /// First index to send next. Invariant: `matched < next`; what lies between is in flight.
    pub next: u64,
    /// How to send.
    pub flow: Flow,
    /// Whether it was heard since the last check of the quorum. Always true for the leader itself.
    pub recent_active: bool,
    /// Whether this member gets the log without voting.
    pub is_learner: bool,
    /// Highest commit index sent and perhaps not lost. Falls back when messages are known to be lost.
    sent_commit: u64,
    /// Whether appends wait for a sign of life: a probe is out, or the window is full.
    flow_paused: bool,
    inflights: Inflights,
}

impl Progress {
    /// A follower of which nothing is known. `next` is at least 1.
    pub(crate) fn new(next: u64, is_learner: bool, recent_active: bool, window: Inflights) -> Progress {
        Progress {
            matched: 0,
            next: next.max(1),
            flow: Flow::Probe,
            recent_active,
            is_learner,
            sent_commit: 0,
            flow_paused: false,
            inflights: window,
        }
    }

    /// Starts anew for a new term: `matched` is what is known, `next` the end of the log.
    pub(crate) fn reset(&mut self, matched: u64, next: u64) {
        self.switch(Flow::Probe);
        self.matched = matched;
        self.next = next;
        self.recent_active = false;
        self.sent_commit = 0;
    }

    fn switch(&mut self, flow: Flow) {
        self.flow = flow;
        self.flow_paused = false;
        self.inflights.clear();
    }

    /// Back to probing: after the snapshot when one was sent, else after what is acknowledged.
    pub(crate) fn become_probe(&mut self) {
        let known = match self.flow {
            Flow::Snapshot { pending } => self.matched.max(pending),
            Flow::Probe | Flow::Replicate => self.matched,
        };
        self.probe_after(known);
    }

    /// Back to probing after a snapshot that failed: what was sent of it does not count.
    pub(crate) fn become_probe_after_failure(&mut self) {
        self.probe_after(self.matched);
    }

    fn probe_after(&mut self, known: u64) {
        self.switch(Flow::Probe);
        self.next = known + 1;
        self.sent_commit = self.sent_commit.min(known);
    }

    pub(crate) fn become_replicate(&mut self) {
        self.switch(Flow::Replicate);
        self.next = self.matched + 1;
    }

    pub(crate) fn become_snapshot(&mut self, index: u64) {
        self.switch(Flow::Snapshot { pending: index });
        self.next = index + 1;
        self.sent_commit = index;
    }

    /// Records an append of `count` entries from `next` on; not while a snapshot is pending.
    pub(crate) fn sent_entries(&mut self, count: usize, bytes: u64) {
        match self.flow {
            Flow::Replicate => {
                if count > 0 {
                    self.next += count as u64;
                    self.inflights.add(self.next - 1, bytes);
                }
                // Into a full window only empty appends go, as probes, one per sign of life.
                self.flow_paused = self.inflights.full();
            }
            Flow::Probe => self.flow_paused |= count > 0,
            Flow::Snapshot { .. } => unreachable!("a follower that waits for a snapshot is paused"),
        }
    }

    /// Whether telling it `commit` could move its commit index: not when something as good is under way.
    pub(crate) fn can_bump_commit(&self, commit: u64) -> bool {
        commit > self.sent_commit && self.sent_commit < self.next - 1
    }

    pub(crate) fn sent_commit(&mut self, commit: u64) {
        self.sent_commit = commit;
    }

    /// Takes an acknowledgement up to `index`; false when it is old news.
    pub(crate) fn acknowledge(&mut self, index: u64) -> bool {
        if index <= self.matched {
            return false;
        }
        self.matched = index;
        self.next = self.next.max(index + 1);
        self.flow_paused = false;
        true
    }

    /// Takes a rejection of the append after `rejected`, with the follower's guess where the logs agree;
    /// false when it is old news.
    pub(crate) fn retreat(&mut self, rejected: u64, hint: u64) -> bool {
        if self.flow == Flow::Replicate {
            if rejected <= self.matched {
                return false;
            }
            self.next = self.matched + 1;
            self.sent_commit = self.sent_commit.min(self.next - 1);
            return true;
        }
        // Probes go one by one, so a genuine rejection is about the last of them.
        if self.next - 1 != rejected {
            return false;
        }
        self.next = rejected.min(hint.saturating_add(1)).max(self.matched + 1);
        self.sent_commit = self.sent_commit.min(self.next - 1);
        self.flow_paused = false;
        true
    }

    /// A sign of life: one more append may go.
    pub(crate) fn resume(&mut self) {
        self.flow_paused = false;
    }

    pub(crate) fn pause(&mut self) {
        self.flow_paused = true;
    }

    pub(crate) fn window_is_full(&self) -> bool {
        self.inflights.full()
    }

    pub(crate) fn free_through(&mut self, index: u64) {
        self.inflights.free_through(index);
    }

    /// Whether appends to this follower wait.
    pub fn is_paused(&self) -> bool {
        match self.flow {
            Flow::Probe | Flow::Replicate => self.flow_paused,
            Flow::Snapshot { .. } => true,
        }
    }

    /// Append messages sent and not acknowledged.
    pub fn inflight(&self) -> usize {
        self.inflights.count()
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} match={} next={}", self.flow, self.matched, self.next)?;
        if self.is_learner {
            f.write_str(" learner")?;
        }
        if self.is_paused() {
            f.write_str(" paused")?;
        }
        if let Flow::Snapshot { pending } = self.flow {
            write!(f, " pendingSnap={pending}")?;
        }
        if !self.recent_active {
            f.write_str(" inactive")?;
        }
        if self.inflight() > 0 {
            write!(f, " inflight={}", self.inflight())?;
            if self.inflights.full() {
                f.write_str("[full]")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower(flow: Flow, matched: u64, next: u64) -> Progress {
        let mut progress = Progress::new(next, false, true, Inflights::new(2, u64::MAX));
        progress.flow = flow;
        progress.matched = matched;
        progress
    }

    #[test]
    fn retreat_ignores_old_rejections() {
        for (flow, matched, next, rejected, hint, expected) in [
            (Flow::Replicate, 5, 10, 5, 5, None),
            (Flow::Replicate, 5, 10, 4, 4, None),
            (Flow::Replicate, 5, 10, 9, 9, Some(6)),
            (Flow::Probe, 0, 0, 0, 0, Some(1)),
            (Flow::Probe, 0, 10, 5, 5, None),
            (Flow::Probe, 0, 10, 9, 9, Some(9)),
            (Flow::Probe, 0, 2, 1, 1, Some(1)),
            (Flow::Probe, 0, 1, 0, 0, Some(1)),
            (Flow::Probe, 0, 10, 9, 2, Some(3)),
            (Flow::Probe, 0, 10, 9, 0, Some(1)),
            (Flow::Probe, 3, 10, 9, u64::MAX, Some(9)),
            (Flow::Probe, 3, 10, 9, 1, Some(4)),
        ] {
            let mut progress = follower(flow, matched, next);
            let case = format!("{progress} rejected={rejected} hint={hint}");
            assert_eq!(progress.retreat(rejected, hint), expected.is_some(), "{case}");
            assert_eq!(progress.next, expected.unwrap_or(next.max(1)), "{case}");
        }
    }

    #[test]
    fn probing_resumes_after_the_snapshot_unless_it_failed() {
        let mut progress = follower(Flow::Replicate, 1, 5);
        progress.become_snapshot(10);
        assert!(progress.is_paused());
        let mut failed = progress.clone();
        progress.become_probe();
        assert_eq!((progress.flow, progress.next), (Flow::Probe, 11));
        failed.become_probe_after_failure();
        assert_eq!((failed.flow, failed.next), (Flow::Probe, 2));
    }

    #[test]
    fn a_full_window_pauses_and_an_acknowledgement_resumes() {
        let mut progress = follower(Flow::Replicate, 0, 1);
        progress.sent_entries(3, 30);
        assert!(!progress.is_paused());
        progress.sent_entries(1, 10);
        assert!(progress.is_paused() && progress.window_is_full());
        assert_eq!(progress.next, 5);
        assert!(progress.acknowledge(3));
        progress.free_through(3);
        assert!(!progress.is_paused() && !progress.window_is_full());
        assert!(!progress.acknowledge(2), "old news");
    }
}
