//! Answers to candidates.

use types::mutant::{self, Mutant};

use super::{Raft, election::TRANSFER_MARK};
use crate::{EntryId, LogStore, Message, MessageKind, journal::note, message::NO_NODE};

impl<S: LogStore> Raft<S> {
    /// Whether a candidate of a higher term is ignored because a leader was heard within the minimum election
    /// timeout, and the leader did not ask for the campaign.
    pub(super) fn ignores_candidate(&mut self, message: &Message) -> bool {
        let core = &self.core;
        let leased = core.config.check_quorum
            && self.leader() != NO_NODE
            && core.election_elapsed < core.config.election_ticks;
        if !leased || message.context == TRANSFER_MARK {
            return false;
        }
        let remaining = core.config.election_ticks - core.election_elapsed;
        let (verdict, at) = ("ignored", core.term);
        self.note_verdict(
            message,
            verdict,
            &format_args!("at term {at}: lease is not expired (remaining ticks: {remaining})"),
        );
        true
    }

    /// Votes, or would vote, when it has not voted for another in that term and the candidate's log has at
    /// least what ours has. Learners vote too: they may be voters and not know it yet.
    pub(super) fn vote(&mut self, message: &Message) {
        let core = &self.core;
        let free = core.vote == message.from
            || core.vote == NO_NODE && self.leader() == NO_NODE
            || message.kind == MessageKind::PreVote && message.term > core.term;
        let their = EntryId { term: message.log_term, index: message.index };
        let free = free || mutant::is_on(Mutant::VoteTwice);
        let fits = core.log.is_up_to_date(their) || mutant::is_on(Mutant::VoteForStaleLog);
        if !free || !fits {
            return self.refuse_vote(message);
        }
        let term = core.term;
        self.note_verdict(message, "cast", &format_args!("at term {term}"));
        // A pre-vote is granted in the term it asks for: in a lower one the candidate would not hear it.
        let core = &mut self.core;
        let response = Message::new(response_to(message.kind), message.from);
        core.send(Message { term: message.term, ..response });
        if message.kind == MessageKind::Vote {
            core.election_elapsed = 0;
            core.vote = message.from;
        }
    }

    pub(super) fn refuse_vote(&mut self, message: &Message) {
        let term = self.core.term;
        self.note_verdict(message, "rejected", &format_args!("at term {term}"));
        if term == 0 {
            // A member that has just been set up has no term to answer in.
            return;
        }
        let response = Message::new(response_to(message.kind), message.from);
        self.core.send(Message { term, reject: true, ..response });
    }

    fn note_verdict(&mut self, message: &Message, verdict: &str, end: &std::fmt::Arguments<'_>) {
        let core = &mut self.core;
        let (id, vote, last) = (core.id(), core.vote, core.log.last());
        let Message { kind, from, log_term, index, .. } = message;
        let preposition = if verdict == "cast" { "for" } else { "from" };
        note!(
            core.journal,
            Info,
            "{id:x} [logterm: {}, index: {}, vote: {vote:x}] {verdict} {kind} {preposition} {from:x} \
             [logterm: {log_term}, index: {index}] {end}",
            last.term,
            last.index
        );
    }
}

fn response_to(kind: MessageKind) -> MessageKind {
    match kind {
        MessageKind::PreVote => MessageKind::PreVoteResp,
        _ => MessageKind::VoteResp,
    }
}
