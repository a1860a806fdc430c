//! Leases: grant, renew, expiry, checkpoint. Holds no clock.
//!
//! A lease is an id with a TTL and the keys attached to it. Two halves live here, apart from each other:
//!
//! - The **replicated half** ([`Leases`]): which leases exist, which keys hang on them, the TTL remaining at
//!   the last checkpoint. It changes by log entries only ([`Leases::grant`], [`Leases::revoke`],
//!   [`Leases::attach`], [`Leases::detach`], [`Leases::checkpoint`]), takes no time, answers alike on every
//!   member, and returns what has to be written to the backend.
//! - The **leader's half** (modules `primary` and `timers`): deadlines. It exists between [`Leases::promote`] and
//!   [`Leases::demote`], is never persisted, and every call that touches it is given `now`. A new leader
//!   starts all leases over, so a change of leader extends them and never shortens one.
//!
//! Expiry is not a change: the leader's driver asks for [`Leases::expired`] and proposes a revoke for each;
//! the lease goes when that entry is applied. Followers expire nothing.
//!
//! Facts: contract/semantics.md section 6 and 14.5 (upstream: server/lease/lessor.go).

mod config;
mod error;
mod keys;
mod leases;
mod primary;
mod promotion;
mod timers;

pub use config::{Config, TTL_SECS_MAX, ttl_min_secs};
pub use error::LeaseError;
pub use keys::Key;
pub use leases::{Granted, LeaseInfo, Leases, Revoked};
pub use primary::TimeToLive;
pub use timers::Checkpoint;
