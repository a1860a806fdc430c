//! Which words of a line are the range, and which are the command to run for each event.

use cmdline::{Flags, parse_flags};

use crate::tree::WATCH;

pub(super) const BAD_NUMBER: &str = "bad number of arguments";
const CONFLICT: &str = "bad number of arguments (found conflicting environment key)";
const NO_COMMAND: &str = "bad number of arguments (found separator --, but no commands)";

/// What is to be watched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Key and range end.
    pub(super) words: Vec<String>,
    /// What to run for each event; empty for nothing.
    pub(super) command: Vec<String>,
}

/// How it is to be watched.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) prefix: bool,
    pub(super) revision: i64,
    pub(super) prev_kv: bool,
    pub(super) progress_notify: bool,
}

impl Options {
    pub(super) fn from_flags(flags: &Flags) -> Options {
        Options {
            prefix: flags.bool("prefix"),
            revision: flags.int("rev"),
            prev_kv: flags.bool("prev-kv"),
            progress_notify: flags.bool("progress-notify"),
        }
    }
}

/// From a command line: its words, what is left of them without flags, and the range that variables name.
pub(super) fn from_line(line: &[String], args: &[String], variables: &[String]) -> Result<Asked, String> {
    let begin = line.iter().position(|word| word == "watch").map_or(0, |at| at + 1);
    let raw = &line[begin..];
    let separator = raw.iter().position(|word| word == "--");
    match separator {
        Some(at) if at + 1 == raw.len() => return Err(NO_COMMAND.to_owned()),
        None if raw.is_empty() && variables.is_empty() => return Err(BAD_NUMBER.to_owned()),
        None if !args.is_empty() && !variables.is_empty() => return Err(CONFLICT.to_owned()),
        _ => {}
    }
    let Some(at) = separator else {
        return Ok(Asked { words: [variables, args].concat(), command: Vec::new() });
    };
    // Flags before the separator are gone from `args`; the command behind it is there as it was typed.
    let command = raw[at + 1..].to_vec();
    let range = args.len().saturating_sub(command.len());
    if range > 0 && !variables.is_empty() {
        return Err(CONFLICT.to_owned());
    }
    Ok(Asked { words: [variables, &args[..range]].concat(), command })
}

/// From the words of an interactive line behind `watch`.
pub(super) fn from_words(words: &[String], variables: &[String]) -> Result<(Asked, Options), String> {
    let separator = words.iter().position(|word| word == "--");
    if separator.is_some_and(|at| at + 1 == words.len()) {
        return Err(NO_COMMAND.to_owned());
    }
    let mut flags = Flags::of(WATCH.flags);
    let args = parse_flags(&mut flags, words)?;
    let command = separator.map_or(Vec::new(), |at| words[at + 1..].to_vec());
    let range = &args[..args.len().saturating_sub(command.len())];
    if separator.is_none() && variables.is_empty() && range.is_empty() {
        return Err(BAD_NUMBER.to_owned());
    }
    if separator.is_none() && !variables.is_empty() && !range.is_empty() {
        return Err(CONFLICT.to_owned());
    }
    Ok((Asked { words: [variables, range].concat(), command }, Options::from_flags(&flags)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    fn line(line: &str, args: &str, variables: &str) -> Result<(String, String), String> {
        let asked = from_line(&list(line), &list(args), &list(variables))?;
        Ok((asked.words.join(" "), asked.command.join(" ")))
    }

    #[test]
    fn command_lines() {
        let ok = |words: &str, command: &str| Ok((words.to_owned(), command.to_owned()));
        assert_eq!(line("ctl watch a", "a", ""), ok("a", ""));
        assert_eq!(line("ctl watch a b --rev 1", "a b", ""), ok("a b", ""));
        assert_eq!(line("ctl watch a -- echo x", "a echo x", ""), ok("a", "echo x"));
        assert_eq!(line("ctl watch --rev 1 a -- echo watch", "a echo watch", ""), ok("a", "echo watch"));
        assert_eq!(line("ctl watch -- echo x", "echo x", "k"), ok("k", "echo x"));
        assert_eq!(line("ctl watch -- echo x", "echo x", "k e"), ok("k e", "echo x"));
        assert_eq!(line("ctl watch", "", "k"), ok("k", ""));
        assert_eq!(line("ctl watch", "", ""), Err(BAD_NUMBER.to_owned()));
        assert_eq!(line("ctl watch a --", "a", ""), Err(NO_COMMAND.to_owned()));
        assert_eq!(line("ctl watch a", "a", "k"), Err(CONFLICT.to_owned()));
        assert_eq!(line("ctl watch a -- echo", "a echo", "k"), Err(CONFLICT.to_owned()));
    }

    #[test]
    fn interactive_lines() {
        let (asked, options) = from_words(&list("--rev 7 a --prefix -- echo -n x"), &[]).unwrap();
        assert_eq!(asked, Asked { words: list("a"), command: list("echo -n x") });
        assert!(options.prefix && options.revision == 7 && !options.prev_kv);
        assert_eq!(from_words(&list("--prev-kv"), &[]).unwrap_err(), BAD_NUMBER);
        assert_eq!(from_words(&list("a --"), &[]).unwrap_err(), NO_COMMAND);
        assert_eq!(from_words(&list("a --nosuch"), &[]).unwrap_err(), "unknown flag: --nosuch");
        assert_eq!(from_words(&list("a"), &list("k")).unwrap_err(), CONFLICT);
        assert_eq!(from_words(&list("--rev 1"), &list("k")).unwrap().0.words, list("k"));
    }
}
