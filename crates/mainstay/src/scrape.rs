//! The page of `/metrics`: what `rpc` counts per thread is added up and shown under etcd's names.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, atomic::Ordering::Relaxed};

use rpc::{
    Method, Metrics, MetricsPage,
    metrics::{CHECKS, HANDLING_BUCKETS},
    status::Code,
};
use telemetry::{Counter, Gauge, Histogram, metrics};

/// Prometheus' text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Series whose labels are fixed, looked up once.
struct Series {
    methods: Vec<MethodSeries>,
    checks: Vec<(Arc<Gauge>, Arc<Counter>, Arc<Counter>)>,
    /// `Some` when `--metrics=extensive`.
    handling: Option<Vec<Arc<Histogram>>>,
    scrapes: Arc<Counter>,
}

struct MethodSeries {
    method: Method,
    started: Arc<Counter>,
    handled: Vec<(Code, Arc<Counter>)>,
    received: Arc<Counter>,
    sent: Arc<Counter>,
}

/// Renders the page.
pub(crate) struct Scraper {
    /// The server's counters, once it serves.
    server: Arc<OnceLock<Arc<Metrics>>>,
    series: Mutex<Series>,
}

impl Scraper {
    pub(crate) fn new(server: Arc<OnceLock<Arc<Metrics>>>, extensive: bool) -> Scraper {
        let m = metrics();
        let methods = Method::ALL.iter().map(|method| MethodSeries::new(*method)).collect();
        let checks = CHECKS.iter().map(|(kind, name)| {
            let runs = |status| m.server_healthchecks_total.with(&[kind, name, status]);
            (m.server_healthcheck.with(&[kind, name]), runs("success"), runs("error"))
        });
        let handling = extensive.then(|| {
            Method::ALL.iter().map(|method| m.grpc_server_handling_seconds.with(&labels(*method))).collect()
        });
        for code in ["200", "500", "503"] {
            m.promhttp_metric_handler_requests_total.with(&[code]);
        }
        let scrapes = m.promhttp_metric_handler_requests_total.with(&["200"]);
        Scraper {
            server,
            series: Mutex::new(Series { methods, checks: checks.collect(), handling, scrapes }),
        }
    }

    /// The page as it is now.
    pub(crate) fn page(&self) -> MetricsPage {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = self.server.get() {
            series.update(server);
        }
        series.scrapes.inc();
        MetricsPage { content_type: CONTENT_TYPE, body: telemetry::page() }
    }
}

fn labels(method: Method) -> [&'static str; 3] {
    [method.kind().label(), method.service(), method.name()]
}

impl MethodSeries {
    fn new(method: Method) -> MethodSeries {
        let (m, labels) = (metrics(), labels(method));
        let handled = Code::ALL.iter().map(|code| {
            (*code, m.grpc_server_handled_total.with(&[labels[0], labels[1], labels[2], code.name()]))
        });
        MethodSeries {
            method,
            started: m.grpc_server_started_total.with(&labels),
            handled: handled.collect(),
            received: m.grpc_server_msg_received_total.with(&labels),
            sent: m.grpc_server_msg_sent_total.with(&labels),
        }
    }
}

impl Series {
    /// Takes over what the server has counted.
    fn update(&self, server: &Metrics) {
        let m = metrics();
        for series in &self.methods {
            let method = series.method;
            series.started.raise_to(server.sum(|shard| shard.method(method).started.value()));
            series.received.raise_to(server.sum(|shard| shard.method(method).received.value()));
            series.sent.raise_to(server.sum(|shard| shard.method(method).sent.value()));
            for (code, counter) in &series.handled {
                counter.raise_to(server.handled(method, *code));
            }
        }
        for (place, histogram) in self.handling.iter().flatten().enumerate() {
            let method = Method::ALL[place];
            let counts = (0..=HANDLING_BUCKETS.len())
                .map(|bucket| server.sum(|shard| shard.method(method).handling[bucket].value()));
            let nanos = server.sum(|shard| shard.method(method).handling_nanos.value());
            histogram.take_over(counts, nanos as f64 / 1e9);
        }
        for ((gauge, success, error), check) in self.checks.iter().zip(&server.checks) {
            gauge.set(check.ok.load(Relaxed) as i64);
            success.raise_to(check.success.load(Relaxed));
            error.raise_to(check.error.load(Relaxed));
        }
        m.server_health_success.raise_to(server.health_success.load(Relaxed));
        m.server_health_failures.raise_to(server.health_failures.load(Relaxed));
        m.network_client_grpc_sent_bytes_total.raise_to(server.sum(|shard| shard.sent_bytes.value()));
        m.network_client_grpc_received_bytes_total.raise_to(server.sum(|shard| shard.received_bytes.value()));
        for (version, unary, stream) in server.client_requests() {
            m.server_client_requests_total.with(&["unary", &version]).raise_to(unary);
            m.server_client_requests_total.with(&["stream", &version]).raise_to(stream);
        }
    }
}
