//! `mainstay repair`.

use cmdline::{Action, Call, Command, Flag, Kind, Positional, Program};

use super::{Run, answer, print};
use crate::{Failure, loss};

static PROGRAM: Program<Run> = Program {
    root: &Command {
        name: "mainstay repair",
        usage: "--show-loss <data-dir>",
        short: "Says what of a damaged data directory is lost",
        long: "Reads the data directory of a member that is stopped and says which rows of the database and which entries of the\nlog cannot be read any more. Never writes.\n\nA member of a cluster needs none of this: when it starts, it takes what it lost from the others. One that is alone\nrefuses to start; what is lost comes back from a snapshot (etcdutl snapshot restore).",
        flags: &[
            Flag::new("show-loss", Kind::Bool, "false", "say what is lost"),
            Flag::text("wal-dir", "where the log is, if not in the data directory"),
        ],
        positional: Positional::Exactly(1),
        action: Action::Run(Run(run_repair)),
        ..Command::NEW
    },
    groups: &[],
    prefixes: false,
    after_help: "",
};

/// Runs `mainstay repair`: the words behind it. Returns the exit code: 1 when something is lost, or nothing can be read.
pub fn repair(words: &[String]) -> u8 {
    answer(&PROGRAM, words)
}

fn run_repair(call: &Call<Run>) -> Result<String, Failure> {
    if !call.flags.bool("show-loss") {
        return Err(Failure::bad_args(
            "a member repairs itself from the others when it starts; alone, only --show-loss can be done"
                .to_owned(),
        ));
    }
    let wal_dir = Some(call.flags.text("wal-dir")).filter(|dir| !dir.is_empty());
    let loss = loss::read(call.args[0].as_ref(), wal_dir.map(AsRef::as_ref))?;
    if loss.any {
        print(&loss.text);
        return Err(Failure::new(
            "something is lost, see above; a snapshot has what was there when it was saved",
        ));
    }
    Ok(loss.text)
}
