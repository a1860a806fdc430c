//! Prometheus text format 0.0.4.

use std::fmt::Write;

use crate::metric::{Counter, Family, Gauge, Histogram};

/// One metric or family that can print itself.
pub(crate) trait Render {
    fn kind(&self) -> &'static str;
    fn samples(&self, name: &str, labels: &[&str], out: &mut String);
}

/// Prints help, type and samples; nothing at all when there are no samples, as upstream's registry does.
pub(crate) fn render(metric: &dyn Render, name: &str, help: &str, labels: &[&str], out: &mut String) {
    let mut samples = String::new();
    metric.samples(name, labels, &mut samples);
    if !samples.is_empty() {
        head(name, metric.kind(), help, out);
        out.push_str(&samples);
    }
}

pub(crate) fn head(name: &str, kind: &str, help: &str, out: &mut String) {
    push(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
}

pub(crate) fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("writing to a String cannot fail");
}

/// `{a="x",b="y"}`, with `extra` appended; empty without labels.
fn label_set(labels: &[&str], values: &[String], extra: Option<(&str, &str)>) -> String {
    let pairs = labels.iter().copied().zip(values.iter().map(String::as_str)).chain(extra);
    let text: Vec<String> = pairs.map(|(label, value)| format!("{label}=\"{}\"", escape(value))).collect();
    if text.is_empty() { String::new() } else { format!("{{{}}}", text.join(",")) }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn histogram_samples(h: &Histogram, name: &str, labels: &[&str], values: &[String], out: &mut String) {
    let (rows, total) = h.cumulative();
    for (bound, count) in rows {
        let set = label_set(labels, values, Some(("le", &number(bound))));
        push(out, format_args!("{name}_bucket{set} {count}\n"));
    }
    let set = label_set(labels, values, Some(("le", "+Inf")));
    push(out, format_args!("{name}_bucket{set} {total}\n"));
    let set = label_set(labels, values, None);
    push(out, format_args!("{name}_sum{set} {}\n{name}_count{set} {total}\n", number(h.sum())));
}

/// Shortest form, with an exponent for what Go prints so (from 1e21 on, or below 1e-4).
pub(crate) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').expect("the form has an exponent");
        let (sign, digits) = exponent.strip_prefix('-').map_or(("+", exponent), |digits| ("-", digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    // Go switches to an exponent for large integers too: %g with the shortest precision does so from 1e21 on.
    format!("{value}")
}

impl Render for Counter {
    fn kind(&self) -> &'static str {
        "counter"
    }

    fn samples(&self, name: &str, _labels: &[&str], out: &mut String) {
        push(out, format_args!("{name} {}\n", self.value()));
    }
}

impl Render for Gauge {
    fn kind(&self) -> &'static str {
        "gauge"
    }

    fn samples(&self, name: &str, _labels: &[&str], out: &mut String) {
        push(out, format_args!("{name} {}\n", self.value()));
    }
}

impl Render for Histogram {
    fn kind(&self) -> &'static str {
        "histogram"
    }

    fn samples(&self, name: &str, _labels: &[&str], out: &mut String) {
        histogram_samples(self, name, &[], &[], out);
    }
}

impl Render for Family<Counter> {
    fn kind(&self) -> &'static str {
        "counter"
    }

    fn samples(&self, name: &str, labels: &[&str], out: &mut String) {
        self.each(|values, counter| {
            push(out, format_args!("{name}{} {}\n", label_set(labels, values, None), counter.value()));
        });
    }
}

impl Render for Family<Gauge> {
    fn kind(&self) -> &'static str {
        "gauge"
    }

    fn samples(&self, name: &str, labels: &[&str], out: &mut String) {
        self.each(|values, gauge| {
            push(out, format_args!("{name}{} {}\n", label_set(labels, values, None), gauge.value()));
        });
    }
}

impl Render for Family<Histogram> {
    fn kind(&self) -> &'static str {
        "histogram"
    }

    fn samples(&self, name: &str, labels: &[&str], out: &mut String) {
        self.each(|values, histogram| histogram_samples(histogram, name, labels, values, out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_prometheus_reads() {
        let family: Family<Counter> = Family::new(|_| Counter::default(), &[]);
        let mut out = String::new();
        render(&family, "a_total", "Says a.", &["x"], &mut out);
        assert_eq!(out, "", "a family without children prints nothing");
        family.with(&["q\"\n\\"]).add(3);
        render(&family, "a_total", "Says a.", &["x"], &mut out);
        assert_eq!(out, "# HELP a_total Says a.\n# TYPE a_total counter\na_total{x=\"q\\\"\\n\\\\\"} 3\n");

        let histogram = Histogram::new(&[0.5, 1.0]);
        histogram.observe(0.75);
        let mut out = String::new();
        render(&histogram, "h", "H.", &[], &mut out);
        let body =
            "h_bucket{le=\"0.5\"} 0\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 0.75\nh_count 1\n";
        assert_eq!(out, format!("# HELP h H.\n# TYPE h histogram\n{body}"));
    }

    #[test]
    fn numbers_look_like_gos() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e21, "1e+21"),
            (8388608.0, "8388608"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
