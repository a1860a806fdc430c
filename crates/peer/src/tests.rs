//! Transports that talk over loopback, and raw requests to them.

mod harness;
#[path = "../tests/support/listener.rs"]
mod listener;
mod messages;
mod pressure;
mod refusals;
mod snapshots;

use crate::{Body, Server};
