//! Misuse of TLS against every secure listener of a running server: refused, with the reason in the log, while a good
//! client goes on.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod authority;
mod certificates;
mod files;
mod hello;
mod names;
mod probe;
mod rotation;
mod server;
