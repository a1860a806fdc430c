//! End-to-end tests: the built binary, as a process, seen through its ports, its log and its exit codes.
//!
//! - [`binary`] finds the program, [`server`] starts and stops it, [`client`] speaks gRPC over raw HTTP/2 and [`http1`]
//!   HTTP/1.1 with it, [`exposition`] reads its metrics page. All of it blocks: a test reads from top to bottom.
//! - [`table`] reads the tables of `contract/`, [`suite`] ties their rows to tests.
//! - `tests/contract` holds the tests. Its `coverage` module fails when a row of a table has neither a test nor a
//!   reason in the list of gaps.
//! - `tests/layers.rs` holds the graph of crates.
//!
//! `MAINSTAY_BIN=tests/interop/bin/etcd-3.7 cargo test -p e2e --test contract` judges the tests: real etcd passes all but
//! those about intended differences, about what etcd cannot be asked for (such as `mainstay version`), and about
//! refused starts, where it panics or changes the directory instead.
//!
//! No test sleeps or names a port: servers listen on ports that the system picks, and waiting means polling something
//! that the server shows, with a bound.

pub mod binary;
pub mod client;
pub mod cluster;
pub mod exposition;
pub mod http1;
pub mod rpcs;
pub mod server;
pub mod suite;
pub mod table;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Longest wait for anything that should happen at once; a machine under load is slow.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The root of the repository.
///
/// # Panics
/// When it is gone since the build.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the repository is where it was built")
}
