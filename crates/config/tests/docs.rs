//! What is written from the table is current. `UPDATE_DOCS=1` writes it.

use std::fs;

const FLAGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/flags.md");
const STATUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/status.md");
const BEGIN: &str =
    "<!-- flags without effect: written by UPDATE_DOCS=1 cargo test -p config --test docs -->\n";
const END: &str = "<!-- end -->\n";

fn check(path: &str, current: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, current).expect("docs can be written");
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == current,
        "{path} is not current: UPDATE_DOCS=1 cargo test -p config --test docs writes it"
    );
}

#[test]
fn the_page_of_flags() {
    check(FLAGS, &config::flags_page());
}

/// The part of docs/status.md between the two marks.
#[test]
fn the_status_page_lists_flags_without_effect() {
    let status = fs::read_to_string(STATUS).expect("there is a status page");
    let (before, rest) = status.split_once(BEGIN).expect("docs/status.md has the mark where the list begins");
    let (_, after) = rest.split_once(END).expect("docs/status.md has the mark where the list ends");
    check(STATUS, &format!("{before}{BEGIN}{}{END}{after}", config::status_section()));
}

#[test]
fn help_has_every_flag_and_section() {
    let help = config::flags_help();
    for flag in config::flags() {
        assert!(help.contains(&format!("\n  --{} '", flag.name)), "--{}", flag.name);
    }
    for section in config::SECTIONS {
        assert!(help.contains(&format!("\n{}:\n", section.title)));
    }
    assert!(help.contains("LeaseCheckpoint=true|false (ALPHA - default=false)"));
    assert!(config::usage().starts_with("Usage:\n\n  etcd [flags]\n"));
}
