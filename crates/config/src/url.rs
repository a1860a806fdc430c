//! Listen and advertise URLs, with the rules and texts of Go's `net/url` and etcd's own on top.

use std::{cmp::Ordering, fmt, net::IpAddr};

use crate::golang::quote;

/// What serves behind a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS over TCP.
    Https,
    /// Plain unix socket.
    Unix,
    /// TLS over a unix socket.
    Unixs,
}

/// A URL without path, as etcd accepts them for members and listeners. Ordered and equal by its text.
#[derive(Clone, Debug)]
pub struct Url {
    scheme: Scheme,
    address: String,
    /// Scheme in lower case, the rest as it was given.
    text: String,
}

/// Why a text is no such URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No URL at all.
    #[error("parse {}: {reason}", quote(.text))]
    Syntax {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not one of the four schemes.
    #[error("URL scheme must be http, https, unix, or unixs: {0}")]
    Scheme(String),
    /// No host or no port.
    #[error("URL address does not have the form \"host:port\": {0}")]
    Address(String),
    /// More than scheme and address.
    #[error("URL must not contain a path: {0}")]
    Path(String),
}

impl Scheme {
    fn parse(text: &str) -> Option<Scheme> {
        Some(match text {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "unix" => Scheme::Unix,
            "unixs" => Scheme::Unixs,
            _ => return None,
        })
    }

    /// Whether it needs a certificate.
    pub fn is_tls(self) -> bool {
        matches!(self, Scheme::Https | Scheme::Unixs)
    }

    /// Whether it is a unix socket.
    pub fn is_unix(self) -> bool {
        matches!(self, Scheme::Unix | Scheme::Unixs)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Unix => "unix",
            Scheme::Unixs => "unixs",
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Url {
    fn eq(&self, other: &Url) -> bool {
        self.text == other.text
    }
}

impl Eq for Url {}

impl Ord for Url {
    fn cmp(&self, other: &Url) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl PartialOrd for Url {
    fn partial_cmp(&self, other: &Url) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Url {
    /// Reads one URL; white space around it does not count.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        let text = text.trim();
        let (scheme, rest) = split_scheme(text).map_err(|reason| syntax(text, reason))?;
        let (authority, path) = split_authority(&scheme, rest).map_err(|reason| syntax(text, reason))?;
        check_authority(authority).map_err(|reason| syntax(text, reason))?;
        let known = Scheme::parse(&scheme).ok_or_else(|| UrlError::Scheme(text.into()))?;
        if !known.is_unix() {
            check_host_port(authority).ok_or_else(|| UrlError::Address(text.into()))?;
            if !path.is_empty() {
                return Err(UrlError::Path(text.into()));
            }
        }
        Ok(Url { scheme: known, address: format!("{authority}{path}"), text: format!("{scheme}:{rest}") })
    }

    /// How to speak.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// `host:port`, or the path of the socket.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The host, without brackets; empty for unix sockets.
    pub fn host(&self) -> &str {
        let host = self.host_port().0;
        host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
    }

    /// The port; empty for unix sockets.
    pub fn port(&self) -> &str {
        self.host_port().1
    }

    fn host_port(&self) -> (&str, &str) {
        if self.scheme.is_unix() { ("", "") } else { self.address.rsplit_once(':').unwrap_or_default() }
    }

    /// The same scheme and port at another host.
    pub(crate) fn with_address(&self, host: &str, port: &str) -> Url {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
        let address = format!("{host}:{port}");
        Url { scheme: self.scheme, text: format!("{}://{address}", self.scheme), address }
    }

    /// Whether a listener can bind to it: an IP address, `localhost`, or a unix socket.
    pub fn is_bindable(&self) -> bool {
        let host = self.host();
        self.scheme.is_unix() || host == "localhost" || host.parse::<IpAddr>().is_ok()
    }
}

fn syntax(text: &str, reason: String) -> UrlError {
    UrlError::Syntax { text: text.into(), reason }
}

/// The scheme in lower case, empty when there is none, and what follows its colon.
fn split_scheme(text: &str) -> Result<(String, &str), String> {
    if text.chars().any(|c| c < ' ' || c == '\u{7f}') {
        return Err("net/url: invalid control character in URL".into());
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
    match end {
        Some(0) if text.starts_with(':') => Err("missing protocol scheme".into()),
        Some(end) if text[end..].starts_with(':') && text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Ok((text[..end].to_ascii_lowercase(), &text[end + 1..]))
        }
        _ => Ok((String::new(), text)),
    }
}

/// What stands between `//` and the next slash, and what follows.
fn split_authority<'a>(scheme: &str, rest: &'a str) -> Result<(&'a str, &'a str), String> {
    if let Some(rest) = rest.strip_prefix("//") {
        return Ok(rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())));
    }
    let first_segment = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if scheme.is_empty() && first_segment.contains(':') {
        return Err("first path segment in URL cannot contain colon".into());
    }
    Ok(("", rest))
}

/// The rules of Go's parser for a host with an optional port.
fn check_authority(authority: &str) -> Result<(), String> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(c) = host.chars().find(|c| " \"<>\\^`{|}".contains(*c)) {
        return Err(format!("invalid character {} in host name", quote(&c.to_string())));
    }
    let port = if host.starts_with('[') {
        let end = host.rfind(']').ok_or("missing ']' in host")?;
        &host[end + 1..]
    } else {
        &host[host.find(':').unwrap_or(host.len())..]
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if (digits.is_empty() || port.starts_with(':')) && digits.bytes().all(|b| b.is_ascii_digit()) {
        Ok(())
    } else {
        Err(format!("invalid port {} after host", quote(port)))
    }
}

/// `Some` when it is a host, maybe empty, and a port.
fn check_host_port(authority: &str) -> Option<()> {
    let (_, port) = authority.rsplit_once(':')?;
    (!authority.contains('@') && !port.is_empty() && !port.ends_with(']')).then_some(())
}

/// Reads URLs separated by commas; sorted, each once.
///
/// # Errors
/// See [`UrlError`].
pub fn parse_list(text: &str) -> Result<Vec<Url>, UrlError> {
    let mut urls: Vec<Url> = text.split(',').map(Url::parse).collect::<Result<_, _>>()?;
    urls.sort();
    urls.dedup();
    Ok(urls)
}

/// URLs separated by commas.
pub fn join(urls: &[Url]) -> String {
    urls.iter().map(|url| url.text.as_str()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for (text, host, port, bindable) in [
            ("http://127.0.0.1:2379", "127.0.0.1", "2379", true),
            ("https://[::1]:2379", "::1", "2379", true),
            ("http://localhost:0", "localhost", "0", true),
            ("http://:2379", "", "2379", false),
            ("https://example.com:2379", "example.com", "2379", false),
            ("unix:///run/etcd.sock", "", "", true),
            ("unix:/run/etcd.sock", "", "", true),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.to_string().as_str(), url.host(), url.port(), url.is_bindable()),
                (text, host, port, bindable)
            );
        }
        for (text, address) in [
            ("unix:/run/x", "/run/x"),
            ("unix:///run/x", "/run/x"),
            ("unixs://a.sock", "a.sock"),
            ("unix:a", "a"),
        ] {
            assert_eq!(Url::parse(text).unwrap().address(), address, "{text}");
        }
        assert_eq!(Url::parse(" HTTP://x:1 ").unwrap().to_string(), "http://x:1");
        assert_eq!(Url::parse("http://x:1").unwrap().with_address("::1", "9").to_string(), "http://[::1]:9");
    }

    /// Texts of etcd 3.7.1, recorded.
    #[test]
    fn refuses_with_the_reason() {
        for (text, reason) in [
            ("", "URL scheme must be http, https, unix, or unixs: "),
            ("foo", "URL scheme must be http, https, unix, or unixs: foo"),
            ("ftp://x", "URL scheme must be http, https, unix, or unixs: ftp://x"),
            ("localhost:2379", "URL scheme must be http, https, unix, or unixs: localhost:2379"),
            ("127.0.0.1:2379", r#"parse "127.0.0.1:2379": first path segment in URL cannot contain colon"#),
            ("http://localhost", r#"URL address does not have the form "host:port": http://localhost"#),
            ("http://localhost:abc", r#"parse "http://localhost:abc": invalid port ":abc" after host"#),
            ("http://::1:80", r#"parse "http://::1:80": invalid port "::1:80" after host"#),
            ("http://[::1:80", r#"parse "http://[::1:80": missing ']' in host"#),
            ("http://a b:1", r#"parse "http://a b:1": invalid character " " in host name"#),
            ("http://a:1/x", "URL must not contain a path: http://a:1/x"),
            (":1", r#"parse ":1": missing protocol scheme"#),
        ] {
            assert_eq!(Url::parse(text).map_err(|e| e.to_string()), Err(reason.to_string()), "{text}");
        }
    }

    #[test]
    fn lists_are_sorted_and_unique() {
        let list = parse_list("http://b:2,http://a:1,http://b:2").unwrap();
        assert_eq!(join(&list), "http://a:1,http://b:2");
    }
}
