//! Every row of the contract has a test, or a reason why it has none.

use std::{collections::BTreeMap, fs};

use e2e::{
    suite::{Case, Gap, GapKind},
    table,
};

use crate::{
    gaps::{GAPS, KNOWN_GAPS},
    grpc,
};

const BEGIN: &str =
    "<!-- coverage: written by UPDATE_DOCS=1 cargo test -p e2e --test contract coverage -->\n";
const END: &str = "<!-- end of coverage -->\n";

/// All tests that prove rows.
fn cases() -> Vec<&'static Case> {
    let lists = [
        grpc::kv::CASES,
        grpc::watch::CASES,
        grpc::lease::CASES,
        grpc::lock::CASES,
        grpc::election::CASES,
        grpc::maintenance::CASES,
        grpc::auth::CASES,
        grpc::login::CASES,
        grpc::advisories::CASES,
        grpc::members::CASES,
        grpc::others::CASES,
        grpc::revoked::CASES,
        crate::errors::CASES,
        crate::cluster::errors::CASES,
        crate::cluster::metrics::CASES,
        crate::cluster::peers::CASES,
        crate::http::CASES,
        crate::gateway::CASES,
        crate::metrics::CASES,
        crate::flags::CASES,
        crate::startup::CASES,
        crate::discovery::CASES,
        crate::bad_input::CASES,
        crate::process::CASES,
    ];
    lists.into_iter().flatten().collect()
}

/// Rows of a table by the tests that prove them; tests that show a known gap prove nothing.
fn covered(table: &str) -> BTreeMap<String, Vec<&'static str>> {
    let mut covered = BTreeMap::<String, Vec<&'static str>>::new();
    let listed = match table {
        "metrics" => crate::metrics::listed_cases(),
        "flags" => crate::flags::listed_cases(),
        _ => Vec::new(),
    };
    for (row, test) in listed {
        if !KNOWN_GAPS.iter().any(|gap| gap.test == test) {
            covered.entry(row).or_default().push(test);
        }
    }
    for case in cases() {
        if case.table == table && !KNOWN_GAPS.iter().any(|gap| gap.test == case.name) {
            for row in case.rows {
                covered.entry((*row).to_owned()).or_default().push(case.name);
            }
        }
    }
    covered
}

fn gaps(table: &str) -> BTreeMap<&'static str, &'static Gap> {
    let mut rows = BTreeMap::new();
    for gap in GAPS.iter().filter(|gap| gap.table == table) {
        for row in gap.rows {
            assert!(rows.insert(*row, gap).is_none(), "{table}: {row} has two reasons");
        }
    }
    rows
}

struct Figures {
    rows: usize,
    covered: usize,
    by_kind: [usize; 3],
    /// Rows that only tests of known gaps are about.
    faulty: usize,
}

/// Rows of tests that show a known gap.
fn in_doubt(table: &str) -> Vec<&'static str> {
    let known = cases().into_iter().filter(|case| KNOWN_GAPS.iter().any(|gap| gap.test == case.name));
    known.filter(|case| case.table == table).flat_map(|case| case.rows).copied().collect()
}

fn figures(table: &str) -> Figures {
    let (covered, gaps) = (covered(table), gaps(table));
    let mut figures = Figures { rows: 0, covered: 0, by_kind: [0; 3], faulty: 0 };
    let in_doubt = in_doubt(table);
    let mut neither = Vec::new();
    let keys: Vec<String> = table::rows(table).into_iter().map(|row| row.key).collect();
    for key in &keys {
        figures.rows += 1;
        match (covered.get(key), gaps.get(key.as_str())) {
            (Some(_), None) => figures.covered += 1,
            (None, Some(gap)) => figures.by_kind[gap.kind as usize] += 1,
            (Some(tests), Some(gap)) => {
                panic!("{table}: {key} is proved by {tests:?}, and a gap: {}", gap.reason)
            }
            (None, None) if in_doubt.contains(&key.as_str()) => figures.faulty += 1,
            (None, None) => neither.push(key),
        }
    }
    assert!(neither.is_empty(), "{table}: neither a test nor a reason for {neither:#?}");
    for row in covered.keys().map(String::as_str).chain(gaps.keys().copied()) {
        assert!(keys.iter().any(|key| key == row), "{table}: no row {row}");
    }
    figures
}

/// The section of docs/status.md.
fn section() -> String {
    let mut text = String::from(
        "A row of `contract/` counts as covered when a named test of `tests/e2e` sends the request to a running server \
         and compares code, text or value.\n\n\
         | table | rows | out of reach | within reach | covered | later parts | faulty | untested |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for table in table::TABLES {
        let Figures { rows, covered, by_kind: [elsewhere, later, untested], faulty } = figures(table);
        let own = rows - elsewhere;
        let percent = 100.0 * covered as f64 / own as f64;
        let today = 100.0 * covered as f64 / (own - later) as f64;
        text += &format!(
            "| {table} | {rows} | {elsewhere} | {own} | {covered} ({percent:.0} %; {today:.0} % without later parts) | \
             {later} | {faulty} | {untested} |\n"
        );
    }
    for (kind, title) in [
        (GapKind::LaterPart, "Rows that wait for later parts"),
        (GapKind::Untested, "Rows without a test"),
        (
            GapKind::OutOfReach,
            "Rows out of reach: they do not apply, or cannot be brought about or seen from outside",
        ),
    ] {
        let gaps: Vec<_> = GAPS.iter().filter(|gap| gap.kind == kind && !gap.rows.is_empty()).collect();
        if gaps.is_empty() {
            continue;
        }
        text += &format!("\n{title}:\n\n");
        for gap in gaps {
            let rows: Vec<String> = gap.rows.iter().map(|row| format!("`{row}`")).collect();
            text += &format!("- {}, {}: {}.\n", gap.table, gap.reason, rows.join(", "));
        }
    }
    text += "\nKnown faults of the product, each with a test that fails until it is gone:";
    if KNOWN_GAPS.is_empty() {
        return text + " none.\n";
    }
    text += "\n\n";
    for gap in KNOWN_GAPS {
        text += &format!("- `{}`: {}.\n", gap.test.trim_start_matches("contract::"), gap.what);
    }
    text
}

#[test]
fn every_row_has_a_test_or_a_reason() {
    for table in table::TABLES {
        let Figures { rows, covered, by_kind, faulty } = figures(table);
        println!(
            "{table}: {rows} rows, {covered} covered, {faulty} faulty, elsewhere/later/untested {by_kind:?}"
        );
        for (row, tests) in self::covered(table) {
            println!("  {row}: {}", tests.join(", "));
        }
    }
    for gap in KNOWN_GAPS {
        assert!(cases().iter().any(|case| case.name == gap.test), "no test {}", gap.test);
    }
}

/// The part of docs/status.md between the two marks. `UPDATE_DOCS=1` writes it.
#[test]
fn the_status_page_is_current() {
    let path = e2e::root().join("docs/status.md");
    let status = fs::read_to_string(&path).expect("there is a status page");
    let (before, rest) = status.split_once(BEGIN).expect("docs/status.md has the mark where coverage begins");
    let (_, after) = rest.split_once(END).expect("docs/status.md has the mark where coverage ends");
    let current = format!("{before}{BEGIN}{}{END}{after}", section());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &current).expect("docs can be written");
    }
    let written = fs::read_to_string(&path).expect("there is a status page");
    assert!(written == current, "{} is not current: UPDATE_DOCS=1 writes it", path.display());
}
