//! The binary. Called `etcd` it is a member with etcd's command line; called otherwise it takes a command first.

mod cli;
mod logging;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), mainstay::server::run_server)
}
