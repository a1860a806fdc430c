//! Holds names, kinds and labels of our metrics against contract/metrics.tsv.

use std::{collections::BTreeMap, fs, path::PathBuf};

/// Rows that a replacement leaves out, and why.
fn left_out(name: &str) -> Option<&'static str> {
    if name.starts_with("go_") {
        return Some("describes the Go runtime");
    }
    if name.starts_with("etcd_grpc_proxy_") {
        return Some("grpc-proxy only");
    }
    (name == "up").then_some("set by the scraper")
}

#[test]
fn every_metric_is_the_tables() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../contract/metrics.tsv");
    let text = fs::read_to_string(path).unwrap();
    let mut theirs = BTreeMap::new();
    for line in text.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        if left_out(columns[0]).is_none() && !columns[0].starts_with("process_") {
            theirs.insert(columns[0].to_string(), (columns[1].to_string(), columns[2].to_string()));
        }
    }
    let ours: BTreeMap<_, _> = telemetry::metrics()
        .described()
        .into_iter()
        // Ours, beside etcd's.
        .filter(|m| !m.name.starts_with("mainstay_"))
        .map(|m| (m.name.to_string(), (m.kind.to_string(), m.labels.join(","))))
        .collect();
    assert!(theirs.len() > 100);
    assert_eq!(ours, theirs);
}
