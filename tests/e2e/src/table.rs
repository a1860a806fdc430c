//! The tables of `contract/`.

use std::{collections::BTreeMap, fs};

/// One row: cell by column.
#[derive(Clone, Debug)]
pub struct Row {
    /// What a test names the row by; unique in its table.
    pub key: String,
    cells: BTreeMap<String, String>,
}

impl Row {
    /// The cell in a column.
    ///
    /// # Panics
    /// When there is no such column.
    pub fn cell(&self, column: &str) -> &str {
        self.cells.get(column).unwrap_or_else(|| panic!("no column {column}"))
    }
}

/// The tables whose rows need a test each.
pub const TABLES: [&str; 5] = ["grpc", "http", "errors", "metrics", "flags"];

/// All rows of `contract/NAME.tsv`.
///
/// # Panics
/// When the file is not there or not a table.
pub fn rows(name: &str) -> Vec<Row> {
    let path = crate::root().join("contract").join(name).with_extension("tsv");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().expect("a table has a head").split('\t').collect();
    let rows: Vec<Row> = lines
        .map(|line| {
            let values: Vec<&str> = line.split('\t').collect();
            assert_eq!(values.len(), columns.len(), "{name}: {line}");
            let cells = columns.iter().zip(values).map(|(c, v)| ((*c).to_owned(), v.to_owned())).collect();
            let mut row = Row { key: String::new(), cells };
            row.key = key(name, &row);
            row
        })
        .collect();
    let keys: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys.len(), rows.len(), "{name}: a key stands for two rows");
    rows
}

/// The row with that key.
///
/// # Panics
/// When there is none.
pub fn row(table: &str, key: &str) -> Row {
    rows(table)
        .into_iter()
        .find(|row| row.key == key)
        .unwrap_or_else(|| panic!("{table}.tsv has no row {key}"))
}

fn key(table: &str, row: &Row) -> String {
    match table {
        "grpc" => format!("{}/{}", row.cell("service"), row.cell("method")),
        "http" => format!("{} {} ({})", row.cell("method"), row.cell("path"), row.cell("listener")),
        "errors" => row.cell("symbol").to_owned(),
        "metrics" => row.cell("name").to_owned(),
        "flags" => match row.cell("command") {
            "environment" if row.cell("flag") == "(any)" => "environment ETCD_*".to_owned(),
            "environment" => format!("environment {}", row.cell("env")),
            "feature-gate" => format!("gate {}", row.cell("flag")),
            command => format!("{command} --{}", row.cell("flag")),
        },
        other => panic!("no key for the rows of {other}"),
    }
}
