//! Help pages.

use crate::{
    Call, Command, Flag, Program,
    parse::{Path, known},
};

/// The column for names in lists of commands is at least so wide.
const NAME_WIDTH_MIN: usize = 11;

/// The names from the root to a command.
pub(crate) fn path_name<R>(path: &Path<R>) -> String {
    path.iter().map(|command| command.name).collect::<Vec<_>>().join(" ")
}

/// What it is for, how it is used, and the program's last line.
pub(crate) fn page<R>(program: &Program<R>, path: &Path<R>) -> String {
    let command = path[path.len() - 1];
    let head = if command.long.is_empty() { command.short } else { command.long }.trim_end();
    let mut page = String::new();
    if !head.is_empty() {
        page.push_str(&format!("{head}\n\n"));
    }
    page.push_str(&usage(program, path));
    if !program.after_help.is_empty() {
        page.push_str(&format!("{}\n", program.after_help));
    }
    page
}

/// How a command is used.
pub(crate) fn usage<R>(program: &Program<R>, path: &Path<R>) -> String {
    describe(program, path, true)
}

/// How the program is used, as far as cobra knows it before a command is found: without `--help`.
pub(crate) fn root_usage<R>(program: &Program<R>) -> String {
    describe(program, &vec![program.root], false)
}

fn describe<R>(program: &Program<R>, path: &Path<R>, with_help: bool) -> String {
    let command = path[path.len() - 1];
    let name = path_name(path);
    let folder = !command.commands.is_empty();
    let mut text = String::from("Usage:");
    if command.runs() {
        text.push_str(&format!("\n  {}", usage_line(path)));
    }
    if folder {
        text.push_str(&format!("\n  {name} [command]"));
    }
    if !command.example.is_empty() {
        text.push_str(&format!("\n\nExamples:\n{}", command.example));
    }
    if folder {
        let grouped = path.len() == 1 && !program.groups.is_empty();
        if grouped {
            for group in program.groups {
                text.push_str(&format!("\n\n{}", group.title));
                list(&mut text, command, |below| below.group == group.id);
            }
        }
        if !grouped || command.commands.iter().any(|below| below.group.is_empty()) {
            let title = if grouped { "Additional Commands:" } else { "Available Commands:" };
            text.push_str(&format!("\n\n{title}"));
            list(&mut text, command, |below| !grouped || below.group.is_empty());
        }
    }
    let flags = known(path);
    let mut local: Vec<(Flag, String)> = Vec::new();
    let mut inherited = Vec::new();
    for entry in flags.iter().filter(|entry| !entry.flag.hidden) {
        let into = if entry.inherited { &mut inherited } else { &mut local };
        into.push((entry.flag, entry.flag.help.to_owned()));
    }
    if with_help && flags.find("help").is_none() {
        let flag = Flag::switch("help", "").short('h');
        let at = local.partition_point(|(other, _)| other.name < "help");
        local.insert(at, (flag, format!("help for {}", command.name)));
    }
    for (title, flags) in [("Flags:", local), ("Global Flags:", inherited)] {
        if !flags.is_empty() {
            text.push_str(&format!("\n\n{title}\n{}", lines(&flags).trim_end()));
        }
    }
    if folder {
        text.push_str(&format!("\n\nUse \"{name} [command] --help\" for more information about a command."));
    }
    text.push('\n');
    text
}

impl<R> Program<R> {
    /// How the command of a call is used, as it stands below an error that the command itself found.
    pub fn usage_of(&self, call: &Call<R>) -> String {
        let mut path = vec![self.root];
        for name in &call.path {
            let below = path[path.len() - 1].commands.iter().find(|below| below.name == *name);
            path.extend(below);
        }
        usage(self, &path)
    }
}

fn usage_line<R>(path: &Path<R>) -> String {
    let command = path[path.len() - 1];
    let mut line = path_name(path);
    if !command.usage.is_empty() {
        line.push(' ');
        line.push_str(command.usage);
    }
    if command.flags_in_usage && !line.contains("[flags]") {
        line.push_str(" [flags]");
    }
    line
}

fn list<R>(text: &mut String, command: &Command<R>, wanted: impl Fn(&Command<R>) -> bool) {
    let width = command.commands.iter().map(|below| below.name.len()).max().unwrap_or(0).max(NAME_WIDTH_MIN);
    let mut below: Vec<_> = command.commands.iter().filter(|below| wanted(below)).collect();
    below.sort_by_key(|below| below.name);
    for below in below {
        text.push_str(&format!("\n  {:width$} {}", below.name, below.short));
    }
}

/// A table of flags: how they are given, what for, their default.
fn lines(flags: &[(Flag, String)]) -> String {
    let given = |flag: &Flag| {
        let mut given = match flag.short {
            Some(short) => format!("  -{short}, --{}", flag.name),
            None => format!("      --{}", flag.name),
        };
        if !flag.kind_name().is_empty() {
            given.push(' ');
            given.push_str(flag.kind_name());
        }
        given
    };
    let width = flags.iter().map(|(flag, _)| given(flag).len()).max().unwrap_or(0);
    let mut text = String::new();
    for (flag, about) in flags {
        text.push_str(&format!("{:width$}   {about}", given(flag)));
        if let Some(default) = flag.shown_default() {
            text.push_str(&format!(" (default {default})"));
        }
        text.push('\n');
    }
    text
}

impl<R> Program<R> {
    /// The table of the root's persistent flags, hidden ones too.
    pub fn persistent_flags(&self) -> String {
        let mut flags: Vec<_> =
            self.root.persistent.iter().map(|flag| (*flag, flag.help.to_owned())).collect();
        flags.sort_by_key(|(flag, _)| flag.name);
        lines(&flags)
    }
}
