//! What libFuzzer says, as a row of a table.

use std::{fs, path::Path};

use anyhow::{Context, Result};

const BEGIN: &str = "<!-- fuzz: written by cargo xtask fuzz --write -->";
const END: &str = "<!-- end of fuzz -->";

/// What came of one target.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) executions: u64,
    /// Edges of code that were reached.
    edges: u64,
    /// Inputs that reach something of their own.
    corpus: u64,
    /// What went wrong, in a line.
    pub(crate) finding: Option<String>,
}

impl Figures {
    /// Reads the log of a run.
    pub(crate) fn of(log: &str, success: bool) -> Figures {
        let mut figures = Figures::default();
        for line in log.lines() {
            if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
                figures.executions = count.trim().parse().unwrap_or(0);
            }
            if let Some(edges) = after(line, "cov: ") {
                figures.edges = edges;
                figures.corpus = after(line, "corp: ").unwrap_or(figures.corpus);
            }
        }
        if !success {
            let panic = log.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
            let summary = log.lines().find(|line| line.starts_with("SUMMARY"));
            figures.finding = Some(panic.or(summary).unwrap_or("it ended").to_owned());
        }
        figures
    }
}

/// The number that stands behind `word`.
fn after(line: &str, word: &str) -> Option<u64> {
    let rest = &line[line.find(word)? + word.len()..];
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

pub(crate) fn row(name: &str, what: &str, figures: &Figures) -> String {
    let finding = figures.finding.as_deref().unwrap_or("none");
    let Figures { executions, edges, corpus, .. } = figures;
    format!("| `{name}` | {what} | {executions} | {edges} | {corpus} | {finding} |")
}

/// Puts the table in its place in the page. Unless `whole`, rows of other targets stay.
pub(crate) fn write(page: &Path, seconds: u32, rows: &[String], whole: bool) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let (before, rest) = text.split_once(BEGIN).context("the page has no place for the table")?;
    let (old, after) = rest.split_once(END).context("the place for the table has no end")?;
    let rows = if whole { rows.to_vec() } else { merged(old, rows) };
    let table = format!(
        "{BEGIN}\n{seconds} seconds for each target.\n\n| target | decodes | executions | edges | corpus | findings open |\n|---|---|---|---|---|---|\n{}\n{END}",
        rows.join("\n")
    );
    fs::write(page, format!("{before}{table}{after}"))?;
    Ok(())
}

/// The rows of a table, with new ones in the places of those of the same targets, and behind them if there are none.
fn merged(old: &str, new: &[String]) -> Vec<String> {
    let target = |row: &str| row.split('`').nth(1).map(str::to_owned);
    let mut rows: Vec<String> =
        old.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    for row in new {
        match rows.iter_mut().find(|known| target(known) == target(row)) {
            Some(known) => known.clone_from(row),
            None => rows.push(row.clone()),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_targets_stay() {
        let old = "60 seconds\n| target | what |\n|---|---|\n| `a` | 1 |\n| `b` | 1 |\n";
        let new = ["| `b` | 2 |".to_owned(), "| `c` | 2 |".to_owned()];
        assert_eq!(merged(old, &new), ["| `a` | 1 |", "| `b` | 2 |", "| `c` | 2 |"]);
    }

    #[test]
    fn logs_are_read() {
        let log = "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb\n\
                   #99\tDONE   cov: 345 ft: 400 corp: 17/3Kb lim: 4 exec/s: 9\n\
                   stat::number_of_executed_units: 12345\n";
        let figures = Figures { executions: 12345, edges: 345, corpus: 17, finding: None };
        assert_eq!(Figures::of(log, true), figures);
        let log = "thread 'main' panicked at a.rs:1:2:\nindex out of bounds\n==1== ERROR\nSUMMARY: libFuzzer: deadly signal\n";
        assert_eq!(Figures::of(log, false).finding.as_deref(), Some("index out of bounds"));
        assert_eq!(Figures::of("SUMMARY: timeout\n", false).finding.as_deref(), Some("SUMMARY: timeout"));
    }
}
