//! What a delivered event costs. Run with `cargo test -p watch cost -- --ignored --nocapture --test-threads=1`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use mvcc::Change;
use types::{KeyRange, Moment};

use super::{
    store::Store,
    world::{FACTS, INTERVAL, on, put},
};
use crate::{Create, Effect, Hub, Limits, Request, StreamId};

struct Bench {
    hub: Hub,
    effects: Vec<Effect>,
    store: Store,
}

impl Bench {
    fn new(streams: u64) -> Bench {
        let mut hub = Hub::new(Limits::default(), 1, -1);
        hub.set_header_facts(FACTS);
        (0..streams).for_each(|stream| hub.open_stream(StreamId(stream), INTERVAL, Moment(0)));
        Bench { hub, effects: Vec::new(), store: Store::new() }
    }

    /// Creates watchers round robin over the streams.
    fn watch(&mut self, streams: u64, count: u64, create: impl Fn(u64) -> Create) -> Duration {
        let start = Instant::now();
        for number in 0..count {
            let request = Request::Create(create(number));
            self.hub.request(StreamId(number % streams), request, Ok(()));
        }
        let spent = start.elapsed();
        self.deliver();
        spent
    }

    /// Takes the effects and reports all frames as sent. Returns the events.
    fn deliver(&mut self) -> usize {
        self.hub.take_effects(&mut self.effects);
        let mut events = 0;
        for effect in self.effects.drain(..) {
            let Effect::Send { stream, frame } = effect else { continue };
            events += black_box(&frame).events();
            self.hub.sent(stream, 1);
        }
        events
    }

    /// Changes of `count` revisions that put `value` to the key of each number.
    fn changes(&mut self, count: u64, key: impl Fn(u64) -> &'static str) -> Vec<Vec<Change>> {
        let value = "v".repeat(256);
        (0..count)
            .map(|number| {
                let changes = self.store.write(&[put(key(number), &value)]);
                // The naive store is slow with a long history; these measurements need none.
                self.store.history.clear();
                changes
            })
            .collect()
    }

    fn report(&mut self, name: &str, changes: &[Vec<Change>]) {
        let (mut notify, mut events) = (Duration::ZERO, 0);
        let all = Instant::now();
        for changes in changes {
            let start = Instant::now();
            self.hub.notify(changes, &self.store).unwrap();
            notify += start.elapsed();
            events += self.deliver();
        }
        let all = all.elapsed();
        let per_event = |time: Duration| time.as_nanos() as f64 / events as f64;
        println!(
            "{name}: {events} events, {:.1} ns an event in notify, {:.1} ns with the effects carried out, {:.0} ns a revision",
            per_event(notify),
            per_event(all),
            notify.as_nanos() as f64 / changes.len() as f64,
        );
        assert!(events > 0);
    }
}

fn static_key(number: u64) -> &'static str {
    Box::leak(format!("/registry/{number:05}/x").into_boxed_str())
}

#[test]
#[ignore = "a measurement"]
fn cost_of_100_watchers_on_one_key() {
    let mut bench = Bench::new(10);
    bench.watch(10, 100, |_| on("k"));
    let changes = bench.changes(20_000, |_| "k");
    bench.report("100 watchers, one key", &changes);
}

#[test]
#[ignore = "a measurement"]
fn cost_of_10_000_watchers_on_one_key() {
    let mut bench = Bench::new(100);
    bench.watch(100, 10_000, |_| on("k"));
    let changes = bench.changes(300, |_| "k");
    bench.report("10,000 watchers, one key", &changes);
}

#[test]
#[ignore = "a measurement"]
fn cost_of_10_000_prefix_watchers() {
    let mut bench = Bench::new(100);
    let prefix = |number: u64| Create {
        range: KeyRange::new(format!("/registry/{number:05}/"), format!("/registry/{number:05}0")),
        ..Create::default()
    };
    let spent = bench.watch(100, 10_000, prefix);
    println!("10,000 prefix watchers: {:.0} ns to create one", spent.as_nanos() as f64 / 10_000.0);
    let keys: Vec<&'static str> = (0..10_000).map(static_key).collect();
    let changes = bench.changes(20_000, |number| keys[(number * 7919 % 10_000) as usize]);
    bench.report("10,000 prefix watchers, one matches", &changes);
    let unwatched = bench.changes(20_000, |_| "/other");
    let start = Instant::now();
    unwatched.iter().for_each(|changes| bench.hub.notify(changes, &bench.store).unwrap());
    println!(
        "10,000 prefix watchers, none matches: {:.0} ns a revision",
        start.elapsed().as_nanos() as f64 / 20_000.0
    );
}

#[test]
#[ignore = "a measurement"]
fn cost_of_catching_up() {
    let mut bench = Bench::new(100);
    let changes = bench.changes(1000, |_| "k");
    changes.iter().for_each(|changes| bench.hub.notify(changes, &bench.store).unwrap());
    bench.watch(100, 10_000, |_| Create { start_revision: 900, ..on("k") });
    let start = Instant::now();
    bench.hub.catch_up(&bench.store).unwrap();
    let spent = start.elapsed();
    let events = bench.deliver();
    println!(
        "10,000 watchers 100 revisions behind: {events} events, {:.1} ns an event",
        spent.as_nanos() as f64 / events as f64
    );
    println!("one pass takes {:.1} ms", spent.as_secs_f64() * 1e3);
}

/// The slowest call and the sum of all.
#[derive(Default)]
struct Spent {
    sum: Duration,
    max: Duration,
}

impl Spent {
    fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = call();
        self.sum += start.elapsed();
        self.max = self.max.max(start.elapsed());
        result
    }
}

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} s in all, at most {:.1} ms", self.sum.as_secs_f64(), self.max.as_secs_f64() * 1e3)
    }
}

/// 10,000 streams that take one frame a second each, 1,000 writes of 3 KB a second, one stream that keeps up.
#[test]
#[ignore = "a measurement"]
fn cost_of_10_000_slow_streams() {
    const STREAMS: u64 = 10_000;
    const SECONDS: u64 = 10;
    let mut bench = Bench::new(STREAMS + 1);
    bench.watch(STREAMS + 1, STREAMS + 1, |_| on("k"));
    let value = "v".repeat(3 << 10);
    let (mut notify, mut catch_up, mut read) = (Spent::default(), Spent::default(), Spent::default());
    let mut reads = 0;
    let mut queued = vec![0_usize; STREAMS as usize + 1];
    let (mut fast, mut slow, mut bytes_max) = (0, 0, 0);
    for number in 0..SECONDS * 1000 {
        let changes = bench.store.write(&[put("k", &value)]);
        notify.time(|| bench.hub.notify(&changes, &bench.store)).unwrap();
        for stream in (number * 10..number * 10 + 10).map(|stream| stream % STREAMS) {
            if queued[stream as usize] > 0 {
                queued[stream as usize] -= 1;
                bench.hub.sent(StreamId(stream), 1);
            }
        }
        catch_up.time(|| bench.hub.catch_up(&bench.store)).unwrap();
        bench.hub.take_effects(&mut bench.effects);
        for effect in std::mem::take(&mut bench.effects) {
            match effect {
                Effect::Send { stream, frame } if stream.0 == STREAMS => {
                    fast += frame.events();
                    bench.hub.sent(stream, 1);
                }
                Effect::Send { stream, frame } => {
                    slow += frame.events();
                    queued[stream.0 as usize] += 1;
                }
                Effect::ReadHistory(query) => {
                    let chunk = bench.store.read(&query).unwrap();
                    read.time(|| bench.hub.history_read(query.job, chunk, &bench.store));
                    reads += 1;
                }
                Effect::ReadRows { .. } => unreachable!("nobody wants previous pairs"),
            }
        }
        bytes_max = bytes_max.max(bench.hub.stats().bytes_queued);
    }
    println!("slow streams got {slow} events, the fast one {fast}; {reads} reads");
    println!("notify {notify}; catch_up {catch_up}; history_read {read}");
    println!("at most {:.0} MB queued, shared bytes counted for each", bytes_max as f64 / 1e6);
    assert_eq!(fast as u64, SECONDS * 1000);
}
