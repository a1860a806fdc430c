//! Drives the deterministic core and offers it to the network threads.
//!
//! Three threads, each the only owner of its state:
//! - the *core thread* (`core`) runs consensus, apply, leases and watches over batches of inputs;
//! - the *log thread* (`log_thread`) appends batches to the WAL, one `fdatasync` for whatever has queued up;
//! - the *backend thread* (`backend_thread`) applies sealed op batches to the bbolt file and commits them.
//!
//! Network threads hold a [`Port`] each: requests go into the core's inbox in batches, replies come back into
//! the port's mailbox, one wake-up for as many as there are. A simulator runs the same workers without threads, in
//! steps of its choice ([`stepping`]). Nothing here decides anything about data: that is
//! `state`, `consensus`, `watch`; nothing here speaks a network protocol: that is `rpc`.

pub mod api;
mod backend_thread;
mod boot;
mod config;
mod core;
mod donors;
mod inbox;
mod input;
mod log_thread;
mod peers;
mod reader_thread;
mod release;
pub mod stepping;
mod worker;

pub use api::{
    AuthCall, AuthReply, Authenticated, Caller, Claims, Credentials, Error, Login, NodeHandle, Port,
    RangeReply, RangeStream, SnapshotImage, Subject, Summary, WatchFrame, WatchInput, WatchOutput,
};
pub use auth::Rejection as AuthRejection;
pub use boot::{BootError, Member, is_new, start, start_among};
pub use boot::{received::check_received, repair::Repairs};
pub use cluster::{DowngradeRejection, Rejection as ClusterRejection};
pub use config::{AutoCompaction, Config, QUOTA_BYTES_DEFAULT, RunningCluster, TokenKind};
pub use donors::{Donors, EntryName, Kin, find_entries};
pub use lease::LeaseError;
pub use mvcc::KvHash;
pub use peers::{Alone, PeerAddress, PeerInput, Peers, Turn};
pub use release::Release;
pub use state::Rejection;

/// The version of etcd that this speaks, stores and answers with.
pub const SERVER_VERSION: &str = Release::V3_7.text();

/// Whether these can be the peer URLs of a member.
pub fn are_peer_urls(urls: &[String]) -> bool {
    cluster::parse_urls(urls).is_ok()
}
