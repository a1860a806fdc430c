//! What a flag is, and what values it takes.

use serde_json::Value as Json;

use crate::{
    duration,
    gates::Gates,
    golang::{self, NumberError, quote},
    url::{self, Url},
};

/// A setting of the server.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Name on the command line, without dashes.
    pub name: &'static str,
    /// Path in the configuration file; `None` when it cannot stand there.
    pub key: Option<&'static str>,
    /// What values it takes.
    pub kind: Kind,
    /// The value when it is given nowhere, as text.
    pub default: &'static str,
    /// Whether it does something yet.
    pub effect: Effect,
    /// What it does, for the help text.
    pub help: &'static str,
}

/// What values a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`; may stand without a value.
    Bool,
    /// A whole number from zero to `u64::MAX`.
    Unsigned,
    /// A whole number from zero to `u32::MAX`.
    Unsigned32,
    /// A whole number of 64 bits with a sign.
    Signed,
    /// Anything.
    Text,
    /// A duration as Go writes it, `1h30m`; whole nanoseconds in the configuration file.
    Duration,
    /// Texts separated by commas; a list in the configuration file.
    List,
    /// Likewise; sorted and each once when separated by commas.
    Set,
    /// Likewise, but separated by commas in the configuration file too.
    Hosts,
    /// URLs separated by commas. An empty text leaves the default as it is.
    Urls,
    /// `*`, or URLs separated by commas.
    Origins,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Some of these, separated by commas.
    Choices(&'static [&'static str]),
    /// `Gate=bool` separated by commas; each use of the flag adds to the one before.
    Gates,
}

/// Whether a flag does something yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// As documented.
    Full,
    /// Accepted with a warning when it is set to anything but its default.
    NotYet,
}

/// A value of a flag. Negative durations are kept as they are: some mean "off".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Text(String),
    Nanos(i64),
    List(Vec<String>),
    Urls(Vec<Url>),
    Gates(Gates),
}

impl Flag {
    /// A flag with an effect that stands under its own name in the configuration file.
    pub(crate) const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        help: &'static str,
    ) -> Flag {
        Flag { name, key: Some(name), kind, default, effect: Effect::Full, help }
    }

    /// It stands under this path in the configuration file.
    pub(crate) const fn at(self, key: &'static str) -> Flag {
        Flag { key: Some(key), ..self }
    }

    /// It cannot stand in the configuration file.
    pub(crate) const fn nowhere(self) -> Flag {
        Flag { key: None, ..self }
    }

    /// It has no effect yet.
    pub(crate) const fn not_yet(self) -> Flag {
        Flag { effect: Effect::NotYet, ..self }
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        variable(self.name)
    }

    /// Reads a value from the command line or the environment.
    ///
    /// # Errors
    /// The reason, as it follows on `invalid value "V" for flag -NAME: `.
    pub(crate) fn parse(&self, text: &str) -> Result<Value, String> {
        match self.kind {
            Kind::Urls if text.is_empty() && !self.default.is_empty() => self.parse(self.default),
            kind => kind.parse(text),
        }
    }

    /// The value when it is given nowhere.
    pub(crate) fn default_value(&self) -> Value {
        match self.kind {
            Kind::List | Kind::Set if self.default.is_empty() => Value::List(Vec::new()),
            kind => kind.parse(self.default).expect("defaults are values of their kind: tested"),
        }
    }
}

/// The environment variable of a flag's name.
pub(crate) fn variable(name: &str) -> String {
    format!("ETCD_{}", name.to_uppercase().replace('-', "_"))
}

impl Kind {
    fn parse(self, text: &str) -> Result<Value, String> {
        match self {
            Kind::Bool => golang::parse_bool(text).map(Value::Bool).ok_or_else(|| "parse error".into()),
            Kind::Unsigned => golang::parse_unsigned(text).map(Value::Unsigned).map_err(flag_error),
            Kind::Unsigned32 => parse_unsigned32(text).map(Value::Unsigned),
            Kind::Signed => golang::parse_signed(text).map(Value::Signed).map_err(flag_error),
            Kind::Text => Ok(Value::Text(text.into())),
            Kind::Duration => duration::parse(text).map(Value::Nanos).map_err(|_| "parse error".into()),
            Kind::List => Ok(Value::List(split(text))),
            Kind::Set | Kind::Hosts => {
                let mut texts = split(text);
                texts.sort();
                texts.dedup();
                Ok(Value::List(texts))
            }
            Kind::Urls if text.is_empty() => Ok(Value::Urls(Vec::new())),
            Kind::Urls => url::parse_list(text).map(Value::Urls).map_err(|e| e.to_string()),
            Kind::Origins => parse_origins(text).map(Value::List),
            Kind::Choice(choices) if choices.contains(&text) => Ok(Value::Text(text.into())),
            Kind::Choice(_) => Err("invalid value".into()),
            Kind::Choices(choices) => match text.split(',').find(|part| !choices.contains(part)) {
                Some(part) => Err(format!("invalid value {}", quote(part))),
                None => Ok(Value::Text(text.into())),
            },
            Kind::Gates => Gates::parse(text).map(Value::Gates),
        }
    }

    /// Reads a value from the configuration file, which is typed.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn read_json(self, json: &Json) -> Result<Value, JsonError> {
        let wrong = || JsonError::Type { found: describe(json, self.is_number()), wanted: self.json_type() };
        match self {
            Kind::Bool => json.as_bool().map(Value::Bool).ok_or_else(wrong),
            Kind::Unsigned => whole_u64(json).map(Value::Unsigned).ok_or_else(wrong),
            Kind::Unsigned32 => {
                whole_u64(json).filter(|n| u32::try_from(*n).is_ok()).map(Value::Unsigned).ok_or_else(wrong)
            }
            Kind::Signed => whole_i64(json).map(Value::Signed).ok_or_else(wrong),
            Kind::Duration => whole_i64(json).map(Value::Nanos).ok_or_else(wrong),
            Kind::List | Kind::Set => {
                let texts = json.as_array().ok_or_else(wrong)?.iter();
                texts
                    .map(|text| text.as_str().map(String::from))
                    .collect::<Option<_>>()
                    .map(Value::List)
                    .ok_or_else(wrong)
            }
            Kind::Text | Kind::Choice(_) | Kind::Choices(_) => {
                json.as_str().map(|text| Value::Text(text.into())).ok_or_else(wrong)
            }
            Kind::Hosts | Kind::Urls | Kind::Origins | Kind::Gates => {
                self.parse(json.as_str().ok_or_else(wrong)?).map_err(JsonError::Value)
            }
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Kind::Unsigned | Kind::Unsigned32 | Kind::Signed | Kind::Duration)
    }

    /// What the configuration file must have there.
    fn json_type(self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::Unsigned => "unsigned integer",
            Kind::Unsigned32 => "unsigned integer of 32 bits",
            Kind::Signed => "integer",
            Kind::Duration => "duration (integer nanoseconds)",
            Kind::List | Kind::Set => "list of strings",
            Kind::Text | Kind::Choice(_) | Kind::Choices(_) => "string",
            Kind::Hosts | Kind::Urls | Kind::Origins | Kind::Gates => "string (separated by commas)",
        }
    }
}

/// Why a value of the configuration file is none for its flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// Another type of value.
    Type { found: String, wanted: &'static str },
    /// A text that is no such value.
    Value(String),
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(String::from).collect()
}

/// Numbers in flags of Go's own types.
fn flag_error(error: NumberError) -> String {
    match error {
        NumberError::Syntax => "parse error".into(),
        NumberError::Range => "value out of range".into(),
    }
}

/// Numbers in flags of etcd's own type, which passes on what `strconv` says.
fn parse_unsigned32(text: &str) -> Result<u64, String> {
    let reason = match golang::parse_unsigned(text) {
        Ok(number) if u32::try_from(number).is_ok() => return Ok(number),
        Ok(_) | Err(NumberError::Range) => "value out of range",
        Err(NumberError::Syntax) => "invalid syntax",
    };
    Err(format!("strconv.ParseUint: parsing {}: {reason}", quote(text)))
}

fn parse_origins(text: &str) -> Result<Vec<String>, String> {
    if text == "*" {
        return Ok(vec!["*".into()]);
    }
    let urls = url::parse_list(text).map_err(|e| e.to_string())?;
    Ok(urls.iter().map(Url::to_string).collect())
}

fn whole_u64(json: &Json) -> Option<u64> {
    json.as_u64().or_else(|| whole_f64(json).filter(|n| *n >= 0.0).map(|n| n as u64))
}

fn whole_i64(json: &Json) -> Option<i64> {
    json.as_i64().or_else(|| whole_f64(json).map(|n| n as i64))
}

/// `1e3` is a whole number too, as long as no digit of it is lost.
fn whole_f64(json: &Json) -> Option<f64> {
    const EXACT_MAX: f64 = (1u64 << 53) as f64;
    json.as_number().filter(|n| n.is_f64())?.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= EXACT_MAX)
}

/// As Go's JSON decoder names what it found; it shows a number where it wanted another number.
fn describe(json: &Json, wants_number: bool) -> String {
    match json {
        Json::Null => "null".into(),
        Json::Bool(_) => "bool".into(),
        Json::Number(number) if wants_number => format!("number {number}"),
        Json::Number(_) => "number".into(),
        Json::String(_) => "string".into(),
        Json::Array(_) => "array".into(),
        Json::Object(_) => "object".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flag(kind: Kind) -> Flag {
        Flag::new("x", kind, "", "")
    }

    #[test]
    fn texts_of_wrong_values() {
        for (kind, text, reason) in [
            (Kind::Bool, "x", "parse error"),
            (Kind::Unsigned, "abc", "parse error"),
            (Kind::Unsigned, "-3", "parse error"),
            (Kind::Unsigned, "99999999999999999999999", "value out of range"),
            (
                Kind::Unsigned32,
                "9999999999",
                r#"strconv.ParseUint: parsing "9999999999": value out of range"#,
            ),
            (Kind::Unsigned32, "x", r#"strconv.ParseUint: parsing "x": invalid syntax"#),
            (Kind::Duration, "5", "parse error"),
            (Kind::Origins, "", "URL scheme must be http, https, unix, or unixs: "),
            (Kind::Choice(&["a"]), "b", "invalid value"),
            (Kind::Choices(&["a", "b"]), "a,c", r#"invalid value "c""#),
            (Kind::Gates, "Foo=true", "unrecognized feature gate: Foo"),
        ] {
            assert_eq!(flag(kind).parse(text), Err(reason.to_string()), "{text}");
        }
    }

    #[test]
    fn empty_urls_leave_the_default() {
        let flag = Flag::new("x", Kind::Urls, "http://a:1", "");
        assert_eq!(flag.parse(""), Ok(flag.default_value()));
        assert_eq!(self::flag(Kind::Urls).parse(""), Ok(Value::Urls(Vec::new())));
    }

    #[test]
    fn sets_are_sorted_and_lists_are_not() {
        let list = |texts: &[&str]| Ok(Value::List(texts.iter().map(|t| (*t).to_string()).collect()));
        assert_eq!(flag(Kind::Set).parse("b,a,b"), list(&["a", "b"]));
        assert_eq!(flag(Kind::List).parse("b,a,b"), list(&["b", "a", "b"]));
        assert_eq!(flag(Kind::List).parse(""), list(&[""]));
        assert_eq!(flag(Kind::List).default_value(), Value::List(Vec::new()));
    }

    #[test]
    fn the_file_is_typed() {
        assert_eq!(Kind::Duration.read_json(&json!(5)), Ok(Value::Nanos(5)));
        assert_eq!(Kind::Unsigned.read_json(&json!(1e3)), Ok(Value::Unsigned(1000)));
        for (kind, json, found) in [
            (Kind::Duration, json!("5s"), "string"),
            (Kind::Unsigned, json!(-1), "number -1"),
            (Kind::Unsigned, json!(1.5), "number 1.5"),
            (Kind::Unsigned, json!("12"), "string"),
            (Kind::Unsigned32, json!(1u64 << 32), "number 4294967296"),
            (Kind::Bool, json!(1), "number"),
            (Kind::Text, json!(5), "number"),
            (Kind::List, json!("a"), "string"),
            (Kind::List, json!([1]), "array"),
            (Kind::Gates, json!({"Foo": true}), "object"),
        ] {
            let wanted = kind.json_type();
            assert_eq!(kind.read_json(&json), Err(JsonError::Type { found: found.into(), wanted }), "{json}");
        }
    }
}
