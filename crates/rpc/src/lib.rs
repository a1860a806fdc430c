//! Speaks with clients and members: gRPC over HTTP/2, the HTTP pages, TLS. The only crate that knows etcd's error texts.
//!
//! One single-threaded runtime per network thread. A connection is one task ([`connection`](self)): a wake-up
//! reads all frames that came in, runs the calls that they belong to, and sends all replies in one write. A call
//! goes head → message → [`validate`] → [`Member`] → [`exchange`](self): headers, messages under the client's flow
//! control, status. Large replies are streamed out of the member in pieces, so no reply needs memory of its size.
//!
//! Other members ask over HTTP/1.1, at listeners and with certificates of their own, through the same acceptor. The
//! pages that show who this member is are here; raft's streams are [`BetweenMembers`].
//!
//! [`open`] opens the listeners that [`Listen`] says, [`serve`] starts the threads as [`Config`] says; [`Metrics`]
//! counts. The crate knows a member only through the trait [`Member`].
//!
//! While the [`AuditLog`] is on, each call leaves a line in it.
//!
//! The JSON gateway ([`gateway`](self)) translates requests over HTTP/1.1, HTTP/2 and WebSocket into calls like
//! any other, and their replies back.
//!
//! Not here: what requests mean (`node`, `state`), names of metrics (`telemetry`), the JSON form of messages (`proto`),
//! gRPC reflection, pprof pages, raft's streams (`peer`).
#![allow(async_fn_in_trait, reason = "futures stay on their network thread; callers need no bounds on them")]

mod audit;
mod authority;
mod budget;
mod call;
mod config;
mod connection;
mod der;
mod driver;
mod exchange;
mod farewell;
mod forward;
mod frame_police;
mod frame_scan;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gateway;
mod head;
mod header_patience;
mod heartbeat;
mod http1;
mod listen;
pub mod member;
mod message;
mod method;
pub mod metrics;
mod offenders;
mod pages;
mod passwords;
mod ping_police;
mod port;
mod rest;
mod server;
mod service;
mod sockets;
pub mod status;
mod thread;
mod timeout;
mod tls;
mod tokens;
pub mod validate;
mod wire;

#[cfg(test)]
mod tests;

pub use audit::{AuditLog, AuditOutput};
pub use config::{
    Address, BetweenMembers, Config, Keepalive, Limits, Listen, Listener, MESSAGE_OVERHEAD, MetricsPage,
    Notice, Pages, StreamedBody, Tls, TlsVersion, Traffic, UrlError, Versions,
};
pub use forward::{AskLeader, Asked};
pub use listen::Bound;
pub use member::Member;
pub use method::{Kind, Method};
pub use metrics::Metrics;
pub use port::Door;
pub use server::{ServeError, Server, serve};
pub use sockets::{OpenError, Sockets, open};
pub use tls::{TlsError, TlsSetting, TlsSide};
pub use tokens::{KeyError, Signer, SigningKeys, Tokens};
