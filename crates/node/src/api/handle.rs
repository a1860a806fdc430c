//! The member as the rest of the process holds it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use proto::etcdserverpb::AlarmMember;
use types::{ClusterId, MemberId};

use super::{Port, holders::Holders};
use crate::{config::Config, inbox::Inbox, input::Input, peers::PeerInput, release::Release};

/// Figures that anybody may read at any time without asking the core.
#[derive(Debug, Default)]
pub struct Summary {
    /// Fixed at start.
    pub member_id: MemberId,
    /// Fixed at start.
    pub cluster_id: ClusterId,
    /// The member's name.
    pub name: String,
    /// What this member is to the others.
    pub release: Release,
    leader: AtomicU64,
    term: AtomicU64,
    committed: AtomicU64,
    applied: AtomicU64,
    learner: AtomicBool,
    damaged: AtomicBool,
    auth_enabled: AtomicBool,
    /// Milliseconds; 0 = it does not.
    disk_stalled: AtomicU64,
    texts: Mutex<Texts>,
    holders: Holders,
}

/// What changes rarely.
#[derive(Debug, Default)]
struct Texts {
    cluster_version: Option<String>,
    storage_version: Option<String>,
    alarms: Vec<AlarmMember>,
}

impl Summary {
    pub(crate) fn new(member_id: MemberId, cluster_id: ClusterId, config: &Config) -> Summary {
        let (name, release) = (config.name.clone(), config.release);
        Summary { member_id, cluster_id, name, release, ..Summary::default() }
    }

    /// The leader this member knows; `None` when it knows none.
    pub fn leader(&self) -> Option<MemberId> {
        Some(MemberId(self.leader.load(Ordering::Relaxed))).filter(|id| id.0 != 0)
    }

    /// Raft's term.
    pub fn term(&self) -> u64 {
        self.term.load(Ordering::Relaxed)
    }

    /// Highest committed index, inclusive.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Highest applied index, inclusive.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// Whether this member is a learner.
    pub fn is_learner(&self) -> bool {
        self.learner.load(Ordering::Relaxed)
    }

    /// Whom a simple token was made out to, as far as this member knows. Says nothing about whether it still counts.
    pub fn user_of_token(&self, token: &str) -> Option<String> {
        self.holders.user_of(token).map(|user| user.to_string())
    }

    pub(crate) fn holders(&self) -> &Holders {
        &self.holders
    }

    /// Whether users have to show who they are.
    pub fn auth_enabled(&self) -> bool {
        self.auth_enabled.load(Ordering::Relaxed)
    }

    /// For how long the disk has not finished a write of the log, once that is longer than an election timeout.
    pub fn disk_stalled(&self) -> Option<Duration> {
        let millis = self.disk_stalled.load(Ordering::Relaxed);
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// The cluster version `X.Y.0`; `None` until it is decided.
    pub fn cluster_version(&self) -> Option<String> {
        self.texts().cluster_version.clone()
    }

    /// The storage version `X.Y.0`; `None` when unknown.
    pub fn storage_version(&self) -> Option<String> {
        self.texts().storage_version.clone()
    }

    /// The alarms that are on.
    pub fn alarms(&self) -> Vec<AlarmMember> {
        self.texts().alarms.clone()
    }

    fn texts(&self) -> MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_versions(&self, cluster: Option<String>, storage: Option<String>) {
        let mut texts = self.texts();
        texts.cluster_version = cluster;
        texts.storage_version = storage;
    }

    /// Whether the member stopped, or is about to, because its database is damaged: its next start repairs it.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    pub(crate) fn set_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_learner(&self, learner: bool) {
        self.learner.store(learner, Ordering::Relaxed);
    }

    pub(crate) fn set_auth_enabled(&self, enabled: bool) {
        self.auth_enabled.store(enabled, Ordering::Relaxed);
    }

    pub(crate) fn set_disk_stalled(&self, stalled: Option<Duration>) {
        let millis = stalled.map_or(0, |stalled| u64::try_from(stalled.as_millis()).unwrap_or(u64::MAX));
        self.disk_stalled.store(millis, Ordering::Relaxed);
    }

    pub(crate) fn set_alarms(&self, alarms: Vec<AlarmMember>) {
        self.texts().alarms = alarms;
    }

    pub(crate) fn update(&self, leader: u64, term: u64, committed: u64, applied: u64) {
        self.leader.store(leader, Ordering::Relaxed);
        self.term.store(term, Ordering::Relaxed);
        self.committed.store(committed, Ordering::Relaxed);
        self.applied.store(applied, Ordering::Relaxed);
    }
}

/// A running member.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    pub(crate) inbox: Arc<Inbox<Input>>,
    pub(crate) summary: Arc<Summary>,
    /// Watch streams opened so far, over all ports.
    streams: Arc<AtomicU64>,
}

impl NodeHandle {
    pub(crate) fn new(inbox: Arc<Inbox<Input>>, summary: Arc<Summary>) -> NodeHandle {
        NodeHandle { inbox, summary, streams: Arc::default() }
    }

    /// A door for the calling network thread.
    pub fn port(&self) -> Port {
        Port::new(Arc::clone(&self.inbox), Arc::clone(&self.streams))
    }

    /// Hands over what the network says. `false` when the member has stopped.
    ///
    /// The transport bounds what it has on the way: it hands over one batch of a connection at a time.
    pub fn peer_input(&self, input: PeerInput) -> bool {
        self.inbox.send(Input::Peer(input)).is_ok()
    }

    /// Another member says that this one was removed from the cluster for good: it stops.
    pub fn removed(&self) {
        // Refused when it has stopped already.
        let _ = self.inbox.send(Input::Removed);
    }

    /// Figures to read without asking the core.
    pub fn summary(&self) -> Arc<Summary> {
        Arc::clone(&self.summary)
    }
}
