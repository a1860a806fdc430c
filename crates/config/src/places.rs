//! Whether two lists of URLs mean the same addresses: `--initial-cluster` may name a member by host name that announces
//! itself by address (contract/semantics.md 8.9).

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use crate::{
    golang::{quote, quote_list},
    url::Url,
};

/// Whether two lists of URLs mean the same addresses, once `resolve` has found those of `host:port`. `localhost` and
/// unix sockets stand for themselves. Names are resolved only when the texts differ.
///
/// # Errors
/// Why not, in the words that etcd puts in brackets behind its own errors.
pub fn same_places(
    a: &[Url],
    b: &[Url],
    resolve: &dyn Fn(&str) -> io::Result<SocketAddr>,
) -> Result<(), String> {
    if a.len() != b.len() {
        let show = |urls: &[Url]| quote_list(&urls.iter().map(Url::to_string).collect::<Vec<_>>());
        return Err(format!("len({}) != len({})", show(a), show(b)));
    }
    if normal(a) == normal(b) {
        return Ok(());
    }
    let (a, b) = (resolved(a, resolve)?, resolved(b, resolve)?);
    match a.iter().zip(&b).find(|(a, b)| a != b) {
        Some((a, b)) => Err(format!("resolved urls: {} != {}", quote(a), quote(b))),
        None => Ok(()),
    }
}

/// URLs with one spelling for each IP address, sorted.
fn normal(urls: &[Url]) -> Vec<String> {
    let text = |url: &Url| match url.host().parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => format!("{}://[{ip}]:{}", url.scheme(), url.port()),
        Ok(IpAddr::V4(_)) | Err(_) => url.to_string(),
    };
    let mut texts: Vec<_> = urls.iter().map(text).collect();
    texts.sort();
    texts
}

fn resolved(urls: &[Url], resolve: &dyn Fn(&str) -> io::Result<SocketAddr>) -> Result<Vec<String>, String> {
    let mut places = Vec::new();
    for url in urls {
        places.push(if url.scheme().is_unix() || url.host() == "localhost" {
            url.to_string()
        } else {
            let address = resolve(url.address())
                .map_err(|error| format!("failed to resolve {} ({error})", quote(&url.to_string())))?;
            format!("{}://{address}", url.scheme())
        });
    }
    places.sort();
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url;

    fn compare(a: &str, b: &str) -> Result<(), String> {
        let resolve = |address: &str| {
            address.replace("one.test", "10.0.0.1").parse().map_err(|_| io::Error::other("no such host"))
        };
        same_places(&url::parse_list(a).unwrap(), &url::parse_list(b).unwrap(), &resolve)
    }

    #[test]
    fn same() {
        for (a, b) in [
            ("http://localhost:1", "http://localhost:1"),
            ("http://two.test:1", "http://two.test:1"),
            ("http://one.test:1", "http://10.0.0.1:1"),
            ("http://[::1]:1,http://10.0.0.1:1", "http://one.test:1,http://[0:0::1]:1"),
            ("unix://x:0", "unix://x:0"),
        ] {
            assert_eq!(compare(a, b), Ok(()), "{a} {b}");
        }
    }

    #[test]
    fn different() {
        for (a, b, reason) in [
            (
                "http://localhost:2380",
                "http://localhost:2381",
                r#"resolved urls: "http://localhost:2380" != "http://localhost:2381""#,
            ),
            (
                "http://a:1",
                "http://a:1,http://b:1",
                r#"len(["http://a:1"]) != len(["http://a:1" "http://b:1"])"#,
            ),
            (
                "http://two.test:1",
                "http://10.0.0.1:1",
                r#"failed to resolve "http://two.test:1" (no such host)"#,
            ),
        ] {
            assert_eq!(compare(a, b), Err(reason.to_string()));
        }
    }
}
