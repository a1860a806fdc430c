//! Keys and leases.

use cmdline::{Action, Command, Flag, Kind};

use super::{KEYS, Run};
use crate::commands::{compaction, delete, get, lease, put, txn, watch};

pub(crate) static GET: Command<Run> = Command {
    name: "get",
    usage: "[options] <key> [range_end]",
    short: "Reads a key or a range of keys",
    group: KEYS,
    flags: &[
        Flag::new("consistency", Kind::Text, "l", "Linearizable(l) or Serializable(s)").values(&["l", "s"]),
        Flag::text("order", "ASCEND or DESCEND; nothing is ASCEND").values(&["ASCEND", "DESCEND"]),
        Flag::text("sort-by", "CREATE, KEY, MODIFY, VALUE, or VERSION")
            .values(&["CREATE", "KEY", "MODIFY", "VALUE", "VERSION"]),
        Flag::int("limit", "most keys to read"),
        Flag::switch("prefix", "all keys that begin so"),
        Flag::switch("from-key", "this key and all behind it"),
        Flag::int("rev", "as of this revision"),
        Flag::switch("keys-only", "keys without values"),
        Flag::switch("count-only", "only how many there are"),
        Flag::switch("print-value-only", "values without keys, in the format simple"),
        Flag::int("min-create-rev", "only keys created at this revision or later"),
        Flag::int("max-create-rev", "only keys created at this revision or before"),
        Flag::int("min-mod-rev", "only keys changed at this revision or later"),
        Flag::int("max-mod-rev", "only keys changed at this revision or before"),
        Flag::switch("stream", "read in pieces (RangeStream)"),
    ],
    action: Action::Run(|context| Box::pin(get::run(context))),
    ..Command::NEW
};

pub(crate) static PUT: Command<Run> = Command {
    name: "put",
    usage: "[options] <key> <value> (<value> can also be given from stdin)",
    short: "Writes a key",
    long: "Writes a key. A value that is not given is read from standard input.

A value that begins with '-' looks like a flag; put '--' before it:

$ put <key> -- <value>",
    group: KEYS,
    flags: &[
        Flag::new("lease", Kind::Text, "0", "the lease (a hexadecimal number) that the key lives with"),
        Flag::switch("prev-kv", "show what was there before"),
        Flag::switch("ignore-value", "leave the value as it is"),
        Flag::switch("ignore-lease", "leave the lease as it is"),
    ],
    action: Action::Run(|context| Box::pin(put::run(context))),
    ..Command::NEW
};

pub(crate) static DEL: Command<Run> = Command {
    name: "del",
    usage: "[options] <key> [range_end]",
    short: "Deletes a key or a range of keys [key, range_end)",
    group: KEYS,
    flags: &[
        Flag::switch("prefix", "all keys that begin so"),
        Flag::switch("prev-kv", "show what was there before"),
        Flag::switch("from-key", "this key and all behind it"),
        Flag::switch("range", "delete a range without time to think"),
    ],
    action: Action::Run(|context| Box::pin(delete::run(context))),
    ..Command::NEW
};

pub(super) static TXN: Command<Run> = Command {
    name: "txn",
    usage: "[options]",
    short: "Does several requests in one transaction",
    long: "Reads a transaction from standard input and does it. It has three blocks, and an empty line behind each:
compares, what to do when all of them hold, what to do otherwise.

---
mod(\"key1\") > \"0\"

put key1 \"again\"

put key1 \"first\"
put key2 \"and another one\"

---

Compares are version, create, mod, value or lease of a key, one of = != < >, and a value in quotes.",
    group: KEYS,
    flags: &[Flag::switch("interactive", "say which block comes next").short('i')],
    action: Action::Run(|context| Box::pin(txn::run(context))),
    ..Command::NEW
};

pub(super) static COMPACTION: Command<Run> = Command {
    name: "compaction",
    usage: "[options] <revision>",
    short: "Forgets the history before a revision",
    group: KEYS,
    flags: &[Flag::switch("physical", "wait until old revisions are gone from the file")],
    action: Action::Run(|context| Box::pin(compaction::run(context))),
    ..Command::NEW
};

pub(crate) static WATCH: Command<Run> = Command {
    name: "watch",
    usage: "[options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
    short: "Shows what happens to keys, as it happens",
    group: KEYS,
    flags: &[
        Flag::switch("interactive", "read what to watch from standard input").short('i'),
        Flag::switch("prefix", "all keys that begin so"),
        Flag::int("rev", "begin with this revision"),
        Flag::switch("prev-kv", "show what was there before"),
        Flag::switch("progress-notify", "show now and then how far it is"),
    ],
    action: Action::Run(|context| Box::pin(watch::run(context))),
    ..Command::NEW
};

pub(super) static LEASE: Command<Run> = Command {
    name: "lease",
    usage: "<subcommand>",
    short: "Leases. Use `etcdctl lease --help` to see subcommands",
    long: "Leases",
    group: KEYS,
    commands: &[&GRANT, &REVOKE, &TIME_TO_LIVE, &LIST, &KEEP_ALIVE],
    ..Command::NEW
};

static GRANT: Command<Run> = Command {
    name: "grant",
    usage: "<ttl>",
    short: "Makes a lease",
    action: Action::Run(|context| Box::pin(lease::grant(context))),
    ..Command::NEW
};

static REVOKE: Command<Run> = Command {
    name: "revoke",
    usage: "<leaseID>",
    short: "Ends a lease and deletes its keys",
    action: Action::Run(|context| Box::pin(lease::revoke(context))),
    ..Command::NEW
};

static TIME_TO_LIVE: Command<Run> = Command {
    name: "timetolive",
    usage: "<leaseID> [options]",
    short: "Shows how long a lease lives",
    flags: &[Flag::switch("keys", "show the keys of the lease, too")],
    action: Action::Run(|context| Box::pin(lease::time_to_live(context))),
    ..Command::NEW
};

static LIST: Command<Run> = Command {
    name: "list",
    short: "Lists all leases",
    action: Action::Run(|context| Box::pin(lease::list(context))),
    ..Command::NEW
};

static KEEP_ALIVE: Command<Run> = Command {
    name: "keep-alive",
    usage: "[options] <leaseID>",
    short: "Keeps a lease alive",
    flags: &[Flag::switch("once", "renew it once")],
    action: Action::Run(|context| Box::pin(lease::keep_alive(context))),
    ..Command::NEW
};
