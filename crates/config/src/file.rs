//! The configuration file, YAML or JSON. It replaces command line and environment altogether.

use serde_json::{Map, Value as Json};

use crate::{
    flag::{Flag, JsonError, Kind, Value},
    notice::Notice,
    table::{self, RENAMED},
    values::Given,
};

/// What aliases may stand for in all, in values and brackets: a few lines of them can stand for any amount.
const ALIASED_MAX: usize = 2000;

/// Why a file is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileError {
    #[error("error converting YAML to JSON: yaml: {0}")]
    Yaml(String),
    #[error(
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into {place} of type {wanted}"
    )]
    Type { found: String, place: String, wanted: &'static str },
    #[error("{0}")]
    Value(String),
    /// Told without a log line around it.
    #[error("unexpected error setting up {key}: {reason}")]
    Url { key: &'static str, reason: String },
}

/// Reads the bytes of a file. What the table does not know is warned about.
///
/// # Errors
/// See [`FileError`].
pub(crate) fn parse(bytes: &[u8], notices: &mut Vec<Notice>) -> Result<Given, FileError> {
    let mut given = Given::default();
    let root = match read_yaml(bytes)? {
        Json::Null => return Ok(given),
        Json::Object(root) => root,
        other => return Err(wrong_type(&other, "the configuration".into(), "map")),
    };
    for flag in table::settings() {
        let Some(key) = flag.key else { continue };
        if let Some(json) = lookup(&root, key)? {
            given.set_value(flag, value(flag, key, json)?);
        }
    }
    for old in RENAMED {
        if let Some(json) = lookup(&root, old.name)? {
            given.set_renamed(old, of_kind(old.kind(), old.name, json)?);
        }
    }
    warn_unknown(&root, "", notices);
    Ok(given)
}

/// As etcd reads YAML: of several documents the first one counts, of equal keys the last one, `010` is eight.
fn read_yaml(bytes: &[u8]) -> Result<Json, FileError> {
    let text = std::str::from_utf8(bytes).map_err(|_| FileError::Yaml("invalid UTF-8".into()))?;
    let mut options = serde_saphyr::Options::default();
    options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::LastWins;
    options.legacy_octal_numbers = true;
    options.with_snippet = false;
    options.alias_limits.max_total_replayed_events = ALIASED_MAX;
    let documents: Vec<Json> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|e| FileError::Yaml(e.to_string()))?;
    Ok(documents.into_iter().next().unwrap_or(Json::Null))
}

/// What stands under a path such as `a.b.c`; a null counts as absent.
fn lookup<'a>(root: &'a Map<String, Json>, path: &str) -> Result<Option<&'a Json>, FileError> {
    let mut map = root;
    let mut parts = path.split('.').peekable();
    let mut seen = String::new();
    while let Some(part) = parts.next() {
        seen = if seen.is_empty() { part.into() } else { format!("{seen}.{part}") };
        let Some(json) = child(map, part).filter(|json| !json.is_null()) else { return Ok(None) };
        if parts.peek().is_none() {
            return Ok(Some(json));
        }
        map = json.as_object().ok_or_else(|| wrong_type(json, format!("field {seen}"), "map"))?;
    }
    Ok(None)
}

/// Keys are compared as Go's JSON decoder does: exactly, else in any case of letters.
fn child<'a>(map: &'a Map<String, Json>, key: &str) -> Option<&'a Json> {
    map.get(key).or_else(|| map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, json)| json))
}

fn value(flag: &'static Flag, key: &'static str, json: &Json) -> Result<Value, FileError> {
    match (flag.kind, json) {
        (Kind::Urls | Kind::Hosts | Kind::Origins, Json::String(text)) if text.is_empty() => {
            Ok(flag.default_value())
        }
        (Kind::Urls, Json::String(_)) => of_kind(flag.kind, key, json).map_err(|e| match e {
            FileError::Value(reason) => FileError::Url { key, reason },
            other => other,
        }),
        _ => of_kind(flag.kind, key, json),
    }
}

fn of_kind(kind: Kind, key: &str, json: &Json) -> Result<Value, FileError> {
    kind.read_json(json).map_err(|error| match error {
        JsonError::Type { found, wanted } => FileError::Type { found, place: format!("field {key}"), wanted },
        JsonError::Value(reason) => FileError::Value(reason),
    })
}

fn wrong_type(json: &Json, place: String, wanted: &'static str) -> FileError {
    let found = match json {
        Json::Array(_) => "array",
        Json::Object(_) => "object",
        Json::String(_) => "string",
        Json::Number(_) => "number",
        Json::Bool(_) => "bool",
        Json::Null => "null",
    };
    FileError::Type { found: found.into(), place, wanted }
}

/// etcd takes no notice of unknown keys; they are mistakes more often than not.
fn warn_unknown(map: &Map<String, Json>, prefix: &str, notices: &mut Vec<Notice>) {
    for (key, json) in map {
        let path = format!("{prefix}{}", key.to_ascii_lowercase());
        let below = format!("{path}.");
        let mut known =
            table::settings().filter_map(|flag| flag.key).chain(RENAMED.iter().map(|old| old.name));
        if known.any(|key| key == path) {
            continue;
        }
        match json {
            Json::Object(children)
                if table::settings().filter_map(|f| f.key).any(|key| key.starts_with(&below)) =>
            {
                warn_unknown(children, &below, notices);
            }
            _ => notices.push(Notice::warn("unknown key in the configuration file").with("key", path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Values;

    fn parse(text: &str) -> Result<(Values, Vec<Notice>), FileError> {
        let mut notices = Vec::new();
        let given = super::parse(text.as_bytes(), &mut notices)?;
        Ok((given.settle(&mut notices).unwrap(), notices))
    }

    #[test]
    fn yaml_json_nested_blocks_and_any_case() {
        let yaml = "name: a\nSnapshot-Count: 7\ngrpc-keepalive-timeout: 5000000000\nlog-outputs: [stderr, stdout]\n\
                    client-transport-security:\n  cert-file: c\n  client-cert-auth: yes\n\
                    discovery-config:\n  token: t\n  client:\n    secure: {insecure-transport: false}\n";
        let json = r#"{"name": "a", "snapshot-count": 7, "grpc-keepalive-timeout": 5000000000,
            "log-outputs": ["stderr", "stdout"], "client-transport-security": {"cert-file": "c", "client-cert-auth": true},
            "discovery-config": {"token": "t", "client": {"secure": {"insecure-transport": false}}}}"#;
        for text in [yaml, json] {
            let (values, notices) = parse(text).unwrap();
            assert_eq!((values.text("name"), values.unsigned("snapshot-count")), ("a".into(), 7));
            assert_eq!(values.nanos("grpc-keepalive-timeout"), 5_000_000_000);
            assert_eq!(values.list("log-outputs"), ["stderr", "stdout"]);
            assert_eq!((values.text("cert-file"), values.bool("client-cert-auth")), ("c".into(), true));
            assert_eq!(
                (values.text("discovery-token"), values.bool("discovery-insecure-transport")),
                ("t".into(), false)
            );
            assert_eq!(notices, []);
        }
    }

    #[test]
    fn nothing_and_null_leave_the_defaults() {
        for text in [
            "",
            "# only a comment\n",
            "{}",
            "name: ~\nlogger:\nsnapshot-count: null\n",
            "cors: ''\nlisten-peer-urls: ''\n",
        ] {
            let (values, _) = parse(text).unwrap();
            assert_eq!(
                (values.text("name"), values.text("logger")),
                ("default".into(), "zap".into()),
                "{text}"
            );
            assert_eq!((values.list("cors"), values.urls("listen-peer-urls").len()), (vec!["*".into()], 1));
        }
    }

    #[test]
    fn unknown_keys_are_warned_about_and_the_last_duplicate_counts() {
        let (values, notices) =
            parse("bogus: 1\nname: a\nname: b\npeer-transport-security:\n  crl-file: x\n  cert-file: c\n")
                .unwrap();
        assert_eq!((values.text("name"), values.text("peer-cert-file")), ("b".into(), "c".into()));
        assert_eq!(
            parse("snapshot-count: 010\n---\nsnapshot-count: 9\n").unwrap().0.unsigned("snapshot-count"),
            8
        );
        let keys: Vec<_> = notices.iter().map(|notice| notice.fields[0].1.as_str().unwrap()).collect();
        assert_eq!(keys, ["bogus", "peer-transport-security.crl-file"]);
    }

    #[test]
    fn old_spellings() {
        let (values, notices) =
            parse("experimental-initial-corrupt-check: true\nexperimental-corrupt-check-time: 5\n").unwrap();
        assert_eq!(
            (values.gates().to_string(), values.nanos("corrupt-check-time")),
            ("InitialCorruptCheck=true".into(), 5)
        );
        assert_eq!(notices.len(), 2);
    }

    #[test]
    fn says_what_is_wrong() {
        let json = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ";
        for (text, error) in [
            ("snapshot-count: abc", format!("{json}string into field snapshot-count of type unsigned integer")),
            (
                "grpc-keepalive-timeout: 5s",
                format!("{json}string into field grpc-keepalive-timeout of type duration (integer nanoseconds)"),
            ),
            ("peer-transport-security: 5", format!("{json}number into field peer-transport-security of type map")),
            ("- 1", format!("{json}array into the configuration of type map")),
            ("feature-gates: Foo=true", "unrecognized feature gate: Foo".into()),
            (
                "listen-client-urls: ftp://x",
                "unexpected error setting up listen-client-urls: URL scheme must be http, https, unix, or unixs: ftp://x"
                    .into(),
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), error, "{text}");
        }
        // A few lines that stand for 59,049 values.
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..5 {
            let below = format!("*a{}", level - 1);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![below; 9].join(",")));
        }
        let refused = parse(&bomb).unwrap_err().to_string();
        assert!(refused.contains("alias"), "{refused}");
        assert!(
            parse("a: b: c").unwrap_err().to_string().starts_with("error converting YAML to JSON: yaml: ")
        );
    }
}
