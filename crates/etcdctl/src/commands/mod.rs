//! What commands do.

pub(crate) mod alarm;
pub(crate) mod auth;
pub(crate) mod check;
pub(crate) mod compaction;
pub(crate) mod defrag;
pub(crate) mod delete;
pub(crate) mod downgrade;
pub(crate) mod elect;
pub(crate) mod endpoint;
pub(crate) mod get;
pub(crate) mod lease;
pub(crate) mod lock;
pub(crate) mod member;
pub(crate) mod mirror;
pub(crate) mod move_leader;
pub(crate) mod put;
pub(crate) mod role;
pub(crate) mod snapshot;
pub(crate) mod tool;
pub(crate) mod txn;
pub(crate) mod user;
pub(crate) mod watch;
