//! From a seed that fails to the least of it that still does.

use std::time::Duration;

use crate::{
    options::Options,
    runner::{Failure, run_with},
};

/// What is left of a run that fails.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What was left out.
    pub without: Vec<String>,
    /// How long it has to run.
    pub duration: Duration,
    /// How it fails.
    pub failure: Failure,
}

/// `failure` was found in a run of `duration`. Leaves one thing after the other out of `options`, and keeps it out when the run still fails, in whatever way; a
/// run that takes another course is as good a find. At most one run for each part.
pub fn shrink(mut options: Options, without: &[String], duration: Duration, failure: Failure) -> Shrunk {
    let seed = failure.seed;
    let mut shrunk = Shrunk { without: without.to_vec(), duration: duration.min(failure.after), failure };
    for part in options.parts() {
        let mut less = options.clone();
        less.leave_out(&part);
        if let Err(failure) = run_with(seed, less.clone(), shrunk.duration, false) {
            // Most failures are seen at once; those of the end need a run as long as this one.
            shrunk.duration = shrunk.duration.min(failure.after);
            shrunk.failure = *failure;
            shrunk.without.push(part);
            options = less;
        }
    }
    shrunk
}
