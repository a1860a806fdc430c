//! The binary's parts: a member with its network side, from settings to its end.

pub mod corruption;
pub mod demo;
mod discover;
mod donor;
mod notify;
mod peers;
mod plan;
mod scrape;
mod self_signed;
pub mod server;
mod tokens;
