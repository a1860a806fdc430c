//! The command line, in the style of Go's flag package: `-name v`, `--name v`, `-name=v`, `--name=v`, `--on`,
//! `--on=false`; the first argument that is no flag, or `--`, ends it.

use std::collections::BTreeSet;

use crate::{
    flag::Kind,
    golang::quote,
    table::{self, GONE, Named},
    values::Given,
};

/// What the command line says.
#[derive(Debug, Default)]
pub(crate) struct Argv {
    pub(crate) given: Given,
    /// Names that were given.
    pub(crate) names: BTreeSet<&'static str>,
    /// The first argument that is no flag.
    pub(crate) stray: Option<String>,
}

/// A command line that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Somebody asks for help.
    Help,
    /// A mistake, in the words of Go's flag package.
    Mistake(String),
}

/// Reads the arguments behind the name of the program.
///
/// # Errors
/// At the first mistake, or the first question for help.
pub(crate) fn parse(args: &[String]) -> Result<Argv, Stop> {
    let mut argv = Argv::default();
    let mut rest = args;
    while let Some((first, following)) = rest.split_first() {
        let Some(flag) = strip_dashes(first) else { break };
        rest = following;
        if flag.is_empty() {
            break;
        }
        rest = parse_one(&mut argv, first, flag, rest)?;
    }
    argv.stray = rest.first().cloned();
    Ok(argv)
}

/// The argument without its dashes: empty for `--`, `None` when it is no flag.
fn strip_dashes(arg: &str) -> Option<&str> {
    let rest = arg.strip_prefix('-').filter(|rest| !rest.is_empty())?;
    Some(rest.strip_prefix('-').unwrap_or(rest))
}

/// Reads one flag; returns the arguments behind it and its value.
fn parse_one<'a>(argv: &mut Argv, arg: &str, flag: &str, rest: &'a [String]) -> Result<&'a [String], Stop> {
    if flag.starts_with(['-', '=']) {
        return Err(Stop::Mistake(format!("bad flag syntax: {arg}")));
    }
    let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
    let Some(named) = table::find(name) else { return Err(unknown(name)) };
    let (known, kind) = match named {
        Named::Flag(flag) => (flag.name, flag.kind),
        Named::Renamed(old) => (old.name, old.kind()),
        // They take any value, or none.
        Named::Ignored(name) => (name, Kind::Bool),
    };
    let (value, rest) = match (value, kind) {
        (Some(value), _) => (value, rest),
        (None, Kind::Bool) => ("true", rest),
        (None, _) => match rest.split_first() {
            Some((value, rest)) => (value.as_str(), rest),
            None => return Err(Stop::Mistake(format!("flag needs an argument: -{name}"))),
        },
    };
    argv.given.set(named, value).map_err(|reason| {
        let what = if kind == Kind::Bool { "boolean value" } else { "value" };
        let of = if kind == Kind::Bool { "for" } else { "for flag" };
        Stop::Mistake(format!("invalid {what} {} {of} -{name}: {reason}", quote(value)))
    })?;
    argv.names.insert(known);
    Ok(rest)
}

fn unknown(name: &str) -> Stop {
    if matches!(name, "help" | "h") {
        return Stop::Help;
    }
    let mut text = format!("flag provided but not defined: -{name}");
    if let Some((_, reason)) = GONE.iter().find(|(gone, _)| *gone == name) {
        text.push_str(&format!("\n--{name} was removed: {reason}"));
    }
    Stop::Mistake(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Argv, Stop> {
        super::parse(&args.iter().map(|arg| (*arg).to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn all_ways_to_give_a_value() {
        for args in
            [&["-name", "x"][..], &["--name", "x"], &["-name=x"], &["--name=x"], &["--name=y", "--name=x"]]
        {
            assert_eq!(parse(args).unwrap().given.text("name"), "x", "{args:?}");
        }
        assert_eq!(parse(&["--name=a=b"]).unwrap().given.text("name"), "a=b");
        assert_eq!(parse(&["--name", "--version"]).unwrap().given.text("name"), "--version");
        for args in [&["--version"][..], &["-version=t"], &["--version=false", "--version=1"]] {
            assert!(parse(args).unwrap().given.is_true("version"), "{args:?}");
        }
    }

    #[test]
    fn where_the_flags_end() {
        for (args, stray) in [
            (&["foo"][..], Some("foo")),
            (&["--name=x", "-", "--bogus"], Some("-")),
            (&["--name=x", "--", "--bogus"], Some("--bogus")),
            (&["--name=x", "--"], None),
            (&["--version", "false"], Some("false")),
            (&["--force", "x"], Some("x")),
            (&[""], Some("")),
        ] {
            assert_eq!(parse(args).unwrap().stray.as_deref(), stray, "{args:?}");
        }
    }

    /// Texts of etcd 3.7.1, recorded.
    #[test]
    fn mistakes() {
        for (args, text) in [
            (&["--bogus"][..], "flag provided but not defined: -bogus"),
            (&["--name"], "flag needs an argument: -name"),
            (&["--client-cert-auth=x"], r#"invalid boolean value "x" for -client-cert-auth: parse error"#),
            (&["--max-wals", "-3"], r#"invalid value "-3" for flag -max-wals: parse error"#),
            (&["-=x"], "bad flag syntax: -=x"),
            (&["---x"], "bad flag syntax: ---x"),
            (
                &["--initial-cluster-state=foo"],
                r#"invalid value "foo" for flag -initial-cluster-state: invalid value"#,
            ),
            (
                &["--v2-deprecation=foo"],
                r#"invalid value "foo" for flag -v2-deprecation: invalid value "foo""#,
            ),
            (&["--force=x", "--bogus"], "flag provided but not defined: -bogus"),
            (
                &["--enable-v2"],
                "flag provided but not defined: -enable-v2\n--enable-v2 was removed: the v2 API is gone",
            ),
        ] {
            assert_eq!(parse(args).unwrap_err(), Stop::Mistake(text.into()), "{args:?}");
        }
        for args in [&["-h"][..], &["--help"], &["--name=x", "-help=y", "--bogus"]] {
            assert_eq!(parse(args).unwrap_err(), Stop::Help, "{args:?}");
        }
    }
}
