//! The network between members: what a member's door collects, which ways are cut, how long a message takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use consensus::Message;
use node::{PeerAddress, Peers, SnapshotImage};
use types::MemberId;

use crate::{
    options::{MILLIS, Options},
    random::Random,
};

/// What the core of one member wants sent since the simulator looked last.
pub(crate) enum Sent {
    Message(Message),
    /// A database, with the message that belongs to it.
    Snapshot(Message, SnapshotImage),
}

/// One member's door, seen from both sides.
#[derive(Clone, Default)]
pub(crate) struct Door(Arc<Mutex<Post>>);

#[derive(Default)]
struct Post {
    sent: Vec<Sent>,
    peers: Vec<PeerAddress>,
    /// Who can be reached, and since when.
    active: BTreeMap<MemberId, Instant>,
}

impl Door {
    fn post(&self) -> MutexGuard<'_, Post> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was sent since the last call.
    pub(crate) fn take_sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.post().sent)
    }

    /// Says that `id` can be reached since then, or not at all.
    pub(crate) fn set_active(&self, id: MemberId, since: Option<Instant>) {
        let mut post = self.post();
        match since {
            Some(since) => _ = post.active.entry(id).or_insert(since),
            None => _ = post.active.remove(&id),
        }
    }
}

impl Peers for Door {
    fn send(&mut self, messages: Vec<Message>) {
        self.post().sent.extend(messages.into_iter().map(Sent::Message));
    }

    fn send_snapshot(&mut self, message: Message, file: SnapshotImage) {
        self.post().sent.push(Sent::Snapshot(message, file));
    }

    fn set_peers(&mut self, others: Vec<PeerAddress>) {
        self.post().peers = others;
    }

    fn active_since(&self, id: MemberId) -> Option<Instant> {
        self.post().active.get(&id).copied()
    }

    fn server_version(&self, id: MemberId) -> Option<String> {
        self.post().active.contains_key(&id).then(|| node::SERVER_VERSION.to_string())
    }
}

/// Which ways are cut, and how long the others take. Members are named by their place.
#[derive(Debug)]
pub(crate) struct Network {
    random: Random,
    /// Ways from one member to another on which nothing goes.
    cut: BTreeSet<(usize, usize)>,
    /// Ways on which much is lost, in parts per million.
    lossy: BTreeMap<(usize, usize), u64>,
    delay: u64,
    loss: u64,
    duplication: u64,
    reordering: u64,
}

impl Network {
    pub(crate) fn new(seed: u64, options: &Options) -> Network {
        Network {
            random: Random::stream(seed, "network"),
            cut: BTreeSet::new(),
            lossy: BTreeMap::new(),
            delay: options.delay,
            loss: options.loss,
            duplication: options.duplication,
            reordering: options.reordering,
        }
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to))
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    pub(crate) fn make_lossy(&mut self, from: usize, to: usize, parts_per_million: u64) {
        self.lossy.insert((from, to), parts_per_million);
    }

    /// Takes back all cuts and losses of single ways.
    pub(crate) fn mend(&mut self) {
        self.cut.clear();
        self.lossy.clear();
    }

    /// From now on nothing is lost, held up or sent twice.
    pub(crate) fn calm(&mut self) {
        self.mend();
        (self.loss, self.duplication, self.reordering) = (0, 0, 0);
    }

    /// How long each copy of a message takes; none when it is lost. Only what may be repeated arrives twice.
    pub(crate) fn ways(&mut self, from: usize, to: usize, may_repeat: bool) -> Vec<u64> {
        if self.is_cut(from, to) {
            return Vec::new();
        }
        let loss = self.lossy.get(&(from, to)).copied().unwrap_or(self.loss);
        if self.random.chance(loss) {
            return Vec::new();
        }
        let mut ways = vec![self.way()];
        if self.random.chance(self.duplication) && may_repeat {
            ways.push(self.way());
        }
        ways
    }

    fn way(&mut self) -> u64 {
        let usual = self.random.between(self.delay / 4, self.delay);
        if !self.random.chance(self.reordering) {
            return usual;
        }
        // Some stay for longer than anybody waits for them.
        let longest = if self.random.one_in(4) { 3_000 * MILLIS } else { 20 * self.delay + 300 * MILLIS };
        usual + self.random.between(MILLIS, longest)
    }
}
