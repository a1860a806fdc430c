//! The read barrier: reads of one turn share one ReadIndex round (contract/semantics.md 2.10).

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use types::{
    Moment,
    mutant::{self, Mutant},
};

use super::{Core, outbox::ReplyTo, request_id::RequestIds};
use crate::api::{Caller, Error, call::Request};

/// Without an answer for this long a round is asked for again, under a new name.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Spreads a seed over the high bits of a product.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A read that must not be older than this moment.
#[derive(Debug)]
pub(crate) struct PendingRead {
    pub(crate) reply_to: ReplyTo,
    /// Judged when the read is executed.
    pub(crate) caller: Caller,
    pub(crate) request: Request,
    deadline: Moment,
}

/// Reads between their arrival and their execution.
#[derive(Debug)]
pub(crate) struct Reads {
    /// Arrived since the running round was begun: they need the next one.
    waiting: Vec<PendingRead>,
    /// The running round.
    round: Option<Round>,
    /// Index known; run once it is applied. Ascending.
    confirmed: VecDeque<(u64, Vec<PendingRead>)>,
    /// Names of rounds. None is used twice, so that a late answer confirms nothing: not by another member, since a
    /// leader may know them by their names alone, and not after a restart, since a leader that waits for its quorum
    /// answers what was asked before it.
    names: RequestIds,
}

#[derive(Debug)]
struct Round {
    nonce: u64,
    asked_at: Moment,
    reads: Vec<PendingRead>,
}

impl Reads {
    /// No reads yet. `seed` is another one in each life of the member; what names are used twice is no matter of clocks.
    pub(crate) fn new(member_id: u64, seed: u64) -> Reads {
        let seed = if mutant::is_on(Mutant::ReadNamesAgain) { 0 } else { seed };
        Reads {
            waiting: Vec::new(),
            round: None,
            confirmed: VecDeque::new(),
            names: RequestIds::new(member_id, seed.wrapping_mul(SPREAD) >> 24),
        }
    }

    /// Takes everybody.
    pub(crate) fn drain(&mut self) -> Vec<ReplyTo> {
        let round = self.round.take().map(|round| round.reads).unwrap_or_default();
        let confirmed = self.confirmed.drain(..).flat_map(|(_, reads)| reads);
        self.waiting.drain(..).chain(round).chain(confirmed).map(|read| read.reply_to).collect()
    }

    fn drop_late(reads: &mut Vec<PendingRead>, now: Moment, late: &mut Vec<ReplyTo>) {
        // Deadlines are equally far: the late ones stand in front.
        let count = reads.iter().take_while(|read| read.deadline <= now).count();
        late.extend(reads.drain(..count).map(|read| read.reply_to));
    }
}

impl Core {
    /// Queues a read behind the barrier.
    pub(super) fn read_after_barrier(&mut self, reply_to: ReplyTo, caller: Caller, request: Request) {
        let deadline = self.now + self.config.request_timeout();
        self.reads.waiting.push(PendingRead { reply_to, caller, request, deadline });
    }

    /// Begins a round when reads wait and none runs, or repeats one that got no answer.
    pub(super) fn ask_read_index(&mut self) {
        let now = self.now;
        let old_name = self.reads.round.as_ref().map(|round| round.nonce);
        match &mut self.reads.round {
            None if self.reads.waiting.is_empty() => return,
            None => {
                let reads = std::mem::take(&mut self.reads.waiting);
                self.reads.round = Some(Round { nonce: 0, asked_at: now, reads });
            }
            Some(round) if now.since(round.asked_at) < RETRY_AFTER => return,
            Some(round) => {
                telemetry::metrics().server_slow_read_indexes_total.inc();
                // Whoever waits may as well join: the new question is asked after their arrival.
                round.reads.append(&mut self.reads.waiting);
            }
        }
        let nonce = match old_name {
            Some(nonce) if mutant::is_on(Mutant::ReadNameReused) => nonce,
            _ => self.reads.names.next(),
        };
        let round = self.reads.round.as_mut().expect("set above");
        round.nonce = nonce;
        round.asked_at = now;
        self.raft.read_index(Bytes::copy_from_slice(&nonce.to_be_bytes()));
    }

    /// Raft has confirmed a round.
    pub(super) fn read_index_known(&mut self, context: &[u8], index: u64) {
        let ours = self.reads.round.take_if(|round| context == round.nonce.to_be_bytes());
        if let Some(round) = ours {
            self.reads.confirmed.push_back((index, round.reads));
        }
    }

    /// Runs the reads whose index is applied, then begins the next round if anybody waits.
    pub(super) fn serve_reads(&mut self) {
        loop {
            while self.reads.confirmed.front().is_some_and(|(index, _)| *index <= self.state.applied()) {
                let (_, reads) = self.reads.confirmed.pop_front().expect("looked at");
                for read in reads {
                    self.run_read(read.reply_to, read.caller, read.request);
                }
            }
            if self.reads.round.is_some() || self.reads.waiting.is_empty() || self.stopping.is_some() {
                return;
            }
            self.ask_read_index();
            if !self.raft.has_ready() {
                return;
            }
            while self.stopping.is_none() && self.raft.has_ready() {
                self.handle_ready();
            }
        }
    }

    /// A round that was asked of the old leader may never be answered: ask again at once.
    pub(super) fn leader_changed(&mut self) {
        if let Some(round) = &mut self.reads.round {
            round.asked_at = Moment(0);
        }
    }

    pub(super) fn expire_reads(&mut self) {
        let now = self.now;
        let mut late = Vec::new();
        Reads::drop_late(&mut self.reads.waiting, now, &mut late);
        if let Some(round) = &mut self.reads.round {
            Reads::drop_late(&mut round.reads, now, &mut late);
        }
        for (_, reads) in &mut self.reads.confirmed {
            Reads::drop_late(reads, now, &mut late);
        }
        for reply_to in late {
            telemetry::metrics().server_read_indexes_failed_total.inc();
            self.outbox.reply(reply_to, Err(Error::Timeout));
        }
    }
}
