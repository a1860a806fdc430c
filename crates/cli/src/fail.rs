//! How commands fail: what happened, and what to try next.

use client::Error;

/// Something failed.
pub(crate) const FAILED: u8 = 1;
/// The command line was not understood.
pub(crate) const MISUSED: u8 = 2;
/// The cluster is not healthy.
pub(crate) const UNHEALTHY: u8 = 3;

/// How a command ends.
pub(crate) type Done<T = ()> = Result<T, Failed>;

/// Why it failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) code: u8,
    /// What happened and why; empty when it was said already.
    what: String,
    /// What to try next; empty when there is nothing.
    next: String,
}

impl Failed {
    pub(crate) fn new(what: impl Into<String>) -> Failed {
        Failed { code: FAILED, what: what.into(), next: String::new() }
    }

    pub(crate) fn misused(what: impl Into<String>) -> Failed {
        Failed { code: MISUSED, ..Failed::new(what) }
    }

    /// With a code of its own, when everything was said.
    pub(crate) fn quietly(code: u8) -> Failed {
        Failed { code, ..Failed::new("") }
    }

    #[must_use]
    pub(crate) fn next(self, next: impl Into<String>) -> Failed {
        Failed { next: next.into(), ..self }
    }

    /// For standard error.
    pub(crate) fn text(&self) -> String {
        match (self.what.as_str(), self.next.as_str()) {
            ("", _) => String::new(),
            (what, "") => format!("Error: {what}\n"),
            (what, next) => format!("Error: {what}\nTry:   {next}\n"),
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        let text = match &error {
            Error::Refused(status) => status.message().to_owned(),
            Error::TimeUp(Some(cause)) => format!("no answer in time: {cause}"),
            Error::TimeUp(None) => "no answer in time".to_owned(),
            other => other.to_string(),
        };
        let next = advice(&text);
        Failed::new(text).next(next)
    }
}

/// What helps against an error, by its text.
fn advice(text: &str) -> &'static str {
    const ADVICE: [(&str, &str); 13] = [
        ("user name is empty", "log in with --user NAME:PASSWORD"),
        (
            "authentication failed",
            "check --user NAME:PASSWORD; `mainstay etcdctl user list` shows who is there",
        ),
        (
            "permission denied",
            "a role with a permission for these keys: `mainstay etcdctl user get NAME` shows those there are",
        ),
        ("invalid auth token", "log in again with --user NAME:PASSWORD"),
        (
            "database space exceeded",
            "`mainstay status`; then compact, defragment, and `mainstay etcdctl alarm disarm`",
        ),
        ("required revision has been compacted", "a newer --rev; history before it is gone"),
        ("future revision", "a lower --rev: `mainstay status` shows the newest one"),
        ("no leader", "`mainstay status`: most members must be up and reach each other"),
        ("UnknownIssuer", "--cacert FILE with the authority that signed the server's certificate"),
        ("certificate", "`mainstay status` with --cacert, --cert and --key of this cluster"),
        ("onnection refused", "check --endpoints, and whether a member serves there"),
        ("failed to lookup", "check the host names in --endpoints"),
        ("no answer in time", "a longer --timeout, or `mainstay health` to see which member does not answer"),
    ];
    ADVICE.iter().find(|(part, _)| text.contains(part)).map_or("", |(_, next)| next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_to_try() {
        let failed =
            Failed::from(Error::TimeUp(Some("127.0.0.1:1: Connection refused (os error 111)".into())));
        assert_eq!(
            failed.text(),
            "Error: no answer in time: 127.0.0.1:1: Connection refused (os error 111)\nTry:   check --endpoints, and \
             whether a member serves there\n"
        );
        assert_eq!(Failed::quietly(UNHEALTHY).text(), "");
        assert_eq!(Failed::new("x").text(), "Error: x\n");
    }
}
