//! Commands as data.

use crate::{Flag, Shell};

/// A command, or a folder of commands. Made with `Command { name: "get", ..Command::NEW }`.
#[derive(Debug)]
pub struct Command<R: 'static> {
    /// The word on the command line.
    pub name: &'static str,
    /// What stands behind the name in the usage line: `[options] <key> [range_end]`.
    pub usage: &'static str,
    /// One line for the list of commands.
    pub short: &'static str,
    /// The head of the help page; empty for `short`.
    pub long: &'static str,
    /// Command lines for the help page.
    pub example: &'static str,
    /// The [`Group::id`] it is listed in.
    pub group: &'static str,
    /// Flags of this command alone.
    pub flags: &'static [Flag],
    /// Flags of this command and all below it.
    pub persistent: &'static [Flag],
    /// Commands below.
    pub commands: &'static [&'static Command<R>],
    /// What it does.
    pub action: Action<R>,
    /// Which arguments it takes.
    pub positional: Positional,
    /// Whether the usage line ends in `[flags]`.
    pub flags_in_usage: bool,
}

/// What a command does.
#[derive(Clone, Copy, Debug)]
pub enum Action<R> {
    /// Shows its help: a folder.
    Folder,
    /// Calls this.
    Run(R),
    /// Shows the help of the command that its arguments name.
    Help,
    /// Prints a completion script.
    Complete(Shell),
}

/// Which arguments a command takes.
#[derive(Clone, Copy, Debug)]
pub enum Positional {
    /// The command looks itself.
    Any,
    /// None.
    Never,
    /// Exactly one of these words.
    OneOf(&'static [&'static str]),
    /// So many words.
    Exactly(usize),
    /// So many words or more.
    AtLeast(usize),
    /// From so many words to so many, inclusive.
    Between(usize, usize),
}

/// A headline in the list of commands.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// What commands name.
    pub id: &'static str,
    /// What readers see.
    pub title: &'static str,
}

/// A root command and how it is read.
#[derive(Debug)]
pub struct Program<R: 'static> {
    /// The tool itself.
    pub root: &'static Command<R>,
    /// Headlines of the root's commands; without any they stand in one list.
    pub groups: &'static [Group],
    /// Whether the beginning of a name does, when only one begins so.
    pub prefixes: bool,
    /// A line below every help page.
    pub after_help: &'static str,
}

impl<R: 'static> Command<R> {
    /// A command with nothing in it.
    pub const NEW: Command<R> = Command {
        name: "",
        usage: "",
        short: "",
        long: "",
        example: "",
        group: "",
        flags: &[],
        persistent: &[],
        commands: &[],
        action: Action::Folder,
        positional: Positional::Any,
        flags_in_usage: true,
    };

    /// Whether there is something to call.
    pub(crate) fn runs(&self) -> bool {
        !matches!(self.action, Action::Folder)
    }

    /// The command `help`.
    pub const fn help(group: &'static str) -> Command<R> {
        Command {
            name: "help",
            usage: "[command]",
            short: "Shows the help of a command",
            long: "Shows the help of a command, which may be several words.",
            group,
            action: Action::Help,
            ..Command::NEW
        }
    }
}
