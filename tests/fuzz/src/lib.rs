//! One function of bytes for each decoder that is reachable from the network or the disk ([`TARGETS`]).
//!
//! A target must not panic, must not hold more memory than its [`Target::memory`] says, and must answer in
//! [`check::CPU_MAX`]. `cargo test` runs each over its seeds and some thousand mutations of them (`tests/smoke.rs`);
//! `cargo xtask fuzz` runs each under libFuzzer, which sees which code was reached. RELIABILITY.md has the figures.
//!
//! A finding becomes a regression test in the crate that was wrong, and its input a seed here.
#![allow(clippy::unwrap_used, reason = "the worlds that are set up here are fixed")]

pub mod check;
pub mod commands;
mod input;
pub mod meter;
pub mod mutate;
mod targets;
mod worlds;

pub use targets::TARGETS;

/// A decoder.
pub struct Target {
    /// As `--target` names it.
    pub name: &'static str,
    /// What is decoded.
    pub what: &'static str,
    /// Decodes, and does what follows from it as far as that is a function.
    pub run: fn(&[u8]),
    /// Inputs to begin with: sound ones, and those of findings.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Bytes that may be in use at any moment, beyond what was before.
    pub memory: fn(&[u8]) -> usize,
    /// Longest input worth trying.
    pub len_max: usize,
}

/// What every decoder may use: twice the input and 64 KiB. Targets that need more say why.
#[must_use]
pub fn twice(input: &[u8]) -> usize {
    2 * input.len() + (64 << 10)
}

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
