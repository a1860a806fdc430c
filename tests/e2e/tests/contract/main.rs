//! The contract, row by row, against a running server.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod audit;
mod bad_input;
mod cluster;
mod common;
mod coverage;
mod damage;
mod discovery;
mod errors;
mod flags;
mod gaps;
mod gateway;
mod grpc;
mod http;
mod metrics;
mod process;
mod startup;
