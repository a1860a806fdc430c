//! etcdutl's command line, and that of `mainstay migrate check`.

mod check;
mod commands;
mod repair;

use std::{
    io::{self, BufWriter, Write},
    time::Duration,
};

use cmdline::{Call, Flag, Flags, Outcome, Program, Shell, script};

use self::commands::{PROGRAM, RESTORE_FLAGS};
pub use self::{check::migrate_check, repair::repair};

use crate::{
    Failure,
    dbfile::Patience,
    defrag, hashkv,
    logs::Log,
    migrate::{Migrate, parse_target},
    print::{self, Format},
    restore::Restore,
    status,
};

/// The version whose texts, files and exit codes these are.
const VERSION: &str = "3.7.1";
const API_VERSION: &str = "3.7";

/// What a command does; the result is for standard output.
#[derive(Clone, Copy, Debug)]
struct Run(fn(&Call<Run>) -> Result<String, Failure>);

/// Runs etcdutl: the words behind its name. Returns the exit code.
pub fn run(words: &[String]) -> u8 {
    // Not one of etcdutl 3.7, so it is not among its commands in help pages.
    if let Some((word, rest)) = words.split_first()
        && word == "bbolt"
    {
        return run_bbolt(rest);
    }
    match PROGRAM.parse(words) {
        Outcome::Print { stdout, stderr } => {
            print(&stdout);
            complain(&stderr);
            0
        }
        Outcome::Failed(failure) => {
            // Once by the library, once by the tool.
            complain(&format!("{}Error: {}\n", failure.text(), failure.error));
            1
        }
        Outcome::Run(call) => finish((call.run.0)(&call)),
    }
}

/// Runs what `words` ask of a program of ours, and gives the exit code: 0 or 1.
fn answer(program: &'static Program<Run>, words: &[String]) -> u8 {
    match program.parse(words) {
        Outcome::Print { stdout, stderr } => {
            print(&stdout);
            complain(&stderr);
            0
        }
        Outcome::Failed(failure) => {
            complain(&failure.text());
            1
        }
        Outcome::Run(call) => finish((call.run.0)(&call)),
    }
}

/// Runs bbolt's commands: the words behind its name. Returns the exit code.
pub fn run_bbolt(words: &[String]) -> u8 {
    crate::bbolt::run(words, &mut BufWriter::new(io::stdout().lock()), &mut io::stderr())
}

fn finish(result: Result<String, Failure>) -> u8 {
    match result {
        Ok(text) => {
            print(&text);
            0
        }
        Err(failure) => {
            complain(&format!("Error: {failure}\n"));
            failure.code as u8
        }
    }
}

/// Nobody may be listening any more, and that is no reason to panic.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// `--timeout`: 0, and less, is for ever.
fn patience(flags: &Flags) -> Patience {
    match u64::try_from(flags.nanos("timeout")) {
        Ok(0) | Err(_) => None,
        Ok(nanos) => Some(Duration::from_nanos(nanos)),
    }
}

fn format(flags: &Flags) -> Result<Format, Failure> {
    Format::from_name(flags.text("write-out"))
}

fn completion(call: &Call<Run>) -> Result<String, Failure> {
    let shell = call.args.first().and_then(|name| Shell::from_name(name));
    shell.map(|shell| script(&PROGRAM, shell)).ok_or_else(|| Failure::new("no such shell"))
}

fn version(_: &Call<Run>) -> Result<String, Failure> {
    Ok(format!("etcdutl version: {VERSION}\nAPI version: {API_VERSION}\n"))
}

fn run_defrag(call: &Call<Run>) -> Result<String, Failure> {
    defrag::defrag(call.flags.text("data-dir"), patience(&call.flags), Log::Stderr)?;
    Ok(String::new())
}

fn run_hash_kv(call: &Call<Run>) -> Result<String, Failure> {
    let format = format(&call.flags)?;
    let revision = call.flags.int("rev");
    let found = hashkv::hash_kv(call.args[0].as_ref(), revision, patience(&call.flags))?;
    print::hash_kv(format, &found)
}

fn run_migrate(call: &Call<Run>) -> Result<String, Failure> {
    let migrate = Migrate {
        data_dir: call.flags.text("data-dir").to_owned(),
        target: parse_target(call.flags.text("target-version"))?,
        force: call.flags.bool("force"),
        patience: patience(&call.flags),
    };
    migrate.run(Log::Stderr)?;
    Ok(String::new())
}

fn run_status(call: &Call<Run>) -> Result<String, Failure> {
    snapshot_status(call.flags.text("write-out"), patience(&call.flags), &call.args)
}

fn snapshot_status(write_out: &str, patience: Patience, args: &[String]) -> Result<String, Failure> {
    let [path] = args else {
        return Err(Failure::bad_args("snapshot status requires exactly one argument"));
    };
    crate::dbfile::check_there(path.as_ref())?;
    let format = Format::from_name(write_out)?;
    print::status(format, &status::status(path.as_ref(), patience)?)
}

/// `snapshot status` for another tool: the text for standard output.
///
/// # Errors
/// With the exit code.
pub fn snapshot_status_with(write_out: &str, args: &[String]) -> Result<String, Failure> {
    snapshot_status(write_out, Some(Duration::from_secs(10)), args)
}

fn run_restore(call: &Call<Run>) -> Result<String, Failure> {
    snapshot_restore_with(&call.flags, &call.args)?;
    Ok(String::new())
}

/// The flags of `snapshot restore`, for another tool that has the command.
pub const fn snapshot_restore_flags() -> &'static [Flag] {
    RESTORE_FLAGS
}

/// `snapshot restore` with these flags, of which all in [`snapshot_restore_flags`] are declared.
///
/// # Errors
/// With the exit code.
pub fn snapshot_restore_with(flags: &Flags, args: &[String]) -> Result<(), Failure> {
    let [snapshot] = args else {
        return Err(Failure::bad_args("snapshot restore requires exactly one argument"));
    };
    let text = |name| flags.text(name).to_owned();
    let restore = Restore {
        snapshot: snapshot.clone(),
        name: text("name"),
        data_dir: text("data-dir"),
        wal_dir: text("wal-dir"),
        advertise_peer_urls: text("initial-advertise-peer-urls"),
        initial_cluster: text("initial-cluster"),
        initial_cluster_token: text("initial-cluster-token"),
        skip_hash_check: flags.bool("skip-hash-check"),
        memory_map_bytes: flags.uint("initial-memory-map-size"),
        bump_revision: flags.uint("bump-revision"),
        mark_compacted: flags.bool("mark-compacted"),
    };
    restore.run(Log::Stderr)
}
