//! Whole clusters from a seed.
//!
//! The production core (consensus, WAL, backend, key index, leases, watches, apply: everything in and below `node`)
//! runs single-threaded over a simulated network, disk and clock, through [`node::stepping`]. What happens when is
//! decided by a heap of events and by generators that follow from one number, so that the number replays a run, event
//! for event. `world` moves time; `faults` makes things go wrong; `load` and `clients` ask for things; `check` knows
//! the order of the log and compares every answer with a model; `settle` heals everything at the end and demands that
//! the cluster comes to itself. docs/simulator.md says what is covered and what is not.

mod absorb;
mod call;
mod check;
mod clients;
mod damage;
mod delivery;
mod donors;
mod ends;
mod fault_kind;
mod faults;
mod full;
mod heap;
mod hunt;
mod identities;
mod load;
mod lockers;
mod loops;
mod machine;
mod mutants;
mod network;
mod operator;
mod options;
mod random;
mod receive;
mod runner;
mod settle;
mod shrink;
mod trace;
mod watchers;
mod world;

pub use fault_kind::FaultKind;
pub use load::OpKind;
pub use mutants::{choose_mutant, choose_no_mutant, mutants};
pub use options::Options;
pub use runner::{Failure, Report, run, run_with};
pub use shrink::{Shrunk, shrink};
