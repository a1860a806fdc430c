//! Prometheus' text format, read strictly.

use std::collections::BTreeMap;

/// One `# TYPE` with its samples.
#[derive(Clone, Debug, Default)]
pub struct Family {
    /// `counter`, `gauge`, `histogram`, `summary`.
    pub kind: String,
    /// The `# HELP` text.
    pub help: String,
    /// In their order.
    pub samples: Vec<Sample>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Sample {
    /// With the suffix that a histogram has.
    pub name: String,
    /// Label names and values.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// A page of metrics by name.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// By name, without suffixes.
    pub families: BTreeMap<String, Family>,
}

impl Page {
    /// Reads a page.
    ///
    /// # Panics
    /// With the line that is wrong.
    pub fn parse(text: &str) -> Page {
        let mut page = Page::default();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                let family = Family { help: help.into(), ..Family::default() };
                assert!(page.families.insert(name.into(), family).is_none(), "{name} is there twice");
                current = name.into();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert_eq!(name, current, "TYPE follows HELP of the same name");
                page.families.get_mut(name).expect("inserted with its HELP").kind = kind.into();
            } else {
                let sample = sample(line).unwrap_or_else(|| panic!("not a sample: {line}"));
                let suffixes = ["", "_bucket", "_sum", "_count"];
                let belongs = suffixes.iter().any(|suffix| sample.name == format!("{current}{suffix}"));
                assert!(belongs, "{} stands under {current}", sample.name);
                page.families.get_mut(&current).expect("a sample follows its HELP").samples.push(sample);
            }
        }
        page
    }

    /// The value of the series with exactly these labels.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let family = self.families.get(name).or_else(|| self.families.get(base?))?;
        let wanted: BTreeMap<String, String> =
            labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        family.samples.iter().find(|s| s.name == name && s.labels == wanted).map(|s| s.value)
    }

    /// As [`Page::find`].
    ///
    /// # Panics
    /// When there is no such series.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no series {name}{labels:?}"))
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        number => number.parse().ok()?,
    };
    let (name, labels) = match series.split_once('{') {
        None => (series, BTreeMap::new()),
        Some((name, rest)) => (name, labels(rest.strip_suffix('}')?)?),
    };
    Some(Sample { name: name.into(), labels, value })
}

fn labels(mut rest: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    c => value.push(c),
                },
                (_, c) => value.push(c),
            }
        };
        labels.insert(name.to_owned(), value);
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page() {
        let text = "# HELP a_b Some help.\n# TYPE a_b counter\na_b{x=\"1\",y=\"q\\\"\\n\\\\\"} 2\n\
                    # HELP h H\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 1.5\nh_count 3\n";
        let page = Page::parse(text);
        assert_eq!(page.value("a_b", &[("x", "1"), ("y", "q\"\n\\")]), 2.0);
        assert_eq!(page.value("h_bucket", &[("le", "+Inf")]), 3.0);
        assert_eq!(page.value("h_sum", &[]), 1.5);
        assert_eq!((page.families["h"].kind.as_str(), page.find("h", &[])), ("histogram", None));
    }
}
