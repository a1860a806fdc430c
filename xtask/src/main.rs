//! What a developer runs. `cargo xtask fuzz [--seconds N] [--target NAME] [--write]`,
//! `cargo xtask sim --seed N | --hours H | --minutes M`
//!
//! Cargo also calls this program, in the place of rustc, while it builds for fuzzing: see [`instrument`].

mod fuzz;
mod instrument;
mod report;
mod sim;

use std::{env, process::ExitCode};

const USAGE: &str = "usage: cargo xtask sim --seed N | --hours H | --minutes M

  see docs/simulator.md

usage: cargo xtask fuzz [--seconds N] [--target NAME] [--write]

  --seconds N     how long each target runs; 60 if not given
  --target NAME   only this one
  --write         write the figures into RELIABILITY.md";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if env::var_os(instrument::MARK).is_some() {
        return instrument::run(&args);
    }
    let result = match args.split_first() {
        Some((command, rest)) if command == "fuzz" => fuzz::Options::parse(rest).map(fuzz::run),
        Some((command, rest)) if command == "sim" => Some(sim::run(rest)),
        _ => None,
    };
    match result {
        Some(Ok(true)) => ExitCode::SUCCESS,
        Some(Ok(false)) => ExitCode::FAILURE,
        Some(Err(error)) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
