//! Lists on one line: commas between texts, double quotes around those that hold commas.

/// Reads the first line of a list.
///
/// # Errors
/// Which quote is wrong, in the words of Go's `encoding/csv`.
pub(crate) fn read(text: &str) -> Result<Vec<String>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let Some(line) = text.lines().find(|line| !line.is_empty()) else { return Err("EOF".to_owned()) };
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let column = line.len() - rest.len() + 1;
        if let Some(quoted) = rest.strip_prefix('"') {
            let (field, after) = quoted_field(quoted).ok_or_else(|| {
                format!("record on line 1; parse error on line 1, column {}: extraneous or missing \" in quoted-field", line.len() + 1)
            })?;
            fields.push(field);
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None if after.is_empty() => return Ok(fields),
                None => {
                    let at = line.len() - after.len();
                    return Err(format!(
                        "parse error on line 1, column {at}: extraneous or missing \" in quoted-field"
                    ));
                }
            }
            continue;
        }
        let (field, more) = match rest.split_once(',') {
            Some((field, more)) => (field, Some(more)),
            None => (rest, None),
        };
        if let Some(at) = field.find('"') {
            return Err(format!(
                "parse error on line 1, column {}: bare \" in non-quoted-field",
                column + at
            ));
        }
        fields.push(field.to_owned());
        match more {
            Some(more) => rest = more,
            None => return Ok(fields),
        }
    }
}

/// What is between the quotes, and what follows them; two quotes are one.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, after)),
        }
    }
}

/// The list on one line.
pub(crate) fn write(texts: &[String]) -> String {
    let field = |text: &String| {
        if text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.clone()
        }
    };
    texts.iter().map(field).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("a,b"), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(read("a,,"), Ok(vec!["a".into(), String::new(), String::new()]));
        assert_eq!(read("\"a,\"\"b\",c\nd"), Ok(vec!["a,\"b".into(), "c".into()]));
        assert_eq!(read("a\"b").unwrap_err(), "parse error on line 1, column 2: bare \" in non-quoted-field");
        assert!(read("\"a").unwrap_err().contains("missing"));
        assert!(read("\"a\"b").unwrap_err().contains("column 3"));
        assert_eq!(read("\n\n"), Err("EOF".into()));
        assert_eq!(write(&["a".into(), "b,\"c".into()]), "a,\"b,\"\"c\"");
    }
}
