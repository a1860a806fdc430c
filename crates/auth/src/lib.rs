//! Users, roles and permissions as replicated state.
//!
//! [`Auth`] holds what log entries made of it: whether auth is on, users with their bcrypt hashes, roles with
//! their key ranges, and the auth revision that grows with every change. Each entry is one method; it answers
//! alike on every member and returns what to write and which tokens to forget ([`Applied`]). Hashing and
//! comparing passwords, tokens and certificates live elsewhere: here a request arrives as a [`Subject`], the
//! user and the auth revision at which its credentials were checked.
//!
//! There is one way to ask for permission. A request is lowered to what it needs ([`Guarded::accesses`], the
//! only place that looks inside requests: nested transactions, previous values, leases), and
//! [`Auth::authorize`] judges that list and hands the request back as [`Authorized`], which nothing else can
//! make. A request that is not lowered cannot be authorized: denied by default, at compile time. Which methods
//! are checked where is the table [`METHODS`], kept complete by a test against the contract.
//!
//! Facts: contract/semantics.md section 7 and 14.6, the auth columns of contract/grpc.tsv
//! (upstream: server/auth/store.go, server/etcdserver/apply/auth.go).

mod access;
mod applied;
mod error;
mod intents;
mod methods;
mod ranges;
mod roles;
mod rows;
mod state;
mod users;

pub use access::{Access, Authorized, LeaseKeys, Right, Subject, WhichLeases};
pub use applied::{Applied, Tokens};
pub use error::{AuthError, Rejection};
pub use intents::Guarded;
pub use methods::{Door, METHODS, door};
pub use ranges::RangeSet;
pub use rows::Rows;
pub use state::{Auth, Credential};

/// The user and the role that may do everything.
pub const ROOT: &str = "root";
