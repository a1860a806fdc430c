//! The commands of `mainstay`: names, flags, and which function is which.

use std::pin::Pin;

use cmdline::{Action, Command, Flag, Group, Kind, Positional, Program, Shell};

use crate::{
    commands::{bench, disk, doctor, keys, leases, locks, member, status, transfer, txn, watch},
    context::Context,
    fail::{Done, Failed},
    man,
    output::Format,
};

/// What a command does.
pub(crate) type Run = fn(Context) -> Pin<Box<dyn Future<Output = Done>>>;

const KEYS: &str = "keys";
const CLUSTER: &str = "cluster";
const SERVE: &str = "serve";
const TOOLS: &str = "tools";

/// `mainstay`.
pub(crate) static PROGRAM: Program<Run> = Program {
    root: &Command {
        name: "mainstay",
        short: "etcd, built again: the server and its tools",
        long: "Mainstay is etcd, built again: the server and its tools.\n\nCalled etcd, etcdctl or etcdutl it is that, down to output and exit codes.",
        persistent: GLOBAL,
        commands: &[
            &SERVER,
            &DEMO,
            &GET,
            &PUT,
            &DEL,
            &TXN,
            &WATCH,
            &KV,
            &LEASE,
            &LOCK,
            &ELECT,
            &STATUS,
            &HEALTH,
            &MEMBER,
            &DOCTOR,
            &BENCH,
            &ETCDCTL,
            &ETCDUTL,
            &BBOLT,
            &MIGRATE,
            &REPAIR,
            &COMPLETION,
            &MAN,
            &VERSION,
            &HELP,
        ],
        ..Command::NEW
    },
    groups: &[
        Group { id: SERVE, title: "Serve" },
        Group { id: KEYS, title: "Keys" },
        Group { id: CLUSTER, title: "Clusters" },
        Group { id: TOOLS, title: "Tools" },
    ],
    prefixes: false,
    after_help: "",
};

const GLOBAL: &[Flag] = &[
    Flag::new("endpoints", Kind::List, "127.0.0.1:2379", "where members are reached"),
    Flag::text("cacert", "file of the authorities to trust"),
    Flag::text("cert", "file of the certificate to show"),
    Flag::text("key", "file of its key"),
    Flag::switch("insecure-skip-tls-verify", "trust every certificate; for tests only"),
    Flag::text("user", "NAME:PASSWORD to log in with"),
    Flag::text("password", "password to log in with, when it is not in --user"),
    Flag::new("timeout", Kind::Duration, "5s", "longest time for a request"),
    Flag::text("output", "format: table, json, jsonl, yaml or name; without it what people read best")
        .short('o')
        .values(Format::NAMES),
];

const PREFIX: Flag = Flag::switch("prefix", "all keys that begin with KEY; all there are when it is empty");
const YES: Flag = Flag::switch("yes", "do not ask").short('y');
const REV: Flag = Flag::int("rev", "as of this revision; 0 for now");
const TTL: Flag = Flag::new("ttl", Kind::Int, "60", "seconds that it outlives a holder who is gone");

macro_rules! run {
    ($function:path) => {
        Action::Run(|context| Box::pin($function(context)))
    };
}

static GET: Command<Run> = Command {
    name: "get",
    usage: "KEY [END]",
    short: "Print a value, or the pairs of a range",
    example: "  mainstay get greeting\n  mainstay get --prefix /registry/pods/ --keys-only\n  mainstay get --prefix '' -o jsonl",
    group: KEYS,
    flags: &[
        PREFIX,
        REV,
        Flag::int("limit", "at most so many keys; 0 for all"),
        Flag::switch("keys-only", "no values"),
        Flag::switch("count", "only how many there are"),
        Flag::switch("stale", "what the member asked has, without asking the others"),
    ],
    positional: Positional::Between(1, 2),
    action: run!(keys::get),
    ..Command::NEW
};

static PUT: Command<Run> = Command {
    name: "put",
    usage: "KEY [VALUE | -]",
    short: "Write a value; from standard input without one",
    example: "  mainstay put greeting hello\n  mainstay put config - < config.json\n  mainstay put greeting hello --if-absent",
    group: KEYS,
    flags: &[
        Flag::text("lease", "lease to attach"),
        Flag::switch("if-absent", "only if there is no such key"),
        Flag::int("if-revision", "only if the key was changed last at this revision"),
    ],
    positional: Positional::Between(1, 2),
    action: run!(keys::put),
    ..Command::NEW
};

static DEL: Command<Run> = Command {
    name: "del",
    usage: "KEY [END]",
    short: "Delete a key or a range",
    group: KEYS,
    flags: &[PREFIX, YES],
    positional: Positional::Between(1, 2),
    action: run!(keys::del),
    ..Command::NEW
};

static TXN: Command<Run> = Command {
    name: "txn",
    usage: "[if CONDITION...] then OPERATION... [else OPERATION...]",
    short: "Do several things at once if conditions hold",
    long: "Do several things at once if conditions hold. Conditions are `value|version|create|mod|lease KEY =|!=|<|> X`, \
           operations `get KEY`, `put KEY VALUE` and `del KEY`; `and` stands between them. The exit code is 1 when the \
           conditions do not hold.",
    example: "  mainstay txn if create lock = 0 then put lock me else get lock",
    group: KEYS,
    positional: Positional::AtLeast(1),
    action: run!(txn::run),
    ..Command::NEW
};

static WATCH: Command<Run> = Command {
    name: "watch",
    usage: "KEY [END]",
    short: "Print changes as they happen",
    long: "Print changes as they happen. When a member fails it goes on at another one; no change is left out or told twice.",
    group: KEYS,
    flags: &[
        PREFIX,
        Flag::int("rev", "from this revision on; 0 for what comes"),
        Flag::switch("keys-only", "no values"),
        Flag::int("count", "end after so many changes; 0 for never"),
    ],
    positional: Positional::Between(1, 2),
    action: run!(watch::run),
    ..Command::NEW
};

static KV: Command<Run> = Command {
    name: "kv",
    short: "Export and import keys",
    group: KEYS,
    commands: &[&EXPORT, &IMPORT],
    ..Command::NEW
};

static EXPORT: Command<Run> = Command {
    name: "export",
    usage: "[PREFIX]",
    short: "Write keys and values as JSON lines to standard output",
    long: "Write keys and values as JSON lines to standard output, all as of one revision. What is no UTF-8 stands as \
           base64 in fields that end in _base64.",
    flags: &[REV],
    positional: Positional::Between(0, 1),
    action: run!(transfer::export),
    ..Command::NEW
};

static IMPORT: Command<Run> = Command {
    name: "import",
    usage: "[FILE | -]",
    short: "Write keys and values from JSON lines",
    long: "Write keys and values from JSON lines, as export writes them. Values that are there already are left alone; \
           a key that changes while this runs is not overwritten. Leases are not imported.",
    flags: &[
        Flag::switch("dry-run", "only say what would be written"),
        Flag::switch("cas", "overwrite a key only if it was changed last at its exported mod_revision"),
        YES,
    ],
    positional: Positional::Between(0, 1),
    action: run!(transfer::import),
    ..Command::NEW
};

static LEASE: Command<Run> = Command {
    name: "lease",
    short: "Leases: keys that end by themselves",
    group: KEYS,
    commands: &[&GRANT, &LEASES, &LEASE_GET, &KEEP_ALIVE, &REVOKE],
    ..Command::NEW
};

static GRANT: Command<Run> = Command {
    name: "grant",
    usage: "TTL",
    short: "Make a lease of so many seconds, or a time such as 2m",
    positional: Positional::Exactly(1),
    action: run!(leases::grant),
    ..Command::NEW
};

static LEASES: Command<Run> = Command {
    name: "list",
    short: "List leases with their keys",
    positional: Positional::Never,
    action: run!(leases::list),
    ..Command::NEW
};

static LEASE_GET: Command<Run> = Command {
    name: "get",
    usage: "LEASE",
    short: "Show a lease and its keys",
    positional: Positional::Exactly(1),
    action: run!(leases::get),
    ..Command::NEW
};

static KEEP_ALIVE: Command<Run> = Command {
    name: "keep-alive",
    usage: "LEASE",
    short: "Renew a lease until interrupted",
    flags: &[Flag::switch("once", "renew it once")],
    positional: Positional::Exactly(1),
    action: run!(leases::keep_alive),
    ..Command::NEW
};

static REVOKE: Command<Run> = Command {
    name: "revoke",
    usage: "LEASE",
    short: "End a lease and delete its keys",
    flags: &[YES],
    positional: Positional::Exactly(1),
    action: run!(leases::revoke),
    ..Command::NEW
};

static LOCK: Command<Run> = Command {
    name: "lock",
    usage: "NAME [-- COMMAND...]",
    short: "Hold a lock until interrupted, or while a command runs",
    long: "Hold a lock until interrupted, or while a command runs. The command gets MAINSTAY_LOCK_KEY and \
           MAINSTAY_LOCK_REVISION, the fencing token, and is ended when the lock is lost.",
    group: KEYS,
    flags: &[TTL],
    positional: Positional::AtLeast(1),
    action: run!(locks::lock),
    ..Command::NEW
};

static ELECT: Command<Run> = Command {
    name: "elect",
    usage: "NAME [VALUE]",
    short: "Become the leader of an election; without a value watch who leads",
    group: KEYS,
    flags: &[TTL, Flag::switch("once", "only print who leads now")],
    positional: Positional::Between(1, 2),
    action: run!(locks::elect),
    ..Command::NEW
};

static STATUS: Command<Run> = Command {
    name: "status",
    short: "How the cluster is: a line, and a row for each member",
    long: "How the cluster is: a line, and a row for each member. The exit code is 3 when it cannot write, or has an alarm.",
    group: CLUSTER,
    positional: Positional::Never,
    action: run!(status::status),
    ..Command::NEW
};

static HEALTH: Command<Run> = Command {
    name: "health",
    short: "Whether each endpoint can read what a majority agrees on",
    long: "Whether each endpoint can read what a majority agrees on. The exit code is 3 when one cannot.",
    group: CLUSTER,
    positional: Positional::Never,
    action: run!(status::health),
    ..Command::NEW
};

static MEMBER: Command<Run> = Command {
    name: "member",
    short: "List, add, remove, update and promote members; choose who leads",
    group: CLUSTER,
    commands: &[&MEMBERS, &ADD, &REMOVE, &UPDATE, &PROMOTE, &LEAD],
    ..Command::NEW
};

static MEMBERS: Command<Run> = Command {
    name: "list",
    short: "List members",
    positional: Positional::Never,
    action: run!(member::list),
    ..Command::NEW
};

static ADD: Command<Run> = Command {
    name: "add",
    usage: "NAME PEER_URL...",
    short: "Add a member, as a learner unless told otherwise, and say how to start it",
    flags: &[Flag::switch("voter", "let it vote at once, before it has caught up"), YES],
    positional: Positional::AtLeast(2),
    action: run!(member::add),
    ..Command::NEW
};

static REMOVE: Command<Run> = Command {
    name: "remove",
    usage: "MEMBER",
    short: "Remove a member by its id or name",
    flags: &[YES],
    positional: Positional::Exactly(1),
    action: run!(member::remove),
    ..Command::NEW
};

static UPDATE: Command<Run> = Command {
    name: "update",
    usage: "MEMBER PEER_URL...",
    short: "Change where a member is reached by the others",
    positional: Positional::AtLeast(2),
    action: run!(member::update),
    ..Command::NEW
};

static PROMOTE: Command<Run> = Command {
    name: "promote",
    usage: "MEMBER",
    short: "Let a learner that has caught up vote",
    positional: Positional::Exactly(1),
    action: run!(member::promote),
    ..Command::NEW
};

static LEAD: Command<Run> = Command {
    name: "lead",
    usage: "MEMBER",
    short: "Let another member lead",
    positional: Positional::Exactly(1),
    action: run!(member::lead),
    ..Command::NEW
};

static DOCTOR: Command<Run> = Command {
    name: "doctor",
    short: "Look for what is wrong, or will be, and say what to do about it",
    long: "Look for what is wrong, or will be, and say what to do about it. It only reads, by the API and the metrics \
           pages, and works on any etcd. The exit code is 3 when something must be done.",
    group: CLUSTER,
    flags: &[Flag::text(
        "metrics",
        "URLs of metrics pages, with commas between them; those of the endpoints without",
    )],
    positional: Positional::Never,
    action: run!(doctor::run),
    ..Command::NEW
};

static BENCH: Command<Run> = Command {
    name: "bench",
    short: "Measure a cluster, or a disk",
    group: CLUSTER,
    commands: &[&BENCH_PUT, &BENCH_GET, &BENCH_LIST, &BENCH_TXN, &BENCH_WATCH, &BENCH_LEASE, &BENCH_DISK],
    ..Command::NEW
};

macro_rules! bench {
    ($name:literal, $kind:ident, $short:literal) => {
        Command {
            name: $name,
            short: $short,
            flags: BENCH_FLAGS,
            positional: Positional::Never,
            action: Action::Run(|context| Box::pin(bench::run(context, bench::Kind::$kind))),
            ..Command::NEW
        }
    };
}

const BENCH_FLAGS: &[Flag] = &[
    Flag::new("requests", Kind::Int, "10000", "so many in all"),
    Flag::new("clients", Kind::Int, "10", "connections"),
    Flag::new("in-flight", Kind::Int, "10", "requests at once on each"),
    Flag::new("value-size", Kind::Int, "256", "bytes of a value"),
    Flag::new("keys", Kind::Int, "1000", "different keys; a list reads all of them"),
    Flag::new("prefix", Kind::Text, "mainstay-bench/", "below which everything happens; deleted in the end"),
];

static BENCH_PUT: Command<Run> = bench!("put", Put, "Puts of random keys");
static BENCH_GET: Command<Run> = bench!("get", Get, "Linearizable gets of random keys");
static BENCH_LIST: Command<Run> = bench!("list", List, "Lists of all keys");
static BENCH_TXN: Command<Run> =
    bench!("txn", Txn, "Updates as Kubernetes makes them: if unchanged put, else get");
static BENCH_WATCH: Command<Run> =
    bench!("watch", Watch, "From put to event, with a watcher for each client");
static BENCH_LEASE: Command<Run> = bench!("lease", Lease, "New leases, revoked in the end");

static BENCH_DISK: Command<Run> = Command {
    name: "disk",
    usage: "[FOLDER]",
    short: "How long a disk takes to make small writes durable, and whether that will do",
    flags: &[
        Flag::new("requests", Kind::Int, "1000", "so many writes"),
        Flag::new("value-size", Kind::Int, "2300", "bytes of a write"),
    ],
    positional: Positional::Between(0, 1),
    action: run!(disk::run),
    ..Command::NEW
};

static COMPLETION: Command<Run> = Command {
    name: "completion",
    short: "Print a completion script for a shell",
    group: TOOLS,
    commands: &[&BASH, &ZSH, &FISH, &POWERSHELL],
    ..Command::NEW
};

macro_rules! shell {
    ($name:literal, $shell:ident) => {
        Command {
            name: $name,
            short: concat!("For ", $name),
            action: Action::Complete(Shell::$shell),
            ..Command::NEW
        }
    };
}

static BASH: Command<Run> = shell!("bash", Bash);
static ZSH: Command<Run> = shell!("zsh", Zsh);
static FISH: Command<Run> = shell!("fish", Fish);
static POWERSHELL: Command<Run> = shell!("powershell", PowerShell);

static MAN: Command<Run> = Command {
    name: "man",
    usage: "[FOLDER]",
    short: "Write the man pages of all commands into a folder",
    group: TOOLS,
    positional: Positional::Between(0, 1),
    action: run!(man::run),
    ..Command::NEW
};

static HELP: Command<Run> = Command { short: "Print the help of a command", ..Command::help(TOOLS) };

/// Commands that the binary takes before they get here; they stand in the tree for help, completion and man pages.
macro_rules! elsewhere {
    ($name:literal, $group:ident, $usage:literal, $short:literal) => {
        Command {
            name: $name,
            usage: $usage,
            short: $short,
            group: $group,
            action: Action::Run(|_| {
                Box::pin(async { Err(Failed::new(concat!($name, " is not part of this program"))) })
            }),
            ..Command::NEW
        }
    };
}

static SERVER: Command<Run> =
    elsewhere!("server", SERVE, "[flags of etcd]", "Start a member; flags are those of etcd");
static DEMO: Command<Run> = elsewhere!(
    "demo",
    SERVE,
    "[--stay] [--nodes N] [--load PUTS] [--kill-leader-every TIME] [--for TIME]",
    "Serve a member from an empty directory and show it at work"
);
static ETCDCTL: Command<Run> = elsewhere!("etcdctl", TOOLS, "...", "What etcdctl does, as it does it");
static ETCDUTL: Command<Run> =
    elsewhere!("etcdutl", TOOLS, "...", "What etcdutl does to snapshots and data directories");
static BBOLT: Command<Run> =
    elsewhere!("bbolt", TOOLS, "...", "Look into database files: check, stats, buckets, keys, pages ...");
static MIGRATE: Command<Run> = elsewhere!(
    "migrate",
    TOOLS,
    "check DIRECTORY",
    "Say what a data directory or snapshot holds, and what would surprise"
);
static REPAIR: Command<Run> =
    elsewhere!("repair", TOOLS, "--show-loss DIRECTORY", "Say what of a damaged data directory is lost");
static VERSION: Command<Run> = elsewhere!("version", TOOLS, "", "Print the version");
