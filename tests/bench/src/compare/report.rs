//! The figures of all rounds, as a table, as JSON and as a plot.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    Plan, plot,
    works::{Figure, LEVELS, Work},
};

/// Whose figures they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Mainstay,
    Etcd,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Mainstay => "mainstay",
            Side::Etcd => "etcd",
        }
    }
}

/// Ratios to etcd that are to be reached: at least so much where more is better, at most where less is.
const BARS: &[(&str, &str, f64)] = &[
    ("put", "puts/s", 3.0),
    ("put", "CPU per put, µs", 0.25),
    ("latency", "put p99 at 50 % of etcd's rate, ms", 0.5),
    ("get", "gets/s", 3.0),
    ("list", "lists/s", 3.0),
    ("watch-100", "watched puts/s", 5.0),
    ("watch-100", "CPU per event, µs", 0.2),
    ("memory", "resident after loading, MiB", 1.0 / 3.0),
    ("memory", "resident after restart, MiB", 1.0 / 3.0),
    ("memory", "restart to healthy, s", 0.5),
];
/// What no put may take longer than while a member is looked after, in milliseconds.
const STALL_MAX: f64 = 100.0;
/// A generator that is busier than this is what was measured, in percent.
const OWN_SHARE_MAX: f64 = 95.0;

/// All rounds of one figure.
struct Row {
    work: &'static Work,
    name: String,
    /// By side.
    values: [Vec<f64>; 2],
}

impl Row {
    fn spread(&self, side: Side) -> Spread {
        let mut sorted = self.values[side as usize].clone();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        Spread { median: at(sorted.len() / 2), least: at(0), most: at(sorted.len().saturating_sub(1)) }
    }

    fn ratio(&self) -> f64 {
        self.spread(Side::Mainstay).median / self.spread(Side::Etcd).median
    }

    /// The bar, if there is one, and whether it is reached.
    fn bar(&self) -> Option<(String, bool)> {
        if self.work.name == "stalls" && self.name.starts_with("worst put beside a") {
            return Some((format!("≤ {STALL_MAX} ms"), self.spread(Side::Mainstay).median <= STALL_MAX));
        }
        let (.., bar) = BARS.iter().find(|(work, name, _)| *work == self.work.name && *name == self.name)?;
        let (sign, reached) = if self.name.ends_with("/s") {
            ("≥", self.ratio() >= *bar)
        } else {
            ("≤", self.ratio() <= *bar)
        };
        Some((format!("{sign} {bar:.2}"), reached))
    }
}

struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn text(&self) -> String {
        format!("{} ({}–{})", short(self.median), short(self.least), short(self.most))
    }

    fn json(&self) -> Value {
        json!({ "median": self.median, "min": self.least, "max": self.most })
    }
}

/// See the module.
pub(crate) struct Report {
    /// What was compared, in words.
    heading: String,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(plan: &Plan) -> Report {
        let tls = if plan.tls { "mutual TLS" } else { "no TLS" };
        let pinned =
            if plan.pinned { "members on one processor, the generator on another" } else { "not pinned" };
        let heading = format!("{} member(s) each, {tls}, {pinned}, {} rounds", plan.members, plan.rounds);
        Report { heading, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, work: &'static Work, side: Side, figures: Vec<Figure>) {
        for Figure { name, value } in figures {
            let known = |row: &&mut Row| row.work.name == work.name && row.name == name;
            match self.rows.iter_mut().find(known) {
                Some(row) => row.values[side as usize].push(value),
                None => {
                    let mut values = [Vec::new(), Vec::new()];
                    values[side as usize].push(value);
                    self.rows.push(Row { work, name, values });
                }
            }
        }
    }

    pub(crate) fn table(&self) -> String {
        let mut text = format!("{}; median (least–most)\n\n", self.heading);
        text += "| work | figure | mainstay | etcd | ratio | bar |\n|---|---|---|---|---|---|\n";
        for row in &self.rows {
            let bar = row.bar().map_or(String::new(), |(bar, reached)| {
                format!("{bar}: {}", if reached { "reached" } else { "missed" })
            });
            let (ours, theirs) = (row.spread(Side::Mainstay).text(), row.spread(Side::Etcd).text());
            let _ = writeln!(
                text,
                "| {} | {} | {ours} | {theirs} | {:.2} | {bar} |",
                row.work.what,
                row.name,
                row.ratio()
            );
        }
        for void in self.void() {
            let _ = write!(text, "\nVoid: {void}");
        }
        text
    }

    /// What says more about the generator than about a server.
    fn void(&self) -> Vec<String> {
        let mut void = Vec::new();
        for row in &self.rows {
            let (ours, theirs) = (row.spread(Side::Mainstay).median, row.spread(Side::Etcd).median);
            let most = ours.max(theirs);
            if row.name.starts_with("generator's processor") && most > OWN_SHARE_MAX {
                void.push(format!("{}, {}: {most:.0}", row.work.what, row.name));
            }
            let Some(one) = row.name.strip_prefix("generator's CPU per ") else { continue };
            let server = format!("CPU per {one}");
            let same = |other: &&Row| other.work.name == row.work.name && other.name == server;
            let Some(server) = self.rows.iter().find(same) else { continue };
            let least = server.spread(Side::Mainstay).median.min(server.spread(Side::Etcd).median);
            if most > least {
                let (what, name) = (row.work.what, &row.name);
                void.push(format!("{what}, {name}: {most:.1}, and the faster server needs {least:.1}"));
            }
        }
        void
    }

    pub(crate) fn json(&self) -> String {
        let rows: Vec<Value> = self.rows.iter().map(Report::row_json).collect();
        let all = json!({ "what": self.heading, "rows": rows, "void": self.void() });
        format!("{all:#}\n")
    }

    fn row_json(row: &Row) -> Value {
        let bar = row.bar();
        json!({
            "work": row.work.name,
            "figure": row.name,
            "mainstay": row.spread(Side::Mainstay).json(),
            "etcd": row.spread(Side::Etcd).json(),
            "ratio": row.ratio(),
            "bar": bar.as_ref().map(|(bar, _)| bar),
            "reached": bar.as_ref().map(|(_, reached)| reached),
        })
    }

    /// Latency against load; `None` if that was not measured.
    pub(crate) fn plot(&self) -> Option<String> {
        let mut lines = Vec::new();
        for side in [Side::Mainstay, Side::Etcd] {
            for percentile in ["p50", "p99", "p99.9"] {
                let point = |level: u32| {
                    let name = format!("put {percentile} at {level} % of etcd's rate, ms");
                    let row = self.rows.iter().find(|row| row.name == name)?;
                    Some((f64::from(level), row.spread(side).median))
                };
                let points: Option<Vec<(f64, f64)>> = LEVELS.into_iter().map(point).collect();
                lines.push(plot::Line { side, label: percentile, points: points? });
            }
        }
        Some(plot::svg(&lines))
    }
}

fn short(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::{super::works::WORKS, *};

    fn figures(pairs: &[(&str, f64)]) -> Vec<Figure> {
        pairs.iter().map(|(name, value)| Figure { name: (*name).into(), value: *value }).collect()
    }

    fn report(ours: &[&[(&str, f64)]], theirs: &[&[(&str, f64)]]) -> Report {
        let mut report = Report::new(&Plan::new("ours", "theirs"));
        for (ours, theirs) in ours.iter().zip(theirs) {
            report.add(&WORKS[0], Side::Etcd, figures(theirs));
            report.add(&WORKS[0], Side::Mainstay, figures(ours));
        }
        report
    }

    #[test]
    fn medians_are_compared_with_bars() {
        let ours: [&[_]; 3] = [&[("puts/s", 31.0)], &[("puts/s", 10.0)], &[("puts/s", 30.0)]];
        let theirs: [&[_]; 3] = [&[("puts/s", 10.0)], &[("puts/s", 9.0)], &[("puts/s", 11.0)]];
        let table = report(&ours, &theirs).table();
        assert!(
            table.contains("| 30.00 (10.00–31.00) | 10.00 (9.00–11.00) | 3.00 | ≥ 3.00: reached |"),
            "{table}"
        );
        let json = report(&theirs, &ours).json();
        assert!(json.contains("\"reached\": false"), "{json}");
    }

    #[test]
    fn a_generator_that_costs_more_than_a_server_is_told() {
        let costs = |server, own| [("CPU per put, µs", server), ("generator's CPU per put, µs", own)];
        let light = report(&[&costs(10.0, 9.0)], &[&costs(70.0, 9.5)]);
        assert!(light.void().is_empty());
        let heavy = report(&[&costs(10.0, 9.0)], &[&costs(70.0, 10.5)]);
        assert!(heavy.table().contains("Void: put, 256 B, generator's CPU per put, µs: 10.5"));
        let busy = [("generator's processor, puts, %", 99.0)];
        assert_eq!(report(&[&busy], &[&busy]).void().len(), 1);
    }

    #[test]
    fn bars_are_of_works_that_there_are() {
        for (work, ..) in BARS {
            assert!(WORKS.iter().any(|known| known.name == *work), "{work}");
        }
    }
}
