//! Where another member listens, and which of its addresses to try.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A peer URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// TLS.
    pub(crate) secure: bool,
    pub(crate) place: Place,
    text: String,
}

/// What to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `host:port`.
    Tcp { host: String, port: u16 },
    /// A socket file.
    Unix(String),
}

impl Url {
    /// Reads a URL without path; `None` when it is none that members can have.
    pub(crate) fn parse(text: &str) -> Option<Url> {
        let (scheme, rest) = text.split_once("://")?;
        let (secure, is_file) = match scheme {
            "http" => (false, false),
            "https" => (true, false),
            "unix" => (false, true),
            "unixs" => (true, true),
            _ => return None,
        };
        let place = if is_file {
            Some(Place::Unix(rest.to_owned()))
        } else {
            let (host, port) = rest.trim_end_matches('/').rsplit_once(':')?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            // It goes into a header as it is.
            let is_plain = !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
            let port = port.parse().ok()?;
            is_plain.then(|| Place::Tcp { host: host.to_owned(), port })
        }?;
        Some(Url { secure, place, text: text.trim_end_matches('/').to_owned() })
    }

    /// The `Host` header.
    pub(crate) fn authority(&self) -> &str {
        match &self.place {
            Place::Tcp { .. } => self.text.split_once("://").map_or("", |(_, rest)| rest),
            Place::Unix(_) => "localhost",
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The addresses of one member and the one in use. Invariant: never empty, `picked` is within.
#[derive(Debug)]
pub(crate) struct Picker {
    state: Mutex<(Vec<Url>, usize)>,
}

impl Picker {
    /// `None` when there is no address that can be used.
    pub(crate) fn new(urls: &[String]) -> Option<Picker> {
        Some(Picker { state: Mutex::new((parse_all(urls)?, 0)) })
    }

    fn state(&self) -> MutexGuard<'_, (Vec<Url>, usize)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the addresses; `false`, without effect, when they are the same or none can be used.
    pub(crate) fn update(&self, urls: &[String]) -> bool {
        let mut state = self.state();
        match parse_all(urls) {
            Some(urls) if urls != state.0 => {
                *state = (urls, 0);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn pick(&self) -> Url {
        let state = self.state();
        state.0[state.1].clone()
    }

    /// All of them.
    pub(crate) fn pick_all(&self) -> Vec<Url> {
        self.state().0.clone()
    }

    /// Moves on from `url`, unless somebody did already.
    pub(crate) fn unreachable(&self, url: &Url) {
        let (urls, picked) = &mut *self.state();
        if urls[*picked] == *url {
            *picked = (*picked + 1) % urls.len();
        }
    }
}

fn parse_all(urls: &[String]) -> Option<Vec<Url>> {
    let urls: Vec<Url> = urls.iter().filter_map(|url| Url::parse(url)).collect();
    (!urls.is_empty()).then_some(urls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let tcp = |host: &str, port| Some(Place::Tcp { host: host.into(), port });
        for (text, secure, place) in [
            ("http://127.0.0.1:2380", false, tcp("127.0.0.1", 2380)),
            ("https://[::1]:1", true, tcp("::1", 1)),
            ("https://a.b:65535/", true, tcp("a.b", 65535)),
            ("unix://m0", false, Some(Place::Unix("m0".into()))),
            ("unixs:///run/m0", true, Some(Place::Unix("/run/m0".into()))),
            ("ftp://a:1", false, None),
            ("http://a", false, None),
            ("http://a\r\nx:1", false, None),
            ("http://a:70000", false, None),
            ("http://:1", false, None),
            ("", false, None),
        ] {
            let url = Url::parse(text);
            assert_eq!(url.as_ref().map(|url| url.place.clone()), place, "{text}");
            assert!(url.is_none_or(|url| url.secure == secure));
        }
        assert_eq!(Url::parse("https://[::1]:1").unwrap().authority(), "[::1]:1");
    }

    #[test]
    fn the_next_address_is_tried_after_a_failure() {
        let urls = ["http://a:1".to_owned(), "nonsense".to_owned(), "http://b:1".to_owned()];
        let picker = Picker::new(&urls).unwrap();
        let first = picker.pick();
        picker.unreachable(&first);
        picker.unreachable(&first);
        assert_eq!(picker.pick().to_string(), "http://b:1");
        picker.unreachable(&picker.pick());
        assert_eq!(picker.pick(), first);
        assert!(!picker.update(&urls));
        assert!(picker.update(&urls[2..]));
        assert_eq!(picker.pick().to_string(), "http://b:1");
        assert!(!picker.update(&[]));
        assert!(Picker::new(&["x".to_owned()]).is_none());
    }
}
