//! Tests of the hub as a whole, with a store that is a list of all changes ever made.

mod backing;
mod cost;
mod invariants;
mod model;
mod rules;
mod store;
mod world;
