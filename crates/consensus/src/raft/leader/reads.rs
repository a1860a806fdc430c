//! Linearizable reads: the index a read must wait for, once it is sure that this node still leads.
//!
//! Reads are numbered in the order they come. Each heartbeat carries the number of the last one; its answer
//! confirms them all. So any number of reads shares one round, and a lost heartbeat delays none beyond the next.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use types::{
    mutant::{self, Mutant},
    raft::Entry,
};

use super::Leader;
use crate::{
    LogStore, Message, MessageKind, ReadMode, ReadState, message::NO_NODE, quorum::Joint, raft::core::Core,
};

/// Reads that may wait at once; more are dropped, and their readers ask again.
const READS_WAITING_MAX: usize = 1 << 16;

/// A read as it was asked for.
#[derive(Clone, Debug)]
pub(super) struct ReadRequest {
    /// The member where it waits; 0 or this node itself when it waits here.
    from: u64,
    /// One entry, whose data is the read's name.
    entries: Vec<Entry>,
}

/// Reads that wait for a quorum to confirm that this node leads.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Number of the last read that was confirmed; the first has number 1.
    confirmed: u64,
    /// Later ones in order, each with the commit index when it came.
    waiting: VecDeque<(ReadRequest, u64)>,
    /// Number of the last read that each member has confirmed.
    acknowledged: BTreeMap<u64, u64>,
}

impl Reads {
    fn last_number(&self) -> u64 {
        self.confirmed + self.waiting.len() as u64
    }

    /// What a heartbeat carries to confirm all that wait; empty when none does.
    pub(super) fn heartbeat_context(&self) -> Bytes {
        if self.waiting.is_empty() {
            return Bytes::new();
        }
        Bytes::copy_from_slice(&self.last_number().to_le_bytes())
    }

    /// A member answered a heartbeat that carried `context`.
    pub(super) fn acknowledge(&mut self, from: u64, context: &[u8]) {
        let Ok(number) = context.try_into() else { return };
        let number = u64::from_le_bytes(number).min(self.last_number());
        let acknowledged = self.acknowledged.entry(from).or_default();
        *acknowledged = number.max(*acknowledged);
    }

    /// Takes the reads that a quorum has confirmed.
    fn take_confirmed(&mut self, voters: &Joint) -> Vec<(ReadRequest, u64)> {
        let number = voters.committed_index(|id| self.acknowledged.get(&id).copied());
        let count = number.min(self.last_number()).saturating_sub(self.confirmed);
        self.confirmed += count;
        self.waiting.drain(..count as usize).collect()
    }
}

impl Leader {
    /// A read asks for its index.
    pub(super) fn read_index<S: LogStore>(&mut self, core: &mut Core<S>, message: Message) {
        let request = ReadRequest { from: message.from, entries: message.entries };
        if core.has_committed_in_term() || mutant::is_on(Mutant::ReadBeforeOwnTerm) {
            self.start_read(core, request);
        } else if self.early_reads.len() < READS_WAITING_MAX {
            // Until then this leader may not know all that is committed (Raft thesis 6.4). Also the only
            // voter does not: its commit index may be older than its last crash.
            self.early_reads.push_back(request);
        }
    }

    fn start_read<S: LogStore>(&mut self, core: &mut Core<S>, request: ReadRequest) {
        let index = core.log.committed();
        let unasked = mutant::is_on(Mutant::ReadWithoutQuorum);
        let alone = core.tracker.is_singleton() && core.tracker.may_lead(core.id());
        if alone || unasked || core.config.read_mode == ReadMode::LeaseBased {
            answer(core, request, index);
            return;
        }
        if self.reads.waiting.len() >= READS_WAITING_MAX {
            return;
        }
        self.reads.waiting.push_back((request, index));
        let context = self.reads.heartbeat_context();
        self.reads.acknowledge(core.id(), &context);
        core.broadcast_heartbeat(&context);
    }

    /// The first entry of the term is committed: reads that waited for it may start.
    pub(super) fn release_early_reads<S: LogStore>(&mut self, core: &mut Core<S>) {
        if self.early_reads.is_empty() || !core.has_committed_in_term() {
            return;
        }
        for request in std::mem::take(&mut self.early_reads) {
            self.start_read(core, request);
        }
    }

    /// Answers the reads that a quorum has confirmed.
    pub(super) fn confirm_reads<S: LogStore>(&mut self, core: &mut Core<S>) {
        if self.reads.waiting.is_empty() {
            return;
        }
        for (request, index) in self.reads.take_confirmed(&core.tracker.config.voters) {
            answer(core, request, index);
        }
    }
}

fn answer<S: LogStore>(core: &mut Core<S>, request: ReadRequest, index: u64) {
    let ReadRequest { from, entries } = request;
    if from == NO_NODE || from == core.id() {
        let context = entries.into_iter().next().map(|entry| entry.data).unwrap_or_default();
        core.read_states.push(ReadState { index, context });
    } else {
        core.send(Message { index, entries, ..Message::new(MessageKind::ReadIndexResp, from) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorum::Majority;

    fn ask(reads: &mut Reads, index: u64) -> Bytes {
        let request = ReadRequest { from: NO_NODE, entries: vec![Entry::default()] };
        reads.waiting.push_back((request, index));
        reads.heartbeat_context()
    }

    #[test]
    fn one_round_confirms_all_reads_before_it() {
        let voters = Joint { incoming: Majority([1, 2, 3].into()), ..Joint::default() };
        let mut reads = Reads::default();
        assert!(reads.heartbeat_context().is_empty());
        ask(&mut reads, 10);
        let second = ask(&mut reads, 11);
        let third = ask(&mut reads, 12);
        reads.acknowledge(1, &third);
        assert!(reads.take_confirmed(&voters).is_empty());
        reads.acknowledge(2, &second);
        let confirmed: Vec<u64> = reads.take_confirmed(&voters).iter().map(|(_, index)| *index).collect();
        assert_eq!(confirmed, [10, 11]);
        reads.acknowledge(2, &second);
        assert!(reads.take_confirmed(&voters).is_empty(), "an old answer says nothing about the third");
        reads.acknowledge(3, &third);
        assert_eq!(reads.take_confirmed(&voters).len(), 1);
    }

    #[test]
    fn answers_nobody_asked_for_confirm_nothing() {
        let voters = Joint { incoming: Majority([1, 2, 3].into()), ..Joint::default() };
        let mut reads = Reads::default();
        for context in [&b""[..], b"1234567", b"123456789", &[0xff; 8]] {
            reads.acknowledge(2, context);
            reads.acknowledge(3, context);
        }
        ask(&mut reads, 10);
        assert!(reads.take_confirmed(&voters).is_empty());
        assert_eq!(reads.take_confirmed(&Joint::default()).len(), 1, "without voters all are confirmed");
    }
}
