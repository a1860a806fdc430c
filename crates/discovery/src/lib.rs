//! Who the first members of a cluster are, when no flag says it.
//!
//! [`join`] asks a discovery service: any cluster that serves the v3 API, where each member registers below a token
//! until as many are there as the token's size says. [`from_dns`] asks DNS for SRV records. Both give the text that
//! `--initial-cluster` would have had (contract/semantics.md 8.11, 8.12).

#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod registry;
mod service;
mod srv;

pub use service::{DiscoveryError, join};
pub use srv::{Found, Names, SystemNames, from_dns};
