//! The checkers. They know the log's order, so none of them searches: what a client was told is compared with what a
//! model of the store, written apart from the product, says at that place of the log.

pub(crate) mod alarms;
mod asks;
pub(crate) mod history;
pub(crate) mod leases;
pub(crate) mod locks;
pub(crate) mod model;
pub(crate) mod raft;
pub(crate) mod range;
pub(crate) mod users;
pub(crate) mod watch;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

pub(crate) type Checked = Result<(), Violation>;

/// Fails the run.
pub(crate) fn violation<T>(what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation(what.into()))
}
