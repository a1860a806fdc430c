//! The network between members: what a member's door collects, which ways are cut, how long a message takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use consensus::{Message, MessageKind};
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
    /// What is not held up stays in order.
    ordered: bool,
    /// A member to which messages are held up more often, how often, and until when.
    late: (usize, u64, u64),
    /// When the last message of a way arrives.
    last: BTreeMap<(usize, usize), u64>,
    /// Until when an append is held up on a way.
    held: BTreeMap<(usize, usize), u64>,
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
            ordered: options.ordered,
            late: (0, 0, 0),
            last: BTreeMap::new(),
            held: BTreeMap::new(),
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

    /// Holds up messages to that member, in parts per million, until then.
    pub(crate) fn make_late(&mut self, to: usize, parts_per_million: u64, until: u64) {
        self.late = (to, parts_per_million, until);
    }

    /// Takes back all cuts and losses of single ways.
    pub(crate) fn mend(&mut self) {
        self.cut.clear();
        self.lossy.clear();
    }

    /// From now on nothing is lost, held up or sent twice.
    pub(crate) fn calm(&mut self) {
        self.mend();
        self.late = (0, 0, 0);
        (self.loss, self.duplication, self.reordering) = (0, 0, 0);
    }

    /// When each copy of a message that is sent now arrives; none when it is lost. Proposals never arrive twice: a
    /// transport over TCP gives up what it is not sure of, and raft counts on that, in etcd too.
    pub(crate) fn arrivals(&mut self, now: u64, from: usize, to: usize, kind: MessageKind) -> Vec<u64> {
        if self.is_lost(from, to) {
            return Vec::new();
        }
        let way = (from, to);
        let usual = now + self.random.between(self.delay / 4, self.delay);
        // Appends that overtake each other are rejected one by one, and each rejection sends what is behind it anew. A
        // connection does not do that to its messages, so one at a time is enough.
        let may_wait = kind != MessageKind::Append || self.held.get(&way).is_none_or(|until| *until < now);
        let first = match self.held_up(now, to).filter(|_| may_wait) {
            Some(more) if kind == MessageKind::Append => {
                *self.held.entry(way).insert_entry(usual + more).get()
            }
            Some(more) => usual + more,
            None if self.ordered => {
                let last = self.last.entry(way).or_default();
                *last = usual.max(*last + 1);
                *last
            }
            None => usual,
        };
        let mut arrivals = vec![first];
        if self.random.chance(self.duplication) && kind != MessageKind::Propose {
            let more = self.held_up(now, to).unwrap_or_default();
            arrivals.push(now + self.random.between(self.delay / 4, self.delay) + more);
        }
        arrivals
    }

    /// When a database arrives; `None` when it is lost.
    pub(crate) fn arrival_of_database(&mut self, now: u64, from: usize, to: usize) -> Option<u64> {
        if self.is_lost(from, to) {
            return None;
        }
        let more = self.held_up(now, to).unwrap_or_default();
        Some(now + 10 * (self.random.between(self.delay / 4, self.delay) + more))
    }

    fn is_lost(&mut self, from: usize, to: usize) -> bool {
        let loss = self.lossy.get(&(from, to)).copied().unwrap_or(self.loss);
        self.is_cut(from, to) || self.random.chance(loss)
    }

    /// For how long more than usual, if it is: some stay for longer than anybody waits for them.
    fn held_up(&mut self, now: u64, to: usize) -> Option<u64> {
        let (late, often, until) = self.late;
        let often = if late == to && now < until { often.max(self.reordering) } else { self.reordering };
        if !self.random.chance(often) {
            return None;
        }
        let longest = if self.random.one_in(4) { 3_000 * MILLIS } else { 20 * self.delay + 300 * MILLIS };
        Some(self.random.between(MILLIS, longest))
    }
}
