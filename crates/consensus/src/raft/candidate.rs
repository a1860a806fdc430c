//! A candidate: counts votes, or what would be votes.

use super::{
    core::Core,
    role::{Candidate, Next},
};
use crate::{Error, LogStore, Message, MessageKind, journal::note, quorum::VoteResult};

impl Candidate {
    /// Word from a leader of this term never gets here: it made this node a follower.
    pub(super) fn step<S: LogStore>(&mut self, core: &mut Core<S>, message: Message) -> Result<Next, Error> {
        let (id, term) = (core.id(), core.term);
        match message.kind {
            // Answers to an earlier pre-vote of this term may still arrive; only those to the current
            // question count.
            MessageKind::PreVoteResp if self.pre_vote => return Ok(self.count(core, &message)),
            MessageKind::VoteResp if !self.pre_vote => return Ok(self.count(core, &message)),
            MessageKind::Propose => {
                note!(core.journal, Info, "{id:x} no leader at term {term}; dropping proposal");
                return Err(Error::ProposalDropped);
            }
            MessageKind::TimeoutNow => {
                let state = if self.pre_vote { "StatePreCandidate" } else { "StateCandidate" };
                let from = message.from;
                note!(
                    core.journal,
                    Debug,
                    "{id:x} [term {term} state {state}] ignored MsgTimeoutNow from {from:x}"
                );
            }
            MessageKind::PreVoteResp
            | MessageKind::VoteResp
            | MessageKind::Append
            | MessageKind::AppendResp
            | MessageKind::Vote
            | MessageKind::Snapshot
            | MessageKind::Heartbeat
            | MessageKind::HeartbeatResp
            | MessageKind::TransferLeader
            | MessageKind::ReadIndex
            | MessageKind::ReadIndexResp
            | MessageKind::PreVote => {}
        }
        Ok(Next::Stay)
    }

    fn count<S: LogStore>(&mut self, core: &mut Core<S>, message: &Message) -> Next {
        let Message { kind, from, reject, .. } = message;
        let (id, rejection) = (core.id(), if *reject { " rejection" } else { "" });
        note!(core.journal, Info, "{id:x} received {kind}{rejection} from {from:x} at term {}", core.term);
        self.votes.entry(*from).or_insert(!reject);
        let (granted, refused, result) = core.tracker.tally(&self.votes);
        note!(core.journal, Info, "{id:x} has received {granted} {kind} votes and {refused} vote rejections");
        match result {
            VoteResult::Won if self.pre_vote => Next::Campaign,
            VoteResult::Won => Next::Lead,
            VoteResult::Lost => Next::Follow,
            VoteResult::Pending => Next::Stay,
        }
    }
}
