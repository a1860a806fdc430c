//! All targets.

use crate::Target;

mod apply;
mod config;
mod disk;
mod grpc;
mod http;
mod model;
mod peer;
mod raft;
mod secrets;
mod watch;

/// Every decoder.
pub const TARGETS: &[Target] = &[
    grpc::REQUEST,
    grpc::REPLY,
    http::JSON,
    http::HEAD,
    http::FRAMES,
    http::GUNZIP,
    http::WEBSOCKET,
    secrets::TOKEN,
    secrets::SIGNING_KEYS,
    secrets::CERTIFICATE,
    secrets::TLS_FILE,
    peer::APPENDS,
    peer::MESSAGES,
    peer::MESSAGE,
    peer::ENVELOPE,
    peer::ANSWER,
    peer::REPAIR_QUESTION,
    peer::REPAIR_ANSWER,
    disk::WAL,
    disk::SNAP,
    disk::DB,
    disk::ROWS,
    raft::STEP,
    apply::ENTRIES,
    model::TXN,
    watch::REQUESTS,
    config::FLAGS,
    config::FILE,
    config::CLUSTER,
    config::DISCOVERY,
];
