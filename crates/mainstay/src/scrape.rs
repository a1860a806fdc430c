//! The page of `/metrics`.

use std::sync::{Arc, OnceLock};

use rpc::{Metrics, MetricsPage};
use telemetry::metrics;

/// Prometheus' text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders the page.
pub(crate) struct Scraper {
    /// The server's counters, once it serves.
    server: Arc<OnceLock<Arc<Metrics>>>,
    /// `--metrics=extensive`.
    extensive: bool,
}

impl Scraper {
    pub(crate) fn new(server: Arc<OnceLock<Arc<Metrics>>>, extensive: bool) -> Scraper {
        for code in ["200", "500", "503"] {
            metrics().promhttp_metric_handler_requests_total.with(&[code]);
        }
        Scraper { server, extensive }
    }

    /// The page as it is now.
    pub(crate) fn page(&self) -> MetricsPage {
        if let Some(server) = self.server.get() {
            server.publish(metrics(), self.extensive);
        }
        // This one is under way, and counts once it is done.
        let in_flight = &metrics().promhttp_metric_handler_requests_in_flight;
        in_flight.add(1);
        let body = telemetry::page();
        in_flight.add(-1);
        metrics().promhttp_metric_handler_requests_total.with(&["200"]).inc();
        MetricsPage { content_type: CONTENT_TYPE, body }
    }
}
