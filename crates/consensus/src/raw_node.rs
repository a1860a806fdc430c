//! The node as its driver sees it.

use bytes::Bytes;
use types::raft::{ConfState, Entry, HardState};

use crate::{
    AnyConfChange, AppendAck, AppendWork, ApplyAck, ApplyWork, BasicStatus, ConfChangeV2, Config, Error,
    Level, LogLine, LogStore, Message, MessageKind, Ready, SoftState, StartError, Status, StoreError,
    conf_change::ConfChangeError,
    message::NO_NODE,
    raft::{Raft, Role},
};

/// One member's part in Raft. Inputs are its methods, effects are in [`Ready`]; see the crate's head for the
/// loop around it. Not synchronised: one owner.
#[derive(Debug)]
pub struct RawNode<S> {
    raft: Raft<S>,
    /// What the driver knows from earlier [`Ready`]s.
    known_soft_state: SoftState,
    known_hard_state: HardState,
    asynchronous: bool,
    /// What to do at `advance`; always empty with asynchronous storage writes.
    on_advance: Option<Advance>,
}

/// What becomes true when the driver has done all that a [`Ready`] asked for.
#[derive(Debug)]
struct Advance {
    own_messages: Vec<Message>,
    appended: Option<AppendAck>,
    applied: Option<ApplyAck>,
}

impl<S: LogStore> RawNode<S> {
    /// A node that resumes from what `store` holds: a follower without leader.
    ///
    /// # Errors
    /// When settings or stored state make no sense, or the store cannot be read.
    pub fn new(config: Config, store: S) -> Result<RawNode<S>, StartError> {
        let asynchronous = config.async_storage_writes;
        let raft = Raft::new(config, store)?;
        let mut node = RawNode {
            raft,
            known_soft_state: SoftState::default(),
            known_hard_state: HardState::default(),
            asynchronous,
            on_advance: None,
        };
        node.known_soft_state = node.soft_state();
        node.known_hard_state = node.raft.core.hard_state();
        Ok(node)
    }

    /// This member.
    pub fn id(&self) -> u64 {
        self.raft.core.config().id
    }

    /// The store, to read.
    pub fn store(&self) -> &S {
        &self.raft.core.log.store
    }

    /// The store, to append what a [`Ready`] handed out, to compact, and to make snapshots.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.raft.core.log.store
    }

    /// Why this node takes no further input, if so: its store failed.
    pub fn fault(&self) -> Option<&StoreError> {
        self.raft.core.fault()
    }

    /// Lines made since the last call, in order. At most a few thousand are kept.
    pub fn take_log_lines(&mut self) -> Vec<LogLine> {
        self.raft.core.take_log_lines()
    }

    /// Lines below that level are not made any more.
    pub fn set_log_level(&mut self, level: Level) {
        self.raft.core.set_log_level(level);
    }

    /// One tick passes. Campaigns and heartbeats begin here.
    pub fn tick(&mut self) {
        if self.fault().is_none() {
            self.raft.tick();
        }
    }

    /// Takes a message from another member.
    ///
    /// # Errors
    /// See [`Error`]; after `Diverged` or `Store` the member should stop, the others change nothing.
    pub fn step(&mut self, message: Message) -> Result<(), Error> {
        self.input(|raft| raft.step_remote(message))
    }

    /// Takes a message of this node to itself, from [`AppendWork::responses`], after that work is durable.
    /// [`RawNode::persisted`] does it for all of them.
    ///
    /// # Errors
    /// `UnknownPeer` when this node was removed meanwhile; `Malformed` when it is no such message.
    pub fn step_own(&mut self, message: Message) -> Result<(), Error> {
        self.input(|raft| raft.step_own(message))
    }

    fn input(&mut self, input: impl FnOnce(&mut Raft<S>) -> Result<(), Error>) -> Result<(), Error> {
        self.refuse_after_fault()?;
        input(&mut self.raft)?;
        self.refuse_after_fault()
    }

    fn refuse_after_fault(&self) -> Result<(), Error> {
        self.fault().map_or(Ok(()), |fault| Err(Error::Store(fault.clone())))
    }

    /// Proposes one entry; on a follower it goes to the leader.
    ///
    /// # Errors
    /// `ProposalDropped`. Without error it may still get lost.
    pub fn propose(&mut self, data: Bytes) -> Result<(), Error> {
        self.propose_entries(vec![Entry { data, ..Entry::default() }])
    }

    /// Proposes entries in one step: one append message per follower, in this order, all or none.
    ///
    /// # Errors
    /// `ProposalDropped`. Without error they may still get lost.
    pub fn propose_batch(&mut self, batch: impl IntoIterator<Item = Bytes>) -> Result<(), Error> {
        let entries: Vec<Entry> = batch.into_iter().map(|data| Entry { data, ..Entry::default() }).collect();
        if entries.is_empty() {
            return Ok(());
        }
        self.propose_entries(entries)
    }

    /// Proposes a conf change. The leader turns it into an empty entry when it does not fit.
    ///
    /// # Errors
    /// `ProposalDropped`. Without error it may still get lost.
    pub fn propose_conf_change(&mut self, change: impl Into<AnyConfChange>) -> Result<(), Error> {
        self.propose_entries(vec![change.into().to_entry()])
    }

    fn propose_entries(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        let from = self.id();
        self.input(|raft| {
            raft.step(Message { kind: MessageKind::Propose, from, entries, ..Message::default() })
        })
    }

    /// Applies a committed conf change; must be called for each one applied, in order, unless the
    /// application refuses it (then with the member's id set to 0, or not at all). Gives the configuration
    /// after it, for snapshots. While a snapshot waits to be taken over it has no effect: the snapshot stands
    /// for all that was handed out before, its configuration included.
    ///
    /// # Errors
    /// When it does not fit the configuration: nothing changes.
    pub fn apply_conf_change(
        &mut self,
        change: impl Into<ConfChangeV2>,
    ) -> Result<ConfState, ConfChangeError> {
        self.raft.apply_conf_change(&change.into())
    }

    /// Campaigns now, if this node may.
    ///
    /// # Errors
    /// `Store` when the store failed.
    pub fn campaign(&mut self) -> Result<(), Error> {
        self.input(|raft| {
            raft.campaign_now();
            Ok(())
        })
    }

    /// Asks for an index to wait for before a linearizable read; the answer is a [`crate::ReadState`] with
    /// the same `context`. Any number of reads may wait for one answer; ask again, with a new context, when
    /// none comes (the message may get lost, and there may be no leader).
    pub fn read_index(&mut self, context: Bytes) {
        let entries = vec![Entry { data: context, ..Entry::default() }];
        let message = Message { kind: MessageKind::ReadIndex, entries, ..Message::default() };
        // Nothing to report: a reader learns of a failure by not getting an answer.
        let _ = self.input(|raft| raft.step(message));
    }

    /// Hands leadership to that member, or asks the leader to. Ends without effect when it takes longer than
    /// an election timeout.
    pub fn transfer_leader(&mut self, to: u64) {
        let message = Message { kind: MessageKind::TransferLeader, from: to, ..Message::default() };
        let _ = self.input(|raft| raft.step(message));
    }

    /// Makes a follower forget its leader, so that it may vote for another in this term or campaign.
    pub fn forget_leader(&mut self) {
        if let Role::Follower(follower) = &mut self.raft.role {
            follower.forget_leader(&mut self.raft.core);
        }
    }

    /// A message to that member was probably lost.
    pub fn report_unreachable(&mut self, id: u64) {
        if let Role::Leader(leader) = &mut self.raft.role {
            leader.on_unreachable(&mut self.raft.core, id);
        }
    }

    /// The snapshot for that member was delivered, or was not. Must be called for each one sent: nothing
    /// else is sent to that member meanwhile.
    pub fn report_snapshot(&mut self, id: u64, delivered: bool) {
        if let Role::Leader(leader) = &mut self.raft.role {
            leader.on_snapshot_report(&mut self.raft.core, id, delivered);
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
    /// [`RawNode::advance`] before the next call.
    pub fn ready(&mut self) -> Ready {
        if self.fault().is_some() {
            return Ready::default();
        }
        assert!(self.on_advance.is_none(), "two Readys without an advance between them");
        let committed = match self.raft.core.log.take_next_committed(!self.asynchronous) {
            Ok(entries) => entries,
            Err(error) => {
                self.raft.core.fail(error);
                return Ready::default();
            }
        };
        let core = &mut self.raft.core;
        let hard_state = core.hard_state();
        let known = self.known_hard_state;
        let entries = core.log.next_unstable().to_vec();
        let snapshot = core.log.next_snapshot().cloned();
        let must_sync = !entries.is_empty() || (hard_state.vote, hard_state.term) != (known.vote, known.term);
        let ack = AppendAck::for_unstable(core, snapshot.as_ref().map(|snapshot| snapshot.meta.index));
        core.log.accept_unstable();
        let output = core.take_output();
        let mut ready = Ready {
            soft_state: None,
            read_states: output.read_states,
            messages: output.now,
            append: None,
            apply: None,
            must_sync,
        };
        let mut append = AppendWork {
            hard_state: (hard_state != known).then_some(hard_state),
            entries,
            snapshot,
            responses: output.after_append,
            ack,
        };
        self.known_hard_state = hard_state;
        let soft_state = self.soft_state();
        if soft_state != self.known_soft_state {
            ready.soft_state = Some(soft_state);
            self.known_soft_state = soft_state;
        }
        let mut apply_ack = ApplyAck::for_entries(&committed);
        if !self.asynchronous {
            self.hold_until_advance(&mut ready, &mut append, &mut apply_ack);
        }
        ready.append = append.is_work().then_some(append);
        ready.apply = (!committed.is_empty()).then_some(ApplyWork { entries: committed, ack: apply_ack });
        ready
    }

    /// Without asynchronous storage writes the driver sends after writing, and `advance` reports all of it.
    fn hold_until_advance(
        &mut self,
        ready: &mut Ready,
        append: &mut AppendWork,
        apply_ack: &mut Option<ApplyAck>,
    ) {
        let id = self.id();
        let responses = std::mem::take(&mut append.responses);
        let (own_messages, others) = responses.into_iter().partition(|message| message.to == id);
        ready.messages.extend::<Vec<_>>(others);
        let (appended, applied) = (append.ack.take(), apply_ack.take());
        self.on_advance = Some(Advance { own_messages, appended, applied });
    }

    /// All that the last [`Ready`] asked for is done. Not with asynchronous storage writes, whose reports
    /// are `persisted` and `applied`.
    pub fn advance(&mut self) {
        assert!(!self.asynchronous, "advance is for synchronous storage writes");
        let Some(Advance { own_messages, appended, applied }) = self.on_advance.take() else { return };
        for message in own_messages {
            // Cannot be refused for its sender: a removed leader still counts its own appends.
            let _ = self.input(|raft| raft.step(message));
        }
        if let Some(ack) = appended {
            self.appended(&ack);
        }
        if let Some(ack) = applied {
            self.applied(&ack);
        }
    }

    fn soft_state(&self) -> SoftState {
        SoftState { leader: self.raft.leader(), role: self.raft.role_kind() }
    }

    /// The leader of the current term as far as known; 0 = none.
    pub fn leader(&self) -> u64 {
        self.raft.leader()
    }

    /// The term of an entry of the log, durable or not; also of the one right before the first that is kept.
    ///
    /// # Errors
    /// `Compacted` before that, `Unavailable` after the last entry.
    pub fn term(&self, index: u64) -> Result<u64, StoreError> {
        self.raft.core.log.term(index)
    }

    /// The node's state.
    pub fn basic_status(&self) -> BasicStatus {
        let core = &self.raft.core;
        let transferee = match &self.raft.role {
            Role::Leader(leader) => leader.transferee(),
            Role::Follower(_) | Role::Candidate(_) => NO_NODE,
        };
        BasicStatus {
            id: self.id(),
            hard_state: core.hard_state(),
            soft_state: self.soft_state(),
            applied: core.log.applied(),
            transferee,
            first_index: core.log.first_index(),
            last_index: core.log.last().index,
        }
    }

    /// The node's state and, on a leader, that of all members.
    pub fn status(&self) -> Status {
        let leads = matches!(self.raft.role, Role::Leader(_));
        let tracker = self.raft.core.tracker();
        Status {
            basic: self.basic_status(),
            config: tracker.config.clone(),
            progress: if leads { tracker.progress.clone() } else { Default::default() },
        }
    }

    /// Sets after how many ticks without a leader this node campaigns, until its next change of term draws
    /// anew. For scripts and simulations that fix who campaigns first.
    pub fn set_election_timeout(&mut self, ticks: u32) {
        self.raft.core.set_election_timeout(ticks);
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
