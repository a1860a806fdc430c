//! What followers answer: how far their logs agree, and that they live.

use super::Leader;
use crate::{
    Error, LogStore, Message,
    journal::note,
    raft::{core::Core, replicate::Appending},
    tracker::Flow,
};

impl Leader {
    /// A follower, or this node itself, has entries durably up to an index; or rejects an append.
    pub(super) fn on_append_resp<S: LogStore>(
        &mut self,
        core: &mut Core<S>,
        message: &Message,
    ) -> Result<(), Error> {
        if !message.reject && message.index > core.log.last().index {
            let what = "acknowledges entries that were never sent";
            return Err(Error::Malformed { kind: message.kind, from: message.from, what });
        }
        if let Some(progress) = core.tracker.progress.get_mut(&message.from) {
            progress.recent_active = true;
        }
        if message.reject {
            Self::on_rejection(core, message);
        } else {
            self.on_acknowledgement(core, message);
        }
        Ok(())
    }

    /// The follower's log does not have the entry before the append. Its hint (the highest entry that could
    /// agree, by its own terms) and our terms together skip all indexes that cannot agree, so that probing
    /// takes at most one round per term instead of one per entry.
    fn on_rejection<S: LogStore>(core: &mut Core<S>, message: &Message) {
        let (id, from) = (core.id(), message.from);
        note!(
            core.journal,
            Debug,
            "{id:x} received MsgAppResp(rejected, hint: (index {}, term {})) from {from:x} for index {}",
            message.reject_hint,
            message.log_term,
            message.index
        );
        let hint = match message.log_term {
            0 => message.reject_hint,
            term => core.log.find_conflict_by_term(message.reject_hint, term).index,
        };
        let Some(progress) = core.tracker.progress.get_mut(&from) else { return };
        if progress.retreat(message.index, hint) {
            note!(core.journal, Debug, "{id:x} decreased progress of {from:x} to [{progress}]");
            if progress.flow == Flow::Replicate {
                progress.become_probe();
            }
            core.append_to(from, Appending::EvenIfEmpty);
        }
    }

    fn on_acknowledgement<S: LogStore>(&mut self, core: &mut Core<S>, message: &Message) {
        let (own, from) = (core.id(), message.from);
        if !Self::record_acknowledgement(core, from, message.index) {
            return;
        }
        if core.maybe_commit() {
            self.release_early_reads(core);
            core.broadcast_append();
        } else if from != own
            && core.tracker.progress.get(&from).is_some_and(|p| p.can_bump_commit(core.log.committed()))
        {
            // Heartbeats would tell it too, later.
            core.append_to(from, Appending::EvenIfEmpty);
        }
        if from == own {
            return;
        }
        // The window has room again, perhaps for several messages. Bounded: each takes entries from the log
        // and room from the window.
        while core.append_to(from, Appending::OnlyEntries) {}
        if from == self.transferee && self.has_whole_log(core, from) {
            note!(core.journal, Info, "{own:x} sent MsgTimeoutNow to {from:x} after received MsgAppResp");
            Self::send_timeout_now(core, from);
        }
    }

    /// Whether the acknowledgement is news: the follower has more, or a probe was answered.
    fn record_acknowledgement<S: LogStore>(core: &mut Core<S>, from: u64, index: u64) -> bool {
        let id = core.id();
        let first_index = core.log.first_index();
        let Some(progress) = core.tracker.progress.get_mut(&from) else { return false };
        let advanced = progress.acknowledge(index);
        let answers_probe = progress.matched == index && progress.flow == Flow::Probe;
        if !advanced && !answers_probe {
            return false;
        }
        match progress.flow {
            Flow::Probe => progress.become_replicate(),
            Flow::Replicate => progress.free_through(index),
            // Whatever snapshot it got, by whichever way: when the log connects, appends can go on.
            Flow::Snapshot { .. } if progress.matched + 1 >= first_index => {
                note!(
                    core.journal,
                    Debug,
                    "{id:x} recovered from needing snapshot, resumed sending replication messages to {from:x} \
                     [{progress}]"
                );
                progress.become_probe();
                progress.become_replicate();
            }
            Flow::Snapshot { .. } => {}
        }
        true
    }

    pub(super) fn on_heartbeat_resp<S: LogStore>(&mut self, core: &mut Core<S>, message: &Message) {
        let from = message.from;
        let Some(progress) = core.tracker.progress.get_mut(&from) else { return };
        progress.recent_active = true;
        progress.resume();
        // Also into a full window or to a caught-up follower that is probed: the empty append's answer ends
        // either state.
        if progress.matched < core.log.last().index || progress.flow == Flow::Probe {
            core.append_to(from, Appending::EvenIfEmpty);
        }
        self.reads.acknowledge(from, &message.context);
        self.confirm_reads(core);
    }
}
