//! Metrics with etcd's names, and logs in the shape of zap's.
//!
//! Metrics are plain atomics behind [`metrics()`]: one table says field, name, kind, labels and buckets, and a test
//! holds it against contract/metrics.tsv. Logs are lines of JSON (`level, ts, caller, msg, ...`), written by a
//! thread of their own so that no request ever waits for the log.
//!
//! Not here: tracing spans, log rotation.

pub mod log;
mod metric;
mod metrics;
mod process;
mod render;

pub use metric::{Counter, Family, Gauge, Histogram};
pub use metrics::{Described, Metrics, metrics, page};
pub use process::{fd_limit, open_fds};
