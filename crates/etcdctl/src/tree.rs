//! The commands of etcdctl: names, flags, and which function is which.

mod auth;
mod cluster;
mod keys;

pub(crate) use keys::{DEL, GET, PUT, WATCH};

use std::pin::Pin;

use cmdline::{Action, Command, Flag, Group, Kind, Positional, Program};

use crate::{
    commands::{check, elect, lock, mirror, tool},
    context::Context,
    fail::Done,
};

/// What a command does.
pub(crate) type Run = fn(Context) -> Pin<Box<dyn Future<Output = Done>>>;

const KEYS: &str = "kv";
const CLUSTER: &str = "cluster maintenance";
const CONCURRENCY: &str = "concurrency";
const AUTH: &str = "authentication";
const UTILITY: &str = "utility";

/// etcdctl.
pub(crate) static PROGRAM: Program<Run> = Program {
    root: &Command {
        name: "etcdctl",
        short: "A command line client of etcd's v3 API.",
        flags: &[Flag::switch("help", "").short('h').hidden()],
        persistent: GLOBAL,
        commands: &[
            &GET,
            &PUT,
            &DEL,
            &keys::TXN,
            &keys::COMPACTION,
            &cluster::ALARM,
            &cluster::DEFRAG,
            &cluster::ENDPOINT,
            &cluster::MOVE_LEADER,
            &WATCH,
            &VERSION,
            &keys::LEASE,
            &cluster::MEMBER,
            &cluster::SNAPSHOT,
            &MIRROR,
            &LOCK,
            &ELECT,
            &auth::AUTH_COMMAND,
            &auth::USER,
            &auth::ROLE,
            &CHECK,
            &COMPLETION,
            &cluster::DOWNGRADE,
            &OPTIONS,
            &HELP,
        ],
        ..Command::NEW
    },
    groups: &[
        Group { id: KEYS, title: "Key-value commands" },
        Group { id: CLUSTER, title: "Cluster maintenance commands" },
        Group { id: CONCURRENCY, title: "Concurrency commands" },
        Group { id: AUTH, title: "Authentication commands" },
        Group { id: UTILITY, title: "Utility commands" },
    ],
    prefixes: true,
    after_help: "Use \"etcdctl options\" for a list of global command-line options (applies to all commands).",
};

const GLOBAL: &[Flag] = &[
    Flag::new(
        "endpoints",
        Kind::List,
        "127.0.0.1:2379",
        "where the members are reached, with commas between them",
    )
    .hidden(),
    Flag::switch("debug", "print the flags and what the client does").hidden(),
    Flag::new(
        "write-out",
        Kind::Text,
        "simple",
        "the format of replies (fields, json, protobuf, simple, table)",
    )
    .short('w')
    .hidden()
    .values(&["fields", "json", "protobuf", "simple", "table"]),
    Flag::switch("hex", "print bytes and ids as hexadecimal numbers").hidden(),
    Flag::new("dial-timeout", Kind::Duration, "2s", "longest time to connect and to log in").hidden(),
    Flag::new("command-timeout", Kind::Duration, "5s", "longest time for a short command").hidden(),
    Flag::new("keepalive-time", Kind::Duration, "2s", "silence before a server is pinged").hidden(),
    Flag::new("keepalive-timeout", Kind::Duration, "6s", "longest wait for the answer to a ping").hidden(),
    Flag::int("max-request-bytes", "largest request; 0 stands for 2 MiB").hidden(),
    Flag::int("max-recv-bytes", "largest reply; 0 stands for 2147483647").hidden(),
    Flag::new("insecure-transport", Kind::Bool, "true", "connect without TLS to endpoints without a scheme")
        .hidden(),
    Flag::new("insecure-discovery", Kind::Bool, "true", "take endpoints without TLS from DNS").hidden(),
    Flag::switch("insecure-skip-tls-verify", "trust every certificate; for tests only").hidden(),
    Flag::text("cert", "file of the certificate to show").hidden(),
    Flag::text("key", "file of its key").hidden(),
    Flag::text("cacert", "file of the authorities to trust").hidden(),
    Flag::text("auth-jwt-token", "signed token to show instead of logging in").hidden(),
    Flag::text("user", "NAME[:PASSWORD] to log in with; asks for a password that is missing").hidden(),
    Flag::text("password", "password to log in with, when it is not in --user").hidden(),
    Flag::text("discovery-srv", "domain whose SRV records name the endpoints").short('d').hidden(),
    Flag::text("discovery-srv-name", "suffix of the service in SRV records").hidden(),
];

static VERSION: Command<Run> = Command {
    name: "version",
    short: "Prints the version of etcdctl",
    group: UTILITY,
    action: Action::Run(|context| Box::pin(tool::version(context))),
    ..Command::NEW
};

static OPTIONS: Command<Run> = Command {
    name: "options",
    short: "Lists the flags that every command takes",
    group: UTILITY,
    action: Action::Run(|context| Box::pin(tool::options(context))),
    ..Command::NEW
};

static HELP: Command<Run> = Command::help(UTILITY);

static COMPLETION: Command<Run> = Command {
    name: "completion",
    usage: "[bash|zsh|fish|powershell]",
    short: "Prints a completion script",
    long: "Prints a script that completes etcdctl's command lines in a shell.

Bash, in this session or in every one:

  $ source <(etcdctl completion bash)
  $ etcdctl completion bash > /etc/bash_completion.d/etcdctl

Zsh, where `compinit` runs:

  $ etcdctl completion zsh > \"${fpath[1]}/_etcdctl\"

fish:

  $ etcdctl completion fish > ~/.config/fish/completions/etcdctl.fish

PowerShell:

  PS> etcdctl completion powershell | Out-String | Invoke-Expression
",
    group: UTILITY,
    positional: Positional::OneOf(&["bash", "zsh", "fish", "powershell"]),
    flags_in_usage: false,
    action: Action::Run(|context| Box::pin(tool::completion(context))),
    ..Command::NEW
};

static MIRROR: Command<Run> = Command {
    name: "make-mirror",
    usage: "[options] <destination>",
    short: "Copies keys to another cluster and keeps them equal",
    group: UTILITY,
    flags: &[
        Flag::text("prefix", "only keys that begin so"),
        Flag::int("rev", "begin with the changes of this revision instead of with a copy"),
        Flag::new("max-txn-ops", Kind::Uint, "128", "most operations in one transaction"),
        Flag::text("dest-prefix", "what stands in the place of the prefix at the destination"),
        Flag::switch("no-dest-prefix", "leave the prefix out at the destination"),
        Flag::text("dest-cert", "file of the certificate to show to the destination"),
        Flag::text("dest-key", "file of its key"),
        Flag::text("dest-cacert", "file of the authorities to trust for the destination"),
        Flag::new("dest-insecure-transport", Kind::Bool, "true", "connect to the destination without TLS"),
        Flag::text("dest-user", "NAME[:PASSWORD] to log in with at the destination"),
        Flag::text("dest-password", "password to log in with at the destination"),
    ],
    action: Action::Run(|context| Box::pin(mirror::run(context))),
    ..Command::NEW
};

static LOCK: Command<Run> = Command {
    name: "lock",
    usage: "<lockname> [exec-command arg1 arg2 ...]",
    short: "Takes a lock, and holds it or runs a command under it",
    group: CONCURRENCY,
    flags: &[Flag::new("ttl", Kind::Int, "10", "seconds until the lock of a client that vanished is free")],
    action: Action::Run(|context| Box::pin(lock::run(context))),
    ..Command::NEW
};

static ELECT: Command<Run> = Command {
    name: "elect",
    usage: "<election-name> [proposal]",
    short: "Becomes a candidate, or watches who leads",
    group: CONCURRENCY,
    flags: &[Flag::switch("listen", "watch who leads").short('l')],
    action: Action::Run(|context| Box::pin(elect::run(context))),
    ..Command::NEW
};

static CHECK: Command<Run> = Command {
    name: "check",
    usage: "<subcommand>",
    short: "Measures a cluster. Use `etcdctl check --help` to see subcommands",
    long: "Measures a cluster",
    group: UTILITY,
    commands: &[&PERF, &DATASCALE],
    ..Command::NEW
};

const LOADS: &[&str] = &["small", "medium", "large", "xLarge"];

static PERF: Command<Run> = Command {
    name: "perf",
    usage: "[options]",
    short: "Measures how fast the cluster writes",
    flags: &[
        Flag::new("load", Kind::Text, "s", "the workload: s(small), m(medium), l(large), xl(xLarge)")
            .values(LOADS),
        Flag::new("prefix", Kind::Text, "/etcdctl-check-perf/", "what the keys begin with"),
        Flag::switch("auto-compact", "compact afterwards"),
        Flag::switch("auto-defrag", "defragment afterwards"),
    ],
    action: Action::Run(|context| Box::pin(check::perf(context))),
    ..Command::NEW
};

static DATASCALE: Command<Run> = Command {
    name: "datascale",
    usage: "[options]",
    short: "Measures how much memory keys take in a server",
    long: "Measures how much memory keys take in the server at the first endpoint.",
    flags: &[
        Flag::new("load", Kind::Text, "s", "the workload: s(small), m(medium), l(large), xl(xLarge)")
            .values(LOADS),
        Flag::new("prefix", Kind::Text, "/etcdctl-check-datascale/", "what the keys begin with"),
        Flag::switch("auto-compact", "compact afterwards"),
        Flag::switch("auto-defrag", "defragment afterwards"),
    ],
    action: Action::Run(|context| Box::pin(check::data_scale(context))),
    ..Command::NEW
};
