//! The environment: `ETCD_` and the name of a flag in upper case (contract/flags.tsv, rows of command `environment`).

use std::collections::BTreeSet;

use crate::{
    flag::variable,
    golang::quote,
    notice::Notice,
    table::{self},
    values::Given,
};

/// Asking for the version is for the command line only.
const VERSION: &str = "ETCD_VERSION";

/// Why the environment cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EnvError {
    /// A variable stands next to the same flag on the command line.
    Conflict(String),
    /// A value that is none for its flag.
    Value(String),
}

/// Adds what the environment says to `given`, which has what the command line says, namely `names`. Empty variables
/// count as unset; those that name nothing are only warned about.
///
/// # Errors
/// See [`EnvError`]. Of several wrong values the last one counts, by the name of the flag, as in etcd.
pub(crate) fn apply(
    given: &mut Given,
    names: &BTreeSet<&'static str>,
    variables: &[(String, String)],
    notices: &mut Vec<Notice>,
) -> Result<(), EnvError> {
    let mut variables: Vec<_> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if let Some(at) = variables.iter().position(|(name, value)| *name == VERSION && !value.is_empty()) {
        let (key, value) = variables.remove(at);
        notices.push(
            Notice::warn("cannot set special environment variable").with("key", key).with("value", value),
        );
    }
    let shadowed: BTreeSet<String> = names.iter().map(|name| variable(name)).collect();
    let mut used = BTreeSet::new();
    let mut wrong = None;
    for name in table::names() {
        let key = variable(name);
        let found = variables.iter().find(|(name, value)| *name == key && !value.is_empty());
        let Some((_, value)) = found.filter(|_| !shadowed.contains(&key)) else { continue };
        let named = table::find(name).expect("a name of the table");
        match given.set(named, value) {
            Ok(()) => notices.push(
                Notice::info("recognized and used environment variable")
                    .with("variable-name", key.as_str())
                    .with("variable-value", *value),
            ),
            Err(reason) => wrong = Some(format!("invalid value {} for {key}: {reason}", quote(value))),
        }
        used.insert(key);
    }
    for (name, value) in variables.into_iter().filter(|(name, _)| !used.contains(*name)) {
        if shadowed.contains(name) {
            return Err(EnvError::Conflict(name.into()));
        }
        if name.starts_with("ETCD_") {
            let variable = format!("{name}={value}");
            notices.push(
                Notice::warn("unrecognized environment variable").with("environment-variable", variable),
            );
        }
    }
    wrong.map_or(Ok(()), |text| Err(EnvError::Value(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(
        names: &[&'static str],
        variables: &[(&str, &str)],
    ) -> (Result<(), EnvError>, Given, Vec<String>) {
        let variables: Vec<_> = variables.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
        let (mut given, mut notices) = (Given::default(), Vec::new());
        let result = super::apply(&mut given, &names.iter().copied().collect(), &variables, &mut notices);
        (result, given, notices.into_iter().map(|notice| notice.message).collect())
    }

    #[test]
    fn variables_are_used_empty_ones_not_and_unknown_ones_warned_about() {
        let (result, given, notices) =
            apply(&[], &[("ETCD_NAME", "a"), ("ETCD_DATA_DIR", ""), ("ETCD_BOGUS", "1"), ("HOME", "/")]);
        assert_eq!((result, given.text("name"), given.text("data-dir")), (Ok(()), "a", ""));
        assert_eq!(
            notices,
            [
                "recognized and used environment variable",
                "unrecognized environment variable",
                "unrecognized environment variable"
            ]
        );
    }

    #[test]
    fn conflicts_end_it_even_with_an_empty_variable() {
        for value in ["", "a"] {
            let (result, _, _) = apply(&["name"], &[("ETCD_NAME", value)]);
            assert_eq!(result, Err(EnvError::Conflict("ETCD_NAME".into())));
        }
        assert_eq!(apply(&["force"], &[("ETCD_FORCE", "1")]).0, Err(EnvError::Conflict("ETCD_FORCE".into())));
    }

    #[test]
    fn the_last_wrong_value_is_told() {
        let (result, _, _) = apply(&[], &[("ETCD_SNAPSHOT_COUNT", "q"), ("ETCD_MAX_WALS", "z")]);
        assert_eq!(
            result,
            Err(EnvError::Value(r#"invalid value "q" for ETCD_SNAPSHOT_COUNT: parse error"#.into()))
        );
    }

    #[test]
    fn the_version_is_not_asked_for_by_environment() {
        let (result, given, notices) = apply(&[], &[("ETCD_VERSION", "true")]);
        assert_eq!((result, given.is_true("version")), (Ok(()), false));
        assert_eq!(notices, ["cannot set special environment variable"]);
    }
}
