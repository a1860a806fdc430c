//! contract/grpc.tsv: each method is called, and its answer compared with contract/semantics.md.

pub(crate) mod advisories;
pub(crate) mod auth;
pub(crate) mod election;
pub(crate) mod kv;
pub(crate) mod lease;
pub(crate) mod lock;
pub(crate) mod login;
pub(crate) mod maintenance;
pub(crate) mod members;
pub(crate) mod others;
pub(crate) mod revoked;
pub(crate) mod watch;
