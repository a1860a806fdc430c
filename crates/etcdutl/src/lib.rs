//! What is done to files while no member runs on them.
//!
//! Three command lines: etcdutl's, with the texts, exit codes and files of etcdutl 3.7.1 ([`run`]); those of bbolt's tool
//! that look at a file (`etcdutl bbolt ...`); and [`migrate_check`], which says what a data directory or snapshot holds
//! and what would surprise when it changes hands. Below them are plain functions on files.
//!
//! Where etcdutl writes to what it was asked to look at, or writes before it has checked, these do not: reading commands
//! only read, and nothing is written before all that can be checked was checked (contract/deviations.tsv).

mod bbolt;
mod cli;
mod dbfile;
mod defrag;
mod digest;
mod failure;
mod golang;
mod hashkv;
mod intact;
mod logs;
mod loss;
mod migrate;
mod print;
mod progress;
mod report;
mod restore;
mod status;

pub use cli::{
    migrate_check, repair, run, run_bbolt, snapshot_restore_flags, snapshot_restore_with,
    snapshot_status_with,
};
pub use failure::{Code, Failure};
