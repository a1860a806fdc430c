//! What a node is and knows in every role, and how it sends.

use types::{
    mutant::{self, Mutant},
    raft::HardState,
};

use super::replicate::Appending;
use crate::{
    Config, Divergence, EntryId, Level, LogLine, LogStore, Message, MessageKind, ReadState, StoreError,
    journal::Journal, log::RaftLog, message::NO_NODE, prng::Prng, tracker::Tracker,
};

/// The part of a node that outlives its roles.
#[derive(Debug)]
pub(crate) struct Core<S> {
    pub(super) config: Config,
    pub(super) term: u64,
    /// Whom it voted for in `term`; 0 = nobody.
    pub(super) vote: u64,
    pub(crate) log: RaftLog<S>,
    pub(super) tracker: Tracker,
    /// Ticks since the last campaign, or since a leader was heard; on a leader, since its last check of the
    /// quorum.
    pub(super) election_elapsed: u32,
    /// Ticks without a leader after which this member campaigns; drawn anew for each term.
    pub(super) election_timeout: u32,
    pub(super) prng: Prng,
    /// To be sent at once; never to this node.
    pub(super) outbox: Vec<Message>,
    /// To be delivered, perhaps to this node, when all that is unstable now is durable.
    pub(super) outbox_after_append: Vec<Message>,
    pub(super) read_states: Vec<ReadState>,
    pub(super) journal: Journal,
    /// The first failure of the store. A node that has one takes no further input.
    pub(super) fault: Option<StoreError>,
}

impl<S: LogStore> Core<S> {
    pub(super) fn id(&self) -> u64 {
        self.config.id
    }

    pub(crate) fn hard_state(&self) -> HardState {
        HardState { term: self.term, vote: self.vote, commit: self.log.committed() }
    }

    /// Begins a term, or the same one in another role: nothing is known about anybody.
    pub(super) fn reset(&mut self, term: u64) {
        if self.term != term {
            self.term = term;
            self.vote = NO_NODE;
        }
        self.election_elapsed = 0;
        self.election_timeout = self.config.election_ticks + self.prng.below(self.config.election_ticks);
        let (own, last) = (self.id(), self.log.last().index);
        for (&id, progress) in &mut self.tracker.progress {
            progress.reset(if id == own { last } else { 0 }, last + 1);
        }
    }

    /// Queues a message. What promises durable state waits for it; campaign messages and votes carry the
    /// term they are about, forwarded requests none, everything else the current one.
    pub(super) fn send(&mut self, mut message: Message) {
        use MessageKind::{PreVote, PreVoteResp, Vote, VoteResp};
        if message.from == NO_NODE {
            message.from = self.id();
        }
        match message.kind {
            Vote | VoteResp | PreVote | PreVoteResp => assert_ne!(message.term, 0, "a campaign without term"),
            kind if kind.is_forwarded_request() && kind != MessageKind::TransferLeader => message.term = 0,
            _ => message.term = self.term,
        }
        if message.kind.needs_durable_state() {
            self.outbox_after_append.push(message);
        } else {
            assert_ne!(message.to, self.id(), "a {} to itself", message.kind);
            self.outbox.push(message);
        }
    }

    /// Sends this node, when all that is unstable now is durable, word that it has it.
    pub(super) fn acknowledge_own_append(&mut self) {
        let index = self.log.last().index;
        self.send(Message { index, ..Message::new(MessageKind::AppendResp, self.id()) });
    }

    /// Commits what a quorum has, if the last such entry is of the leader's own term (Raft thesis 3.6.2).
    pub(super) fn maybe_commit(&mut self) -> bool {
        let index = self.tracker.committed_index();
        let old = mutant::is_on(Mutant::OldTermCommitted);
        let term = if old { self.log.term_or_zero(index) } else { self.term };
        self.log.maybe_commit(EntryId { term, index })
    }

    /// Whether this leader has committed an entry of its own term, and so knows all that is committed.
    pub(super) fn has_committed_in_term(&self) -> bool {
        self.log.term_or_zero(self.log.committed()) == self.term
    }

    /// Whether this member may campaign: a voter, not about to be replaced by a snapshot.
    pub(super) fn is_promotable(&self) -> bool {
        self.tracker.may_lead(self.id()) && !self.log.has_pending_snapshot()
    }

    /// The store failed: remember it and stop.
    pub(crate) fn fail(&mut self, error: StoreError) {
        self.fault.get_or_insert(error);
    }

    /// What a leader says is committed is committed.
    pub(super) fn commit_to(&mut self, index: u64) -> Result<(), Divergence> {
        self.log.commit_to(index)
    }

    /// Sends everybody else an append, with whatever entries they lack.
    pub(super) fn broadcast_append(&mut self) {
        for id in self.tracker.others(self.id()) {
            self.append_to(id, Appending::EvenIfEmpty);
        }
    }
}

/// What a node gives out besides its log.
pub(crate) struct Output {
    pub(crate) now: Vec<Message>,
    pub(crate) after_append: Vec<Message>,
    pub(crate) read_states: Vec<ReadState>,
}

/// For the driver's side of the crate.
impl<S: LogStore> Core<S> {
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    pub(crate) fn fault(&self) -> Option<&StoreError> {
        self.fault.as_ref()
    }

    pub(crate) fn has_output(&self) -> bool {
        !self.outbox.is_empty() || !self.outbox_after_append.is_empty() || !self.read_states.is_empty()
    }

    pub(crate) fn take_output(&mut self) -> Output {
        Output {
            now: std::mem::take(&mut self.outbox),
            after_append: std::mem::take(&mut self.outbox_after_append),
            read_states: std::mem::take(&mut self.read_states),
        }
    }

    pub(crate) fn take_log_lines(&mut self) -> Vec<LogLine> {
        self.journal.take()
    }

    pub(crate) fn set_log_level(&mut self, level: Level) {
        self.journal.set_threshold(level);
    }

    pub(crate) fn set_election_timeout(&mut self, ticks: u32) {
        self.election_timeout = ticks;
    }
}
