//! One member: a node, its disk, and work that its threads have not done yet.

use std::collections::VecDeque;

use bytes::Bytes;
use consensus::{
    AppendWork, ApplyWork, ConfChangeV2, Config, Divergence, Error, Level, LogStore, MemLog, Message,
    RawNode, Ready, RoleKind,
};
use types::raft::{ConfState, Entry, EntryKind, Snapshot, SnapshotMeta};

use crate::{checks::Checks, cluster::Scenario};

/// A read that waits for its index.
pub(crate) struct Read {
    pub(crate) name: Bytes,
    /// What was applied somewhere when it was asked.
    pub(crate) at_least: u64,
}

pub(crate) struct Member {
    config: Config,
    /// What survives a crash.
    disk: MemLog,
    /// `None` while it is down.
    pub(crate) node: Option<RawNode<MemLog>>,
    appends: VecDeque<AppendWork>,
    applies: VecDeque<ApplyWork>,
    /// Entries applied to the state, which a crash loses and replay brings back.
    pub(crate) applied: u64,
    digest: u64,
    pub(crate) conf_state: ConfState,
    pub(crate) reads: Vec<Read>,
}

impl Member {
    pub(crate) fn new(id: u64, disk: MemLog, scenario: &Scenario) -> Member {
        let mut config = Config {
            async_storage_writes: scenario.asynchronous,
            check_quorum: scenario.guarded,
            pre_vote: scenario.guarded,
            step_down_on_removal: id.is_multiple_of(2),
            log_level: Level::Off,
            seed: id,
            ..Config::new(id)
        };
        if scenario.tiny {
            config.message_bytes_max = 20;
            config.committed_bytes_max = 30;
            config.inflight_messages_max = 2;
            config.inflight_bytes_max = 40;
            config.uncommitted_bytes_max = 200;
        }
        let mut member = Member {
            config,
            disk,
            node: None,
            appends: VecDeque::new(),
            applies: VecDeque::new(),
            applied: 0,
            digest: 0,
            conf_state: ConfState::default(),
            reads: Vec::new(),
        };
        member.start();
        member
    }

    pub(crate) fn disk(&self) -> &MemLog {
        &self.disk
    }

    /// Starts from the disk: the state is that of the snapshot, the rest is replayed.
    pub(crate) fn start(&mut self) {
        let snapshot = self.disk.last_snapshot();
        self.applied = snapshot.meta.index;
        self.digest = read_digest(&snapshot.data);
        self.conf_state = snapshot.meta.conf_state.clone();
        // The log may reach back before the snapshot.
        self.config.applied = self.applied;
        // Each start draws other timeouts.
        self.config.seed += 100;
        let node = RawNode::new(self.config.clone(), self.disk.clone());
        self.node = Some(node.expect("what was written can be read"));
    }

    /// Loses everything that is not on the disk.
    pub(crate) fn crash(&mut self) {
        self.node = None;
        self.appends.clear();
        self.applies.clear();
        self.reads.clear();
    }

    /// Runs an input, if the member is up, and checks what it may have become.
    pub(crate) fn input(
        &mut self,
        checks: &mut Checks,
        input: impl FnOnce(&mut RawNode<MemLog>) -> Result<(), Error>,
    ) {
        let Some(node) = &mut self.node else { return };
        match input(node) {
            Ok(()) | Err(Error::ProposalDropped | Error::UnknownPeer) => {}
            Err(
                error @ Error::Diverged(
                    Divergence::CommitBeyondLog { .. } | Divergence::CommittedEntry { .. },
                ),
            ) => {
                panic!("members never diverge: {error}")
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(node.fault(), None);
        if node.basic_status().soft_state.role == RoleKind::Leader {
            checks.leader(node);
        }
    }

    /// Takes one bundle of work; messages to be sent now.
    pub(crate) fn take_ready(&mut self, checks: &mut Checks) -> Vec<Message> {
        let Some(node) = &mut self.node else { return Vec::new() };
        if !node.has_ready() {
            return Vec::new();
        }
        let Ready { read_states, mut messages, append, apply, .. } = node.ready();
        for state in read_states {
            if let Some(at) = self.reads.iter().position(|read| read.name == state.context) {
                let read = self.reads.swap_remove(at);
                assert!(state.index >= read.at_least, "a read would miss what was applied before it");
            }
        }
        self.appends.extend(append);
        self.applies.extend(apply);
        if !self.config.async_storage_writes {
            self.append_all(checks);
            while self.apply_one(checks) {}
            self.input(checks, |node| {
                node.advance();
                Ok(())
            });
        }
        for snapshot in messages.iter_mut().filter_map(|message| message.snapshot.as_mut()) {
            **snapshot = self.snapshot().unwrap_or_else(|| (**snapshot).clone());
        }
        messages
    }

    /// The applied state as a snapshot. Sent instead of an older one, in whose configuration the receiver may
    /// not be yet; as etcd does.
    fn snapshot(&self) -> Option<Snapshot> {
        let (index, conf_state) = (self.applied, self.conf_state.clone());
        let term = self.node.as_ref()?.term(index).ok()?;
        let data = Bytes::copy_from_slice(&self.digest.to_le_bytes());
        Some(Snapshot { meta: SnapshotMeta { index, term, conf_state }, data })
    }

    fn append_all(&mut self, checks: &mut Checks) {
        while let Some(rest) = self.append_one(checks) {
            assert!(rest.is_empty(), "synchronous writes have no responses");
        }
    }

    /// Does the oldest write; messages that it allows to be sent. `None` when there is none to do.
    pub(crate) fn append_one(&mut self, checks: &mut Checks) -> Option<Vec<Message>> {
        let work = self.appends.pop_front()?;
        let node = self.node.as_mut()?;
        for log in [&mut self.disk, node.store_mut()] {
            if let Some(state) = work.hard_state {
                log.set_hard_state(state);
            }
            if let Some(snapshot) = &work.snapshot {
                log.apply_snapshot(snapshot.clone()).expect("snapshots only move forward");
            }
            log.append(work.entries.clone()).expect("entries follow the log");
        }
        let state = self.disk.hard_state();
        assert!(state.commit <= self.disk.last_index(), "the commit index is durable before its entries");
        if let Some(snapshot) = &work.snapshot {
            let stale: Vec<ApplyWork> = self.applies.drain(..).collect();
            stale.iter().filter_map(|work| work.ack.as_ref()).for_each(|ack| node.applied(ack));
            self.applied = snapshot.meta.index;
            self.digest = read_digest(&snapshot.data);
            self.conf_state = snapshot.meta.conf_state.clone();
            checks.snapshot(self.applied, self.digest);
        }
        let mut messages = Vec::new();
        self.input(checks, |node| {
            messages = node.persisted(work.responses, work.ack);
            Ok(())
        });
        Some(messages)
    }

    /// Applies the oldest bundle of committed entries; false when there is none to apply now.
    pub(crate) fn apply_one(&mut self, checks: &mut Checks) -> bool {
        let durable_commit = self.disk.hard_state().commit;
        let may_apply = |entry: &Entry| entry.kind == EntryKind::Normal || entry.index <= durable_commit;
        let Some(work) = self.applies.pop_front_if(|work| work.entries.iter().all(may_apply)) else {
            return false;
        };
        for entry in &work.entries {
            self.apply_entry(entry, checks);
        }
        self.input(checks, |node| {
            work.ack.iter().for_each(|ack| node.applied(ack));
            Ok(())
        });
        true
    }

    fn apply_entry(&mut self, entry: &Entry, checks: &mut Checks) {
        assert_eq!(entry.index, self.applied + 1, "entries are applied in order, each once");
        let node = self.node.as_mut().expect("a member that is down does not apply");
        if let Some(change) =
            ConfChangeV2::from_entry(entry).expect("only conf changes were proposed as such")
            && let Ok(conf_state) = node.apply_conf_change(change)
        {
            self.conf_state = conf_state;
        }
        self.applied = entry.index;
        let payload = entry.data.iter().fold(entry.term ^ entry.index << 32, |sum, &byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.digest = (self.digest ^ payload).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
        checks.applied(entry, self.digest);
    }

    /// Makes a snapshot of the applied state and forgets the log before it, but for `keep` entries.
    pub(crate) fn compact(&mut self, keep: u64) {
        let Some(node) = &mut self.node else { return };
        // Entries are applied before the commit index that covers them is durable; a restart needs both.
        let index = self.applied;
        if index > self.disk.hard_state().commit || index <= self.disk.last_snapshot().meta.index {
            return;
        }
        let data = Bytes::copy_from_slice(&self.digest.to_le_bytes());
        for log in [&mut self.disk, node.store_mut()] {
            log.create_snapshot(index, Some(self.conf_state.clone()), data.clone()).expect("a newer state");
            let _ = log.compact(index.saturating_sub(keep));
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        let ready = self.node.as_ref().is_some_and(RawNode::has_ready);
        !ready && self.appends.is_empty() && self.applies.is_empty()
    }
}

fn read_digest(data: &[u8]) -> u64 {
    data.try_into().map_or(0, u64::from_le_bytes)
}
