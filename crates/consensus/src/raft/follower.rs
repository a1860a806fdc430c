//! A follower: takes the leader's entries, and passes requests on to it.

use types::{
    mutant::{self, Mutant},
    raft::Snapshot,
};

use super::{
    core::Core,
    role::{Campaign, Follower, Next},
};
use crate::{
    EntryId, Error, LogStore, Message, MessageKind, ReadMode, ReadState, conf_change::ConfChangeError,
    journal::note, message::NO_NODE,
};

impl Follower {
    pub(super) fn step<S: LogStore>(&mut self, core: &mut Core<S>, message: Message) -> Result<Next, Error> {
        match message.kind {
            MessageKind::Append => {
                self.heard(core, message.from);
                append(core, message)?;
            }
            MessageKind::Heartbeat => {
                self.heard(core, message.from);
                let beyond = mutant::is_on(Mutant::CommitBeyondMatch);
                let last = if beyond { core.log.last().index } else { u64::MAX };
                core.commit_to(message.commit.min(last))?;
                let response = Message::new(MessageKind::HeartbeatResp, message.from);
                core.send(Message { context: message.context, ..response });
            }
            MessageKind::Snapshot => {
                self.heard(core, message.from);
                install(core, message)?;
            }
            MessageKind::Propose => self.forward_proposal(core, message)?,
            MessageKind::ReadIndex => self.forward(core, message, "index reading msg"),
            MessageKind::TransferLeader => self.forward(core, message, "leader transfer msg"),
            MessageKind::ReadIndexResp => take_read_state(core, message),
            MessageKind::TimeoutNow => {
                note!(
                    core.journal,
                    Info,
                    "{:x} [term {}] received MsgTimeoutNow from {:x} and starts an election to get leadership.",
                    core.id(),
                    core.term,
                    message.from
                );
                // No pre-vote: there is no partition to fear when the leader itself asks for it.
                return Ok(Next::Hup(Campaign::Transfer));
            }
            MessageKind::AppendResp
            | MessageKind::Vote
            | MessageKind::VoteResp
            | MessageKind::HeartbeatResp
            | MessageKind::PreVote
            | MessageKind::PreVoteResp => {}
        }
        Ok(Next::Stay)
    }

    fn heard<S: LogStore>(&mut self, core: &mut Core<S>, leader: u64) {
        core.election_elapsed = 0;
        self.leader = leader;
    }

    fn forward_proposal<S: LogStore>(&self, core: &mut Core<S>, message: Message) -> Result<(), Error> {
        let (id, term) = (core.id(), core.term);
        if self.leader == NO_NODE {
            note!(core.journal, Info, "{id:x} no leader at term {term}; dropping proposal");
            return Err(Error::ProposalDropped);
        }
        if !core.config.proposal_forwarding {
            note!(
                core.journal,
                Info,
                "{id:x} not forwarding to leader {:x} at term {term}; dropping proposal",
                self.leader
            );
            return Err(Error::ProposalDropped);
        }
        core.send(Message { to: self.leader, ..message });
        Ok(())
    }

    fn forward<S: LogStore>(&self, core: &mut Core<S>, message: Message, what: &str) {
        if self.leader == NO_NODE {
            let (id, term) = (core.id(), core.term);
            note!(core.journal, Info, "{id:x} no leader at term {term}; dropping {what}");
            return;
        }
        core.send(Message { to: self.leader, ..message });
    }

    /// Forgets the leader without a new term: this node may now vote for somebody else.
    pub(crate) fn forget_leader<S: LogStore>(&mut self, core: &mut Core<S>) {
        if core.config.read_mode == ReadMode::LeaseBased {
            // A leader that relies on its lease counts on us not to elect another.
            note!(core.journal, Error, "ignoring MsgForgetLeader due to ReadOnlyLeaseBased");
        } else if self.leader != NO_NODE {
            note!(
                core.journal,
                Info,
                "{:x} forgetting leader {:x} at term {}",
                core.id(),
                self.leader,
                core.term
            );
            self.leader = NO_NODE;
        }
    }
}

fn append<S: LogStore>(core: &mut Core<S>, message: Message) -> Result<(), Error> {
    let Message { from, index, log_term, .. } = message;
    let response = Message::new(MessageKind::AppendResp, from);
    if index < core.log.committed() {
        core.send(Message { index: core.log.committed(), ..response });
        return Ok(());
    }
    let prev = EntryId { term: log_term, index };
    let taken = core.log.try_append(prev, message.entries, message.commit, &mut core.journal)?;
    if let Some(index) = taken {
        core.send(Message { index, ..response });
        return Ok(());
    }
    note!(
        core.journal,
        Debug,
        "{:x} [logterm: {}, index: {index}] rejected MsgApp [logterm: {log_term}, index: {index}] from {from:x}",
        core.id(),
        core.log.term_or_zero(index)
    );
    // All of the leader's entries up to there have at most that term; ours with higher terms cannot agree.
    let hint = core.log.find_conflict_by_term(index.min(core.log.last().index), log_term);
    core.send(Message { index, reject: true, reject_hint: hint.index, log_term: hint.term, ..response });
    Ok(())
}

fn take_read_state<S: LogStore>(core: &mut Core<S>, message: Message) {
    match <[_; 1]>::try_from(message.entries) {
        Ok([name]) => core.read_states.push(ReadState { index: message.index, context: name.data }),
        Err(entries) => note!(
            core.journal,
            Error,
            "{:x} invalid format of MsgReadIndexResp from {:x}, entries count: {}",
            core.id(),
            message.from,
            entries.len()
        ),
    }
}

fn install<S: LogStore>(core: &mut Core<S>, message: Message) -> Result<(), Error> {
    let from = message.from;
    let snapshot = message.snapshot.map(|snapshot| *snapshot).unwrap_or_default();
    let (sindex, sterm) = (snapshot.meta.index, snapshot.meta.term);
    let restored = restore(core, snapshot).map_err(|_| Error::Malformed {
        kind: MessageKind::Snapshot,
        from,
        what: "a conf state that contradicts itself",
    })?;
    let outcome = if restored { "restored" } else { "ignored" };
    let (id, committed) = (core.id(), core.log.committed());
    note!(
        core.journal,
        Info,
        "{id:x} [commit: {committed}] {outcome} snapshot [index: {sindex}, term: {sterm}]"
    );
    let index = if restored { core.log.last().index } else { committed };
    core.send(Message { index, ..Message::new(MessageKind::AppendResp, from) });
    Ok(())
}

/// Takes a snapshot in place of the log, unless the log has what it stands for.
fn restore<S: LogStore>(core: &mut Core<S>, snapshot: Snapshot) -> Result<bool, ConfChangeError> {
    let (own, meta) = (core.id(), &snapshot.meta);
    let id = EntryId { term: meta.term, index: meta.index };
    if id.index <= core.log.committed() {
        return Ok(false);
    }
    let conf_state = &meta.conf_state;
    let members = [&conf_state.voters, &conf_state.learners, &conf_state.voters_outgoing];
    if !members.iter().any(|list| list.contains(&own)) {
        note!(
            core.journal,
            Warn,
            "{own:x} attempted to restore snapshot but it is not in the ConfState {conf_state:?}; should never \
             happen"
        );
        return Ok(false);
    }
    if core.log.matches(id) {
        note_place(core, "fast-forwarded commit to snapshot", id);
        if core.log.commit_to(id.index).is_err() {
            unreachable!("the log has the entry that it just matched");
        }
        return Ok(false);
    }
    let tracker = core.tracker.restore(id.index, conf_state)?;
    core.log.restore(snapshot, &mut core.journal);
    core.switch_to(tracker);
    note_place(core, "restored snapshot", id);
    Ok(true)
}

fn note_place<S: LogStore>(core: &mut Core<S>, what: &str, snapshot: EntryId) {
    let (last, EntryId { term, index }) = (core.log.last(), snapshot);
    note!(
        core.journal,
        Info,
        "{:x} [commit: {}, lastindex: {}, lastterm: {}] {what} [index: {index}, term: {term}]",
        core.id(),
        core.log.committed(),
        last.index,
        last.term
    );
}
