//! What a node wants done, and the reports that it is done.

use crate::{AppendAck, AppendWork, ApplyAck, ApplyWork, LogStore, Message, RawNode, Ready, SoftState};

/// What becomes true when the driver has done all that a [`Ready`] asked for.
#[derive(Debug)]
pub(super) struct Advance {
    own_messages: Vec<Message>,
    appended: Option<AppendAck>,
    applied: Option<ApplyAck>,
}

impl<S: LogStore> RawNode<S> {
    /// Whether [`RawNode::ready`] would give anything.
    pub fn has_ready(&self) -> bool {
        let core = &self.raft.core;
        core.fault().is_none()
            && (core.has_output()
                || !core.log.next_unstable().is_empty()
                || core.log.next_snapshot().is_some()
                || core.log.has_next_committed(!self.asynchronous)
                || self.soft_state() != self.known_soft_state
                || core.hard_state() != self.known_hard_state)
    }

    /// Everything to be done since the last call. Without asynchronous storage writes: do it, then call
    /// [`RawNode::advance`] before the next call. Empty after a failure of the store.
    pub fn ready(&mut self) -> Ready {
        assert!(self.on_advance.is_none(), "two Readys without an advance between them");
        if self.fault().is_some() {
            return Ready::default();
        }
        let committed = match self.raft.core.log.take_next_committed(!self.asynchronous) {
            Ok(entries) => entries,
            Err(error) => {
                self.raft.core.fail(error);
                return Ready::default();
            }
        };
        let (vote, term) = (self.known_hard_state.vote, self.known_hard_state.term);
        let mut append = self.take_append_work();
        let promises = append.hard_state.is_some_and(|state| (state.vote, state.term) != (vote, term));
        let must_sync = promises || !append.entries.is_empty();
        let output = self.raft.core.take_output();
        append.responses = output.after_append;
        let ack = ApplyAck::for_entries(&committed);
        let mut apply = (!committed.is_empty()).then_some(ApplyWork { entries: committed, ack });
        let mut messages = output.now;
        if !self.asynchronous {
            messages.extend(self.hold_until_advance(&mut append, apply.as_mut()));
        }
        Ready {
            soft_state: self.take_soft_state(),
            read_states: output.read_states,
            messages,
            append: append.is_work().then_some(append),
            apply,
            must_sync,
        }
    }

    /// What is to be written since the last call, still without the messages that wait for it.
    fn take_append_work(&mut self) -> AppendWork {
        let core = &mut self.raft.core;
        let hard_state = core.hard_state();
        let changed = hard_state != self.known_hard_state;
        self.known_hard_state = hard_state;
        let entries = core.log.next_unstable().to_vec();
        let snapshot = core.log.next_snapshot().cloned();
        let ack = AppendAck::for_unstable(core, snapshot.as_ref().map(|snapshot| snapshot.meta.index));
        core.log.accept_unstable();
        AppendWork {
            hard_state: changed.then_some(hard_state),
            entries,
            snapshot,
            responses: Vec::new(),
            ack,
        }
    }

    fn take_soft_state(&mut self) -> Option<SoftState> {
        let state = self.soft_state();
        let changed = state != self.known_soft_state;
        self.known_soft_state = state;
        changed.then_some(state)
    }

    /// Without asynchronous storage writes the driver sends after writing, and `advance` reports all of it.
    /// Gives the messages for others.
    fn hold_until_advance(&mut self, append: &mut AppendWork, apply: Option<&mut ApplyWork>) -> Vec<Message> {
        let id = self.id();
        let responses = std::mem::take(&mut append.responses);
        let (own_messages, others) = responses.into_iter().partition(|message| message.to == id);
        let (appended, applied) = (append.ack.take(), apply.and_then(|work| work.ack.take()));
        self.on_advance = Some(Advance { own_messages, appended, applied });
        others
    }

    /// All that the last [`Ready`] asked for is done. Not with asynchronous storage writes, whose reports
    /// are `persisted` and `applied`.
    pub fn advance(&mut self) {
        assert!(!self.asynchronous, "advance is for synchronous storage writes");
        let Some(Advance { own_messages, appended, applied }) = self.on_advance.take() else { return };
        for message in own_messages {
            // A leader that was removed still counts its own appends; other refusals do not occur.
            let _ = self.input(|raft| raft.step(message));
        }
        if let Some(ack) = appended {
            self.appended(&ack);
        }
        if let Some(ack) = applied {
            self.applied(&ack);
        }
    }

    /// An [`AppendWork`] is durable and in the store: takes its responses and acknowledgement, and gives the
    /// responses that are for other members, to be sent now. In the order handed out.
    pub fn persisted(&mut self, responses: Vec<Message>, ack: Option<AppendAck>) -> Vec<Message> {
        let id = self.id();
        let (own, others): (Vec<_>, Vec<_>) = responses.into_iter().partition(|message| message.to == id);
        for message in own {
            // Refused only when this node was removed meanwhile, or has failed already.
            let _ = self.step_own(message);
        }
        if let Some(ack) = ack {
            self.appended(&ack);
        }
        others
    }

    /// The acknowledgement alone of an [`AppendWork`] that is durable and in the store.
    pub fn appended(&mut self, ack: &AppendAck) {
        if self.fault().is_none() {
            self.raft.on_appended(ack);
        }
    }

    /// An [`ApplyWork`] is applied, or a snapshot handed out after it has made that needless. In the order
    /// handed out.
    pub fn applied(&mut self, ack: &ApplyAck) {
        if self.fault().is_none() {
            self.raft.on_applied(ack);
        }
    }
}

impl AppendWork {
    fn is_work(&self) -> bool {
        self.hard_state.is_some()
            || !self.entries.is_empty()
            || self.snapshot.is_some()
            || !self.responses.is_empty()
    }
}
