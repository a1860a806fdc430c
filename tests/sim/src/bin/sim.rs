//! Runs seeds. See docs/simulator.md; `cargo xtask sim` builds and runs it.

use std::{collections::BTreeMap, fs, process::ExitCode, time::Duration};

use sim::{Failure, Options, Report};

const USAGE: &str = "usage: sim --seed N | --hours H | --minutes M

  --seed N           this seed alone
  --hours H          seeds until so much time was simulated; --minutes M: the same
  --from N           the first of them; one that nobody has tried, if not given
  --twice N          N seeds, each of them twice: fails when what happened is not the same
  --members N        clusters of that size, whatever the seeds draw
  --users-and-locks  with users and locks, whatever the seeds draw
  --seed-minutes M   simulated time of each seed, before the end; 10 if not given
  --steady           a cluster of three with etcd's settings, instead of what the seed draws
  --without A,B      leave these kinds of faults or calls out of what the seeds draw
  --shrink           leave out more of a seed that fails, as long as it fails
  --trace            print each event of the run
  --mutant NAME      put an old bug back; `all`, or several with commas: tries each, until it is found (needs the feature `mutants`)";

#[derive(Clone, Debug)]
struct Args {
    seed: Option<u64>,
    from: u64,
    wanted: Duration,
    each: Duration,
    steady: bool,
    verbose: bool,
    shrink: bool,
    without: Vec<String>,
    mutant: Option<String>,
    twice: u64,
    members: Option<usize>,
    users_and_locks: bool,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let minutes = |minutes: f64| Duration::from_secs_f64(minutes * 60.0);
    let mut args = Args {
        seed: None,
        from: fresh(),
        wanted: minutes(60.0),
        each: minutes(10.0),
        steady: false,
        verbose: false,
        shrink: false,
        without: Vec::new(),
        mutant: None,
        twice: 0,
        members: None,
        users_and_locks: false,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--steady" => args.steady = true,
            "--trace" => args.verbose = true,
            "--users-and-locks" => args.users_and_locks = true,
            "--shrink" => args.shrink = true,
            "--hours" | "--minutes" | "--seed-minutes" | "--seed" | "--from" | "--mutant" | "--without"
            | "--twice" | "--members" => {
                let text = words.next().ok_or(format!("{word} needs a value"))?;
                let number = || text.parse::<f64>().map_err(|e| format!("{word} {text}: {e}"));
                let seed = || text.parse::<u64>().map_err(|e| format!("{word} {text}: {e}"));
                match word.as_str() {
                    "--hours" => args.wanted = minutes(number()? * 60.0),
                    "--minutes" => args.wanted = minutes(number()?),
                    "--seed-minutes" => args.each = minutes(number()?),
                    "--seed" => args.seed = Some(seed()?),
                    "--twice" => args.twice = seed()?,
                    "--members" => args.members = Some(seed()?.clamp(1, 7) as usize),
                    "--from" => args.from = seed()?,
                    "--without" => args.without = text.split(',').map(String::from).collect(),
                    _ => args.mutant = Some(text),
                }
            }
            _ => return Err(format!("unknown: {word}")),
        }
    }
    Ok(args)
}

/// A seed that nobody has tried yet, most likely.
fn fresh() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

/// Time of processors that this process has had, all its threads together; `None` where the system does not say.
fn processor_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may have anything in it: user and system time in hundredths of a second.
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// What the seeds of a run have done together.
#[derive(Default)]
struct Total {
    seeds: u64,
    simulated: Duration,
    checked: u64,
    events: u64,
    counters: BTreeMap<&'static str, u64>,
}

impl Total {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.simulated += report.simulated;
        self.checked += report.checked;
        self.events += report.events;
        for (what, times) in &report.counters {
            *self.counters.entry(what).or_default() += times;
        }
    }
}

fn options(args: &Args, seed: u64) -> Options {
    let mut options = if args.steady { Options::steady() } else { Options::of(seed) };
    options.members = args.members.unwrap_or(options.members);
    if args.users_and_locks {
        options.add_users_and_locks();
    }
    args.without.iter().for_each(|part| options.leave_out(part));
    options
}

/// Seeds one after the other, until enough time was simulated or something is found.
fn run_all(args: &Args) -> (Total, Result<(), Box<Failure>>) {
    let mut total = Total::default();
    let first = args.seed.unwrap_or(args.from);
    while total.simulated < args.wanted {
        let seed = first.wrapping_add(total.seeds);
        match sim::run_with(seed, options(args, seed), args.each, args.verbose) {
            Ok(report) => {
                if args.seed.is_some() {
                    println!("seed {seed}: {} events, trace {:016x}", report.events, report.trace);
                }
                total.add(&report);
            }
            Err(failure) => return (total, Err(failure)),
        }
        if args.seed.is_some() {
            break;
        }
    }
    (total, Ok(()))
}

fn run(args: &Args) -> ExitCode {
    let begun = processor_time();
    let (total, result) = run_all(args);
    if let Err(failure) = result {
        tell_failure(args, &failure);
        if args.shrink {
            let shrunk = sim::shrink(options(args, failure.seed), &args.without, args.each, *failure);
            println!("after {} parts were left out:", shrunk.without.len());
            let less = Args { without: shrunk.without, each: shrunk.duration, ..args.clone() };
            tell_failure(&less, &shrunk.failure);
        }
        return ExitCode::FAILURE;
    }
    let hours = total.simulated.as_secs_f64() / 3600.0;
    let first = args.seed.unwrap_or(args.from);
    println!(
        "seeds {first} to {}: {hours:.2} simulated hours, {} answers checked, nothing found",
        first + total.seeds - 1,
        total.checked
    );
    if let (Some(begun), Some(now)) = (begun, processor_time()) {
        let minutes = now.saturating_sub(begun).as_secs_f64() / 60.0;
        println!("{minutes:.2} minutes of a processor, {:.1} simulated hours a minute", hours / minutes);
    }
    for (what, times) in total.counters {
        println!("{times:>10} {what}");
    }
    ExitCode::SUCCESS
}

/// Runs seeds twice each, until one does not replay.
fn run_twice(args: &Args) -> ExitCode {
    let first = args.seed.unwrap_or(args.from);
    let mut total = Total::default();
    for seed in (0..args.twice).map(|number| first.wrapping_add(number)) {
        let once = || sim::run_with(seed, options(args, seed), args.each, false);
        let (one, other) = (once(), once());
        if one != other {
            println!("seed {seed} does not replay: {one:?}\n{other:?}");
            return ExitCode::FAILURE;
        }
        match one {
            Ok(report) => total.add(&report),
            Err(failure) => {
                tell_failure(args, &failure);
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "{} seeds from {first}, each run twice with the same trace: {} events, {:.2} simulated hours each time",
        total.seeds,
        total.events,
        total.simulated.as_secs_f64() / 3600.0
    );
    ExitCode::SUCCESS
}

fn tell_failure(args: &Args, failure: &Failure) {
    println!("{failure}");
    let mut command = format!("--seed {} --seed-minutes {}", failure.seed, args.each.as_secs_f64() / 60.0);
    if let Some(members) = args.members {
        command += &format!(" --members {members}");
    }
    if args.users_and_locks {
        command += " --users-and-locks";
    }
    if args.steady {
        command += " --steady";
    }
    if !args.without.is_empty() {
        command += &format!(" --without {}", args.without.join(","));
    }
    if let Some(mutant) = &args.mutant {
        command += &format!(" --mutant {mutant}");
    }
    println!("replay: cargo xtask sim {command}");
}

/// Tries mutants until each is found, and says how long that took. What a seed finds without the mutant, too, is not counted.
fn try_mutants(args: &Args, names: &[String]) -> ExitCode {
    let mut missed = false;
    for name in names {
        sim::choose_mutant(name);
        let begun = processor_time().unwrap_or_default();
        let (total, result) = run_all(args);
        let took = processor_time().unwrap_or_default().saturating_sub(begun).as_secs_f64();
        match result {
            Err(failure) => {
                let what: String = failure.what.chars().take(200).collect();
                sim::choose_no_mutant();
                let clean = sim::run_with(failure.seed, options(args, failure.seed), args.each, false);
                if let Err(failure) = clean {
                    missed = true;
                    println!("{name}: seed {} fails WITHOUT it: {}", failure.seed, failure.what);
                    continue;
                }
                println!("{name}: found after {took:.1} s of a processor, by seed {}: {what}", failure.seed);
            }
            Ok(()) => {
                missed = true;
                println!("{name}: NOT found by {} seeds in {took:.1} s of a processor", total.seeds);
            }
        }
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match args.mutant.as_deref() {
        Some("all") if !sim::mutants().is_empty() => try_mutants(&args, &sim::mutants()),
        Some(names) if names.contains(',') => {
            try_mutants(&args, &names.split(',').map(String::from).collect::<Vec<_>>())
        }
        Some(name) if !sim::choose_mutant(name) => {
            eprintln!("no mutant {name}; there are {:?}", sim::mutants());
            ExitCode::from(2)
        }
        _ if args.twice > 0 => run_twice(&args),
        _ => run(&args),
    }
}
