//! Carries raft's messages between members, as etcd's rafthttp does (contract/semantics.md 15).
//!
//! [`Transport`] is the core's door to the others. It owns one thread with a runtime; the core only pushes messages
//! into bounded queues. [`Server`] answers what the others ask under `/raft`; whoever owns the peer listeners passes
//! requests on to it, on any thread.
//!
//! The *receiver* dials: each member asks every other for two endless answers, one for appends and one for all else,
//! and the other writes its messages onto them ([`writer`](self)). So a message goes from a queue straight into the
//! answer's body, which encodes it when the connection has room. What finds no such stream goes as a request of its
//! own ([`pipeline`](self)), a snapshot likewise, with the file behind it.
//!
//! A connection that falls silent for [`IO_TIMEOUT`](self) is given up; both ends send signs of life. Whatever
//! is dropped is counted and reported as unreachable: raft repeats it.
//!
//! Bounds: a queue in messages and bytes; a message in length and in what it may take decoded; all bodies that
//! others post at once in bytes; what was received and not taken in yet by [`node::Turn`]. A snapshot file goes
//! through in pieces.
//!
//! [`Questions`] are what members ask each other besides: the leader about leases and promotions, all for hashes.
//!
//! [`RepairSource`] and [`Donor`] are how a member gets back what its disk has lost.
//!
//! Not here: what messages mean (`consensus`), who is a member (the core says so), listeners and their TLS (`rpc`),
//! the other pages of the peer port.

mod compat;
mod config;
mod dial;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod incoming;
mod join;
mod joinable;
mod outgoing;
mod peer;
mod pipeline;
mod prober;
mod questions;
mod queue;
mod reader;
mod refusal;
mod repair;
mod server;
mod shared;
mod status;
mod transport;
mod turns;
mod urls;
mod versions;
mod wire;
mod writer;

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

pub use config::{Config, SnapshotCheck, TlsSource};
pub use join::{any_running_cluster, running_cluster};
pub use joinable::check_joinable;
pub use outgoing::Image;
pub use questions::{HashAnswer, HashRefusal, PromoteRefusal, Questions};
pub use repair::{Donor, RepairSource};
pub use server::Server;
pub use transport::Transport;

/// Body of a request or an answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A connection on which nothing moves for this long is dead; signs of life come three times as often.
const IO_TIMEOUT: Duration = Duration::from_secs(5);

/// The two endless answers that a member asks another for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    /// Appends.
    MsgApp,
    /// All else.
    Message,
}

impl Stream {
    fn path(self) -> &'static str {
        match self {
            Stream::MsgApp => "/raft/stream/msgapp",
            Stream::Message => "/raft/stream/message",
        }
    }

    /// What etcd calls it in its log.
    fn name(self) -> &'static str {
        match self {
            Stream::MsgApp => "stream MsgApp v2",
            Stream::Message => "stream Message",
        }
    }
}

#[cfg(test)]
mod tests;
