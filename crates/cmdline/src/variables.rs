//! Flags from variables of the environment.

use std::collections::BTreeSet;

use crate::Flags;

/// What is to be logged about variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// `NAME=VALUE` begins like one of ours and is none.
    Unknown(String),
    /// The name of a variable whose flag is given, too. The tool must not run.
    Conflict(String),
}

/// The variable of a flag: `ETCDCTL_DIAL_TIMEOUT` for `dial-timeout`.
pub fn variable_name(prefix: &str, flag: &str) -> String {
    format!("{prefix}_{}", flag.to_uppercase().replace('-', "_"))
}

impl Flags {
    /// Sets inherited flags that nobody set from the variables that begin with `prefix` and an underscore. A value that
    /// cannot be read is ignored, as etcd does. `others` are names without prefix that are not for flags. What is told
    /// comes in the order of the variables, and ends with the first conflict.
    pub fn set_from_variables(
        &mut self,
        prefix: &str,
        variables: &[(String, String)],
        others: &[&str],
    ) -> Vec<Notice> {
        let mut used: BTreeSet<String> = others.iter().map(|name| format!("{prefix}_{name}")).collect();
        let mut shadowed = BTreeSet::new();
        let names: Vec<_> = self
            .iter()
            .filter(|entry| entry.inherited)
            .map(|entry| (entry.flag.name, entry.changed))
            .collect();
        for (name, changed) in names {
            let variable = variable_name(prefix, name);
            if changed {
                shadowed.insert(variable);
                continue;
            }
            let value = variables.iter().find(|(name, value)| *name == variable && !value.is_empty());
            if let Some((_, value)) = value {
                let _ = self.set(name, value);
                used.insert(variable);
            }
        }
        let mut notices = Vec::new();
        for (name, value) in variables {
            if used.contains(name) {
                continue;
            }
            if shadowed.contains(name) {
                notices.push(Notice::Conflict(name.clone()));
                break;
            }
            if name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_')) {
                notices.push(Notice::Unknown(format!("{name}={value}")));
            }
        }
        notices
    }
}
