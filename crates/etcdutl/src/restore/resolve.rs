//! Whether two lists of URLs lead to the same addresses.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::{golang::io_text, golang::quote_bytes, logs::Log};

/// Compares two lists: as texts, and, where those differ, with the names in them resolved once (etcdutl tries for half a
/// minute).
///
/// # Errors
/// Why they are not the same, in etcd's words.
pub(super) fn same(one: &[String], other: &[String], log: Log) -> Result<(), String> {
    if one.len() != other.len() {
        return Err(format!("len({}) != len({})", quoted(one), quoted(other)));
    }
    let (one, other) = (sorted(one.to_vec()), sorted(other.to_vec()));
    if one == other {
        return Ok(());
    }
    let resolve = |urls: Vec<String>| -> Result<Vec<String>, String> {
        let resolved: Result<Vec<String>, String> = urls.iter().map(|url| resolved(url, log)).collect();
        resolved.map(sorted)
    };
    let (one, other) = (resolve(one)?, resolve(other)?);
    match one.iter().zip(&other).find(|(a, b)| a != b) {
        None => Ok(()),
        Some((a, b)) => {
            Err(format!("resolved urls: {} != {}", quote_bytes(a.as_bytes()), quote_bytes(b.as_bytes())))
        }
    }
}

fn sorted(mut urls: Vec<String>) -> Vec<String> {
    urls.sort_unstable();
    urls
}

fn quoted(urls: &[String]) -> String {
    let urls: Vec<String> = urls.iter().map(|url| quote_bytes(url.as_bytes())).collect();
    format!("[{}]", urls.join(" "))
}

/// A URL with its host resolved. Sockets and `localhost` stay as they are.
fn resolved(url: &str, log: Log) -> Result<String, String> {
    let Some((scheme, host)) = url.split_once("://") else { return Ok(url.to_owned()) };
    if scheme.starts_with("unix") || host.rsplit_once(':').is_some_and(|(name, _)| name == "localhost") {
        return Ok(url.to_owned());
    }
    match host.to_socket_addrs().map(first) {
        Ok(Some(address)) => {
            log.info(
                "resolved URL Host",
                &[("url", url.into()), ("host", host.into()), ("resolved-addr", address.to_string().into())],
            );
            Ok(format!("{scheme}://{address}"))
        }
        failed => {
            let why = match failed {
                Err(error) => io_text(&error),
                Ok(_) => "no such host".to_owned(),
            };
            log.warn(
                "failed to resolve URL Host",
                &[("url", url.into()), ("host", host.into()), ("error", why.as_str().into())],
            );
            Err(format!("failed to resolve {} ({why})", quote_bytes(url.as_bytes())))
        }
    }
}

/// Addresses of the older kind come first, as in Go.
fn first(addresses: impl Iterator<Item = SocketAddr>) -> Option<SocketAddr> {
    let addresses: Vec<SocketAddr> = addresses.collect();
    addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(one: &[&str], other: &[&str]) -> Result<(), String> {
        let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        same(&strings(one), &strings(other), Log::Silent)
    }

    #[test]
    fn lists_of_urls() {
        assert_eq!(compare(&["http://a:1", "http://b:2"], &["http://b:2", "http://a:1"]), Ok(()));
        assert_eq!(
            compare(&["http://127.0.0.1:2"], &["http://localhost:2"]).unwrap_err(),
            "resolved urls: \"http://127.0.0.1:2\" != \"http://localhost:2\""
        );
        assert_eq!(
            compare(&["http://a:1"], &["http://a:1", "http://b:2"]).unwrap_err(),
            "len([\"http://a:1\"]) != len([\"http://a:1\" \"http://b:2\"])"
        );
        assert_eq!(compare(&["unix://x"], &["unix://x"]), Ok(()));
    }
}
