//! What needs other members, or somebody who passes for one.

pub(crate) mod errors;
pub(crate) mod metrics;
pub(crate) mod peers;
