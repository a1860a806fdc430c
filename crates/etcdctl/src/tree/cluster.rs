//! Members, endpoints, maintenance.

use cmdline::{Action, Command, Flag, Kind};

use super::{CLUSTER, Run};
use crate::commands::{alarm, defrag, downgrade, endpoint, member, move_leader, snapshot};

const ALL: Flag = Flag::switch("cluster", "the endpoints of all members");

pub(super) static ALARM: Command<Run> = Command {
    name: "alarm",
    usage: "<subcommand>",
    short: "Alarms. Use `etcdctl alarm --help` to see subcommands",
    long: "Alarms",
    group: CLUSTER,
    commands: &[
        &Command {
            name: "disarm",
            short: "Ends all alarms",
            action: Action::Run(|context| Box::pin(alarm::disarm(context))),
            ..Command::NEW
        },
        &Command {
            name: "list",
            short: "Lists all alarms",
            action: Action::Run(|context| Box::pin(alarm::list(context))),
            ..Command::NEW
        },
    ],
    ..Command::NEW
};

pub(super) static DEFRAG: Command<Run> = Command {
    name: "defrag",
    short: "Gives the free space in the files of members back",
    group: CLUSTER,
    persistent: &[ALL],
    action: Action::Run(|context| Box::pin(defrag::run(context))),
    ..Command::NEW
};

pub(super) static ENDPOINT: Command<Run> = Command {
    name: "endpoint",
    usage: "<subcommand>",
    short: "How members are. Use `etcdctl endpoint --help` to see subcommands",
    long: "How members are",
    group: CLUSTER,
    persistent: &[ALL],
    commands: &[
        &Command {
            name: "health",
            short: "Asks each endpoint whether it can serve",
            action: Action::Run(|context| Box::pin(endpoint::health(context))),
            ..Command::NEW
        },
        &Command {
            name: "status",
            short: "Shows versions, sizes and raft's state of each endpoint",
            long: "Shows versions, sizes and raft's state of each endpoint. The columns have names in the format table.",
            action: Action::Run(|context| Box::pin(endpoint::status(context))),
            ..Command::NEW
        },
        &Command {
            name: "hashkv",
            short: "Shows a hash over the keys of each endpoint",
            persistent: &[Flag::int("rev", "up to this revision (0 for the latest)")],
            action: Action::Run(|context| Box::pin(endpoint::hash_kv(context))),
            ..Command::NEW
        },
    ],
    ..Command::NEW
};

pub(super) static MOVE_LEADER: Command<Run> = Command {
    name: "move-leader",
    usage: "<transferee-member-id>",
    short: "Lets another member lead",
    group: CLUSTER,
    action: Action::Run(|context| Box::pin(move_leader::run(context))),
    ..Command::NEW
};

const EXAMPLE: &str = "  # Save a snapshot to a file
  etcdctl snapshot save /backup/etcd-snapshot.db

  # Save a snapshot of one member, with certificates
  etcdctl --endpoints=https://127.0.0.1:2379 --cacert=ca.crt --cert=etcd.crt --key=etcd.key snapshot save /backup/etcd-snapshot.db";

pub(super) static SNAPSHOT: Command<Run> = Command {
    name: "snapshot",
    usage: "<subcommand>",
    short: "Snapshots of members",
    example: EXAMPLE,
    group: CLUSTER,
    commands: &[
        &Command {
            name: "save",
            usage: "<filename>",
            short: "Saves the state of a member to a file",
            example: EXAMPLE,
            action: Action::Run(|context| Box::pin(snapshot::save(context))),
            ..Command::NEW
        },
        // Both are etcdutl's since 3.6, and still in scripts.
        &Command {
            name: "status",
            usage: "<filename>",
            short: "[deprecated] Shows what a snapshot holds: see etcdutl snapshot status",
            action: Action::Run(|context| Box::pin(snapshot::status(context))),
            ..Command::NEW
        },
        &Command {
            name: "restore",
            usage: "<filename> [options]",
            short: "[deprecated] Makes a data directory of a snapshot: see etcdutl snapshot restore",
            flags: etcdutl::snapshot_restore_flags(),
            action: Action::Run(|context| Box::pin(snapshot::restore(context))),
            ..Command::NEW
        },
    ],
    ..Command::NEW
};

pub(super) static MEMBER: Command<Run> = Command {
    name: "member",
    usage: "<subcommand>",
    short: "Members. Use `etcdctl member --help` to see subcommands",
    long: "Members",
    group: CLUSTER,
    commands: &[&ADD, &REMOVE, &UPDATE, &LIST, &PROMOTE],
    ..Command::NEW
};

static ADD: Command<Run> = Command {
    name: "add",
    usage: "<memberName> [options]",
    short: "Adds a member",
    flags: &[
        Flag::text("peer-urls", "where the others reach it, with commas between URLs"),
        Flag::switch("learner", "it does not vote until it is promoted"),
    ],
    action: Action::Run(|context| Box::pin(member::add(context))),
    ..Command::NEW
};

static REMOVE: Command<Run> = Command {
    name: "remove",
    usage: "<memberID>",
    short: "Removes a member",
    action: Action::Run(|context| Box::pin(member::remove(context))),
    ..Command::NEW
};

static UPDATE: Command<Run> = Command {
    name: "update",
    usage: "<memberID> [options]",
    short: "Changes where a member is reached",
    flags: &[Flag::text("peer-urls", "where the others reach it, with commas between URLs")],
    action: Action::Run(|context| Box::pin(member::update(context))),
    ..Command::NEW
};

static LIST: Command<Run> = Command {
    name: "list",
    short: "Lists all members",
    long: "Lists all members. The columns have names in the format table.",
    flags: &[
        Flag::new("consistency", Kind::Text, "l", "Linearizable(l) or Serializable(s)").values(&["l", "s"])
    ],
    action: Action::Run(|context| Box::pin(member::list(context))),
    ..Command::NEW
};

static PROMOTE: Command<Run> = Command {
    name: "promote",
    usage: "<memberID>",
    short: "Lets a learner vote",
    action: Action::Run(|context| Box::pin(member::promote(context))),
    ..Command::NEW
};

pub(super) static DOWNGRADE: Command<Run> = Command {
    name: "downgrade",
    usage: "<TARGET_VERSION>",
    short: "The way back to an older version. Use `etcdctl downgrade --help` to see subcommands",
    long: "The way back to an older version",
    group: CLUSTER,
    commands: &[
        &Command {
            name: "validate",
            usage: "<TARGET_VERSION>",
            short: "Says whether the cluster could go back",
            action: Action::Run(|context| Box::pin(downgrade::validate(context))),
            ..Command::NEW
        },
        &Command {
            name: "enable",
            usage: "<TARGET_VERSION>",
            short: "Begins to go back",
            action: Action::Run(|context| Box::pin(downgrade::enable(context))),
            ..Command::NEW
        },
        &Command {
            name: "cancel",
            short: "Does not go back after all",
            action: Action::Run(|context| Box::pin(downgrade::cancel(context))),
            ..Command::NEW
        },
    ],
    ..Command::NEW
};
