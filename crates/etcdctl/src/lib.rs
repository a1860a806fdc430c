//! etcdctl: etcd's command line client, with its output and exit codes.
//!
//! `tree` declares the commands, `commands` does what they say, `print` writes replies in the format that was asked for.
//! What differs from upstream on purpose is in `docs/cli.md`.

mod commands;
mod connect;
mod context;
mod fail;
mod output;
mod password;
mod print;
mod text;
mod tree;

use std::process::ExitCode;

use cmdline::Outcome;

use crate::{context::Context, output::say};

/// Runs what the words ask for; the first is the name of the program.
pub fn run(words: &[String]) -> ExitCode {
    let variables = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    let call = match tree::PROGRAM.parse(words.get(1..).unwrap_or_default()) {
        Outcome::Run(call) => call,
        Outcome::Print { stdout, stderr } => {
            output::tell(&stderr);
            return end(say(stdout));
        }
        Outcome::Failed(failure) => {
            output::tell(&failure.text());
            return ExitCode::from(fail::ERROR);
        }
    };
    let run = call.run;
    let context = Context::new(call, words, variables.collect());
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::tell(&format!("Error: {error}\n"));
            return ExitCode::from(fail::ERROR);
        }
    };
    let done = runtime.block_on(run(context));
    // A thread may still wait for input.
    runtime.shutdown_background();
    end(done)
}

fn end(done: fail::Done) -> ExitCode {
    telemetry::log::flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            if let Some(text) = &failed.text {
                output::tell(&format!("Error: {text}\n"));
            }
            ExitCode::from(failed.code)
        }
    }
}
