//! What was given, by name, and what follows for every flag.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    duration,
    flag::{Effect, Flag, Kind, Value},
    gates::{GATES, Gates},
    notice::Notice,
    table::{self, Named, Now, Renamed},
    url::Url,
};

/// What the command line, the environment or the file set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    values: BTreeMap<&'static str, Value>,
    /// Old spellings with their values; see [`Given::settle`].
    renamed: BTreeMap<&'static str, (&'static Renamed, Value)>,
    /// Names of flags that are ignored.
    ignored: Vec<&'static str>,
}

impl Given {
    /// Sets what `named` stands for.
    ///
    /// # Errors
    /// Why `text` is no value for it.
    pub(crate) fn set(&mut self, named: Named, text: &str) -> Result<(), String> {
        match named {
            Named::Flag(flag) if flag.kind == Kind::Gates => {
                let mut gates = match self.values.get(flag.name) {
                    Some(Value::Gates(gates)) => gates.clone(),
                    _ => Gates::default(),
                };
                gates.merge(text)?;
                self.values.insert(flag.name, Value::Gates(gates));
            }
            Named::Flag(flag) => {
                self.values.insert(flag.name, flag.parse(text)?);
            }
            Named::Renamed(old) => {
                let value = match old.resolve() {
                    Now::Flag(flag) => flag.parse(text)?,
                    Now::Gate(_) => Flag::new(old.name, Kind::Bool, "false", "").parse(text)?,
                };
                self.set_renamed(old, value);
            }
            Named::Ignored(name) => self.ignored.push(name),
        }
        Ok(())
    }

    /// Sets a setting to a value of its kind.
    pub(crate) fn set_value(&mut self, flag: &'static Flag, value: Value) {
        self.values.insert(flag.name, value);
    }

    /// Sets an old spelling to a value of its kind.
    pub(crate) fn set_renamed(&mut self, old: &'static Renamed, value: Value) {
        self.renamed.insert(old.name, (old, value));
    }

    /// Whether a flag was given that is `true`.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.values.get(name) == Some(&Value::Bool(true))
    }

    /// A text that was given, empty if not.
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// Turns old spellings into what they now are, and says so.
    ///
    /// # Errors
    /// When an old spelling and what it now is are both given, in the words of etcd 3.6.
    pub(crate) fn settle(mut self, notices: &mut Vec<Notice>) -> Result<Values, String> {
        for name in self.ignored {
            notices.push(Notice::warn("flag is no longer supported - ignoring").with("flag-name", name));
        }
        for (old, value) in self.renamed.into_values() {
            let message = format!(
                "--{} was removed in v3.7 and is accepted as '{}'; use that instead",
                old.name,
                old.advice()
            );
            notices.push(Notice::warn(message));
            match old.resolve() {
                Now::Flag(flag) if self.values.contains_key(flag.name) => {
                    let new = flag.name;
                    return Err(format!(
                        "cannot set --{} and --{new} at the same time, please use --{new} only",
                        old.name
                    ));
                }
                Now::Flag(flag) => {
                    self.values.insert(flag.name, value);
                }
                Now::Gate(gate) => {
                    let mut gates = match self.values.remove("feature-gates") {
                        Some(Value::Gates(gates)) => gates,
                        _ => Gates::default(),
                    };
                    let on = value == Value::Bool(true);
                    if gates.is_set(gate) {
                        let new = format!("--feature-gates={}={}", gate.facts().name, gates.enabled(gate));
                        return Err(format!(
                            "cannot specify both flags: --{}={on} and {new} at the same time, please just use {new}",
                            old.name
                        ));
                    }
                    gates.set(gate, on);
                    self.values.insert("feature-gates", Value::Gates(gates));
                }
            }
        }
        Ok(Values { given: self.values })
    }
}

/// A value for every setting: what was given, else its default. Asking for a value by the wrong kind is a mistake in
/// the code that the contract tests find, since they build settings from every flag.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    given: BTreeMap<&'static str, Value>,
}

impl Values {
    fn value(&self, name: &str) -> Value {
        self.given.get(name).cloned().unwrap_or_else(|| table::setting(name).default_value())
    }

    /// Whether it was given, be it its default.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// Names of what was given, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.given.keys().copied()
    }

    pub(crate) fn bool(&self, name: &str) -> bool {
        match self.value(name) {
            Value::Bool(on) => on,
            other => wrong_kind(name, &other),
        }
    }

    pub(crate) fn unsigned(&self, name: &str) -> u64 {
        match self.value(name) {
            Value::Unsigned(number) => number,
            other => wrong_kind(name, &other),
        }
    }

    pub(crate) fn signed(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Signed(number) => number,
            other => wrong_kind(name, &other),
        }
    }

    pub(crate) fn nanos(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Nanos(nanos) => nanos,
            other => wrong_kind(name, &other),
        }
    }

    /// A duration; nothing when negative.
    pub(crate) fn wait(&self, name: &str) -> Duration {
        duration::wait(self.nanos(name))
    }

    /// A duration for which zero stands for `default`; nothing when negative.
    pub(crate) fn wait_or(&self, name: &str, default: Duration) -> Duration {
        if self.nanos(name) == 0 { default } else { self.wait(name) }
    }

    pub(crate) fn text(&self, name: &str) -> String {
        match self.value(name) {
            Value::Text(text) => text,
            other => wrong_kind(name, &other),
        }
    }

    /// A text; `None` when empty.
    pub(crate) fn text_option(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Value::List(texts) => texts,
            other => wrong_kind(name, &other),
        }
    }

    pub(crate) fn urls(&self, name: &str) -> Vec<Url> {
        match self.value(name) {
            Value::Urls(urls) => urls,
            other => wrong_kind(name, &other),
        }
    }

    pub(crate) fn gates(&self) -> Gates {
        match self.value("feature-gates") {
            Value::Gates(gates) => gates,
            other => wrong_kind("feature-gates", &other),
        }
    }

    /// Settings of this effect whose value is not their default; gates as `feature-gates=NAME`.
    pub(crate) fn changed(&self, effect: Effect) -> Vec<String> {
        let settings = table::settings().filter(|flag| flag.effect == effect);
        let changed = settings.filter(|flag| self.value(flag.name) != flag.default_value());
        let gates = self.gates();
        let switched =
            GATES.iter().filter(|facts| facts.effect == effect && gates.enabled(facts.gate) != facts.default);
        changed
            .map(|flag| flag.name.to_string())
            .chain(switched.map(|facts| format!("feature-gates={}", facts.name)))
            .collect()
    }
}

fn wrong_kind(name: &str, value: &Value) -> ! {
    unreachable!("{name} was asked for by another kind than that of {value:?}")
}
