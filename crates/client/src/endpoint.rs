//! Addresses of servers, as users write them.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::Error;

/// An address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Speak TLS.
    pub secure: bool,
    /// `HOST:PORT`; for a socket in the file system the name of its file.
    pub authority: String,
    /// The socket in the file system.
    pub socket: Option<PathBuf>,
}

impl Endpoint {
    /// Reads `http://HOST:PORT`, `https://HOST:PORT`, `unixs://FILE`, or `HOST:PORT` and `unix://FILE`, for which
    /// `secure` decides.
    ///
    /// # Errors
    /// `Endpoint` for another scheme, no host, or no port.
    pub fn parse(text: &str, secure: bool) -> Result<Endpoint, Error> {
        let refuse = |reason| Err(Error::Endpoint { endpoint: text.to_owned(), reason });
        for (scheme, secure) in [("unix:", secure), ("unixs:", true)] {
            let Some(rest) = text.strip_prefix(scheme) else { continue };
            let path = Path::new(rest.strip_prefix("//").unwrap_or(rest));
            let Some(name) = path.file_name() else { return refuse("there is no file") };
            let authority = name.to_string_lossy().into_owned();
            return Ok(Endpoint { secure, authority, socket: Some(path.to_owned()) });
        }
        let (secure, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return refuse("the scheme is none of http, https, unix and unixs"),
            None => (secure, text),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let Some((host, port)) = authority.rsplit_once(':') else { return refuse("there is no port") };
        if host.is_empty() || host.contains('/') || host.contains('@') {
            return refuse("there is no host");
        }
        match port.parse::<u16>() {
            Ok(1..) => Ok(Endpoint { secure, authority: authority.to_owned(), socket: None }),
            _ => refuse("the port is no number from 1 to 65535"),
        }
    }

    /// The name that certificates must have: the host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        if self.socket.is_some() {
            return &self.authority;
        }
        let host = self.authority.rsplit_once(':').map_or("", |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// A URL for requests; one for a socket in the file system names nothing.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        let authority = if self.socket.is_some() { "localhost" } else { &self.authority };
        format!("{scheme}://{authority}")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            None => f.write_str(&self.url()),
            Some(path) => write!(f, "{}://{}", if self.secure { "unixs" } else { "unix" }, path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_decide_about_tls() {
        for (text, secure, shown) in [
            ("127.0.0.1:2379", false, "http://127.0.0.1:2379"),
            ("127.0.0.1:2379", true, "https://127.0.0.1:2379"),
            ("http://a.example:1/", true, "http://a.example:1"),
            ("https://[::1]:65535", false, "https://[::1]:65535"),
            ("unix:///run/m1", false, "unix:///run/m1"),
            ("unix://m1:2379", true, "unixs://m1:2379"),
            ("unixs:m1", false, "unixs://m1"),
        ] {
            let endpoint = Endpoint::parse(text, secure).map(|endpoint| endpoint.to_string());
            assert_eq!(endpoint.ok().as_deref(), Some(shown));
        }
        assert_eq!(Endpoint::parse("https://[::1]:2", false).ok().as_ref().map(Endpoint::host), Some("::1"));
        let socket = Endpoint::parse("unix:///run/m1", false).ok();
        assert_eq!(
            socket.as_ref().map(|socket| (socket.host(), socket.url())),
            Some(("m1", "http://localhost".into()))
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "a", ":1", "a:0", "a:x", "a:70000", "ftp://x:1", "unix://", "http://", "a/b:1", "u@a:1"]
        {
            assert!(Endpoint::parse(text, false).is_err(), "{text}");
        }
    }
}
