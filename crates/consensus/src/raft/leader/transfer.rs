//! Handing leadership over (Raft thesis 3.10).

use super::Leader;
use crate::{
    LogStore, Message, MessageKind,
    journal::note,
    message::NO_NODE,
    raft::{core::Core, replicate::Appending},
};

impl Leader {
    /// Begins to hand over to a voter: first it gets the whole log, then the word to campaign. Ends by itself
    /// after an election timeout. Another transfer that was under way ends.
    pub(super) fn transfer_to<S: LogStore>(&mut self, core: &mut Core<S>, to: u64) {
        let (id, term) = (core.id(), core.term);
        if !core.tracker.may_lead(to) {
            note!(core.journal, Debug, "{id:x} is learner. Ignored transferring leadership");
            return;
        }
        let earlier = self.transferee;
        if earlier == to {
            note!(
                core.journal,
                Info,
                "{id:x} [term {term}] transfer leadership to {to:x} is in progress, ignores request to same node \
                 {to:x}"
            );
            return;
        }
        if earlier != NO_NODE {
            self.transferee = NO_NODE;
            note!(
                core.journal,
                Info,
                "{id:x} [term {term}] abort previous transferring leadership to {earlier:x}"
            );
        }
        if to == id {
            note!(core.journal, Debug, "{id:x} is already leader. Ignored transferring leadership to self");
            return;
        }
        note!(core.journal, Info, "{id:x} [term {term}] starts to transfer leadership to {to:x}");
        core.election_elapsed = 0;
        self.transferee = to;
        if self.has_whole_log(core, to) {
            Self::send_timeout_now(core, to);
            note!(
                core.journal,
                Info,
                "{id:x} sends MsgTimeoutNow to {to:x} immediately as {to:x} already has up-to-date log"
            );
        } else {
            core.append_to(to, Appending::EvenIfEmpty);
        }
    }

    pub(super) fn has_whole_log<S: LogStore>(&self, core: &Core<S>, id: u64) -> bool {
        core.tracker.progress.get(&id).is_some_and(|progress| progress.matched == core.log.last().index)
    }

    pub(super) fn send_timeout_now<S: LogStore>(core: &mut Core<S>, to: u64) {
        core.send(Message::new(MessageKind::TimeoutNow, to));
    }
}
