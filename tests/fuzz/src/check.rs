//! Runs a target and judges what it cost.

use std::{fmt, panic::AssertUnwindSafe, time::Duration};

use rustix::time::{ClockId, clock_gettime};

use crate::{Target, meter};

/// Longest that a decoder may compute. Builds with checks are slower by about this factor.
pub const CPU_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 50 * 4 } else { 50 });

/// What is wrong with a target, for an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It panicked.
    Panic(String),
    /// It used so many bytes, and may use so many.
    Memory(usize, usize),
    /// It computed for so long.
    Slow(Duration),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Panic(text) => write!(f, "panic: {text}"),
            Finding::Memory(used, allowed) => write!(f, "{used} bytes in use, {allowed} are allowed"),
            Finding::Slow(time) => write!(f, "{time:?} of computing, {CPU_MAX:?} are allowed"),
        }
    }
}

/// Time that this thread has computed, in all.
fn computed() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Runs a target.
///
/// # Errors
/// What its costs were too high in. A panic passes through: libFuzzer reports it with its backtrace.
pub fn measured(target: &Target, input: &[u8]) -> Result<(), Finding> {
    let allowed = (target.memory)(input);
    let mut slowest = Duration::MAX;
    // A page fault or a first use may make one run slow; what is slow each time is slow.
    for _ in 0..3 {
        meter::start();
        let before = computed();
        (target.run)(input);
        slowest = slowest.min(computed() - before);
        let used = meter::peak();
        if used > allowed {
            return Err(Finding::Memory(used, allowed));
        }
        if slowest <= CPU_MAX {
            return Ok(());
        }
    }
    Err(Finding::Slow(slowest))
}

/// Runs a target, panics included.
///
/// # Errors
/// What is wrong.
pub fn run(target: &Target, input: &[u8]) -> Result<(), Finding> {
    std::panic::catch_unwind(AssertUnwindSafe(|| measured(target, input))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Finding::Panic(text.unwrap_or_default()))
    })
}

/// What libFuzzer calls: the target of `FUZZ_TARGET`. Ends the process on a finding.
///
/// # Panics
/// With the finding; or without such a target.
pub fn under_libfuzzer(input: &[u8]) {
    use std::sync::LazyLock;
    static TARGET: LazyLock<&Target> = LazyLock::new(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        let target = crate::target(&name).expect("FUZZ_TARGET names a target");
        // The first use of many things allocates for good.
        (target.seeds)().iter().for_each(|seed| (target.run)(seed));
        target
    });
    if let Err(finding) = measured(&TARGET, input) {
        panic!("{}: {finding}", TARGET.name);
    }
}
