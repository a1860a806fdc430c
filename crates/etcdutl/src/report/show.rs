//! A report for the eye, and as JSON.

use serde_json::{Map, Value};

use super::{Report, Weight};

impl Weight {
    fn name(self) -> &'static str {
        match self {
            Weight::Note => "note",
            Weight::Surprise => "surprise",
            Weight::Blocks => "blocks",
        }
    }
}

impl Report {
    /// One object on a line.
    pub(crate) fn to_json(&self) -> String {
        let mut object = Map::new();
        for group in &self.groups {
            let facts = group.facts.iter().map(|(name, value)| (snake(name), value.clone()));
            object.insert(snake(group.name), Value::Object(facts.collect()));
        }
        let remarks = self
            .remarks
            .iter()
            .map(|remark| serde_json::json!({"weight": remark.weight.name(), "text": remark.text}));
        object.insert("remarks".to_owned(), remarks.collect());
        object.insert("starts".to_owned(), (!self.blocked()).into());
        format!("{}\n", Value::Object(object))
    }

    /// Groups of lines, and what is to be known at the end.
    pub(crate) fn to_table(&self) -> String {
        let mut text = String::new();
        let names = self.groups.iter().flat_map(|group| &group.facts).map(|(name, _)| name.len());
        let width = names.max().unwrap_or(0);
        for group in &self.groups {
            text.push_str(&format!("{}\n", group.name));
            for (name, value) in &group.facts {
                let mut lines = lines(value).into_iter();
                text.push_str(&format!("  {name:width$}  {}\n", lines.next().unwrap_or_default()));
                lines.for_each(|line| text.push_str(&format!("  {:width$}  {line}\n", "")));
            }
            text.push('\n');
        }
        if self.remarks.is_empty() {
            text.push_str("Nothing here should surprise.\n");
        }
        for remark in &self.remarks {
            text.push_str(&format!("{}: {}\n", remark.weight.name().to_uppercase(), remark.text));
        }
        text
    }
}

fn snake(name: &str) -> String {
    let words: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    words.join("_").to_lowercase()
}

/// What people look for first comes first; what is not so is not told.
const ORDER: [&str; 9] = ["prefix", "id", "name", "learner", "peers", "clients", "keys", "rows", "bytes"];

fn field(name: &str, value: &Value) -> String {
    match (name, value) {
        ("prefix" | "id", value) => inline(value),
        ("bytes", value) => value.as_u64().map(telemetry::log::size).unwrap_or_default(),
        ("learner", _) => name.to_owned(),
        (name, value) => format!("{name} {}", inline(value)),
    }
}

/// A value on lines: lists have one for each part.
fn lines(value: &Value) -> Vec<String> {
    match value {
        Value::Array(parts) if parts.is_empty() => vec!["none".to_owned()],
        Value::Array(parts) => parts.iter().map(inline).collect(),
        other => vec![inline(other)],
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name));
            let told = fields.iter().filter(|(_, value)| **value != Value::Bool(false));
            told.map(|(name, value)| field(name, value)).collect::<Vec<_>>().join(", ")
        }
        Value::Array(parts) => parts.iter().map(inline).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_on_lines() {
        let prefix = json!([{"bytes": 3859, "keys": 79, "prefix": "/registry/pods/", "rows": 81}]);
        assert_eq!(lines(&prefix), ["/registry/pods/, keys 79, rows 81, 3.9 kB"]);
        let member = json!({"clients": ["http://a:1", "http://b:1"], "id": "7", "learner": true, "name": "x", "peers": []});
        assert_eq!(inline(&member), "7, name x, learner, peers , clients http://a:1 http://b:1");
        assert_eq!(lines(&json!([])), ["none"]);
        assert_eq!(snake("leases, users, alarms"), "leases_users_alarms");
    }
}
