//! Counters of this crate, for `telemetry` to render under etcd's names.
//!
//! Every network thread has a [`Shard`] of its own and is its only writer, so counting is a plain load and
//! store; readers add the shards up. Nothing is ever reset.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    method::{Kind, Method},
    status::Code,
};

/// Distinct client-api-version labels that are kept apart; clients beyond that count as `other`.
pub const API_VERSIONS_MAX: usize = 32;

/// Upper bounds of `grpc_server_handling_seconds`, in seconds; the last bucket is unbounded.
pub const HANDLING_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Upper bounds of the histograms of the watch send loop, in seconds; the last bucket is unbounded.
pub const SEND_BUCKETS: [f64; 14] =
    [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192];

const METHODS: usize = Method::ALL.len();

/// A count with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`. Only the owning thread may call this: a second writer would lose counts.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The sum so far.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Latencies with one writer, in `N` buckets, of which the last is unbounded.
#[derive(Debug)]
pub struct Latencies<const N: usize> {
    /// By bucket, not cumulative.
    pub counts: [Count; N],
    /// Sum in nanoseconds.
    pub nanos: Count,
}

impl<const N: usize> Default for Latencies<N> {
    fn default() -> Self {
        Latencies { counts: std::array::from_fn(|_| Count::default()), nanos: Count::default() }
    }
}

impl<const N: usize> Latencies<N> {
    /// Counts `n` times the same latency; `bounds` are the upper ends of all buckets but the last.
    fn observe(&self, bounds: &[f64], took: Duration, n: u64) {
        let seconds = took.as_secs_f64();
        let bucket = bounds.iter().position(|bound| seconds <= *bound).unwrap_or(bounds.len());
        self.counts[bucket.min(N - 1)].add(n);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.add(nanos.saturating_mul(n));
    }
}

/// What the watch send loop took.
#[derive(Debug, Default)]
pub struct WatchSends {
    /// Per reply with events.
    pub replies: Latencies<{ SEND_BUCKETS.len() + 1 }>,
    /// Likewise, divided by its events.
    pub events: Latencies<{ SEND_BUCKETS.len() + 1 }>,
    /// Per reply without events.
    pub controls: Latencies<{ SEND_BUCKETS.len() + 1 }>,
}

/// Replies of watch streams that left together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WatchBatch {
    /// With events.
    pub(crate) replies: u32,
    /// Their events.
    pub(crate) events: u32,
    /// Without events.
    pub(crate) controls: u32,
}

impl WatchBatch {
    /// Counts a reply with that many events.
    pub(crate) fn count(&mut self, events: usize) {
        if events == 0 {
            self.controls += 1;
        } else {
            self.replies += 1;
            self.events = self.events.saturating_add(u32::try_from(events).unwrap_or(u32::MAX));
        }
    }
}

impl WatchSends {
    /// Counts a batch that took this long to leave.
    pub(crate) fn observe(&self, batch: WatchBatch, took: Duration) {
        let each = took / (batch.replies + batch.controls).max(1);
        if batch.controls > 0 {
            self.controls.observe(&SEND_BUCKETS, each, batch.controls.into());
        }
        if batch.replies > 0 {
            self.replies.observe(&SEND_BUCKETS, each, batch.replies.into());
            let per_event = each * batch.replies / batch.events.max(1);
            self.events.observe(&SEND_BUCKETS, per_event, batch.replies.into());
        }
    }
}

/// Counts of one method.
#[derive(Debug, Default)]
pub struct MethodCounts {
    /// Calls whose handler began.
    pub started: Count,
    /// Calls that ended, by [`Code`] number.
    pub handled: [Count; 17],
    /// Messages from clients; on streams, the end of them counts as one.
    pub received: Count,
    /// Messages to clients; of unary calls, failures count as one.
    pub sent: Count,
    /// Latencies by bucket of [`HANDLING_BUCKETS`]; only filled when asked for.
    pub handling: Latencies<{ HANDLING_BUCKETS.len() + 1 }>,
}

impl MethodCounts {
    pub(crate) fn observe(&self, took: Duration) {
        self.handling.observe(&HANDLING_BUCKETS, took, 1);
    }
}

/// Calls of clients that announce one API version.
#[derive(Debug, Default)]
pub struct VersionCounts {
    label: OnceLock<Box<str>>,
    unary: Count,
    stream: Count,
}

/// A health check of `/livez` and `/readyz`.
#[derive(Debug, Default)]
pub struct CheckCounts {
    /// 1 when the last run succeeded.
    pub ok: AtomicU64,
    /// Runs that succeeded.
    pub success: AtomicU64,
    /// Runs that failed.
    pub error: AtomicU64,
}

/// The counters of one network thread.
#[derive(Debug)]
pub struct Shard {
    methods: [MethodCounts; METHODS],
    versions: [VersionCounts; API_VERSIONS_MAX],
    /// Message bytes to clients, without framing.
    pub sent_bytes: Count,
    /// Message bytes from clients, without framing.
    pub received_bytes: Count,
    /// What the watch send loop took.
    pub watch_sends: WatchSends,
    /// Watch streams that ended because a request could not be read.
    pub watch_receive_failures: Count,
    /// Likewise of keepalive streams.
    pub keep_alive_receive_failures: Count,
    /// Connections that are open.
    pub connections: AtomicU64,
}

impl Default for Shard {
    fn default() -> Self {
        Shard {
            methods: std::array::from_fn(|_| MethodCounts::default()),
            versions: Default::default(),
            sent_bytes: Count::default(),
            received_bytes: Count::default(),
            watch_sends: WatchSends::default(),
            watch_receive_failures: Count::default(),
            keep_alive_receive_failures: Count::default(),
            connections: AtomicU64::default(),
        }
    }
}

impl Shard {
    /// Counts of one method.
    pub fn method(&self, method: Method) -> &MethodCounts {
        &self.methods[method as usize]
    }

    /// The place where calls of clients that announce `version` are counted.
    pub(crate) fn version(&self, version: &str) -> ApiVersion {
        let last = API_VERSIONS_MAX - 1;
        let index = self.versions.iter().position(|counts| match counts.label.get() {
            Some(label) => **label == *version,
            None => true,
        });
        let index = index.unwrap_or(last);
        // The last place is for everybody who finds no other.
        let label = || if index == last { "other".into() } else { version.into() };
        self.versions[index].label.get_or_init(label);
        ApiVersion(index as u8)
    }

    /// Counts a request on a stream that could not be read.
    pub(crate) fn count_receive_failure(&self, method: Method) {
        match method {
            Method::Watch => self.watch_receive_failures.add(1),
            Method::LeaseKeepAlive => self.keep_alive_receive_failures.add(1),
            _ => {}
        }
    }

    /// Counts a call.
    pub(crate) fn count_request(&self, version: ApiVersion, kind: Kind) {
        let counts = &self.versions[usize::from(version.0)];
        match kind {
            Kind::Unary => counts.unary.add(1),
            Kind::ServerStream | Kind::BidiStream => counts.stream.add(1),
        }
    }
}

/// A client API version, as an index into the counts of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ApiVersion(u8);

const _: () = assert!(API_VERSIONS_MAX <= 256);

/// The checks behind `/livez` and `/readyz`, in the order of [`Metrics::checks`].
pub const CHECKS: [(&str, &str); 5] = [
    ("livez", "serializable_read"),
    ("readyz", "data_corruption"),
    ("readyz", "serializable_read"),
    ("readyz", "linearizable_read"),
    ("readyz", "non_learner"),
];

/// All counters of the crate.
#[derive(Debug)]
pub struct Metrics {
    shards: Vec<Arc<Shard>>,
    /// `/health` answers with health true.
    pub health_success: AtomicU64,
    /// `/health` answers with health false.
    pub health_failures: AtomicU64,
    /// One per entry of [`CHECKS`].
    pub checks: [CheckCounts; CHECKS.len()],
}

impl Metrics {
    pub(crate) fn new(threads: usize) -> Metrics {
        Metrics {
            shards: (0..threads).map(|_| Arc::default()).collect(),
            health_success: AtomicU64::new(0),
            health_failures: AtomicU64::new(0),
            checks: Default::default(),
        }
    }

    pub(crate) fn shard(&self, thread: usize) -> Arc<Shard> {
        Arc::clone(&self.shards[thread])
    }

    /// The counters of each network thread.
    pub fn shards(&self) -> &[Arc<Shard>] {
        &self.shards
    }

    /// A count summed over threads.
    pub fn sum(&self, of: impl Fn(&Shard) -> u64) -> u64 {
        self.shards.iter().map(|shard| of(shard)).sum()
    }

    /// Calls of a method that ended with `code`.
    pub fn handled(&self, method: Method, code: Code) -> u64 {
        self.sum(|shard| shard.method(method).handled[code as usize].value())
    }

    /// Calls by client API version: label, unary calls, streams. Sorted by label.
    pub fn client_requests(&self) -> Vec<(String, u64, u64)> {
        let mut sums = std::collections::BTreeMap::<&str, (u64, u64)>::new();
        for counts in self.shards.iter().flat_map(|shard| &shard.versions) {
            if let Some(label) = counts.label.get() {
                let sum = sums.entry(label).or_default();
                sum.0 += counts.unary.value();
                sum.1 += counts.stream.value();
            }
        }
        sums.into_iter().map(|(label, (unary, stream))| (label.to_owned(), unary, stream)).collect()
    }

    /// Copies everything to where `/metrics` is rendered from. Every method shows up, be it at 0;
    /// latencies only when they are kept.
    pub fn publish(&self, to: &telemetry::Metrics, with_latencies: bool) {
        for &method in Method::ALL {
            self.publish_method(to, method, with_latencies);
        }
        for (version, unary, stream) in self.client_requests() {
            to.server_client_requests_total.with(&["unary", &version]).raise_to(unary);
            to.server_client_requests_total.with(&["stream", &version]).raise_to(stream);
        }
        to.network_client_grpc_sent_bytes_total.raise_to(self.sum(|shard| shard.sent_bytes.value()));
        to.network_client_grpc_received_bytes_total.raise_to(self.sum(|shard| shard.received_bytes.value()));
        self.publish_streams(to);
        to.server_health_success.raise_to(self.health_success.load(Relaxed));
        to.server_health_failures.raise_to(self.health_failures.load(Relaxed));
        for ((kind, name), counts) in CHECKS.iter().zip(&self.checks) {
            let (success, error) = (counts.success.load(Relaxed), counts.error.load(Relaxed));
            if success + error > 0 {
                to.server_healthcheck.with(&[kind, name]).set(i64::from(counts.ok.load(Relaxed) == 1));
                to.server_healthchecks_total.with(&[kind, name, "success"]).raise_to(success);
                to.server_healthchecks_total.with(&[kind, name, "error"]).raise_to(error);
            }
        }
    }

    /// Streams of one kind that failed, and what the watch send loop took. Sending fails only when the client is
    /// gone, which is no failure.
    fn publish_streams(&self, to: &telemetry::Metrics) {
        let failures = &to.network_server_stream_failures_total;
        let received = [
            ("watch", self.sum(|shard| shard.watch_receive_failures.value())),
            ("lease-keepalive", self.sum(|shard| shard.keep_alive_receive_failures.value())),
        ];
        for (api, count) in received {
            failures.with(&["receive", api]).raise_to(count);
            failures.with(&["send", api]);
        }
        let sends = [
            (&to.debugging_server_watch_send_loop_watch_stream_duration_seconds, 0),
            (&to.debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds, 1),
            (&to.debugging_server_watch_send_loop_control_stream_duration_seconds, 2),
        ];
        for (histogram, which) in sends {
            self.publish_latencies(histogram, |shard| {
                let sends = &shard.watch_sends;
                [&sends.replies, &sends.events, &sends.controls][which]
            });
        }
    }

    fn publish_latencies<const N: usize>(
        &self,
        to: &telemetry::Histogram,
        of: impl Fn(&Shard) -> &Latencies<N>,
    ) {
        let seconds = self.sum(|shard| of(shard).nanos.value()) as f64 / 1e9;
        to.take_over((0..N).map(|i| self.sum(|shard| of(shard).counts[i].value())), seconds);
    }

    fn publish_method(&self, to: &telemetry::Metrics, method: Method, with_latencies: bool) {
        let labels = [method.kind().label(), method.service(), method.name()];
        let sum = |of: fn(&MethodCounts) -> u64| self.sum(|shard| of(shard.method(method)));
        to.grpc_server_started_total.with(&labels).raise_to(sum(|counts| counts.started.value()));
        to.grpc_server_msg_received_total.with(&labels).raise_to(sum(|counts| counts.received.value()));
        to.grpc_server_msg_sent_total.with(&labels).raise_to(sum(|counts| counts.sent.value()));
        for code in Code::ALL {
            let labels = [labels[0], labels[1], labels[2], code.name()];
            to.grpc_server_handled_total.with(&labels).raise_to(self.handled(method, code));
        }
        if with_latencies {
            let histogram = to.grpc_server_handling_seconds.with(&labels);
            self.publish_latencies(&histogram, |shard| &shard.method(method).handling);
        }
    }

    pub(crate) fn record_check(&self, index: usize, ok: bool) {
        let counts = &self.checks[index];
        counts.ok.store(u64::from(ok), Relaxed);
        if ok { &counts.success } else { &counts.error }.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_a_bound() {
        let metrics = Metrics::new(2);
        for i in 0..100 {
            let shard = metrics.shard(i % 2);
            shard.count_request(shard.version(&format!("3.{}", i / 2)), Kind::Unary);
            let shard = metrics.shard(0);
            shard.count_request(shard.version("3.0"), Kind::BidiStream);
        }
        let requests = metrics.client_requests();
        assert_eq!(requests.len(), API_VERSIONS_MAX);
        assert_eq!(requests[0], ("3.0".into(), 2, 100));
        assert_eq!(requests.last().unwrap(), &("other".into(), 2 * (50 - (API_VERSIONS_MAX as u64 - 1)), 0));
    }

    #[test]
    fn everything_is_published() {
        let metrics = Metrics::new(2);
        for thread in 0..2 {
            let shard = metrics.shard(thread);
            shard.method(Method::Put).handled[3].add(4);
            shard.method(Method::Put).observe(Duration::from_millis(1));
            shard.sent_bytes.add(7);
        }
        metrics.record_check(3, false);
        let page = telemetry::metrics();
        metrics.publish(page, true);
        let labels = ["unary", "etcdserverpb.KV", "Put", "InvalidArgument"];
        assert_eq!(page.grpc_server_handled_total.with(&labels).value(), 8);
        assert_eq!(page.network_client_grpc_sent_bytes_total.value(), 14);
        assert_eq!(page.server_healthchecks_total.with(&["readyz", "linearizable_read", "error"]).value(), 1);
        let text = telemetry::page();
        let series = r#"grpc_server_handling_seconds_bucket{grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put",le="0.005"} 2"#;
        let sorted = r#"grpc_server_handling_seconds_bucket{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary",le="0.005"} 2"#;
        assert!(text.contains(series) || text.contains(sorted), "{text}");
        let idle = text.lines().filter(|line| line.starts_with("grpc_server_handled_total{")).count();
        assert_eq!(idle, Method::ALL.len() * 17);
    }

    #[test]
    fn a_batch_is_shared_by_its_replies() {
        let sends = WatchSends::default();
        sends.observe(WatchBatch { replies: 2, events: 6, controls: 1 }, Duration::from_millis(9));
        sends.observe(WatchBatch { controls: 1, ..WatchBatch::default() }, Duration::ZERO);
        let filled = |latencies: &Latencies<15>| {
            let counts = latencies.counts.iter().enumerate().filter(|(_, count)| count.value() > 0);
            (counts.map(|(i, count)| (i, count.value())).collect::<Vec<_>>(), latencies.nanos.value())
        };
        assert_eq!(filled(&sends.replies), (vec![(2, 2)], 6_000_000));
        assert_eq!(filled(&sends.events), (vec![(0, 2)], 2_000_000));
        assert_eq!(filled(&sends.controls), (vec![(0, 1), (2, 1)], 3_000_000));
    }

    #[test]
    fn latencies_fall_into_buckets() {
        let counts = MethodCounts::default();
        for millis in [5, 6, 20_000] {
            counts.observe(Duration::from_millis(millis));
        }
        let filled: Vec<_> = counts.handling.counts.iter().map(Count::value).collect();
        assert_eq!(filled, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
