//! What a developer runs. `cargo xtask sim --seed N | --hours H | --minutes M`

mod sim;

use std::{env, process::ExitCode};

const USAGE: &str = "usage: cargo xtask sim --seed N | --hours H | --minutes M

  see docs/simulator.md";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let result = match args.split_first() {
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
