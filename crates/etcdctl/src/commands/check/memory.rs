//! The memory of a server, from its page of metrics.

use std::time::Duration;

use client::{Endpoint, Settings, fetch};

const SERIES: &str = "process_resident_memory_bytes";
const PATIENCE: Duration = Duration::from_secs(30);

/// What the server at an endpoint holds now.
///
/// # Errors
/// Why nobody knows.
pub(super) async fn resident(endpoint: &str, settings: &Settings) -> Result<f64, String> {
    let endpoint = Endpoint::parse(endpoint, false).map_err(|error| format!("fetch error: {error}"))?;
    let page = match tokio::time::timeout(PATIENCE, fetch(&endpoint, settings, "/metrics")).await {
        Ok(Ok(page)) => page,
        Ok(Err(error)) => return Err(format!("fetch error: {error}")),
        Err(_) => return Err("fetch error: no answer in time".to_owned()),
    };
    value(&page)
}

fn value(page: &str) -> Result<f64, String> {
    let value = page.lines().find_map(|line| line.strip_prefix(SERIES));
    let value = value.map(str::trim).filter(|value| !value.is_empty());
    let value = value.ok_or_else(|| format!("could not find: {SERIES}"))?;
    value.parse().map_err(|error| format!("parse error: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_is_found() {
        let page = "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes 2.5e+07\nx 1\n";
        assert_eq!(value(page), Ok(2.5e7));
        assert_eq!(value("x 1"), Err(format!("could not find: {SERIES}")));
        assert!(value("process_resident_memory_bytes much").is_err());
    }
}
