//! The algorithm: what a node does with a message, by its term and by the role of the node.

mod candidate;
mod check;
mod core;
mod election;
mod follower;
mod leader;
mod reconfigure;
mod replicate;
mod role;
mod storage;
mod vote;

use types::raft::HardState;

use self::role::Next;
pub(crate) use self::{core::Core, role::Role};
use crate::{
    Config, Error, LogStore, Message, MessageKind, StartError,
    journal::{Journal, note},
    log::RaftLog,
    message::NO_NODE,
    prng::Prng,
    tracker::Tracker,
};
pub use role::RoleKind;
pub use storage::{AppendAck, ApplyAck};

/// A node: what it always is, and its role.
#[derive(Debug)]
pub(crate) struct Raft<S> {
    pub(crate) core: Core<S>,
    pub(crate) role: Role,
}

impl<S: LogStore> Raft<S> {
    /// The node as a restart finds it: a follower of nobody, in the term and configuration of its store.
    pub(crate) fn new(config: Config, store: S) -> Result<Raft<S>, StartError> {
        let config = config.validated()?;
        let (hard_state, conf_state) = store.initial_state()?;
        let log = RaftLog::new(store, config.committed_bytes_max)?;
        let last = log.last();
        let tracker = Tracker::new(config.inflight_messages_max, config.inflight_bytes_max)
            .restore(last.index, &conf_state)?;
        let mut core = Core {
            term: hard_state.term,
            vote: hard_state.vote,
            log,
            tracker: tracker.emptied(),
            election_elapsed: 0,
            election_timeout: config.election_ticks,
            prng: Prng::new(config.seed, config.id),
            outbox: Vec::new(),
            outbox_after_append: Vec::new(),
            read_states: Vec::new(),
            journal: Journal::new(config.log_level),
            fault: None,
            config,
        };
        core.switch_to(tracker);
        core.resume(hard_state)?;
        let term = core.term;
        let mut raft = Raft { core, role: Role::Follower(role::Follower { leader: NO_NODE }) };
        raft.become_follower(term, NO_NODE);
        raft.announce();
        Ok(raft)
    }

    fn announce(&mut self) {
        let core = &mut self.core;
        if core.journal.wants(crate::Level::Info) {
            let voters = core.tracker.config.voters.ids();
            let peers: Vec<String> = voters.iter().map(|id| format!("{id:x}")).collect();
            let last = core.log.last();
            note!(
                core.journal,
                Info,
                "newRaft {:x} [peers: [{}], term: {}, commit: {}, applied: {}, lastindex: {}, lastterm: {}]",
                core.id(),
                peers.join(","),
                core.term,
                core.log.committed(),
                core.log.applied(),
                last.index,
                last.term
            );
        }
    }

    /// Takes a message from the network.
    pub(crate) fn step_remote(&mut self, message: Message) -> Result<(), Error> {
        check::remote(&message, self.core.id())?;
        if message.kind.is_response() {
            self.require_peer(&message)?;
        }
        self.step(message)
    }

    /// Takes a message of this node to itself, after what it promises became durable.
    pub(crate) fn step_own(&mut self, message: Message) -> Result<(), Error> {
        check::own(&message, self.core.id())?;
        self.require_peer(&message)?;
        self.step(message)
    }

    fn require_peer(&self, message: &Message) -> Result<(), Error> {
        match self.core.tracker.progress.contains_key(&message.from) {
            true => Ok(()),
            false => Err(Error::UnknownPeer),
        }
    }

    /// Takes any message: first its term decides, then this node's role.
    pub(crate) fn step(&mut self, message: Message) -> Result<(), Error> {
        if message.term > self.core.term {
            if !self.enter_higher_term(&message) {
                return Ok(());
            }
        } else if message.term < self.core.term && message.term != 0 {
            self.answer_lower_term(&message);
            return Ok(());
        }
        match message.kind {
            MessageKind::Vote | MessageKind::PreVote => self.vote(&message),
            _ => self.dispatch(message)?,
        }
        Ok(())
    }

    /// Becomes a follower in the message's term where that is due; false when the message is to be ignored.
    fn enter_higher_term(&mut self, message: &Message) -> bool {
        let Message { kind, from, term, .. } = message;
        if matches!(kind, MessageKind::Vote | MessageKind::PreVote) && self.ignores_candidate(message) {
            return false;
        }
        // A pre-vote, and its grant, name a term that the candidate has not entered yet. A refusal names the
        // term of the one who refuses.
        let hypothetical =
            *kind == MessageKind::PreVote || *kind == MessageKind::PreVoteResp && !message.reject;
        if !hypothetical {
            let core = &mut self.core;
            note!(
                core.journal,
                Info,
                "{:x} [term: {}] received a {kind} message with higher term from {from:x} [term: {term}]",
                core.id(),
                core.term
            );
            let leader = if kind.is_from_leader() { *from } else { NO_NODE };
            self.become_follower(*term, leader);
        }
        true
    }

    /// Mostly silence. But a leader of a lower term would never learn of ours when nobody may ask it for a
    /// vote: an answer makes it step down. And a candidate in a lower term must hear that it lost, or a
    /// cluster that begins to use pre-votes could lock up.
    fn answer_lower_term(&mut self, message: &Message) {
        let core = &mut self.core;
        let Message { kind, from, term, .. } = message;
        let guarded = core.config.check_quorum || core.config.pre_vote;
        match kind {
            MessageKind::Heartbeat | MessageKind::Append if guarded => {
                core.send(Message::new(MessageKind::AppendResp, *from));
            }
            MessageKind::PreVote => self.refuse_vote(message),
            _ => note!(
                core.journal,
                Info,
                "{:x} [term: {}] ignored a {kind} message with lower term from {from:x} [term: {term}]",
                core.id(),
                core.term
            ),
        }
    }

    fn dispatch(&mut self, message: Message) -> Result<(), Error> {
        if matches!(self.role, Role::Candidate(_)) && message.kind.is_from_leader() {
            self.become_follower(self.core.term, message.from);
        }
        let next = match &mut self.role {
            Role::Follower(follower) => follower.step(&mut self.core, message)?,
            Role::Candidate(candidate) => candidate.step(&mut self.core, message)?,
            Role::Leader(leader) => {
                leader.step(&mut self.core, message)?;
                Next::Stay
            }
        };
        self.become_next(next);
        Ok(())
    }

    pub(crate) fn leader(&self) -> u64 {
        self.role.leader(self.core.id())
    }

    pub(crate) fn role_kind(&self) -> RoleKind {
        self.role.kind()
    }
}

impl<S: LogStore> Core<S> {
    /// Takes over what was remembered across the restart.
    fn resume(&mut self, hard_state: HardState) -> Result<(), StartError> {
        let (committed, last) = (self.log.committed(), self.log.last().index);
        if hard_state != HardState::default() {
            in_range("the hard state's commit", hard_state.commit, committed, last)?;
            let committed = self.log.commit_to(hard_state.commit);
            assert!(committed.is_ok(), "the commit index was checked to be within the log");
        }
        if self.config.applied > 0 {
            in_range("the applied index", self.config.applied, self.log.applied(), self.log.committed())?;
            self.log.applied_to(self.config.applied, 0);
        }
        Ok(())
    }
}

fn in_range(what: &'static str, value: u64, low: u64, high: u64) -> Result<(), StartError> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(StartError::State { what, value, low, high }) }
}
