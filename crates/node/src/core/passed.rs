//! Proposals that followers pass on to a member that cannot take them: it hands leadership over, or leads no more and
//! does not know yet who does.
//!
//! Raft drops such a proposal and tells nobody, and a client of the follower waits until his time is up. So it is held
//! until there is a leader, and given to that one; nothing is ever given away twice.

use std::{collections::VecDeque, time::Duration};

use consensus::{Message, MessageKind};
use types::Moment;

use super::Core;

/// Bytes held at most; what comes then is dropped, as raft does.
const HELD_BYTES_MAX: usize = 64 << 20;
/// What a message costs besides its data.
const MESSAGE_COST: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// In order of arrival.
    held: VecDeque<(Moment, Message)>,
    bytes: usize,
}

impl Passed {
    fn push(&mut self, now: Moment, message: Message) {
        let bytes = cost(&message);
        if self.bytes + bytes <= HELD_BYTES_MAX {
            self.bytes += bytes;
            self.held.push_back((now, message));
        }
    }

    fn pop_if(&mut self, wanted: impl FnOnce(Moment) -> bool) -> Option<Message> {
        let (_, message) = self.held.pop_front_if(|(since, _)| wanted(*since))?;
        self.bytes -= cost(&message);
        Some(message)
    }
}

fn cost(message: &Message) -> usize {
    MESSAGE_COST + message.entries.iter().map(|entry| MESSAGE_COST + entry.data.len()).sum::<usize>()
}

impl Core {
    /// Whether raft takes proposals, or knows who does.
    pub(super) fn takes_proposals(&self) -> bool {
        self.raft.leader() != 0 && self.raft.basic_status().transferee == 0
    }

    /// A message that changes no membership, from another member.
    pub(super) fn step_or_hold(&mut self, message: Message) {
        if message.kind == MessageKind::Propose && !(self.takes_proposals() && self.passed.held.is_empty()) {
            self.passed.push(self.now, message);
        } else {
            self.step_now(message);
        }
    }

    /// Gives away what is held, once there is somebody to take it.
    pub(super) fn pass_on(&mut self) {
        while !self.passed.held.is_empty()
            && self.takes_proposals()
            && let Some(message) = self.passed.pop_if(|_| true)
        {
            self.step_now(message);
        }
    }

    /// Forgets what no client waits for any more.
    pub(super) fn expire_passed(&mut self, patience: Duration) {
        let now = self.now;
        while self.passed.pop_if(|since| since + patience <= now).is_some() {}
    }
}
