//! URLs of members: what is accepted and how it is written.
//!
//! Ids of members are hashes over these texts, so they must come out as upstream writes them. That is the text
//! itself with the scheme in lower case; what Go's URL parser would rewrite beyond that (percent signs in
//! hosts, empty fragments) is not used for addresses.

/// Why a text is no URL of a member. Texts as upstream prints them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// An empty list.
    #[error("no valid URLs given")]
    Empty,
    /// Not a URL at all.
    #[error("parse {url:?}: {reason}")]
    Syntax {
        /// The text.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Some other scheme, or none.
    #[error("URL scheme must be http, https, unix, or unixs: {0}")]
    Scheme(String),
    /// No port.
    #[error("URL address does not have the form \"host:port\": {0}")]
    HostPort(String),
    /// Anything after the port.
    #[error("URL must not contain a path: {0}")]
    Path(String),
}

/// Checks a list of URLs and gives it back trimmed, with schemes in lower case, sorted.
///
/// # Errors
/// For the first bad one, or an empty list.
pub fn parse_urls<T: AsRef<str>>(texts: &[T]) -> Result<Vec<String>, UrlError> {
    if texts.is_empty() {
        return Err(UrlError::Empty);
    }
    let mut urls = texts.iter().map(|text| parse_url(text.as_ref().trim())).collect::<Result<Vec<_>, _>>()?;
    urls.sort_unstable();
    Ok(urls)
}

fn parse_url(text: &str) -> Result<String, UrlError> {
    let syntax = |reason: &str| UrlError::Syntax { url: text.to_owned(), reason: reason.to_owned() };
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err(syntax("net/url: invalid control character in URL"));
    }
    let (scheme, rest) = match split_scheme(text) {
        Split::Scheme(scheme, rest) => (scheme, rest),
        Split::Missing => return Err(syntax("missing protocol scheme")),
        Split::None if text.split('/').next().is_some_and(|first| first.contains(':')) => {
            return Err(syntax("first path segment in URL cannot contain colon"));
        }
        Split::None => return Err(UrlError::Scheme(text.to_owned())),
    };
    let (authority, path) = split_authority(rest);
    check_authority(authority).map_err(|reason| syntax(&reason))?;
    match scheme.as_str() {
        "unix" | "unixs" => {}
        "http" | "https" => {
            let host = authority.rsplit('@').next().unwrap_or(authority);
            if !has_port(host) {
                return Err(UrlError::HostPort(text.to_owned()));
            }
            if !path.is_empty() {
                return Err(UrlError::Path(text.to_owned()));
            }
        }
        _ => return Err(UrlError::Scheme(text.to_owned())),
    }
    Ok(format!("{scheme}:{rest}"))
}

enum Split<'a> {
    /// A scheme in lower case, and what follows its colon.
    Scheme(String, &'a str),
    /// A colon at the start.
    Missing,
    /// No colon, or something before it that no scheme can hold.
    None,
}

fn split_scheme(text: &str) -> Split<'_> {
    match text.split_once(':') {
        Some(("", _)) => Split::Missing,
        Some((scheme, rest)) if is_scheme(scheme) => Split::Scheme(scheme.to_ascii_lowercase(), rest),
        _ => Split::None,
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// The part between `//` and the next `/`, `?` or `#`, and the path after it. Both empty without `//`: then
/// the rest is opaque or a bare path, and has no host.
fn split_authority(rest: &str) -> (&str, &str) {
    let Some(rest) = rest.strip_prefix("//") else { return ("", "") };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let path_end = tail.find(['?', '#']).unwrap_or(tail.len());
    (authority, &tail[..path_end])
}

/// Syntax of `[user@]host[:port]`.
fn check_authority(authority: &str) -> Result<(), String> {
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let after = if host.starts_with('[') {
        let end = host.rfind(']').ok_or("missing ']' in host")?;
        &host[end + 1..]
    } else {
        check_host(host)?;
        host.find(':').map_or("", |colon| &host[colon..])
    };
    let is_port = after.is_empty()
        || after.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    if is_port { Ok(()) } else { Err(format!("invalid port {after:?} after host")) }
}

fn check_host(host: &str) -> Result<(), String> {
    let bytes = host.as_bytes();
    for (i, c) in host.char_indices() {
        let hex = bytes.get(i + 1..i + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
        if c == '%' && !hex {
            let end = (i + 3).min(host.len());
            let part = String::from_utf8_lossy(&bytes[i..end]);
            return Err(format!("invalid URL escape {part:?}"));
        }
        if matches!(c, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}') {
            return Err(format!("invalid character {:?} in host name", c.to_string()));
        }
    }
    Ok(())
}

/// Whether Go's SplitHostPort takes it: a colon after the host, and no other one outside brackets.
fn has_port(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').is_some_and(|(_, after)| after.starts_with(':')),
        None => host.matches(':').count() == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from etcd 3.7.1's types.NewURLs.
    #[test]
    fn accepts_and_refuses_what_upstream_does() {
        let form = |url: &str| format!("URL address does not have the form \"host:port\": {url}");
        let scheme = |url: &str| format!("URL scheme must be http, https, unix, or unixs: {url}");
        let path = |url: &str| format!("URL must not contain a path: {url}");
        let syntax = |url: &str, reason: &str| format!("parse {url:?}: {reason}");
        for (text, expected) in [
            ("http://a:1", Ok("http://a:1")),
            (" http://a:1 ", Ok("http://a:1")),
            ("HTTP://A:1", Ok("http://A:1")),
            ("http://a:", Ok("http://a:")),
            ("http://:1", Ok("http://:1")),
            ("http://[::1]:1", Ok("http://[::1]:1")),
            ("http://a:1?x=1", Ok("http://a:1?x=1")),
            ("http://u:p@h:1", Ok("http://u:p@h:1")),
            ("http://a:99999", Ok("http://a:99999")),
            ("unix://x/y", Ok("unix://x/y")),
            ("unix:x", Ok("unix:x")),
            ("unixs://a:1", Ok("unixs://a:1")),
            ("unix:///tmp/x.sock", Ok("unix:///tmp/x.sock")),
            ("", Err(scheme(""))),
            ("http://a", Err(form("http://a"))),
            ("http://[::1]", Err(form("http://[::1]"))),
            ("http:/a:1", Err(form("http:/a:1"))),
            ("http:a:1", Err(form("http:a:1"))),
            ("http://a:1/", Err(path("http://a:1/"))),
            ("http://a:1/p", Err(path("http://a:1/p"))),
            ("localhost:1", Err(scheme("localhost:1"))),
            ("ftp://a:1", Err(scheme("ftp://a:1"))),
            ("127.0.0.1:1", Err(syntax("127.0.0.1:1", "first path segment in URL cannot contain colon"))),
            ("1http://a:1", Err(syntax("1http://a:1", "first path segment in URL cannot contain colon"))),
            (":foo", Err(syntax(":foo", "missing protocol scheme"))),
            ("http://a:x", Err(syntax("http://a:x", "invalid port \":x\" after host"))),
            ("http://::1:1", Err(syntax("http://::1:1", "invalid port \"::1:1\" after host"))),
            ("http://%zz:1", Err(syntax("http://%zz:1", "invalid URL escape \"%zz\""))),
            ("http://a b:1", Err(syntax("http://a b:1", "invalid character \" \" in host name"))),
            ("http://[::1:1", Err(syntax("http://[::1:1", "missing ']' in host"))),
        ] {
            let parsed = parse_urls(&[text]).map(|urls| urls[0].clone()).map_err(|error| error.to_string());
            assert_eq!(parsed, expected.map(str::to_owned), "{text:?}");
        }
        assert!(parse_urls(&["http://a\u{1}:1"]).is_err());
        assert_eq!(parse_urls::<&str>(&[]).unwrap_err().to_string(), "no valid URLs given");
        assert_eq!(parse_urls(&["http://b:1", "http://a:1"]).unwrap(), ["http://a:1", "http://b:1"]);
    }
}
