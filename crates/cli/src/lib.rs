//! The commands of `mainstay` itself: keys, leases, locks and clusters, for people. They work against any server of
//! etcd's v3 API.
//!
//! `tree` declares the commands, `commands` does what they say, `output` writes rows in the format that was asked for.
//! Exit codes: 0 well, 1 failed, 2 not understood, 3 the cluster is not healthy.

mod commands;
mod context;
mod fail;
mod kv;
mod man;
mod output;
mod progress;
mod tree;
mod yaml;

use std::process::ExitCode;

use cmdline::Outcome;

use crate::{context::Context, fail::Failed, output::say};

/// Runs what the words behind `mainstay` ask for.
pub fn run(words: &[String]) -> ExitCode {
    let call = match tree::PROGRAM.parse(words) {
        Outcome::Run(call) => call,
        Outcome::Print { stdout, stderr } => {
            output::tell(&stderr);
            return end(say(stdout));
        }
        Outcome::Failed(failure) => {
            output::tell(&failure.text());
            return ExitCode::from(fail::MISUSED);
        }
    };
    let run = call.run;
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let variables = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect();
    let done = Context::new(call, variables).and_then(|context| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Failed::new(format!("the system gives no event queue: {error}")))?;
        let done = runtime.block_on(run(context));
        // A thread may still wait for input.
        runtime.shutdown_background();
        done
    });
    end(done)
}

fn end(done: fail::Done) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            output::tell(&failed.text());
            ExitCode::from(failed.code)
        }
    }
}
