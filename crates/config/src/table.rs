//! Every flag, once (contract/flags.tsv, rows of command `etcd`). Parsing, the help text and docs/flags.md follow
//! from it. A flag that comes to have an effect changes here and in [`crate::Settings`], nowhere else.

mod clustering;
mod member;
mod operation;
mod removed;
mod security;

use crate::{
    flag::{Flag, Kind},
    gates::Gate,
};

pub use removed::{GONE, IGNORED, RENAMED, Renamed, Replacement};

/// Flags that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// As in etcd's help text.
    pub title: &'static str,
    /// Its flags, in the order of the help text.
    pub flags: &'static [Flag],
}

/// All flags, in the order of the help text.
pub const SECTIONS: &[Section] = &[
    Section { title: "Start", flags: member::START },
    Section { title: "Member", flags: member::MEMBER },
    Section { title: "Clustering", flags: clustering::CLUSTERING },
    Section { title: "Security", flags: security::SECURITY },
    Section { title: "Auth", flags: security::AUTH },
    Section { title: "Profiling and Monitoring", flags: operation::MONITORING },
    Section { title: "Logging", flags: operation::LOGGING },
    Section { title: "Distributed tracing", flags: operation::TRACING },
    Section { title: "Features", flags: operation::FEATURES },
    Section { title: "Unsafe feature", flags: operation::UNSAFE },
    Section { title: "Mainstay", flags: operation::OWN },
];

/// Settings that only the configuration file has; their name is their path in it.
pub const FILE_ONLY: &[Flag] = security::FILE_ONLY;

/// Every flag.
pub fn flags() -> impl Iterator<Item = &'static Flag> {
    SECTIONS.iter().flat_map(|section| section.flags)
}

/// Every flag, and what only the configuration file has.
pub(crate) fn settings() -> impl Iterator<Item = &'static Flag> {
    flags().chain(FILE_ONLY)
}

/// What a name on the command line stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named {
    Flag(&'static Flag),
    Ignored(&'static str),
    Renamed(&'static Renamed),
}

/// Looks a name up.
pub(crate) fn find(name: &str) -> Option<Named> {
    let flag = flags().find(|flag| flag.name == name).map(Named::Flag);
    let ignored = || IGNORED.iter().find(|ignored| **ignored == name).map(|name| Named::Ignored(name));
    let renamed = || RENAMED.iter().find(|renamed| renamed.name == name).map(Named::Renamed);
    flag.or_else(ignored).or_else(renamed)
}

/// Every name that the command line takes, sorted.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = flags().map(|flag| flag.name).chain(IGNORED.iter().copied()).collect();
    names.extend(RENAMED.iter().map(|renamed| renamed.name));
    names.sort_unstable();
    names
}

/// The setting of that name, which is one of the table's.
pub(crate) fn setting(name: &str) -> &'static Flag {
    settings().find(|flag| flag.name == name).expect("names in the code are names of the table: tested")
}

/// What an old spelling now is, resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Now {
    Flag(&'static Flag),
    Gate(Gate),
}

impl Renamed {
    pub(crate) fn resolve(&self) -> Now {
        match self.now {
            Replacement::Flag(name) => Now::Flag(setting(name)),
            Replacement::Gate(name) => Now::Gate(Gate::from_name(name).expect("a gate of the table: tested")),
        }
    }

    /// What values the old spelling takes.
    pub(crate) fn kind(&self) -> Kind {
        match self.resolve() {
            Now::Flag(flag) => flag.kind,
            Now::Gate(_) => Kind::Bool,
        }
    }

    /// How to write it now.
    pub(crate) fn advice(&self) -> String {
        match self.now {
            Replacement::Flag(name) => format!("--{name}"),
            Replacement::Gate(name) => format!("--feature-gates={name}=true"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_paths_are_unique_and_defaults_are_values() {
        let names = names();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        let keys: Vec<_> = settings().filter_map(|flag| flag.key).collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
        for flag in settings() {
            flag.default_value();
        }
        for renamed in RENAMED {
            renamed.resolve();
            renamed.kind();
        }
    }
}
