//! YAML of JSON values: objects and lists by indentation, texts in JSON's quotes where plain ones could be misread.

use serde_json::Value;

/// A document, without a marker at its beginning.
pub(crate) fn write(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

fn block(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                text.push_str(&format!("{indent}{}:", scalar(&Value::String(name.clone()))));
                below(text, value, depth);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                if is_flat(item) {
                    text.push_str(&format!("{indent}- {}\n", scalar(item)));
                } else {
                    let mut inner = String::new();
                    block(&mut inner, item, depth + 1);
                    text.push_str(&format!("{indent}- {}", inner.trim_start()));
                }
            }
        }
        flat => text.push_str(&format!("{indent}{}\n", scalar(flat))),
    }
}

/// What stands behind a name.
fn below(text: &mut String, value: &Value, depth: usize) {
    if is_flat(value) {
        text.push_str(&format!(" {}\n", scalar(value)));
    } else {
        text.push('\n');
        block(text, value, depth + 1);
    }
}

fn is_flat(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        // JSON's quotes are YAML's, too.
        other => other.to_string(),
    }
}

/// Whether a text can only be read as itself.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let letter = |c: char| c.is_ascii_alphabetic();
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    text.starts_with(letter)
        && text.chars().all(inner)
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents() {
        let value =
            json!([{ "key": "a/b", "value": "1: x", "tags": ["no", "fine"], "n": 3, "none": {} }, "plain"]);
        let expected = "- key: a/b\n  \"n\": 3\n  none: {}\n  tags:\n    - \"no\"\n    - fine\n  value: \"1: x\"\n- plain\n";
        assert_eq!(write(&value), expected);
        assert_eq!(write(&json!([])), "[]\n");
        assert_eq!(write(&json!("12")), "\"12\"\n");
    }
}
