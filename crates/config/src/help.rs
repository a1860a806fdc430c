//! The help text, which follows from the table.

use std::fmt::Write;

use crate::{
    flag::{Effect, Flag, Kind},
    gates::{GATES, GateFacts},
    table::{FILE_ONLY, GONE, IGNORED, RENAMED, SECTIONS, flags},
};

/// How to start the command: on standard error with `--help` and after a wrong command line.
pub fn usage() -> String {
    "Usage:

  etcd [flags]
    Start a member.

  etcd --version
    Print the version.

  etcd -h | --help
    Print this and all flags.

  etcd --config-file FILE
    Start a member with the settings of a YAML or JSON file. All other flags and all environment variables are
    ignored then. Durations in the file are whole nanoseconds: 600000000000, not \"10m\".

  etcd gateway
    Forward TCP connections to a cluster. Not there yet.

  etcd grpc-proxy
    Forward gRPC calls to a cluster. Not there yet.
"
    .into()
}

/// All flags by section: on standard output with `--help`.
pub fn flags_help() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        let _ = writeln!(text, "\n{}:", section.title);
        for flag in section.flags {
            let _ = writeln!(
                text,
                "  --{} '{}'\n    {}{}",
                flag.name,
                shown_default(flag),
                flag.help,
                remark(flag.effect)
            );
            if flag.kind == Kind::Gates {
                for facts in GATES {
                    let _ = writeln!(text, "    {}", gate_help(facts));
                }
            }
        }
    }
    text.push_str("\nUnsafe flags can break what the consensus protocol guarantees. Be careful.\n");
    text
}

fn gate_help(facts: &GateFacts) -> String {
    let GateFacts { name, stage, default, effect, .. } = facts;
    format!("{name}=true|false ({stage} - default={default}){}", remark(*effect))
}

fn remark(effect: Effect) -> &'static str {
    match effect {
        Effect::Full => "",
        Effect::NotYet => " (no effect yet)",
    }
}

/// The default as people know it.
fn shown_default(flag: &Flag) -> &'static str {
    if flag.name == "data-dir" { "${name}.etcd" } else { flag.default }
}

/// `docs/flags.md`.
pub fn flags_page() -> String {
    let mut page = String::from(
        "# Flags\n\n\
         Written by `UPDATE_DOCS=1 cargo test -p config --test docs`; the source is `crates/config/src/table.rs`. The \
         environment variable of `--some-flag` is `ETCD_SOME_FLAG`. A flag and its variable together are an error. With \
         a configuration file (`--config-file`, `ETCD_CONFIG_FILE`) everything else is ignored.\n\n\
         Effect: **yes**; **not yet** (accepted, warned about when it is not at its default); **refused** (it would \
         restrict access, encrypt or decide about membership: any value but the default stops the start).\n",
    );
    for section in SECTIONS {
        let _ = writeln!(
            page,
            "\n## {}\n\n| flag | in the file | default | effect | what it does |\n|---|---|---|---|---|",
            section.title
        );
        for flag in section.flags {
            let _ = writeln!(
                page,
                "| `--{}` | {} | {} | {} | {} |",
                flag.name,
                flag.key.map_or("—".into(), |key| format!("`{key}`")),
                code(shown_default(flag)),
                effect_word(flag.effect),
                cell(flag.help)
            );
        }
    }
    page.push_str("\n## Only in the configuration file\n\n| key | effect | what it does |\n|---|---|---|\n");
    for flag in FILE_ONLY {
        let _ = writeln!(page, "| `{}` | {} | {} |", flag.name, effect_word(flag.effect), cell(flag.help));
    }
    page.push_str("\n## Feature gates\n\n| gate | stage | default | effect |\n|---|---|---|---|\n");
    for facts in GATES {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            facts.name,
            facts.stage,
            facts.default,
            effect_word(facts.effect)
        );
    }
    page.push_str("\n## Old spellings\n\nAccepted with a warning.\n\n| old | now |\n|---|---|\n");
    for old in RENAMED {
        let _ = writeln!(page, "| `--{}` | `{}` |", old.name, old.advice());
    }
    page.push_str("\nAccepted with a warning and ignored: ");
    page.push_str(&IGNORED.iter().map(|name| format!("`--{name}`")).collect::<Vec<_>>().join(", "));
    page.push_str(".\n\nUnknown, and told why:\n\n");
    for (name, reason) in GONE {
        let _ = writeln!(page, "- `--{name}`: {reason}");
    }
    page
}

/// The list of flags and gates without effect, for `docs/status.md`.
pub fn status_section() -> String {
    let named = |effect: Effect| {
        let flags = flags()
            .chain(FILE_ONLY)
            .filter(move |flag| flag.effect == effect)
            .map(|flag| format!("`{}`", flag.name));
        let gates = GATES
            .iter()
            .filter(move |facts| facts.effect == effect)
            .map(|facts| format!("gate `{}`", facts.name));
        flags.chain(gates).collect::<Vec<_>>().join(", ")
    };
    format!("No effect yet, accepted with a warning: {}.\n", named(Effect::NotYet))
}

fn effect_word(effect: Effect) -> &'static str {
    match effect {
        Effect::Full => "yes",
        Effect::NotYet => "not yet",
    }
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('*', "\\*")
}
