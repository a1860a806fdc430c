//! The binary. Called `etcd` it is a member with etcd's command line; called otherwise it takes a command first.

mod cli;
mod logging;

use std::process::ExitCode;

/// Small requests are mostly allocations of a few kinds, made on one thread and freed on another: mimalloc takes
/// them in half the time of the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), mainstay::server::run_server)
}
