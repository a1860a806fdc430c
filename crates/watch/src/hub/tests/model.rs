//! Random histories against a model: each watcher must see exactly what a replay of all changes gives it.
//!
//! Checked at every reply, as etcd's robustness tests define it: ordered, unique, atomic (a revision in one reply),
//! resumable (from any revision not compacted), reliable (no gaps), bookmarkable (progress replies), filtered,
//! with right previous pairs, created first; and that progress replies, memory and compaction keep their promises.

use std::{collections::BTreeMap, time::Duration};

use mvcc::ChangeKind;
use proptest::prelude::*;
use proto::{
    etcdserverpb::WatchResponse,
    mvccpb::{self, event::EventType},
};
use types::{KeyRange, Revision};

use super::{
    backing::Backing,
    store::{Made, Op, Store},
    world::{INTERVAL, World},
};
use crate::{Create, Limits, Request, StreamId};

const KEYS: [&str; 5] = ["a", "ab", "b", "c", "d"];
const STREAMS: u64 = 3;
const WATCH_IDS: i64 = 6;
/// More than the largest reply in these tests, of one revision with previous pairs.
const REPLY_BYTES: usize = 1500;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Op>),
    /// `start` is relative to the head; `None`: from now on.
    Create {
        stream: u64,
        start: Option<i64>,
        create: Create,
    },
    Cancel {
        stream: u64,
        watch_id: i64,
    },
    Progress {
        stream: u64,
    },
    /// The network takes some frames.
    Take {
        stream: u64,
        frames: usize,
    },
    CatchUp,
    FinishRead,
    /// The real store commits, and goes on with compaction for some steps.
    Commit {
        steps: usize,
    },
    /// Up to so many revisions below the head.
    Compact {
        below: i64,
    },
    Tick,
    Reopen {
        stream: u64,
    },
    /// A snapshot install: transactions that only the store sees, then perhaps a compaction.
    Install {
        writes: Vec<Vec<Op>>,
        compact_below: Option<i64>,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = prop::sample::select(&KEYS[..]);
    let op = prop_oneof![
        3 => (key.clone(), "[xyz]{0,60}").prop_map(|(key, value)| Op::Put(key, value)),
        1 => key.prop_map(Op::Delete),
    ];
    prop::collection::vec(op, 1..5).prop_map(|mut ops| {
        // More than two of one key could not be told apart once compaction has taken some of them.
        let mut times = BTreeMap::new();
        ops.retain(|(Op::Put(key, _) | Op::Delete(key))| {
            let times = times.entry(*key).or_insert(0);
            *times += 1;
            *times <= 2
        });
        ops
    })
}

fn range() -> impl Strategy<Value = KeyRange> {
    let bounds =
        [("a", ""), ("b", ""), ("ab", ""), ("a", "b"), ("a", "c"), ("b", "\0"), ("\0", "\0"), ("c", "d")];
    prop::sample::select(bounds.to_vec()).prop_map(|(key, end)| KeyRange::new(key, end))
}

fn create() -> impl Strategy<Value = Create> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), 0..6);
    (range(), 0..WATCH_IDS, flags).prop_map(
        |(range, watch_id, (prev_kv, fragment, progress_notify, filter))| Create {
            range,
            watch_id,
            prev_kv,
            fragment,
            progress_notify,
            no_put: filter == 1,
            no_delete: filter == 2,
            start_revision: 0,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let stream = || 0..STREAMS;
    prop_oneof![
        12 => ops().prop_map(Step::Write),
        5 => (stream(), prop::option::weighted(0.7, -8_i64..3), create())
            .prop_map(|(stream, start, create)| Step::Create { stream, start, create }),
        2 => (stream(), 0..WATCH_IDS).prop_map(|(stream, watch_id)| Step::Cancel { stream, watch_id }),
        3 => stream().prop_map(|stream| Step::Progress { stream }),
        6 => (stream(), 0_usize..6).prop_map(|(stream, frames)| Step::Take { stream, frames }),
        8 => Just(Step::CatchUp),
        5 => Just(Step::FinishRead),
        2 => (0_i64..8).prop_map(|below| Step::Compact { below }),
        3 => (0_usize..4).prop_map(|steps| Step::Commit { steps }),
        1 => Just(Step::Tick),
        1 => stream().prop_map(|stream| Step::Reopen { stream }),
        1 => (prop::collection::vec(ops(), 0..8), prop::option::of(0_i64..6))
            .prop_map(|(writes, compact_below)| Step::Install { writes, compact_below }),
    ]
}

/// Limits so small that every path is taken.
fn limits() -> impl Strategy<Value = Limits> {
    let sizes = (100_usize..3000, 0_usize..2000, 0_usize..8, 1_usize..800, 0_usize..4);
    (sizes, 1_usize..5, 1_usize..400).prop_map(|((stream, recent, revisions, slice, inline), reply, prev)| {
        Limits {
            fragment_bytes: 150,
            stream_bytes_max: stream,
            stream_bytes_floor: stream / 3,
            queued_bytes_max: stream * 2,
            recent_bytes_max: recent,
            recent_revisions_max: revisions,
            slice_bytes_max: slice,
            slice_rows_max: slice / 50 + 1,
            prev_rows_inline_max: inline,
            prev_bytes_max: prev,
            reply_bytes_max: slice,
            reply_revisions_max: reply,
        }
    })
}

/// A watcher as its client sees it.
#[derive(Debug)]
struct Seen {
    create: Create,
    /// Revision of the last event; before the first: just below what was asked for.
    last: Revision,
    created: bool,
    /// Cut off by compaction.
    compacted: bool,
    /// Header of the parts so far, while more are to come.
    parts: Option<i64>,
}

impl Seen {
    /// Whether the client has everything up to a main revision, but what compaction may have taken.
    fn is_settled(&self, store: &Store, to: i64) -> bool {
        self.owed(store, to).iter().all(|made| store.may_be_gone(made))
    }

    /// What the client is still owed, up to a main revision.
    fn owed<'a>(&self, store: &'a Store, to: i64) -> Vec<&'a Made> {
        if to < self.last.main {
            return Vec::new();
        }
        (store.history.range(self.last.main..=to).flat_map(|(_, made)| made))
            .filter(|made| made.change.revision > self.last && self.wants(made))
            .collect()
    }

    fn wants(&self, made: &Made) -> bool {
        let dropped = match made.change.kind {
            ChangeKind::Put => self.create.no_put,
            ChangeKind::Delete => self.create.no_delete,
        };
        self.create.range.contains(&made.change.key) && !dropped
    }

    fn events(&mut self, store: &Store, reply: &WatchResponse) {
        let revision = reply.header.as_ref().unwrap().revision;
        assert!(revision <= store.head);
        for event in &reply.events {
            let is_it = |made: &&&Made| Some(&made.kv) == event.kv.as_ref() && kind(made) == event.r#type();
            let owed = self.owed(store, revision);
            let made =
                owed.iter().find(|made| is_it(made) || !store.may_be_gone(made)).expect("more than there is");
            assert!(is_it(&made), "{event:?} in place of {made:?}");
            let before = store.pair_before(&made.change.key, Revision::new(made.change.revision.main, 0));
            let prev = before.filter(|_| self.create.prev_kv && !is_create(event)).map(|made| &made.kv);
            let may_be_gone = made.change.revision.main - 1 < store.compacted;
            assert!(event.prev_kv.as_ref() == prev || (may_be_gone && event.prev_kv.is_none()), "{event:?}");
            self.last = made.change.revision;
        }
        assert!(!reply.fragment || self.create.fragment);
        assert_eq!(self.parts.unwrap_or(revision), revision, "parts have the same header");
        self.parts = reply.fragment.then_some(revision);
        if !reply.fragment {
            assert!(self.is_settled(store, self.last.main), "a revision comes in one reply");
        }
    }

    /// A progress reply vouches for everything up to `revision`.
    fn progress(&self, store: &Store, revision: i64) {
        assert!(self.created && !self.compacted && self.parts.is_none());
        assert!(self.create.start_revision <= revision, "progress before the start");
        assert!(self.is_settled(store, revision), "progress ahead of events");
    }
}

fn kind(made: &Made) -> EventType {
    if made.change.kind == ChangeKind::Delete { EventType::Delete } else { EventType::Put }
}

fn is_create(event: &mvccpb::Event) -> bool {
    let kv = event.kv.as_ref().unwrap();
    event.r#type() == EventType::Put && kv.create_revision == kv.mod_revision
}

/// A client stream: its watchers, and the creates that are not answered yet.
#[derive(Debug, Default)]
struct Client {
    watchers: BTreeMap<i64, Seen>,
    asked: std::collections::VecDeque<Create>,
    last_progress: i64,
}

impl Client {
    fn receive(&mut self, store: &Store, reply: &WatchResponse) {
        let revision = reply.header.as_ref().unwrap().revision;
        if reply.created {
            return self.created(reply, revision);
        }
        if reply.watch_id == -1 {
            assert!(revision >= self.last_progress && !self.watchers.is_empty());
            self.last_progress = revision;
            return self.watchers.values().for_each(|seen| seen.progress(store, revision));
        }
        let seen =
            self.watchers.get_mut(&reply.watch_id).expect("replies are for watchers that were created");
        if reply.compact_revision != 0 {
            assert!(
                reply.canceled && revision == 0 && reply.cancel_reason.is_empty() && reply.events.is_empty()
            );
            assert!(reply.compact_revision <= store.compacted && !seen.compacted);
            seen.compacted = true;
        } else if reply.canceled {
            self.watchers.remove(&reply.watch_id);
        } else if reply.events.is_empty() {
            assert!(seen.create.progress_notify);
            seen.progress(store, revision);
        } else {
            assert!(!seen.compacted, "nothing after the end");
            seen.events(store, reply);
        }
    }

    fn created(&mut self, reply: &WatchResponse, revision: i64) {
        let create = self.asked.pop_front().expect("each create is answered once");
        if reply.canceled {
            assert_eq!(reply.watch_id, -1);
            return;
        }
        let start = if create.start_revision == 0 { revision + 1 } else { create.start_revision };
        let last = Revision::new(start, -1);
        let seen = Seen { create, last, created: true, compacted: false, parts: None };
        assert!(self.watchers.insert(reply.watch_id, seen).is_none(), "two watchers of one number");
    }
}

struct Run {
    world: World,
    clients: BTreeMap<StreamId, Client>,
    next_stream: u64,
    /// Which stream a step's number stands for.
    streams: Vec<StreamId>,
}

impl Run {
    fn new(limits: Limits, real: bool) -> Run {
        let mut run = Run {
            world: World::new(limits),
            clients: BTreeMap::new(),
            next_stream: 0,
            streams: vec![StreamId::default(); STREAMS as usize],
        };
        run.world.store.real = real.then(Backing::new);
        (0..STREAMS).for_each(|stream| run.open(stream));
        run
    }

    fn open(&mut self, stream: u64) {
        let id = self.world.open(self.next_stream);
        self.next_stream += 1;
        self.streams[stream as usize] = id;
        self.clients.insert(id, Client::default());
    }

    fn take(&mut self, stream: StreamId, frames: usize) -> usize {
        let replies = self.world.take(stream, frames);
        let client = self.clients.get_mut(&stream).unwrap();
        replies.iter().for_each(|reply| client.receive(&self.world.store, reply));
        replies.len()
    }

    fn step(&mut self, step: Step) {
        let head = self.world.store.head;
        let id = |stream: u64| self.streams[stream as usize];
        match step {
            Step::Write(ops) => self.world.write(&ops),
            Step::Create { stream, start, mut create } => {
                create.start_revision = start.map_or(0, |start| (head + start).max(0));
                let stream = id(stream);
                self.clients.get_mut(&stream).unwrap().asked.push_back(create.clone());
                self.world.create(stream, create);
            }
            Step::Cancel { stream, watch_id } => self.world.cancel(id(stream), watch_id),
            Step::Progress { stream } => self.world.ask(id(stream), Request::Progress),
            Step::Take { stream, frames } => _ = self.take(id(stream), frames),
            Step::CatchUp => self.world.catch_up(),
            Step::FinishRead => self.world.finish_read(),
            Step::Compact { below } => {
                if head - below > self.world.store.compacted {
                    self.world.compact(head - below);
                }
            }
            Step::Commit { steps } => {
                if let Some(real) = &mut self.world.store.real {
                    real.commit(steps);
                }
            }
            Step::Tick => self.world.advance(INTERVAL + Duration::from_secs(1)),
            Step::Reopen { stream } => {
                let old = id(stream);
                self.world.close(old);
                self.clients.remove(&old);
                self.open(stream);
            }
            Step::Install { writes, compact_below } => self.install(&writes, compact_below),
        }
        self.check_memory();
    }

    fn install(&mut self, writes: &[Vec<Op>], compact_below: Option<i64>) {
        let store = &mut self.world.store;
        for ops in writes {
            store.write(ops);
        }
        if let Some(below) = compact_below {
            let revision = store.head - below;
            if revision > store.compacted {
                store.compact(revision);
            }
        }
        self.world.hub.reset(store.head, store.compacted);
        self.world.read = None;
        self.world.collect();
    }

    /// A stream holds at most its budget and one reply, besides the answers to its own requests.
    fn check_memory(&self) {
        for stream in &self.streams {
            let wire = &self.world.wires[stream];
            let queued: usize = wire.iter().filter(|frame| frame.events() > 0).map(|f| f.encoded_len()).sum();
            assert!(queued <= self.world.limits.stream_bytes_max + REPLY_BYTES, "{queued}");
        }
    }

    /// Reads everything, and checks that nobody is owed anything.
    fn finish(&mut self) {
        for stream in self.streams.clone() {
            loop {
                self.world.settle();
                if self.take(stream, 3) == 0 {
                    break;
                }
            }
        }
        let head = self.world.store.head;
        for stream in self.streams.clone() {
            let client = &self.clients[&stream];
            assert!(client.asked.is_empty());
            for seen in client.watchers.values().filter(|seen| !seen.compacted) {
                assert!(seen.is_settled(&self.world.store, head) && seen.parts.is_none());
            }
            let synced = !client.watchers.is_empty()
                && client.watchers.values().all(|seen| !seen.compacted && seen.create.start_revision <= head);
            self.world.ask(stream, Request::Progress);
            assert_eq!(
                self.take(stream, usize::MAX),
                usize::from(synced),
                "progress is answered when all are synced"
            );
        }
        assert_eq!((self.world.hub.stats().lagging, self.world.hub.stats().bytes_queued), (0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn watchers_see_what_a_replay_gives(limits in limits(), steps in prop::collection::vec(step(), 1..150)) {
        run(limits, steps, false);
    }

    #[test]
    fn the_real_store_gives_the_same(limits in limits(), steps in prop::collection::vec(step(), 1..100)) {
        run(limits, steps, true);
    }
}

fn run(limits: Limits, steps: Vec<Step>, real: bool) {
    let mut run = Run::new(limits, real);
    for step in steps {
        run.step(step);
    }
    run.finish();
}

/// `WATCH_MODEL_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("WATCH_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}
