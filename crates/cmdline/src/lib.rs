//! Command lines with subcommands, as etcd's tools have them.
//!
//! A tool declares its [`Command`]s and [`Flag`]s as data; [`Program::parse`] says what was asked for: a [`Call`] of one
//! of its functions, something to print, or why the line was not understood. Texts, layout of help and exit codes are
//! those of cobra and pflag, which scripts know from etcdctl and etcdutl.
//!
//! Nothing here prints, reads the environment or ends the process: the tool does.

mod command;
mod completion;
mod csv;
mod flag;
mod flags;
mod help;
mod parse;
mod suggest;
mod variables;

pub use command::{Action, Command, Group, Positional, Program};
pub use completion::{Shell, script};
pub use config::golang;
pub use flag::{Flag, Kind, Value};
pub use flags::{Call, Entry, Flags};
pub use parse::{Failure, Outcome, parse_flags};
pub use variables::{Notice, variable_name};
