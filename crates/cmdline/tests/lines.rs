//! A small tool's command lines, with the texts that cobra and pflag have for them.

use cmdline::{Action, Command, Flag, Group, Kind, Notice, Outcome, Positional, Program, Shell, script};

const GLOBAL: &[Flag] = &[
    Flag::new("endpoints", Kind::List, "127.0.0.1:2379", "where servers are").hidden(),
    Flag::new("write-out", Kind::Text, "simple", "the format").short('w'),
    Flag::new("dial-timeout", Kind::Duration, "2s", "patience").hidden(),
    Flag::switch("hex", "print hexadecimal numbers").hidden(),
];
static GET: Command<&str> = Command {
    name: "get",
    usage: "[options] <key>",
    short: "Reads a key",
    group: "kv",
    flags: &[
        Flag::int("limit", "how many"),
        Flag::new("max", Kind::Uint, "7", "how many at most"),
        Flag::switch("all", "everything").short('a'),
    ],
    action: Action::Run("get"),
    ..Command::NEW
};
static ADD: Command<&str> = Command {
    name: "add",
    usage: "<name>",
    short: "Adds one",
    flags: &[
        Flag::text("url", "where it is").required(),
        Flag::text("a-name", "how it is called").required(),
    ],
    action: Action::Run("add"),
    ..Command::NEW
};
static MEMBER: Command<&str> = Command {
    name: "member",
    usage: "<subcommand>",
    short: "Members",
    group: "cluster",
    persistent: &[Flag::switch("cluster", "all of them")],
    commands: &[&ADD],
    ..Command::NEW
};
static COMPLETION: Command<&str> = Command {
    name: "completion",
    usage: "[bash|zsh]",
    short: "Prints a script",
    flags_in_usage: false,
    positional: Positional::OneOf(&["bash", "zsh"]),
    action: Action::Run("completion"),
    ..Command::NEW
};
static HELP: Command<&str> = Command::help("");
static PROGRAM: Program<&str> = Program {
    root: &Command {
        name: "tool",
        short: "A tool.",
        flags: &[Flag::switch("help", "").short('h').hidden()],
        persistent: GLOBAL,
        commands: &[&GET, &MEMBER, &COMPLETION, &HELP],
        ..Command::NEW
    },
    groups: &[Group { id: "kv", title: "Keys" }, Group { id: "cluster", title: "Cluster" }],
    prefixes: true,
    after_help: "The end.",
};

fn parse(line: &str) -> Outcome<&'static str> {
    let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    PROGRAM.parse(&words)
}

fn call(line: &str) -> cmdline::Call<&'static str> {
    match parse(line) {
        Outcome::Run(call) => call,
        other => panic!("{line}: {other:?}"),
    }
}

fn failure(line: &str) -> String {
    match parse(line) {
        Outcome::Failed(failure) => failure.text(),
        other => panic!("{line}: {other:?}"),
    }
}

fn printed(line: &str) -> String {
    match parse(line) {
        Outcome::Print { stdout, stderr } if stderr.is_empty() => stdout,
        other => panic!("{line}: {other:?}"),
    }
}

const GET_USAGE: &str = "Usage:
  tool get [options] <key> [flags]

Flags:
  -a, --all         everything
  -h, --help        help for get
      --limit int   how many
      --max uint    how many at most (default 7)

Global Flags:
  -w, --write-out string   the format (default \"simple\")
";

#[test]
fn flags_and_words_mix() {
    let call = call("--hex get a --limit=0x10 -aw json b --endpoints a,b --endpoints c -- --max 3");
    assert_eq!((call.run, call.path.as_slice()), ("get", ["get"].as_slice()));
    assert_eq!(call.args, ["a", "b", "--max", "3"]);
    assert_eq!((call.flags.int("limit"), call.flags.uint("max")), (16, 7));
    assert!(call.flags.bool("hex") && call.flags.bool("all") && !call.flags.changed("max"));
    assert_eq!((call.flags.text("write-out"), call.flags.nanos("dial-timeout")), ("json", 2_000_000_000));
    assert_eq!(call.flags.list("endpoints"), ["a", "b", "c"]);
}

#[test]
fn letters_hold_values_in_four_ways() {
    for line in ["get -wjson", "get -w json", "get -w=json", "get -aw=json"] {
        assert_eq!(call(line).flags.text("write-out"), "json", "{line}");
    }
    assert_eq!(call("get -w =json").flags.text("write-out"), "=json");
    assert_eq!(call("get -w=").flags.text("write-out"), "=");
    assert_eq!(call("get - -w x").args, ["-"]);
}

#[test]
fn the_beginning_of_a_name_is_enough() {
    assert_eq!(call("g x").run, "get");
    assert_eq!(call("m a --url x --a-name y").path, ["member", "add"]);
    // The value of a flag is no command, even of one that is not known yet.
    assert_eq!(call("-w member get").run, "get");
    assert_eq!(call("get get").args, ["get"]);
}

#[test]
fn what_is_not_understood_is_said_as_cobra_says_it() {
    assert_eq!(
        failure("nosuch"),
        "Error: unknown command \"nosuch\" for \"tool\"\nRun 'tool --help' for usage.\n"
    );
    assert_eq!(
        failure("gte"),
        "Error: unknown command \"gte\" for \"tool\"\n\nDid you mean this?\n\tget\n\nRun 'tool --help' for usage.\n"
    );
    for (line, error) in [
        ("get --nosuch", "unknown flag: --nosuch"),
        ("get --nosuch --help", "unknown flag: --nosuch"),
        ("get -x", "unknown shorthand flag: 'x' in -x"),
        ("get -ax", "unknown shorthand flag: 'x' in -x"),
        ("get --limit", "flag needs an argument: --limit"),
        ("get -w", "flag needs an argument: 'w' in -w"),
        ("get ---a", "bad flag syntax: ---a"),
        ("get --=", "bad flag syntax: --="),
        (
            "get --limit=x",
            "invalid argument \"x\" for \"--limit\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "get --limit=9223372036854775808",
            "invalid argument \"9223372036854775808\" for \"--limit\" flag: strconv.ParseInt: parsing \"9223372036854775808\": value out of range",
        ),
        (
            "get --max=-1",
            "invalid argument \"-1\" for \"--max\" flag: strconv.ParseUint: parsing \"-1\": invalid syntax",
        ),
        (
            "get --all=maybe",
            "invalid argument \"maybe\" for \"-a, --all\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        (
            "get --dial-timeout=5",
            "invalid argument \"5\" for \"--dial-timeout\" flag: time: missing unit in duration \"5\"",
        ),
    ] {
        assert_eq!(failure(line), format!("Error: {error}\n{GET_USAGE}\n"), "{line}");
    }
}

#[test]
fn arguments_and_required_flags_are_checked_in_cobras_order() {
    for (line, error) in [
        ("member add", "required flag(s) \"a-name\", \"url\" not set"),
        ("member add --url=x", "required flag(s) \"a-name\" not set"),
        ("completion", "accepts 1 arg(s), received 0"),
        ("completion fish", "invalid argument \"fish\" for \"tool completion\""),
    ] {
        let text = failure(line);
        assert!(text.starts_with(&format!("Error: {error}\nUsage:\n  tool ")), "{line}: {text}");
    }
    assert!(failure("completion").contains("\n  tool completion [bash|zsh]\n\nFlags:\n"));
}

#[test]
fn help_has_cobras_layout() {
    let page = format!("Reads a key\n\n{GET_USAGE}The end.\n");
    for line in ["get --help", "get -h a", "--help get", "-h get", "help get", "he ge x"] {
        assert_eq!(printed(line), page, "{line}");
    }
    let root = "A tool.

Usage:
  tool [command]

Keys
  get         Reads a key

Cluster
  member      Members

Additional Commands:
  completion  Prints a script
  help        Shows the help of a command

Flags:
  -w, --write-out string   the format (default \"simple\")

Use \"tool [command] --help\" for more information about a command.
The end.
";
    assert_eq!(printed(""), root);
    assert_eq!(printed("help"), root);
    let member = "Members

Usage:
  tool member [command]

Available Commands:
  add         Adds one

Flags:
      --cluster   all of them
  -h, --help      help for member

Global Flags:
  -w, --write-out string   the format (default \"simple\")

Use \"tool member [command] --help\" for more information about a command.
The end.
";
    for line in ["member", "member nosuch", "member --help add", "help member"] {
        assert_eq!(printed(line), member, "{line}");
    }
    let Outcome::Print { stdout, stderr } = parse("help nosuch x`y") else { panic!("no help") };
    assert_eq!(stdout, "");
    assert!(
        stderr.starts_with("Unknown help topic [`nosuch` \"x`y\"]\nUsage:\n  tool [command]\n"),
        "{stderr}"
    );
}

#[test]
fn variables_set_what_the_line_does_not() {
    let variables = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let mut flags = call("get").flags;
    let set = variables(&[
        ("PATH", "x"),
        ("TOOL_ENDPOINTS", "c,d"),
        ("TOOL_DIAL_TIMEOUT", "soon"),
        ("TOOL_LIMIT", "3"),
        ("TOOL_WRITE_OUT", ""),
        ("TOOL_OTHER", "y"),
        ("TOOLS", "z"),
    ]);
    let told = flags.set_from_variables("TOOL", &set, &["OTHER"]);
    assert_eq!(flags.list("endpoints"), ["c", "d"]);
    assert_eq!((flags.nanos("dial-timeout"), flags.int("limit")), (2_000_000_000, 0));
    let unknown = |text: &str| Notice::Unknown(text.to_owned());
    assert_eq!(told, [unknown("TOOL_LIMIT=3"), unknown("TOOL_WRITE_OUT=")]);

    let mut flags = call("get --hex").flags;
    let both = variables(&[("TOOL_X", "1"), ("TOOL_HEX", "true"), ("TOOL_Y", "1")]);
    let told = flags.set_from_variables("TOOL", &both, &[]);
    assert_eq!(told, [unknown("TOOL_X=1"), Notice::Conflict("TOOL_HEX".to_owned())]);
}

#[test]
fn scripts_know_commands_and_flags() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
        let script = script(&PROGRAM, shell);
        for word in ["tool", "member add", "limit", "write-out", "cluster"] {
            assert!(script.contains(word), "{shell:?} {word}: {script}");
        }
    }
}

/// Bash itself reads the script, where there is one.
#[test]
fn bash_completes() {
    let ask = "COMP_WORDS=(tool member add --u); COMP_CWORD=3; _tool; echo \"${COMPREPLY[@]}\"";
    let text = format!("{}\n{ask}\n", script(&PROGRAM, Shell::Bash));
    match std::process::Command::new("bash").args(["--norc", "-c", &text]).output() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), "--url\n", "{output:?}"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}
