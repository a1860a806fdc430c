//! The flags of one call.

use std::fmt;

use crate::{Command, Flag, Value};

/// A flag and what it holds.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As declared.
    pub flag: Flag,
    /// What it holds.
    pub value: Value,
    /// Whether somebody set it.
    pub changed: bool,
    /// Whether a command above declared it.
    pub inherited: bool,
}

/// All flags that a command knows, by name.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    entries: Vec<Entry>,
}

/// A call of a command.
pub struct Call<R: 'static> {
    /// What to do.
    pub run: R,
    /// The names on the way from the root, without it.
    pub path: Vec<&'static str>,
    /// The command itself.
    pub command: &'static Command<R>,
    /// Flags with their values.
    pub flags: Flags,
    /// The words that are no flags.
    pub args: Vec<String>,
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Call");
        shown.field("path", &self.path).field("flags", &self.flags).field("args", &self.args);
        shown.finish_non_exhaustive()
    }
}

impl Flags {
    /// These flags alone.
    pub fn of(flags: &[Flag]) -> Flags {
        let mut all = Flags::default();
        flags.iter().for_each(|flag| all.declare(flag, false));
        all
    }

    /// Adds a flag unless there is one of its name: that of the command nearest hides those above.
    pub(crate) fn declare(&mut self, flag: &Flag, inherited: bool) {
        if self.find(flag.name).is_none() {
            let entry = Entry { flag: *flag, value: flag.default_value(), changed: false, inherited };
            let at = self.entries.partition_point(|other| other.flag.name < flag.name);
            self.entries.insert(at, entry);
        }
    }

    /// All, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The flag of that name.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.flag.name == name)
    }

    /// The flag with that letter.
    pub(crate) fn find_short(&self, short: char) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.flag.short == Some(short))
    }

    /// Sets a flag. A list grows, once somebody set it.
    ///
    /// # Errors
    /// Why it cannot be set.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.flag.name == name) else {
            return Err(format!("no such flag -{name}"));
        };
        let value = entry.flag.read(text).map_err(|reason| entry.flag.invalid(text, &reason))?;
        match (&mut entry.value, value) {
            (Value::List(old), Value::List(new)) if entry.changed => old.extend(new),
            (old, new) => *old = new,
        }
        entry.changed = true;
        Ok(())
    }

    /// Whether somebody set it.
    pub fn changed(&self, name: &str) -> bool {
        self.find(name).is_some_and(|entry| entry.changed)
    }

    fn value(&self, name: &str) -> &Value {
        let Some(entry) = self.find(name) else { panic!("the flag --{name} is not declared") };
        &entry.value
    }

    /// A switch.
    ///
    /// # Panics
    /// When it is not declared as one, as all that follow: a mistake of the tool, not of its user.
    pub fn bool(&self, name: &str) -> bool {
        match self.value(name) {
            Value::Bool(value) => *value,
            other => panic!("the flag --{name} holds {other:?}"),
        }
    }

    /// A number with a sign.
    ///
    /// # Panics
    /// As [`Flags::bool`].
    pub fn int(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Int(value) => *value,
            other => panic!("the flag --{name} holds {other:?}"),
        }
    }

    /// A number without a sign.
    ///
    /// # Panics
    /// As [`Flags::bool`].
    pub fn uint(&self, name: &str) -> u64 {
        match self.value(name) {
            Value::Uint(value) => *value,
            other => panic!("the flag --{name} holds {other:?}"),
        }
    }

    /// A time in nanoseconds; it may be negative.
    ///
    /// # Panics
    /// As [`Flags::bool`].
    pub fn nanos(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Duration(value) => *value,
            other => panic!("the flag --{name} holds {other:?}"),
        }
    }

    /// A text.
    ///
    /// # Panics
    /// As [`Flags::bool`].
    pub fn text(&self, name: &str) -> &str {
        match self.value(name) {
            Value::Text(value) => value,
            other => panic!("the flag --{name} holds {other:?}"),
        }
    }

    /// A list.
    ///
    /// # Panics
    /// As [`Flags::bool`].
    pub fn list(&self, name: &str) -> &[String] {
        match self.value(name) {
            Value::List(value) => value,
            other => panic!("the flag --{name} holds {other:?}"),
        }
    }
}
