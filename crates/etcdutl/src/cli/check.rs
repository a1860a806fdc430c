//! `mainstay migrate check`.

use cmdline::{Action, Call, Command, Flag, Kind, Positional, Program};

use super::{Run, answer, print};
use crate::{Failure, report};

const HELP: Command<Run> = Command::help("");

const CHECK: Command<Run> = Command {
    name: "check",
    usage: "<data-dir|snapshot>",
    short: "Says what a data directory or snapshot holds, and what would surprise when it changes hands",
    long: "Reads the data directory of a member that is stopped, or a snapshot, of etcd's or ours, and says what it holds\nand what would surprise when another server takes it over. Never writes.",
    flags: &[
        Flag::new("output", Kind::Text, "table", "table or json").short('o').values(&["table", "json"]),
        Flag::text("wal-dir", "where the log is, if not in the data directory"),
    ],
    positional: Positional::Exactly(1),
    action: Action::Run(Run(run_check)),
    ..Command::NEW
};

static PROGRAM: Program<Run> = Program {
    root: &Command {
        name: "mainstay migrate",
        short: "What to know before a data directory changes hands",
        commands: &[&CHECK, &HELP],
        ..Command::NEW
    },
    groups: &[],
    prefixes: false,
    after_help: "",
};

/// Runs `mainstay migrate`: the words behind it. Returns the exit code: 0 even when something would surprise, 1 when a
/// server would not start on it, or it cannot be read.
pub fn migrate_check(words: &[String]) -> u8 {
    answer(&PROGRAM, words)
}

fn run_check(call: &Call<Run>) -> Result<String, Failure> {
    let json = match call.flags.text("output") {
        "json" => true,
        "table" => false,
        other => {
            return Err(Failure::bad_args(format!("--output is table or json, not {other:?}")));
        }
    };
    let wal_dir = Some(call.flags.text("wal-dir")).filter(|dir| !dir.is_empty());
    let report = report::read(call.args[0].as_ref(), wal_dir.map(AsRef::as_ref))?;
    let text = if json { report.to_json() } else { report.to_table() };
    if report.blocked() {
        print(&text);
        return Err(Failure::new("a server would refuse to start on it, see above"));
    }
    Ok(text)
}
