//! Tests of the log through its public interface, on a simulated disk.
#![allow(clippy::unwrap_used, reason = "clippy sees tests only in functions marked as such")]
#![allow(clippy::wildcard_imports, reason = "`common` is the vocabulary of these tests")]

mod common;
mod cost;
mod crash;
mod damage;
mod etcd;
mod files;
mod flips;
mod mend;
mod round_trip;
