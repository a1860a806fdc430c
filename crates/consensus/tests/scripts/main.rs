//! Runs etcd-io/raft's recorded scripts against this crate and compares all output exactly.
//!
//! The variable `RAFT_SCRIPTS` names the folder with the scripts and their `SHA256SUMS`; they are not part of
//! this project. Without it the test is skipped, but under `CI` it fails.

mod confchange;
mod datadriven;
mod describe;
mod env;
mod interaction;
mod quorum;
mod storage;

use std::path::Path;

use datadriven::{Case, parse};
use sha2::{Digest, Sha256};

/// How many scripts upstream has.
const SCRIPTS: usize = 41;

#[test]
fn upstream_scripts_pass() {
    let Some(folder) = std::env::var_os("RAFT_SCRIPTS") else {
        assert!(std::env::var_os("CI").is_none(), "RAFT_SCRIPTS is not set");
        println!("skipped: RAFT_SCRIPTS is not set");
        return;
    };
    let folder = Path::new(&folder);
    let listed = std::fs::read_to_string(folder.join("SHA256SUMS")).expect("SHA256SUMS is readable");
    let mut failed = Vec::new();
    let mut count = 0;
    for line in listed.lines() {
        let (sum, name) = line.split_once("  ./").expect("a line is a sum and a path");
        let script = std::fs::read(folder.join(name)).expect("the script is readable");
        let found: String = Sha256::digest(&script).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, sum, "{name} was changed");
        let text = String::from_utf8(script).expect("the script is text");
        match run(name, &text) {
            Ok(cases) => println!("ok      {name} ({cases} commands)"),
            Err(report) => {
                println!("FAILED  {name}\n{report}");
                failed.push(name);
            }
        }
        count += 1;
    }
    assert_eq!(count, SCRIPTS);
    assert!(failed.is_empty(), "{} of {count} scripts failed: {failed:?}", failed.len());
}

/// Runs one script; the number of its commands, or the first difference.
fn run(name: &str, text: &str) -> Result<usize, String> {
    let mut execute: Box<dyn FnMut(&Case) -> String> = match name.split('/').next() {
        Some("interaction") => {
            let mut env = env::Env::default();
            Box::new(move |case| interaction::handle(&mut env, case))
        }
        Some("quorum") => Box::new(quorum::handle),
        Some("confchange") => {
            let mut group = confchange::Group::default();
            Box::new(move |case| group.handle(case))
        }
        other => panic!("no runner for {other:?}"),
    };
    let cases = parse(text);
    for case in &cases {
        let mut actual = execute(case);
        if !actual.ends_with('\n') {
            actual.push('\n');
        }
        if actual != case.expected {
            let (line, command) = (case.line, &case.command);
            return Err(format!(
                "line {line}: {command}\n--- expected\n{}--- actual\n{actual}---",
                case.expected
            ));
        }
    }
    Ok(cases.len())
}
