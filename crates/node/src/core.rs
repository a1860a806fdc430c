//! The core thread: consensus, apply, leases and watches, over batches of inputs.
//!
//! One turn: take every input that has arrived, handle each, run the timers that are due, then let raft say
//! what is to be written, sent and applied, until nothing is left to do at once; then deliver all answers.

mod applied_wait;
mod apply;
mod apply_queue;
mod auto_compaction;
mod calls;
mod change_queue;
mod clock;
mod compaction;
mod first_election;
mod identity;
mod install;
mod leases;
mod maintenance;
mod member_calls;
mod membership;
mod meters;
mod outbox;
mod parts;
mod passed;
mod peers;
mod persist;
mod propose;
mod publish;
mod raft;
mod raft_log;
mod ranges;
mod reads;
mod request_id;
mod revoked;
mod stall;
mod tokens;
mod told;
mod transfer;
mod waiters;
mod watches;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use consensus::{MemLog, RawNode};
use proto::etcdserverpb::ResponseHeader;
use state::State;
use telemetry::line;
use types::{ClusterId, MemberId, Moment, raft::HardState};
use watch::Hub;

use self::{
    applied_wait::AppliedWait, apply_queue::ApplyQueue, auto_compaction::AutoCompactor,
    change_queue::ChangeQueue, clock::Timers, compaction::Compaction, leases::LeaseDriver,
    membership::Membership, outbox::Outbox, persist::Persist, propose::Proposals, publish::Publisher,
    reads::Reads, request_id::RequestIds, transfer::Transfers, waiters::Waiters,
};
use crate::{
    api::{Caller, Error, Summary, watch::StreamId},
    backend_thread::BackendJob,
    config::Config,
    inbox::Inbox,
    input::{Input, ReplyBox},
    log_thread::LogJob,
    peers::Peers,
    reader_thread::ReadJob,
    worker::Worker,
};

pub(crate) use clock::Clock;
pub use clock::ToldTime;
pub(crate) use outbox::ReplyTo;
pub(crate) use parts::Parts;
pub(crate) use persist::Held;

/// Everything the core thread owns.
pub(crate) struct Core {
    config: Config,
    member_id: MemberId,
    cluster_id: ClusterId,
    raft: RawNode<MemLog>,
    /// Raft's hard state as last handed to the log thread.
    hard_state: HardState,
    state: State,
    hub: Hub,
    inbox: Arc<Inbox<Input>>,
    log: Worker<LogJob>,
    backend: Worker<BackendJob>,
    reader: Worker<ReadJob>,
    peers: Box<dyn Peers>,
    outbox: Outbox,
    summary: Arc<Summary>,
    clock: Clock,
    /// The time of this turn.
    now: Moment,
    timers: Timers,
    ids: RequestIds,
    proposals: Proposals,
    waiters: Waiters,
    reads: Reads,
    persist: Persist,
    leases: LeaseDriver,
    compaction: Compaction,
    stall: stall::Stall,
    installation: install::Installation,
    auto_compaction: AutoCompactor,
    publisher: Publisher,
    apply_queue: ApplyQueue,
    applied_waits: Vec<AppliedWait>,
    tokens: tokens::Tokens,
    token_waits: Vec<identity::TokenWait>,
    changes: ChangeQueue,
    passed: passed::Passed,
    membership: Membership,
    transfers: Transfers,
    first_election: first_election::FirstElection,
    /// Since when raft knows a leader that it did not know before.
    leader_known_since: Moment,
    /// Where frames of watch streams go.
    streams: HashMap<StreamId, OpenStream>,
    meters: meters::Meters,
    ranges: ranges::Ranges,
    /// Empty between turns; lends its memory to the hub's effects.
    watch_effects: Vec<watch::Effect>,
    defragmentation: maintenance::Defragmentation,
    /// What each entry wrote, by index, for who compares members; nobody does in a server.
    written: Option<Vec<(u64, Vec<types::Write>)>>,
    /// Why the core stops, once it does.
    stopping: Option<Stop>,
}

/// A watch stream as the core sees it.
struct OpenStream {
    mailbox: ReplyBox,
    caller: Caller,
    /// Who that was found to be when a watcher was created; `None` before, and without authentication.
    user: Option<String>,
    /// Requests that wait for the caller's token, in order.
    held: VecDeque<watch::Request>,
}

/// Why the core stops.
#[derive(Debug)]
enum Stop {
    /// It was asked to.
    Asked,
    /// It is no member any more.
    Removed,
    /// It cannot go on.
    Fault(String),
}

impl Core {
    /// Runs until it is told to stop, or cannot go on; the text says why then.
    pub(crate) fn run(mut self) -> Result<(), String> {
        self.begin();
        let mut inputs = Vec::new();
        while self.goes_on() {
            let patience = self.next_wake().since(self.clock.now());
            self.inbox.receive(&mut inputs, Some(patience));
            self.turn(&mut inputs);
        }
        self.answer_everybody();
        while self.last_turn(&mut inputs) {
            self.inbox.receive(&mut inputs, Some(persist::SEAL_POLL));
        }
        self.finish()
    }

    /// What comes before the first turn.
    pub(crate) fn begin(&mut self) {
        self.use_membership();
        // Applies what is committed already, the membership among it.
        self.advance();
        if self.state.cluster().voters().map(|member| member.id).eq([self.member_id]) {
            // Nobody else could win: there is nothing to wait for.
            self.check_raft(|raft| raft.campaign());
        }
    }

    /// Whether there are turns to come. Then come [`Core::answer_everybody`], last turns, and [`Core::finish`].
    pub(crate) fn goes_on(&self) -> bool {
        self.stopping.is_none()
    }

    /// One turn, with everything that has arrived; leaves `inputs` empty.
    pub(crate) fn turn(&mut self, inputs: &mut Vec<Input>) {
        self.now = self.clock.now();
        for input in inputs.drain(..) {
            self.handle(input);
        }
        self.run_timers();
        self.advance();
        self.outbox.flush();
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Call { mailbox, slot, caller, request } => {
                self.call(outbox::ReplyTo { mailbox, slot }, caller, request);
            }
            Input::RangeDropped(id) => self.ranges.forget(id),
            Input::ReadFailed(reason) => self.damaged(&reason),
            Input::PortOpened(mailbox) => self.outbox.register(&mailbox),
            Input::WatchOpened { mailbox, stream, caller } => self.watch_opened(mailbox, stream, caller),
            Input::Watch { stream, request } => self.watch_requested(stream, request),
            Input::WatchTaken { stream, frames } => self.hub.sent(stream, frames),
            Input::WatchClosed { stream } => self.watch_closed(stream),
            Input::Log(done) => self.log_done(done),
            Input::Backend(done) => self.backend_done(done),
            Input::Read(done) => self.read_done(done),
            Input::Peer(input) => self.peer_input(input),
            Input::Removed => self.leave(),
            Input::Stop => self.stop_asked(),
        }
    }

    /// Does everything that can be done now.
    fn advance(&mut self) {
        loop {
            self.publish_member();
            self.propose_gathered();
            self.pass_on();
            self.propose_changes();
            self.ask_read_index();
            if self.stopping.is_some() || !self.raft.has_ready() {
                break;
            }
            self.handle_ready();
        }
        self.serve_reads();
        self.step_compaction();
        self.seal_if_due();
        self.send_watch_effects();
        self.publish_summary();
    }

    /// Until when the core may sleep when nothing arrives.
    pub(crate) fn next_wake(&self) -> Moment {
        let mut next = self.timers.next();
        if let Some(at) = self.compaction.next_step() {
            next = next.min(at);
        }
        // Nothing is sealed while the state is about to be replaced: a batch that is due would not let the core sleep.
        if let Some(at) = self.persist.next_seal().filter(|_| !self.installation.is_running()) {
            next = next.min(at);
        }
        if let Some(at) = self.hub.next_tick() {
            next = next.min(at);
        }
        for at in
            [self.membership.next(), self.transfers.next(), self.first_election.next()].into_iter().flatten()
        {
            next = next.min(at);
        }
        next
    }

    fn run_timers(&mut self) {
        let now = self.now;
        let ticks = self.timers.ticks_due(now);
        self.tick_raft(ticks);
        self.hasten_first_election();
        if self.timers.housekeeping_due(now) {
            self.expire_waits();
            self.expire_passed(self.config.request_timeout());
            self.drive_leases();
            self.ranges.forget_idle(now);
            self.meter_turn();
            self.run_auto_compaction();
            self.propose_cluster_version();
            self.expire_transfers();
            self.expire_token_waits();
            self.tokens.expire(now);
            self.log.send(LogJob::SyncSide);
        }
        if self.timers.purge_due(now) {
            self.purge();
            self.meter_files();
        }
        self.leave_if_due();
        self.stop_if_handed_over();
        if self.hub.next_tick().is_some_and(|due| due <= now) {
            let begun = self.clock.now();
            self.hub.tick(now);
            let secs = self.clock.now().since(begun).as_secs_f64();
            telemetry::metrics().debugging_server_watch_send_loop_progress_duration_seconds.observe(secs);
        }
    }

    /// Runs something of raft that fails only when its store has failed.
    fn check_raft(&mut self, run: impl FnOnce(&mut RawNode<MemLog>) -> Result<(), consensus::Error>) {
        if let Err(error) = run(&mut self.raft) {
            self.fault(format!("raft cannot go on: {error}"));
        }
    }

    /// The member cannot go on. The first reason counts.
    fn fault(&mut self, reason: String) {
        if !matches!(self.stopping, Some(Stop::Fault(_))) {
            line!(Error, "the member stops", "error" => reason.clone());
            self.stopping = Some(Stop::Fault(reason));
        }
    }

    /// A whole header for an answer given now.
    fn header(&self) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.cluster_id.0,
            member_id: self.member_id.0,
            revision: self.state.store().revision(),
            raft_term: self.state.term(),
        }
    }

    /// Completes a header that apply left with a revision at most.
    fn fill(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.as_ref().map_or(0, |h| h.revision);
        let mut full = self.header();
        if revision != 0 {
            full.revision = revision;
        }
        *header = Some(full);
    }

    fn publish_summary(&self) {
        telemetry::metrics().server_proposals_pending.set(self.waiters.len() as i64);
        let status = self.raft.basic_status();
        self.summary.update(
            status.soft_state.leader,
            status.hard_state.term,
            status.hard_state.commit,
            self.state.applied(),
        );
        self.summary.set_auth_enabled(self.state.auth().is_enabled());
        self.summary.set_disk_stalled(self.disk_stalled());
    }

    fn is_leader(&self) -> bool {
        self.raft.leader() == self.member_id.0
    }

    /// Nobody who waits is left without an answer.
    pub(crate) fn answer_everybody(&mut self) {
        let applied_waits: Vec<_> = self.applied_waits.drain(..).map(AppliedWait::reply_to).collect();
        let token_waits = self.token_waits.drain(..).filter_map(identity::TokenWait::reply_to);
        let proposals = self.waiters.drain().into_iter().chain(applied_waits).chain(token_waits);
        for waiting in proposals.chain(self.reads.drain()).chain(self.transfers.drain()) {
            self.outbox.reply(waiting, Err(Error::Stopped));
        }
        self.outbox.flush();
    }

    /// One turn of what comes before the end: what the log and the backend report, and the last batch. `false` when
    /// everything applied is in the file, or cannot get there.
    pub(crate) fn last_turn(&mut self, inputs: &mut Vec<Input>) -> bool {
        let faulty = matches!(self.stopping, Some(Stop::Fault(_)));
        !faulty && self.seal_last(inputs)
    }

    /// Ends the workers and joins their threads.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        let result = match self.stopping.take() {
            Some(Stop::Fault(reason)) => Err(reason),
            Some(Stop::Asked | Stop::Removed) | None => Ok(()),
        };
        self.inbox.close();
        self.outbox.close();
        // The WAL first: the backend must never be ahead of it.
        self.log.send(LogJob::Stop);
        let log_ended = self.log.join();
        self.backend.send(BackendJob::Stop);
        let backend_ended = self.backend.join();
        self.reader.send(ReadJob::Stop);
        let reader_ended = self.reader.join();
        if log_ended && backend_ended && reader_ended {
            result
        } else {
            result.and(Err("a thread of the member has panicked".into()))
        }
    }
}
