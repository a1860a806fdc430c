//! What consensus promises: one leader a term, one log, nothing given up that was promised.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use consensus::{Message, MessageKind};
use node::stepping::RaftFigures;
use types::{Write, raft::Entry};

use super::{Checked, violation};
use crate::trace::digest;

/// What a member has shown so far.
#[derive(Debug, Default)]
struct Shown {
    /// In this life.
    figures: Option<RaftFigures>,
    /// Highest term in a message that must not leave before its term is durable.
    promised_term: u64,
    /// The last position that it said is durable, and the term in which it said so.
    promised_log: (u64, u64),
}

/// See the module. Members are named by their ids.
#[derive(Debug, Default)]
pub(crate) struct RaftChecks {
    /// Term and digest of each entry that any member has applied, from index 1 on.
    log: Vec<(u64, u64)>,
    leaders: BTreeMap<u64, u64>,
    /// Who voted for whom in which term.
    votes: BTreeMap<(u64, u64), u64>,
    members: BTreeMap<u64, Shown>,
    /// What each entry wrote, by index, as a hash.
    effects: BTreeMap<u64, u64>,
    /// Ids of the proposals applied.
    proposals: BTreeSet<u64>,
}

impl RaftChecks {
    /// Highest index that any member has applied.
    pub(crate) fn committed(&self) -> u64 {
        self.log.len() as u64
    }

    /// Terms in which somebody led.
    pub(crate) fn terms_led(&self) -> usize {
        self.leaders.len()
    }

    /// The newest term in which somebody led.
    pub(crate) fn newest_term_led(&self) -> u64 {
        self.leaders.last_key_value().map_or(0, |(term, _)| *term)
    }

    /// The highest index that this member is known to have applied in this life.
    pub(crate) fn applied_by(&self, id: u64) -> u64 {
        self.members.get(&id).and_then(|shown| shown.figures).map_or(0, |figures| figures.applied)
    }

    /// A member has ended; what it promised stays.
    pub(crate) fn ended(&mut self, id: u64) {
        self.members.entry(id).or_default().figures = None;
    }

    /// It starts again, from its disk.
    pub(crate) fn started(&mut self, id: u64, figures: &RaftFigures) -> Checked {
        let shown = self.members.entry(id).or_default();
        if figures.term < shown.promised_term {
            return violation(format!(
                "{id:x} starts in term {}, and had promised term {}",
                figures.term, shown.promised_term
            ));
        }
        let (term, index) = shown.promised_log;
        if figures.term == term && figures.last_index < index {
            return violation(format!(
                "{id:x} starts with a log up to {}, and had said in this term {term} that {index} is durable",
                figures.last_index
            ));
        }
        Ok(())
    }

    /// A member sends this.
    pub(crate) fn sent(&mut self, message: &Message) -> Checked {
        let Message { kind, from, to, term, index, reject, .. } = *message;
        if !matches!(kind, MessageKind::AppendResp | MessageKind::VoteResp) {
            return Ok(());
        }
        let shown = self.members.entry(from).or_default();
        shown.promised_term = shown.promised_term.max(term);
        match kind {
            MessageKind::AppendResp if !reject => {
                let (last_term, last_index) = shown.promised_log;
                if term >= last_term {
                    let index = if term == last_term { index.max(last_index) } else { index };
                    shown.promised_log = (term, index);
                }
            }
            MessageKind::VoteResp if !reject => {
                let voted = *self.votes.entry((term, from)).or_insert(to);
                if voted != to {
                    return violation(format!("{from:x} votes for {voted:x} and for {to:x} in term {term}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What a member stands at after a turn.
    pub(crate) fn stands(&mut self, id: u64, now: RaftFigures) -> Checked {
        let shown = self.members.entry(id).or_default();
        if let Some(before) = shown.figures.replace(now) {
            let pairs = [
                ("term", before.term as i64, now.term as i64),
                ("commit index", before.commit as i64, now.commit as i64),
                ("applied index", before.applied as i64, now.applied as i64),
                ("revision", before.revision, now.revision),
                ("compacted revision", before.compacted, now.compacted),
            ];
            for (what, before, now) in pairs {
                if now < before {
                    return violation(format!("the {what} of {id:x} falls from {before} to {now}"));
                }
            }
            if before.term == now.term && before.vote != 0 && now.vote != before.vote {
                return violation(format!("{id:x} changes its vote in term {}", now.term));
            }
        }
        if now.applied > now.commit {
            return violation(format!("{id:x} applied {} and knows {} committed", now.applied, now.commit));
        }
        if now.leader != 0 {
            let new = !self.leaders.contains_key(&now.term);
            let leader = *self.leaders.entry(now.term).or_insert(now.leader);
            if leader != now.leader {
                return violation(format!("{leader:x} and {:x} lead in term {}", now.leader, now.term));
            }
            if new && now.leader == id && now.last_index < self.committed() {
                return violation(format!(
                    "{id:x} leads in term {} with a log up to {}, and {} is committed",
                    now.term,
                    now.last_index,
                    self.committed()
                ));
            }
        }
        Ok(())
    }

    /// A member has applied these entries. Gives those that nobody had applied before.
    pub(crate) fn applied<'a>(
        &mut self,
        id: u64,
        entries: &'a [Entry],
    ) -> Result<&'a [Entry], super::Violation> {
        let known = self.log.len() as u64;
        for entry in entries {
            let print = (entry.term, digest(&entry.data) ^ entry.kind as u64);
            match self.log.get(entry.index as usize - 1) {
                Some(first) if *first != print => {
                    return violation(format!(
                        "{id:x} applied another entry {} than the others",
                        entry.index
                    ));
                }
                Some(_) => {}
                None if entry.index == self.committed() + 1 => self.log.push(print),
                None => {
                    return violation(format!("{id:x} applied {} after {}", entry.index, self.committed()));
                }
            }
        }
        let old = entries.partition_point(|entry| entry.index <= known);
        Ok(&entries[old..])
    }

    /// An entry wrote this on a member: the same on every other, now and after each start.
    pub(crate) fn wrote(&mut self, id: u64, index: u64, writes: &[Write]) -> Checked {
        let bytes = |value: &Option<Bytes>| value.as_ref().map_or(1, |value| digest(value));
        let hash = writes.iter().fold(0u64, |hash, write| {
            let parts = [digest(write.bucket.as_bytes()), digest(&write.key), bytes(&write.value)];
            parts
                .iter()
                .fold(hash, |hash, part| (hash ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23))
        });
        let first = *self.effects.entry(index).or_insert(hash);
        if first != hash {
            return violation(format!("entry {index} did something else on {id:x} than before: {writes:?}"));
        }
        Ok(())
    }

    /// The proposal with this id was applied for the first time.
    pub(crate) fn proposal(&mut self, id: u64, index: u64) -> Checked {
        if id != 0 && !self.proposals.insert(id) {
            return violation(format!("proposal {id:x} was applied twice, again at {index}"));
        }
        Ok(())
    }
}
