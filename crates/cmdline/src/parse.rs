//! From words to a call.

use crate::{
    Action, Call, Command, Flag, Flags, Kind, Positional, Program, completion, golang::quote, help, suggest,
};

/// What a command line asks for.
#[derive(Debug)]
pub enum Outcome<R: 'static> {
    /// This function.
    Run(Call<R>),
    /// A text on standard output and one on standard error, and success.
    Print {
        /// For standard output.
        stdout: String,
        /// For standard error.
        stderr: String,
    },
    /// It was not understood: [`Failure::text`] on standard error, and exit code 1.
    Failed(Failure),
}

/// Why a command line was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong.
    pub error: String,
    /// How it would be right.
    pub advice: String,
}

impl Failure {
    /// For standard error.
    pub fn text(&self) -> String {
        format!("Error: {}\n{}", self.error, self.advice)
    }
}

/// The commands from the root to the one meant.
pub(crate) type Path<R> = Vec<&'static Command<R>>;
/// A command and the words that are left for it.
type Found<R> = (Path<R>, Vec<String>);

impl<R: Copy + 'static> Program<R> {
    /// Reads the words behind the name of the program.
    pub fn parse(&self, words: &[String]) -> Outcome<R> {
        let (path, rest) = match self.find(words) {
            Ok(found) => found,
            Err((path, error)) => {
                let advice = format!("Run '{} --help' for usage.\n", help::path_name(&path));
                return Outcome::Failed(Failure { error, advice });
            }
        };
        let command = path[path.len() - 1];
        let mut flags = known(&path);
        flags.declare(&HELP, false);
        let usage =
            |error| Outcome::Failed(Failure { error, advice: format!("{}\n", help::usage(self, &path)) });
        let args = match parse_flags(&mut flags, &rest) {
            Ok(args) => args,
            Err(error) => return usage(error),
        };
        if flags.bool("help") || !command.runs() {
            return Outcome::Print { stdout: help::page(self, &path), stderr: String::new() };
        }
        if let Err(error) = check_args(command, &path, &args).and_then(|()| check_required(&flags)) {
            return usage(error);
        }
        match command.action {
            Action::Run(run) => {
                let names = path[1..].iter().map(|command| command.name).collect();
                Outcome::Run(Call { run, path: names, command, flags, args })
            }
            Action::Complete(shell) => {
                Outcome::Print { stdout: completion::script(self, shell), stderr: String::new() }
            }
            Action::Help | Action::Folder => self.explain(&args),
        }
    }

    /// The help of the command that words name.
    fn explain(&self, words: &[String]) -> Outcome<R> {
        match self.find(words) {
            Ok((path, _)) => Outcome::Print { stdout: help::page(self, &path), stderr: String::new() },
            Err(_) => {
                let words: Vec<_> = words.iter().map(|word| raw_quote(word)).collect();
                let usage = help::root_usage(self);
                let stderr = format!("Unknown help topic [{}]\n{usage}", words.join(" "));
                Outcome::Print { stdout: String::new(), stderr }
            }
        }
    }

    /// The command that words name, and the words that are left for it.
    fn find(&self, words: &[String]) -> Result<Found<R>, (Path<R>, String)> {
        let mut path = vec![self.root];
        let mut rest = words.to_vec();
        loop {
            let here = path[path.len() - 1];
            let flags = known(&path);
            let plain = without_flags(&flags, &rest);
            let Some(word) = plain.first() else { return Ok((path, rest)) };
            if let Some(next) = self.next(here, word) {
                remove_first(&flags, &mut rest, word);
                path.push(next);
                continue;
            }
            let root_with_commands = path.len() == 1 && !here.commands.is_empty();
            if root_with_commands && matches!(here.positional, Positional::Any) {
                let name = quote(help::path_name(&path).as_str());
                let error =
                    format!("unknown command {} for {name}{}", quote(word), suggest::for_word(here, word));
                return Err((path, error));
            }
            return Ok((path, rest));
        }
    }

    fn next(&self, here: &Command<R>, word: &str) -> Option<&'static Command<R>> {
        if let Some(exact) = here.commands.iter().find(|command| command.name == word) {
            return Some(exact);
        }
        let mut alike =
            here.commands.iter().filter(|command| self.prefixes && command.name.starts_with(word));
        match (alike.next(), alike.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }
}

/// Every command has it, once it is certain which command is meant.
const HELP: Flag = Flag::new("help", Kind::Bool, "false", "").short('h');

/// The flags of a command and the persistent ones above it.
pub(crate) fn known<R>(path: &Path<R>) -> Flags {
    let mut flags = Flags::default();
    for (up, command) in path.iter().rev().enumerate() {
        if up == 0 {
            command.flags.iter().for_each(|flag| flags.declare(flag, false));
        }
        command.persistent.iter().for_each(|flag| flags.declare(flag, up > 0));
    }
    flags
}

fn check_args<R>(command: &Command<R>, path: &Path<R>, args: &[String]) -> Result<(), String> {
    let name = || quote(&help::path_name(path));
    match command.positional {
        Positional::Any => Ok(()),
        Positional::Never => match args.first() {
            None => Ok(()),
            Some(word) => Err(format!("unknown command {} for {}", quote(word), name())),
        },
        Positional::OneOf(words) => match args {
            [word] if words.contains(&word.as_str()) => Ok(()),
            [word] => {
                let hint = suggest::for_word(command, word);
                Err(format!("invalid argument {} for {}{hint}", quote(word), name()))
            }
            _ => Err(format!("accepts 1 arg(s), received {}", args.len())),
        },
        Positional::Exactly(count) if args.len() != count => {
            Err(format!("accepts {count} arg(s), received {}", args.len()))
        }
        Positional::AtLeast(min) if args.len() < min => {
            Err(format!("requires at least {min} arg(s), only received {}", args.len()))
        }
        Positional::Between(min, max) if !(min..=max).contains(&args.len()) => {
            Err(format!("accepts between {min} and {max} arg(s), received {}", args.len()))
        }
        Positional::Exactly(_) | Positional::AtLeast(_) | Positional::Between(..) => Ok(()),
    }
}

fn check_required(flags: &Flags) -> Result<(), String> {
    let missing: Vec<_> = flags
        .iter()
        .filter(|entry| entry.flag.required && !entry.changed)
        .map(|entry| entry.flag.name)
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(format!("required flag(s) \"{}\" not set", missing.join("\", \""))),
    }
}

/// How one word is seen before it is known which command is meant.
enum Seen<'a> {
    /// All that follows are arguments.
    End,
    /// A flag with its value in the next word.
    WithNext,
    /// A flag by itself.
    Alone,
    /// No flag.
    Word(&'a str),
}

fn see<'a>(flags: &Flags, word: &'a str) -> Seen<'a> {
    // A flag that this command does not know may belong to one below, and is taken to have a value.
    let takes = |entry: Option<&crate::Entry>| entry.is_none_or(|entry| entry.flag.takes_word());
    if word == "--" {
        return Seen::End;
    }
    if let Some(name) = word.strip_prefix("--") {
        return if !name.contains('=') && takes(flags.find(name)) { Seen::WithNext } else { Seen::Alone };
    }
    match word.strip_prefix('-') {
        Some(rest) => {
            let mut letters = rest.chars();
            match (letters.next(), letters.next()) {
                (Some(letter), None) if letter != '=' && takes(flags.find_short(letter)) => Seen::WithNext,
                _ => Seen::Alone,
            }
        }
        None => Seen::Word(word),
    }
}

/// The words that are neither flags nor, as far as one can tell, their values.
fn without_flags(flags: &Flags, words: &[String]) -> Vec<String> {
    let mut plain = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match see(flags, word) {
            Seen::End => break,
            Seen::WithNext => {
                if words.len() <= 1 {
                    break;
                }
                words.next();
            }
            Seen::Word(word) if !word.is_empty() => plain.push(word.to_owned()),
            Seen::Alone | Seen::Word(_) => {}
        }
    }
    plain
}

/// Takes the name of a command out of the words.
fn remove_first(flags: &Flags, words: &mut Vec<String>, name: &str) {
    let mut at = 0;
    while at < words.len() {
        match see(flags, &words[at]) {
            Seen::End => return,
            Seen::WithNext => at += 2,
            Seen::Word(word) if word == name => {
                words.remove(at);
                return;
            }
            Seen::Alone | Seen::Word(_) => at += 1,
        }
    }
}

/// Sets flags from words, and returns the words that are arguments. Flags and arguments may be mixed.
///
/// # Errors
/// Which word is wrong, in pflag's words.
pub fn parse_flags(flags: &mut Flags, words: &[String]) -> Result<Vec<String>, String> {
    let mut args = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            args.extend(words.cloned());
            break;
        }
        if let Some(text) = word.strip_prefix("--") {
            if text.starts_with(['-', '=']) {
                return Err(format!("bad flag syntax: {word}"));
            }
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (text, None),
            };
            let Some(entry) = flags.find(name) else { return Err(format!("unknown flag: --{name}")) };
            let value = match value {
                Some(value) => value,
                None if !entry.flag.takes_word() => "true",
                None => match words.next() {
                    Some(value) => value,
                    None => return Err(format!("flag needs an argument: --{name}")),
                },
            };
            flags.set(name, value)?;
        } else if word.len() > 1 && word.starts_with('-') {
            parse_letters(flags, &word[1..], &mut words)?;
        } else {
            args.push(word.clone());
        }
    }
    Ok(args)
}

/// Letters in one word: switches, and at the end one with a value.
fn parse_letters<'a>(
    flags: &mut Flags,
    mut letters: &'a str,
    words: &mut impl Iterator<Item = &'a String>,
) -> Result<(), String> {
    while let Some(letter) = letters.chars().next() {
        let rest = &letters[letter.len_utf8()..];
        let Some(entry) = flags.find_short(letter) else {
            return Err(format!("unknown shorthand flag: {} in -{letters}", quote_letter(letter)));
        };
        let name = entry.flag.name;
        let value = match rest.strip_prefix('=') {
            Some(value) if !value.is_empty() => {
                letters = "";
                value
            }
            _ if !entry.flag.takes_word() => {
                letters = rest;
                "true"
            }
            _ if !rest.is_empty() => {
                letters = "";
                rest
            }
            _ => match words.next() {
                Some(value) => {
                    letters = "";
                    value
                }
                None => {
                    return Err(format!("flag needs an argument: {} in -{letters}", quote_letter(letter)));
                }
            },
        };
        flags.set(name, value)?;
    }
    Ok(())
}

/// A letter as Go's `%q` prints it.
fn quote_letter(letter: char) -> String {
    match letter {
        '\'' => "'\\''".to_owned(),
        letter => {
            let quoted = quote(&letter.to_string());
            format!("'{}'", quoted[1..quoted.len() - 1].replace("\\\"", "\""))
        }
    }
}

/// A word as Go's `%#q` prints it.
fn raw_quote(word: &str) -> String {
    let plain = |c: char| c != '`' && (c == '\t' || !c.is_control());
    if word.chars().all(plain) { format!("`{word}`") } else { quote(word) }
}
