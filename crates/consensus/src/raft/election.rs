//! From role to role: time runs out, campaigns begin, elections are won and lost.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Raft,
    leader::Leader,
    role::{Campaign, Candidate, Follower, Next, Role},
};
use crate::{LogStore, Message, MessageKind, journal::note, message::NO_NODE};

/// Marks the votes that a candidate asks for at the leader's word.
pub(super) const TRANSFER_MARK: &[u8] = b"CampaignTransfer";

impl<S: LogStore> Raft<S> {
    /// One unit of time passes.
    pub(crate) fn tick(&mut self) {
        let next = match &mut self.role {
            Role::Leader(leader) => leader.tick(&mut self.core),
            Role::Follower(_) | Role::Candidate(_) => {
                let core = &mut self.core;
                core.election_elapsed = core.election_elapsed.saturating_add(1);
                if core.election_elapsed >= core.election_timeout && core.is_promotable() {
                    core.election_elapsed = 0;
                    Next::Hup(self.usual_campaign())
                } else {
                    Next::Stay
                }
            }
        };
        self.become_next(next);
    }

    fn usual_campaign(&self) -> Campaign {
        if self.core.config.pre_vote { Campaign::PreVote } else { Campaign::Election }
    }

    pub(super) fn become_next(&mut self, next: Next) {
        match next {
            Next::Stay => {}
            Next::Follow => self.become_follower(self.core.term, NO_NODE),
            Next::Hup(campaign) => self.hup(campaign),
            Next::Campaign => self.campaign(Campaign::Election),
            Next::Lead => self.become_leader(),
        }
    }

    /// Campaigns because the application says so.
    pub(crate) fn campaign_now(&mut self) {
        self.hup(self.usual_campaign());
    }

    /// Campaigns unless it leads already or may not: no voter, a snapshot or a conf change to be applied, or
    /// no term left (which only a forged message can bring about).
    fn hup(&mut self, campaign: Campaign) {
        let core = &mut self.core;
        let (id, term) = (core.id(), core.term);
        if matches!(self.role, Role::Leader(_)) {
            note!(core.journal, Debug, "{id:x} ignoring MsgHup because already leader");
            return;
        }
        if !core.is_promotable() || term == u64::MAX {
            note!(core.journal, Warn, "{id:x} is unpromotable and can not campaign");
            return;
        }
        match core.log.has_unapplied_conf_change() {
            Ok(false) => {}
            Ok(true) => {
                note!(
                    core.journal,
                    Warn,
                    "{id:x} cannot campaign at term {term} since there are still pending configuration changes \
                     to apply"
                );
                return;
            }
            Err(error) => return core.fail(error),
        }
        note!(core.journal, Info, "{id:x} is starting a new election at term {term}");
        self.campaign(campaign);
    }

    fn campaign(&mut self, campaign: Campaign) {
        let (kind, response, term) = match campaign {
            Campaign::PreVote => {
                self.become_candidate(true);
                // It asks for the next term without entering it.
                (MessageKind::PreVote, MessageKind::PreVoteResp, self.core.term + 1)
            }
            Campaign::Election | Campaign::Transfer => {
                self.become_candidate(false);
                (MessageKind::Vote, MessageKind::VoteResp, self.core.term)
            }
        };
        let context = match campaign {
            Campaign::Transfer => Bytes::from_static(TRANSFER_MARK),
            Campaign::PreVote | Campaign::Election => Bytes::new(),
        };
        let core = &mut self.core;
        let (id, last) = (core.id(), core.log.last());
        for voter in core.tracker.config.voters.ids() {
            if voter == id {
                // Its own vote counts when it is durable, like everybody's.
                core.send(Message { term, ..Message::new(response, id) });
                continue;
            }
            note!(
                core.journal,
                Info,
                "{id:x} [logterm: {}, index: {}] sent {kind} request to {voter:x} at term {}",
                last.term,
                last.index,
                core.term
            );
            let request = Message::new(kind, voter);
            let (index, log_term) = (last.index, last.term);
            core.send(Message { term, index, log_term, context: context.clone(), ..request });
        }
    }

    /// Follows nobody, if it leads.
    pub(crate) fn resign(&mut self) {
        if let Role::Leader(_) = self.role {
            self.become_follower(self.core.term, NO_NODE);
        }
    }

    /// Enters `term` (or stays in it) as a follower of `leader`; 0 = of nobody yet.
    pub(super) fn become_follower(&mut self, term: u64, leader: u64) {
        self.core.reset(term);
        self.role = Role::Follower(Follower { leader });
        note!(self.core.journal, Info, "{:x} became follower at term {term}", self.core.id());
    }

    /// A pre-vote changes neither the term nor the vote nor the clock: it leaves no trace if it fails.
    fn become_candidate(&mut self, pre_vote: bool) {
        assert!(!matches!(self.role, Role::Leader(_)), "a leader does not campaign");
        let core = &mut self.core;
        if !pre_vote {
            core.reset(core.term + 1);
            core.vote = core.id();
        }
        self.role = Role::Candidate(Candidate { pre_vote, votes: BTreeMap::new() });
        let name = if pre_vote { "pre-candidate" } else { "candidate" };
        note!(core.journal, Info, "{:x} became {name} at term {}", core.id(), core.term);
    }

    fn become_leader(&mut self) {
        let core = &mut self.core;
        // Conf changes may have been applied while votes were counted.
        if !core.is_promotable() {
            return self.become_follower(self.core.term, NO_NODE);
        }
        core.reset(core.term);
        self.role = Role::Leader(Box::new(Leader::new(core)));
        note!(core.journal, Info, "{:x} became leader at term {}", core.id(), core.term);
        core.broadcast_append();
    }
}
