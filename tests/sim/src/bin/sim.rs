//! Runs seeds: `sim --seed N [--minutes M]`, or many: `sim --hours H | --minutes M [--from N] [--seed-minutes M]`.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use sim::{Options, Report};

#[derive(Debug)]
struct Args {
    seed: Option<u64>,
    from: u64,
    minutes: f64,
    seed_minutes: f64,
    steady: bool,
    verbose: bool,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut args =
        Args { seed: None, from: fresh(), minutes: 60.0, seed_minutes: 10.0, steady: false, verbose: false };
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or(format!("{word} needs a number"))?;
            text.parse::<f64>().map_err(|e| format!("{word} {text}: {e}"))
        };
        match word.as_str() {
            "--hours" => args.minutes = number()? * 60.0,
            "--minutes" => args.minutes = number()?,
            "--seed-minutes" => args.seed_minutes = number()?,
            "--steady" => args.steady = true,
            "--trace" => args.verbose = true,
            "--seed" | "--from" => {
                let text = words.next().ok_or(format!("{word} needs a number"))?;
                let value = text.parse().map_err(|e| format!("{word} {text}: {e}"))?;
                if word == "--seed" { args.seed = Some(value) } else { args.from = value }
            }
            _ => return Err(format!("unknown: {word}")),
        }
    }
    Ok(args)
}

/// Seeds that nobody has tried yet, most likely.
fn fresh() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!(
                "{error}\n--seed N | --hours H | --minutes M [--from N] [--seed-minutes M] [--steady] [--trace]"
            );
            return ExitCode::from(2);
        }
    };
    let (mut simulated, mut checked, mut seeds) = (Duration::ZERO, 0, 0u64);
    let mut counters: BTreeMap<&'static str, u64> = BTreeMap::new();
    let wanted = Duration::from_secs_f64(args.minutes * 60.0);
    let each = Duration::from_secs_f64(args.seed_minutes * 60.0);
    let first = args.seed.unwrap_or(args.from);
    while simulated < wanted {
        let seed = first.wrapping_add(seeds);
        let options = if args.steady { Options::steady() } else { Options::of(seed) };
        match sim::run_with(seed, options, each, args.verbose) {
            Ok(report) => {
                add(&mut counters, &report);
                simulated += report.simulated;
                checked += report.checked;
                if args.seed.is_some() {
                    println!("seed {seed}: {} events, trace {:016x}", report.events, report.trace);
                }
            }
            Err(failure) => {
                println!("{failure}");
                let steady = if args.steady { " --steady" } else { "" };
                println!(
                    "replay: cargo xtask sim --seed {seed} --seed-minutes {}{steady}",
                    args.seed_minutes
                );
                return ExitCode::FAILURE;
            }
        }
        seeds += 1;
        if args.seed.is_some() {
            break;
        }
    }
    let hours = simulated.as_secs_f64() / 3600.0;
    println!(
        "{seeds} seeds from {first}: {hours:.2} simulated hours, {checked} answers checked, nothing found"
    );
    for (what, times) in counters {
        println!("{times:>10} {what}");
    }
    ExitCode::SUCCESS
}

fn add(counters: &mut BTreeMap<&'static str, u64>, report: &Report) {
    for (what, times) in &report.counters {
        *counters.entry(what).or_default() += times;
    }
}
