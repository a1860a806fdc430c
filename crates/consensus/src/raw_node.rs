//! The node as its driver sees it: inputs and status here, work and its reports in `work`.

mod work;

use bytes::Bytes;
use types::raft::{ConfState, Entry, HardState};

use crate::{
    AnyConfChange, BasicStatus, ConfChangeV2, Config, Error, Level, LogLine, LogStore, Message, MessageKind,
    SoftState, StartError, Status, StoreError,
    conf_change::ConfChangeError,
    message::NO_NODE,
    raft::{Raft, Role},
};
use work::Advance;

/// One member's part in Raft. Inputs are its methods, effects are in [`crate::Ready`]; see the crate's head for the
/// loop around it. Not synchronised: one owner.
#[derive(Debug)]
pub struct RawNode<S> {
    raft: Raft<S>,
    /// What the driver knows from earlier Readys.
    known_soft_state: SoftState,
    known_hard_state: HardState,
    asynchronous: bool,
    /// What to do at `advance`; always empty with asynchronous storage writes.
    on_advance: Option<Advance>,
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

    /// The store, to append what a [`crate::Ready`] handed out, to compact, and to make snapshots.
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

    /// Takes a message of this node to itself, from [`crate::AppendWork::responses`], after that work is durable.
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

    /// A leader leads no more, in the term it is in: what it waits for will not come. The others elect once they have
    /// not heard of it for an election timeout.
    pub fn resign(&mut self) {
        self.raft.resign();
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
        let (transferee, pending_conf_index) = match &self.raft.role {
            Role::Leader(leader) => (leader.transferee(), leader.pending_conf_index()),
            Role::Follower(_) | Role::Candidate(_) => (NO_NODE, 0),
        };
        BasicStatus {
            id: self.id(),
            hard_state: core.hard_state(),
            soft_state: self.soft_state(),
            applied: core.log.applied(),
            transferee,
            pending_conf_index,
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
