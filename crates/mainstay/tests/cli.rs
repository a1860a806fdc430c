//! The binary's command line as a process sees it: streams and exit codes. Nothing here starts a member.

use std::{
    os::unix::process::CommandExt,
    process::{Command, Output},
};

/// Runs the binary under a name, with this environment only.
fn run(name: &str, args: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .arg0(name)
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the binary runs")
}

fn etcd(args: &[&str]) -> Output {
    run("/usr/local/bin/etcd", args, &[])
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("UTF-8")
}

/// Level, message and error of each line of the log.
fn log(output: &Output) -> Vec<(String, String, String)> {
    let field = |line: &str, key: &str| {
        let start = line.find(&format!("\"{key}\":\""))? + key.len() + 4;
        let end = line[start..].find("\",\"").or_else(|| line[start..].rfind("\"}"))?;
        Some(line[start..start + end].to_string())
    };
    let parts = |line: &str| {
        assert!(line.starts_with("{\"level\":\"") && line.ends_with('}'), "{line}");
        ["level", "msg", "error"].map(|key| field(line, key).unwrap_or_default()).into()
    };
    stderr(output).lines().map(parts).collect()
}

#[test]
fn version() {
    let lines = ["etcd Version: 3.7.1", "Git SHA: ", "Mainstay Version: 0.1.0", "OS/Arch: "];
    for output in [etcd(&["--version"]), etcd(&["-version=true"]), run("mainstay", &["version"], &[])] {
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
        let said: Vec<_> = stdout(&output).lines().collect();
        assert_eq!(said.len(), lines.len());
        assert!(said.iter().zip(lines).all(|(line, start)| line.starts_with(start)), "{said:?}");
    }
}

#[test]
fn help() {
    for output in [etcd(&["--help"]), etcd(&["-h"]), run("mainstay", &["server", "--help"], &[])] {
        assert_eq!(output.status.code(), Some(0));
        assert!(stderr(&output).starts_with("Usage:\n\n  etcd [flags]\n"));
        assert!(stdout(&output).contains("\nMember:\n  --name 'default'\n"));
    }
    for args in [&["help"][..], &[], &["--help"]] {
        let output = run("mainstay", args, &[]);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
        assert!(stdout(&output).contains("  server      Start a member; flags are those of etcd\n"));
    }
}

#[test]
fn wrong_command_lines_exit_with_2() {
    for (args, first) in [
        (&["--bogus"][..], "flag provided but not defined: -bogus"),
        (&["--name"], "flag needs an argument: -name"),
        (&["--max-wals=x"], "invalid value \"x\" for flag -max-wals: parse error"),
    ] {
        let output = etcd(args);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{args:?}");
        assert!(stderr(&output).starts_with(&format!("{first}\nUsage:\n")), "{}", stderr(&output));
    }
    let output = etcd(&["--enable-v2"]);
    let said: Vec<_> = stderr(&output).lines().take(2).collect();
    assert_eq!(
        said,
        ["flag provided but not defined: -enable-v2", "--enable-v2 was removed: the v2 API is gone"]
    );
}

#[test]
fn wrong_configurations_exit_with_1_and_say_so_in_the_log() {
    let warned = |error: &str| ("warn".into(), "failed to verify flags".into(), error.into());
    let fatal = |error: &str| ("fatal".into(), "discovery failed".into(), error.into());
    for (args, last) in [
        (&["foo"][..], warned(r#"\"foo\" is not a valid flag"#)),
        (&["--heartbeat-interval=0"], warned("--heartbeat-interval must be >0 (set to 0ms)")),
        (&["--config-file=/no/such/file"], warned("open /no/such/file: no such file or directory")),
        (&["--cipher-suites=x"], fatal(r#"unexpected TLS cipher suite \"x\""#)),
        (
            &["--log-outputs=/no/such/folder/log"],
            warned("log-outputs: No such file or directory (os error 2)"),
        ),
    ] {
        let output = etcd(args);
        assert_eq!((output.status.code(), stdout(&output)), (Some(1), ""), "{args:?}");
        assert_eq!(log(&output).last(), Some(&last));
        assert!(log(&output).iter().any(|(_, message, _)| message == "Running: "), "{args:?}");
    }
    let output = run("etcd", &["--name=b"], &[("ETCD_NAME", "a")]);
    let [(level, message, _)] = &log(&output)[..] else { panic!("{}", stderr(&output)) };
    assert_eq!((output.status.code(), level.as_str()), (Some(1), "fatal"));
    assert!(message.starts_with("conflicting environment variable is shadowed"));
}

#[test]
fn the_log_of_a_refusal_goes_where_it_was_asked_for() {
    let output = etcd(&["--log-outputs=stdout", "--election-timeout=1"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), ""));
    assert!(stdout(&output).contains("failed to verify flags"));
}

#[test]
fn called_etcdctl_it_is_etcdctl() {
    for (name, args) in [("etcdctl", &["version"][..]), ("mainstay", &["etcdctl", "version"])] {
        let output = run(name, args, &[]);
        assert_eq!(output.status.code(), Some(0), "{name} {args:?}");
        assert_eq!(stdout(&output), "etcdctl version: 3.7.1\nAPI version: 3.7\n");
    }
    let output = run("etcdctl", &["get"], &[]);
    assert_eq!(output.status.code(), Some(128));
    let text = "Error: get command needs one argument as key and an optional argument as range_end\n";
    assert_eq!(stderr(&output), text);
}

#[test]
fn what_is_not_there_yet_says_so_and_exits_with_2() {
    for (name, args) in
        [("etcd", &["gateway", "start"][..]), ("etcd", &["grpc-proxy", "--help"]), ("mainstay", &["gateway"])]
    {
        let output = run(name, args, &[]);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{name} {args:?}");
        assert!(stderr(&output).ends_with("is not there yet in this version of Mainstay\n"));
    }
    let output = run("mainstay", &["bogus"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("Error: unknown command \"bogus\" for \"mainstay\"\n"));
}
