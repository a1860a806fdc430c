//! Flags as data, and their values.

use config::{
    duration,
    golang::{NumberError, parse_bool, parse_signed, parse_unsigned, quote},
};

use crate::csv;

/// A flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Behind two dashes.
    pub name: &'static str,
    /// Behind one dash.
    pub short: Option<char>,
    /// What it holds.
    pub kind: Kind,
    /// What it holds when it is not given, as it would be given.
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Left out of help pages.
    pub hidden: bool,
    /// Without it the command is refused.
    pub required: bool,
    /// What it may hold, for completion.
    pub values: &'static [&'static str],
}

/// What a flag holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no; given without a value it is yes.
    Bool,
    /// A number with a sign.
    Int,
    /// A number without one.
    Uint,
    /// A time, such as `1m30s`.
    Duration,
    /// Any text.
    Text,
    /// Texts between commas; given again it grows.
    List,
}

/// What a flag was set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// See [`Kind::Bool`].
    Bool(bool),
    /// See [`Kind::Int`].
    Int(i64),
    /// See [`Kind::Uint`].
    Uint(u64),
    /// Nanoseconds.
    Duration(i64),
    /// See [`Kind::Text`].
    Text(String),
    /// See [`Kind::List`].
    List(Vec<String>),
}

impl Flag {
    /// A flag. The default must be one that the kind can read.
    pub const fn new(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
        Flag { name, short: None, kind, default, help, hidden: false, required: false, values: &[] }
    }

    /// A flag that is off.
    pub const fn switch(name: &'static str, help: &'static str) -> Flag {
        Flag::new(name, Kind::Bool, "false", help)
    }

    /// A text that is empty.
    pub const fn text(name: &'static str, help: &'static str) -> Flag {
        Flag::new(name, Kind::Text, "", help)
    }

    /// A number that is 0.
    pub const fn int(name: &'static str, help: &'static str) -> Flag {
        Flag::new(name, Kind::Int, "0", help)
    }

    /// With a letter.
    pub const fn short(mut self, letter: char) -> Flag {
        self.short = Some(letter);
        self
    }

    /// Left out of help pages.
    pub const fn hidden(mut self) -> Flag {
        self.hidden = true;
        self
    }

    /// That must be given.
    pub const fn required(mut self) -> Flag {
        self.required = true;
        self
    }

    /// With what it may hold.
    pub const fn values(mut self, values: &'static [&'static str]) -> Flag {
        self.values = values;
        self
    }

    /// Whether it takes the word behind it.
    pub(crate) fn takes_word(&self) -> bool {
        self.kind != Kind::Bool
    }

    /// How errors name it.
    fn shown(&self) -> String {
        match self.short {
            Some(short) => format!("-{short}, --{}", self.name),
            None => format!("--{}", self.name),
        }
    }

    /// The text of a value that cannot be read.
    pub(crate) fn invalid(&self, text: &str, reason: &str) -> String {
        format!("invalid argument {} for {} flag: {reason}", quote(text), quote(&self.shown()))
    }

    /// What pflag calls the kind; nothing for switches.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Bool => "",
            Kind::Int => "int",
            Kind::Uint => "uint",
            Kind::Duration => "duration",
            Kind::Text => "string",
            Kind::List => "strings",
        }
    }

    /// The default for help pages, unless it goes without saying.
    pub(crate) fn shown_default(&self) -> Option<String> {
        let zero = match self.kind {
            Kind::Bool => "false",
            Kind::Int | Kind::Uint => "0",
            Kind::Duration => "0s",
            Kind::Text | Kind::List => "",
        };
        (self.default != zero).then(|| match self.kind {
            Kind::Text => quote(self.default),
            Kind::List => format!("[{}]", self.default),
            _ => self.default.to_owned(),
        })
    }

    /// The default; empty for one that cannot be read, which the tests of a tool find.
    pub(crate) fn default_value(&self) -> Value {
        self.read(self.default).unwrap_or_else(|_| Value::Text(self.default.to_owned()))
    }

    /// Reads a value.
    ///
    /// # Errors
    /// Why it is none, in Go's words.
    pub fn read(&self, text: &str) -> Result<Value, String> {
        let number = |function: &str, error: NumberError| {
            let reason = match error {
                NumberError::Syntax => "invalid syntax",
                NumberError::Range => "value out of range",
            };
            format!("strconv.{function}: parsing {}: {reason}", quote(text))
        };
        Ok(match self.kind {
            Kind::Bool => {
                Value::Bool(parse_bool(text).ok_or_else(|| number("ParseBool", NumberError::Syntax))?)
            }
            Kind::Int => Value::Int(parse_signed(text).map_err(|e| number("ParseInt", e))?),
            Kind::Uint => Value::Uint(parse_unsigned(text).map_err(|e| number("ParseUint", e))?),
            Kind::Duration => Value::Duration(duration::parse(text)?),
            Kind::Text => Value::Text(text.to_owned()),
            Kind::List => Value::List(csv::read(text)?),
        })
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Uint(value) => write!(f, "{value}"),
            Value::Duration(nanos) => f.write_str(&duration::format(*nanos)),
            Value::Text(text) => f.write_str(text),
            Value::List(texts) => write!(f, "[{}]", csv::write(texts)),
        }
    }
}
