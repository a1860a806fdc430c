//! Addresses of servers, as users write them.

use std::fmt;

use crate::Error;

/// An address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Speak TLS.
    pub secure: bool,
    /// `HOST:PORT`.
    pub authority: String,
}

impl Endpoint {
    /// Reads `http://HOST:PORT`, `https://HOST:PORT` or `HOST:PORT`, for which `secure` decides.
    ///
    /// # Errors
    /// `Endpoint` for another scheme, no host, or no port.
    pub fn parse(text: &str, secure: bool) -> Result<Endpoint, Error> {
        let refuse = |reason| Err(Error::Endpoint { endpoint: text.to_owned(), reason });
        let (secure, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return refuse("the scheme is neither http nor https"),
            None => (secure, text),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let Some((host, port)) = authority.rsplit_once(':') else { return refuse("there is no port") };
        if host.is_empty() || host.contains('/') || host.contains('@') {
            return refuse("there is no host");
        }
        match port.parse::<u16>() {
            Ok(1..) => Ok(Endpoint { secure, authority: authority.to_owned() }),
            _ => refuse("the port is no number from 1 to 65535"),
        }
    }

    /// The host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        let host = self.authority.rsplit_once(':').map_or("", |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.authority)
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
        ] {
            let endpoint = Endpoint::parse(text, secure).map(|endpoint| endpoint.to_string());
            assert_eq!(endpoint.ok().as_deref(), Some(shown));
        }
        assert_eq!(Endpoint::parse("https://[::1]:2", false).ok().as_ref().map(Endpoint::host), Some("::1"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "a", ":1", "a:0", "a:x", "a:70000", "unix://x:1", "http://", "a/b:1", "u@a:1"] {
            assert!(Endpoint::parse(text, false).is_err(), "{text}");
        }
    }
}
