//! rustc with LLVM's coverage for fuzzers, for our own crates only: dependencies stay as they were built.
//!
//! All options are stable ones, which is what `cargo fuzz` uses too, without its sanitizers: safe code has no use for
//! them. What crates of others are generic over (`prost`) is compiled, and so instrumented, in ours.

use std::process::{Command, ExitCode};

/// Set for Cargo, which passes it on.
pub(crate) const MARK: &str = "MAINSTAY_XTASK_RUSTC";

const OPTIONS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // One unit of code per crate would take long to build; several need no table of their own with this.
    "-Ccodegen-units=4",
];

/// Calls rustc, which is the first of `args`.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let Some((rustc, args)) = args.split_first() else { return ExitCode::from(2) };
    let mut command = Command::new(rustc);
    command.args(args);
    if is_ours(args) {
        command.args(OPTIONS);
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{rustc}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A library of ours: programs, and what builds them, are not linked with libFuzzer.
fn is_ours(args: &[String]) -> bool {
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    value("--crate-type").is_some_and(|kind| kind == "lib")
        && value("--crate-name").is_some_and(|name| name != "libfuzzer_sys")
}
