//! `cargo xtask sim`: builds the simulator for speed, says which commit that is, and runs it.

use std::{env, process::Command};

use anyhow::{Context, Result};

/// Runs the simulator with these arguments; `false` when it found something, or does not understand them.
///
/// # Errors
/// When it cannot be built or started.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    println!("commit {}", commit());
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--release", "--locked", "--package", "sim", "--bin", "sim"]);
    if args.iter().any(|arg| arg == "--mutant") {
        command.args(["--features", "mutants"]);
    }
    let status = command.arg("--").args(args).status().context("cannot run cargo")?;
    Ok(status.success())
}

/// The commit that is checked out, and whether files differ from it.
fn commit() -> String {
    let describe = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=40"]).output();
    match describe {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_string(),
        _ => "unknown".into(),
    }
}
