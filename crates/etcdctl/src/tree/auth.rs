//! Users and roles.

use cmdline::{Action, Command, Flag, Kind};

use super::{AUTH, Run};
use crate::commands::{auth, role, user};

pub(super) static AUTH_COMMAND: Command<Run> = Command {
    name: "auth",
    usage: "<enable or disable>",
    short: "Whether users have to log in. Use `etcdctl auth --help` to see subcommands",
    long: "Whether users have to log in",
    group: AUTH,
    commands: &[
        &Command {
            name: "enable",
            short: "Users have to log in from now on",
            action: Action::Run(|context| Box::pin(auth::enable(context))),
            ..Command::NEW
        },
        &Command {
            name: "disable",
            short: "Users need not log in any more",
            action: Action::Run(|context| Box::pin(auth::disable(context))),
            ..Command::NEW
        },
        &Command {
            name: "status",
            short: "Shows whether users have to log in",
            action: Action::Run(|context| Box::pin(auth::status(context))),
            ..Command::NEW
        },
    ],
    ..Command::NEW
};

pub(super) static USER: Command<Run> = Command {
    name: "user",
    usage: "<subcommand>",
    short: "Users. Use `etcdctl user --help` to see subcommands",
    long: "Users",
    group: AUTH,
    commands: &[
        &USER_ADD,
        &Command {
            name: "delete",
            usage: "<user name>",
            short: "Deletes a user",
            action: Action::Run(|context| Box::pin(user::delete(context))),
            ..Command::NEW
        },
        &Command {
            name: "get",
            usage: "<user name> [options]",
            short: "Shows a user's roles",
            flags: &[Flag::switch("detail", "show what the roles may do, too")],
            action: Action::Run(|context| Box::pin(user::get(context))),
            ..Command::NEW
        },
        &Command {
            name: "list",
            short: "Lists all users",
            action: Action::Run(|context| Box::pin(user::list(context))),
            ..Command::NEW
        },
        &Command {
            name: "passwd",
            usage: "<user name> [options]",
            short: "Changes a user's password",
            flags: &[INTERACTIVE],
            action: Action::Run(|context| Box::pin(user::change_password(context))),
            ..Command::NEW
        },
        &Command {
            name: "grant-role",
            usage: "<user name> <role name>",
            short: "Gives a role to a user",
            action: Action::Run(|context| Box::pin(user::grant_role(context))),
            ..Command::NEW
        },
        &Command {
            name: "revoke-role",
            usage: "<user name> <role name>",
            short: "Takes a role from a user",
            action: Action::Run(|context| Box::pin(user::revoke_role(context))),
            ..Command::NEW
        },
    ],
    ..Command::NEW
};

const INTERACTIVE: Flag = Flag::new(
    "interactive",
    Kind::Bool,
    "true",
    "ask for the password; without, read it from standard input",
);

static USER_ADD: Command<Run> = Command {
    name: "add",
    usage: "<user name or user:password> [options]",
    short: "Adds a user",
    flags: &[
        INTERACTIVE,
        Flag::text("new-user-password", "the password"),
        Flag::switch("no-password", "the user logs in by a certificate's name only"),
    ],
    action: Action::Run(|context| Box::pin(user::add(context))),
    ..Command::NEW
};

pub(super) static ROLE: Command<Run> = Command {
    name: "role",
    usage: "<subcommand>",
    short: "Roles. Use `etcdctl role --help` to see subcommands",
    long: "Roles",
    group: AUTH,
    commands: &[
        &Command {
            name: "add",
            usage: "<role name>",
            short: "Adds a role",
            action: Action::Run(|context| Box::pin(role::add(context))),
            ..Command::NEW
        },
        &Command {
            name: "delete",
            usage: "<role name>",
            short: "Deletes a role",
            action: Action::Run(|context| Box::pin(role::delete(context))),
            ..Command::NEW
        },
        &Command {
            name: "get",
            usage: "<role name>",
            short: "Shows what a role may do",
            action: Action::Run(|context| Box::pin(role::get(context))),
            ..Command::NEW
        },
        &Command {
            name: "list",
            short: "Lists all roles",
            action: Action::Run(|context| Box::pin(role::list(context))),
            ..Command::NEW
        },
        &Command {
            name: "grant-permission",
            usage: "[options] <role name> <permission type> <key> [endkey]",
            short: "Lets a role use keys",
            flags: &[
                Flag::switch("prefix", "all keys that begin so"),
                Flag::switch("from-key", "this key and all behind it"),
            ],
            action: Action::Run(|context| Box::pin(role::grant_permission(context))),
            ..Command::NEW
        },
        &Command {
            name: "revoke-permission",
            usage: "<role name> <key> [endkey]",
            short: "Does not let a role use keys any more",
            flags: &[
                Flag::switch("prefix", "all keys that begin so"),
                Flag::switch("from-key", "this key and all behind it"),
            ],
            action: Action::Run(|context| Box::pin(role::revoke_permission(context))),
            ..Command::NEW
        },
    ],
    ..Command::NEW
};
