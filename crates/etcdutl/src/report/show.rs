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
        let remarks = self.remarks.iter().map(|remark| {
            serde_json::json!({"weight": remark.weight.name(), "text": remark.text})
        });
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
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    words.join("_").to_lowercase()
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
            let fields = fields.iter().map(|(name, value)| format!("{name} {}", inline(value)));
            fields.collect::<Vec<_>>().join(", ")
        }
        Value::Array(parts) => parts.iter().map(inline).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}
