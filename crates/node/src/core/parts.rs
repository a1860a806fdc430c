//! What the boot hands over, and the core that is made from it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use consensus::{MemLog, RawNode};
use state::State;
use types::{ClusterId, MemberId, Moment, raft::HardState};
use watch::Hub;

use super::{
    Clock, Core,
    apply_queue::ApplyQueue,
    auto_compaction::AutoCompactor,
    change_queue::ChangeQueue,
    clock::Timers,
    compaction::Compaction,
    first_election::FirstElection,
    install::Installation,
    leases::LeaseDriver,
    maintenance,
    membership::Membership,
    meters,
    outbox::Outbox,
    persist::{Held, Persist},
    propose::Proposals,
    publish::Publisher,
    ranges,
    reads::Reads,
    request_id::RequestIds,
    stall::Stall,
    tokens::Tokens,
    transfer::Transfers,
    waiters::Waiters,
};
use crate::{
    api::Summary,
    backend_thread::BackendJob,
    config::{Config, TokenKind},
    inbox::Inbox,
    input::Input,
    log_thread::LogJob,
    peers::{PeerAddress, Peers},
    reader_thread::ReadJob,
    worker::Worker,
};

/// What the boot hands over to the core.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) member_id: MemberId,
    pub(crate) cluster_id: ClusterId,
    pub(crate) raft: RawNode<MemLog>,
    pub(crate) hard_state: HardState,
    pub(crate) state: State,
    /// The members of the running cluster that this one joins.
    pub(crate) joined: Vec<PeerAddress>,
    pub(crate) committed: bolt::Snapshot,
    pub(crate) held: Held,
    pub(crate) backend_size: (u64, u64),
    pub(crate) last_snapshot: u64,
    pub(crate) inbox: Arc<Inbox<Input>>,
    pub(crate) log: Worker<LogJob>,
    pub(crate) backend: Worker<BackendJob>,
    pub(crate) reader: Worker<ReadJob>,
    pub(crate) peers: Box<dyn Peers>,
    pub(crate) summary: Arc<Summary>,
    pub(crate) clock: Clock,
    pub(crate) published: std::sync::mpsc::SyncSender<()>,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Core {
        let Parts {
            config,
            member_id,
            cluster_id,
            raft,
            hard_state,
            state,
            joined,
            inbox,
            log,
            backend,
            reader,
            peers,
            ..
        } = parts;
        let now = parts.clock.now();
        let token_ttl = match config.tokens {
            TokenKind::Simple { ttl } => ttl,
            TokenKind::Signed | TokenKind::None => Duration::ZERO,
        };
        let limits = watch::Limits::for_request_bytes(config.request_bytes_max);
        let hub = Hub::new(limits, state.store().revision(), state.store().compacted());
        let mut core = Core {
            ids: RequestIds::new(member_id.0, parts.clock.unix_ms()),
            timers: Timers::new(now, &config),
            first_election: FirstElection::new(now, config.initial_election_tick_advance),
            persist: Persist::new(
                parts.committed,
                parts.held,
                parts.backend_size,
                parts.last_snapshot,
                hard_state,
            ),
            auto_compaction: AutoCompactor::new(config.auto_compaction, now),
            publisher: Publisher::new(parts.published),
            apply_queue: ApplyQueue::default(),
            applied_waits: Vec::new(),
            tokens: Tokens::new(token_ttl, parts.summary.holders().clone()),
            token_waits: Vec::new(),
            changes: ChangeQueue::default(),
            passed: super::passed::Passed::default(),
            membership: Membership::joining(joined),
            transfers: Transfers::default(),
            leader_known_since: Moment(0),
            member_id,
            cluster_id,
            raft,
            hard_state,
            state,
            hub,
            inbox,
            log,
            backend,
            reader,
            peers,
            outbox: Outbox::default(),
            summary: parts.summary,
            clock: parts.clock,
            now,
            proposals: Proposals::default(),
            waiters: Waiters::default(),
            reads: Reads::new(member_id.0, config.seed),
            leases: LeaseDriver::default(),
            compaction: Compaction::default(),
            stall: Stall::default(),
            installation: Installation::default(),
            streams: HashMap::new(),
            watch_effects: Vec::new(),
            ranges: ranges::Ranges::default(),
            meters: meters::Meters::default(),
            defragmentation: maintenance::Defragmentation::default(),
            written: None,
            stopping: None,
            config,
        };
        core.compaction.resume_if_needed(&core.state);
        if let Some((cluster, stored)) = core.state.cluster().version().zip(core.state.storage_version())
            && cluster < stored
        {
            // The last run ended before the log was cut.
            core.persist.lowered(core.state.applied());
        }
        core.refresh_watch_header();
        core.meter_facts();
        core
    }
}
