//! bbolt's tool, as far as it looks at files: same commands, flags and output. Reading takes a reader's lock as there.

mod format;
mod pages;
mod trees;

use std::{io::Write, path::Path};

use bolt::Snapshot;
use cmdline::{Action, Call, Command, Flag, Kind, Outcome, Positional, Program};

use crate::{
    dbfile::{self, For, Patience},
    failure::Failure,
    golang::quote_bytes,
};

/// What a command does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run(fn(&Call<Run>, &mut dyn Write) -> Result<(), Failure>);

const FORMATS: &[&str] = &["auto", "ascii-encoded", "hex", "bytes", "redacted"];
const FORMAT_HELP: &str = "Output format one of: auto|ascii-encoded|hex|bytes|redacted";

const fn format_flag(name: &'static str, help: &'static str) -> Flag {
    Flag::new(name, Kind::Text, "auto", help).values(FORMATS)
}

const fn command(
    name: &'static str,
    usage: &'static str,
    short: &'static str,
    positional: Positional,
    run: fn(&Call<Run>, &mut dyn Write) -> Result<(), Failure>,
) -> Command<Run> {
    Command { name, usage, short, positional, action: Action::Run(Run(run)), ..Command::NEW }
}

const FILE: &str = "<bbolt-file>";
const ONE: Positional = Positional::Exactly(1);

const BUCKETS: Command<Run> =
    command("buckets", FILE, "print a list of buckets in bbolt database", ONE, trees::buckets);
const CHECK: Command<Run> = Command {
    flags: &[Flag::new("from-page", Kind::Uint, "0", "check db integrity starting from the given page ID")],
    ..command("check", FILE, "verify integrity of bbolt database data", ONE, trees::check)
};
const DUMP: Command<Run> = command(
    "dump",
    "<bbolt-file> pageid [pageid...]",
    "prints a hexadecimal dump of one or more pages of bbolt database.",
    Positional::AtLeast(2),
    pages::dump,
);
const GET: Command<Run> = Command {
    flags: &[
        format_flag("format", "Output format one of: auto|ascii-encoded|hex|bytes|redacted (default: auto)"),
        Flag::new("parse-format", Kind::Text, "ascii-encoded", "Input format one of: ascii-encoded|hex"),
    ],
    ..command(
        "get",
        "PATH [BUCKET..] KEY",
        "get the value of a key from a (sub)bucket in a bbolt database",
        Positional::AtLeast(3),
        trees::get,
    )
};
const INFO: Command<Run> =
    command("info", FILE, "prints basic information about the bbolt database.", ONE, trees::info);
const INSPECT: Command<Run> =
    command("inspect", FILE, "inspect the structure of the database", ONE, trees::inspect);
const KEYS: Command<Run> = Command {
    flags: &[format_flag("format", FORMAT_HELP).short('f')],
    ..command(
        "keys",
        "<bbolt-file> <buckets>",
        "print a list of keys in the given (sub)bucket in bbolt database",
        Positional::AtLeast(2),
        trees::keys,
    )
};
const PAGE: Command<Run> = Command {
    flags: &[
        Flag::switch("all", "List all pages."),
        format_flag(
            "format-value",
            "Output format one of: auto|ascii-encoded|hex|bytes|redacted. Applies to values on the leaf page.",
        ),
    ],
    ..command(
        "page",
        "<bbolt-file> [pageid...]",
        "page prints one or more pages in human readable format.",
        Positional::AtLeast(1),
        pages::page,
    )
};
const PAGE_ITEM: Command<Run> = Command {
    flags: &[
        format_flag("format", FORMAT_HELP),
        Flag::switch("key-only", "Print only the key"),
        Flag::switch("value-only", "Print only the value"),
    ],
    ..command(
        "page-item",
        "[options] <bbolt-file> pageid itemid",
        "print a page item key and value in a bbolt database",
        Positional::Exactly(3),
        pages::page_item,
    )
};
const PAGES: Command<Run> =
    command("pages", FILE, "print a list of pages in bbolt database", ONE, pages::pages);
const STATS: Command<Run> =
    command("stats", FILE, "print stats of bbolt database", Positional::Between(1, 2), trees::stats);
const HELP: Command<Run> = Command::help("");

static PROGRAM: Program<Run> = Program {
    root: &Command {
        name: "bbolt",
        short: "Looks at files of bbolt, as its own tool does",
        commands: &[
            &BUCKETS, &CHECK, &DUMP, &GET, &HELP, &INFO, &INSPECT, &KEYS, &PAGE, &PAGE_ITEM, &PAGES, &STATS,
        ],
        ..Command::NEW
    },
    groups: &[],
    prefixes: false,
    after_help: "",
};

/// Runs a command line; the words behind `bbolt`.
pub(crate) fn run(words: &[String], out: &mut dyn Write, complaints: &mut dyn Write) -> u8 {
    match PROGRAM.parse(words) {
        Outcome::Print { stdout, stderr } => {
            let _ = out.write_all(stdout.as_bytes());
            let _ = complaints.write_all(stderr.as_bytes());
            0
        }
        Outcome::Failed(failure) => {
            let _ = complaints.write_all(failure.text().as_bytes());
            1
        }
        Outcome::Run(call) => match (call.run.0)(&call, out).and_then(|()| out.flush().map_err(unwritten)) {
            Ok(()) => 0,
            Err(failure) => {
                let _ = out.flush();
                let text = format!("Error: {failure}\n{}\n", PROGRAM.usage_of(&call));
                let _ = complaints.write_all(text.as_bytes());
                failure.code as u8
            }
        },
    }
}

/// Standard output does not take what is printed.
fn unwritten(error: std::io::Error) -> Failure {
    Failure::new(format!("write: {}", crate::golang::io_text(&error)))
}

fn check_source(path: &str) -> Result<&Path, Failure> {
    let shown = quote_bytes(path.as_bytes());
    match std::fs::metadata(path) {
        Ok(_) => Ok(Path::new(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::new(format!("source database file {shown} doesn't exist")))
        }
        Err(error) => Err(Failure::new(format!(
            "failed to open source database file {shown}: {}",
            crate::golang::path_error("stat", Path::new(path), &error)
        ))),
    }
}

/// Waits for as long as another process writes, as bbolt does.
const PATIENCE: Patience = None;

fn open(path: &str) -> Result<Snapshot, Failure> {
    Ok(dbfile::open(check_source(path)?, For::Reading, PATIENCE)?.snapshot())
}
