//! Runs one seed and says what came of it.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::{
    options::{Options, SECOND},
    world::World,
};

/// What a run that found nothing has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Hash over everything that happened: equal for equal seeds.
    pub trace: u64,
    /// Events in it.
    pub events: u64,
    /// Simulated time, the end included.
    pub simulated: Duration,
    /// Answers compared with the model.
    pub checked: u64,
    /// How often each kind of call, fault and the like happened.
    pub counters: BTreeMap<&'static str, u64>,
}

/// A run that found something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Simulated time until then.
    pub after: Duration,
    /// What it is.
    pub what: String,
    /// What the seed stands for.
    pub options: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, after, what, options } = self;
        write!(f, "seed {seed}, after {:.3} s: {what}\n{options}", after.as_secs_f64())
    }
}

/// Runs `seed` for so much simulated time, then heals everything and waits for the end.
///
/// # Errors
/// What a checker found, or that the product panicked.
pub fn run(seed: u64, duration: Duration) -> Result<Report, Box<Failure>> {
    run_with(seed, Options::of(seed), duration, false)
}

/// The same with options of the caller's choice; `verbose` prints each event.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    seed: u64,
    options: Options,
    duration: Duration,
    verbose: bool,
) -> Result<Report, Box<Failure>> {
    let text = format!("{options:?}");
    let mut world = World::new(seed, options);
    world.trace.verbose = verbose;
    let until = duration.as_nanos() as u64;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        while world.now < until && !world.over {
            let next = (world.now + 10 * SECOND).min(until);
            world.run_until(next)?;
            world.move_watcher();
        }
        if world.over { Ok(()) } else { world.settle() }
    }));
    let what = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(violation)) => Some(violation.0),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
            Some(format!("panic: {text}"))
        }
    };
    let simulated = Duration::from_nanos(world.now);
    if let Some(what) = what {
        return Err(Box::new(Failure { seed, after: simulated, what, options: text }));
    }
    let mut counters = world.counters.clone();
    counters.insert("term with a leader", world.raft.terms_led() as u64);
    counters.insert("lease expired", world.leases.expired);
    counters.insert("lock taken", world.locks.acquired);
    counters.insert("revision", world.history.model.revision as u64);
    Ok(Report {
        seed,
        trace: world.trace.hash(),
        events: world.trace.events(),
        simulated,
        checked: world.history.checked,
        counters,
    })
}
