//! etcdutl's commands and flags; texts are etcdutl's.

use cmdline::{Action, Command, Flag, Kind, Positional, Program};

use super::{Run, completion, run_defrag, run_hash_kv, run_migrate, run_restore, run_status, version};

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

pub(super) const RESTORE_FLAGS: &[Flag] = &[
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

pub(super) static PROGRAM: Program<Run> = Program {
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
