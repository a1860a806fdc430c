//! Rules of the algorithm, one per test, on small groups or on one node with hand-made messages.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod elections;
mod group;
mod reads;
mod replication;
mod storage;
