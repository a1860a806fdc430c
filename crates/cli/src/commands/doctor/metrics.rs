//! A page of metrics, as Prometheus reads it.

/// The samples of a page.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// Name, labels as they stand between the braces, value.
    samples: Vec<(String, String, f64)>,
}

impl Metrics {
    /// Reads a page; lines that are no samples are left out.
    pub(super) fn read(text: &str) -> Metrics {
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some((name.to_owned(), labels.trim_end_matches('}').to_owned(), value.parse().ok()?))
        };
        Metrics { samples: text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect() }
    }

    /// The value of a series without labels.
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        self.samples.iter().find(|(other, ..)| other == name).map(|(_, _, value)| *value)
    }

    /// The lower bound of the bucket in which a share of the observations of a histogram lies; `None` without any.
    pub(super) fn quantile(&self, name: &str, share: f64) -> Option<f64> {
        let wanted = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = self
            .samples
            .iter()
            .filter(|(other, ..)| *other == wanted)
            .filter_map(|(_, labels, count)| {
                let (_, behind) = labels.split_once("le=\"")?;
                let bound = behind.split('"').next()?;
                Some((if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? }, *count))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = buckets.last()?.1;
        let at = buckets.iter().position(|(_, count)| *count >= total * share)?;
        (total > 0.0).then(|| at.checked_sub(1).map_or(0.0, |below| buckets[below].0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let page = Metrics::read(
            "# HELP x y\nx 3\nh_bucket{le=\"0.001\"} 5\nh_bucket{le=\"0.01\"} 98\nh_bucket{le=\"+Inf\"} 100\nh_sum 1\nnonsense\n",
        );
        assert_eq!(page.value("x"), Some(3.0));
        assert_eq!(page.value("y"), None);
        assert_eq!(page.quantile("h", 0.5), Some(0.001));
        assert_eq!(page.quantile("h", 0.99), Some(0.01));
        assert_eq!(page.quantile("g", 0.99), None);
    }
}
