//! The store against a naive model, and by example.

mod cases;
mod fixtures;
mod harness;
mod measure;
mod model;
mod random;
mod upstream;
