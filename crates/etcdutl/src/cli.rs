//! etcdutl's command line, and that of `mainstay migrate check`.

use std::{
    io::{self, BufWriter, Write},
    time::Duration,
};

use cmdline::{Action, Call, Command, Flag, Flags, Kind, Outcome, Positional, Program, Shell, script};

use crate::{
    Failure,
    dbfile::Patience,
    defrag, hashkv,
    logs::Log,
    migrate::{Migrate, parse_target},
    print::{self, Format},
    report,
    restore::Restore,
    status,
};

/// The version whose texts, files and exit codes these are.
const VERSION: &str = "3.7.1";
const API_VERSION: &str = "3.7";

/// What a command does; the result is for standard output.
#[derive(Clone, Copy, Debug)]
struct Run(fn(&Call<Run>) -> Result<String, Failure>);

/// No head on help pages.
const HEADLESS: &str = " ";

const SHELLS: &[&str] = &["bash", "zsh", "fish", "powershell"];
const FORMATS: &[&str] = &["fields", "json", "protobuf", "simple", "table"];

const COMPLETION: Command<Run> = Command {
    name: "completion",
    usage: "[bash|zsh|fish|powershell]",
    short: "Generate completion script",
    long: HEADLESS,
    positional: Positional::OneOf(SHELLS),
    flags_in_usage: false,
    action: Action::Run(Run(completion)),
    ..Command::NEW
};
const DEFRAG: Command<Run> = Command {
    name: "defrag",
    short: "Defragments the storage of the etcd",
    long: HEADLESS,
    flags: &[Flag::text("data-dir", "Required. Defragments a data directory not in use by etcd.").required()],
    action: Action::Run(Run(run_defrag)),
    ..Command::NEW
};
const HASHKV: Command<Run> = Command {
    name: "hashkv",
    usage: "<filename>",
    short: "Prints the KV history hash of a given file",
    long: HEADLESS,
    flags: &[Flag::int("rev", "maximum revision to hash (default: latest revision)")],
    positional: Positional::Exactly(1),
    action: Action::Run(Run(run_hash_kv)),
    ..Command::NEW
};
const HELP: Command<Run> = Command { short: "Help about any command", long: HEADLESS, ..Command::help("") };
const MIGRATE: Command<Run> = Command {
    name: "migrate",
    short: "Migrates schema of etcd data dir files to make them compatible with different etcd version",
    long: HEADLESS,
    flags: &[
        Flag::text("data-dir", "Path to the etcd data dir").required(),
        Flag::switch(
            "force",
            "Ignore migration failure and forcefully override storage version. Not recommended.",
        ),
        Flag::text(
            "target-version",
            "Target etcd version to migrate contents of data dir. Minimal value 3.5. Format \"X.Y\" for example 3.6.",
        )
        .required(),
    ],
    action: Action::Run(Run(run_migrate)),
    ..Command::NEW
};
const SNAPSHOT: Command<Run> = Command {
    name: "snapshot",
    short: "Manages etcd node snapshots",
    long: HEADLESS,
    commands: &[&RESTORE, &STATUS],
    ..Command::NEW
};
const RESTORE: Command<Run> = Command {
    name: "restore",
    usage: "<filename> --data-dir {output dir} [options]",
    short: "Restores an etcd member snapshot to an etcd directory",
    long: HEADLESS,
    flags: RESTORE_FLAGS,
    action: Action::Run(Run(run_restore)),
    ..Command::NEW
};
const STATUS: Command<Run> = Command {
    name: "status",
    usage: "<filename>",
    short: "Gets backend snapshot status of a given file",
    long: HEADLESS,
    action: Action::Run(Run(run_status)),
    ..Command::NEW
};
const VERSION_COMMAND: Command<Run> = Command {
    name: "version",
    short: "Prints the version of etcdutl",
    long: HEADLESS,
    action: Action::Run(Run(version)),
    ..Command::NEW
};

const RESTORE_FLAGS: &[Flag] = &[
    Flag::new("bump-revision", Kind::Uint, "0", "How much to increase the latest revision after restore"),
    Flag::text("data-dir", "Path to the output data directory"),
    Flag::new(
        "initial-advertise-peer-urls",
        Kind::Text,
        "http://localhost:2380",
        "List of this member's peer URLs to advertise to the rest of the cluster",
    ),
    Flag::new(
        "initial-cluster",
        Kind::Text,
        "default=http://localhost:2380",
        "Initial cluster configuration for restore bootstrap",
    ),
    Flag::new(
        "initial-cluster-token",
        Kind::Text,
        "etcd-cluster",
        "Initial cluster token for the etcd cluster during restore bootstrap",
    ),
    Flag::new(
        "initial-memory-map-size",
        Kind::Uint,
        "10737418240",
        "Initial memory map size of the database in bytes. It uses the default value if not defined or defined to 0",
    ),
    Flag::switch(
        "mark-compacted",
        "Mark the latest revision after restore as the point of scheduled compaction (required if --bump-revision > 0, disallowed otherwise)",
    ),
    Flag::new("name", Kind::Text, "default", "Human-readable name for this member"),
    Flag::switch(
        "skip-hash-check",
        "Ignore snapshot integrity hash value (required if copied from data directory)",
    ),
    Flag::text("wal-dir", "Path to the WAL directory (use --data-dir if none given)"),
];

static PROGRAM: Program<Run> = Program {
    root: &Command {
        name: "etcdutl",
        short: "An administrative command line tool for etcd3.",
        long: HEADLESS,
        persistent: &[
            Flag::new(
                "timeout",
                Kind::Duration,
                "10s",
                "time to wait to obtain a file lock on db file, 0 to block indefinitely",
            ),
            Flag::new(
                "write-out",
                Kind::Text,
                "simple",
                "set the output format (fields, json, protobuf, simple, table)",
            )
            .short('w')
            .values(FORMATS),
        ],
        commands: &[&COMPLETION, &DEFRAG, &HASHKV, &HELP, &MIGRATE, &SNAPSHOT, &VERSION_COMMAND],
        ..Command::NEW
    },
    groups: &[],
    prefixes: true,
    after_help: "",
};

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

const MIGRATE_CHECK: Command<Run> = Command {
    name: "check",
    usage: "<data-dir|snapshot>",
    short: "Says what a data directory or snapshot holds, and what would surprise when it changes hands",
    long: "Reads the data directory of a member that is stopped, or a snapshot, of etcd's or ours, and says what it holds\nand what would surprise when another server takes it over. Never writes.",
    flags: &[
        Flag::new("output", Kind::Text, "table", "table or json").short('o').values(&["table", "json"]),
        Flag::text("wal-dir", "where the log is, if not in the data directory"),
    ],
    positional: Positional::Exactly(1),
    action: Action::Run(Run(run_migrate_check)),
    ..Command::NEW
};

static MIGRATE_PROGRAM: Program<Run> = Program {
    root: &Command {
        name: "mainstay migrate",
        short: "What to know before a data directory changes hands",
        commands: &[&MIGRATE_CHECK, &HELP],
        ..Command::NEW
    },
    groups: &[],
    prefixes: false,
    after_help: "",
};

/// Runs `mainstay migrate`: the words behind it. Returns the exit code: 0 even when something would surprise, 1 when a
/// server would not start on it, or it cannot be read.
pub fn migrate_check(words: &[String]) -> u8 {
    match MIGRATE_PROGRAM.parse(words) {
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

fn run_migrate_check(call: &Call<Run>) -> Result<String, Failure> {
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
