//! How commands fail: a text and an exit code, both upstream's.

use std::fmt::Display;

use client::Error;
use tonic::Code;

/// The request failed.
pub(crate) const ERROR: u8 = 1;
/// No connection.
pub(crate) const BAD_CONNECTION: u8 = 2;
/// What was typed in.
pub(crate) const INVALID_INPUT: u8 = 3;
/// A flag has a value that is not supported.
pub(crate) const BAD_FEATURE: u8 = 4;
/// Something ended before it should.
pub(crate) const INTERRUPTED: u8 = 5;
/// Arguments.
pub(crate) const BAD_ARGS: u8 = 128;

/// Why a command ends with another code than 0.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) code: u8,
    /// For `Error: TEXT`; `None` when everything was said.
    pub(crate) text: Option<String>,
}

pub(crate) type Done = Result<(), Failed>;

impl Failed {
    pub(crate) fn new(code: u8, text: impl Display) -> Failed {
        Failed { code, text: Some(text.to_string()) }
    }

    pub(crate) fn quietly(code: u8) -> Failed {
        Failed { code, text: None }
    }

    pub(crate) fn args(text: impl Display) -> Failed {
        Failed::new(BAD_ARGS, text)
    }

    pub(crate) fn error(text: impl Display) -> Failed {
        Failed::new(ERROR, text)
    }

    /// As a failed request of another code.
    pub(crate) fn with_code(mut self, code: u8) -> Failed {
        self.code = code;
        self
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::error(text(&error))
    }
}

/// An error as Go's client says it.
pub(crate) fn text(error: &Error) -> String {
    match error {
        Error::Refused(status) if status.message().starts_with("etcdserver: ") => status.message().to_owned(),
        other => raw_text(other),
    }
}

/// Likewise where it does not know its servers' errors.
pub(crate) fn raw_text(error: &Error) -> String {
    match error {
        Error::Refused(status) => {
            format!("rpc error: code = {} desc = {}", code_name(status.code()), status.message())
        }
        Error::TimeUp(_) => "context deadline exceeded".to_owned(),
        other => other.to_string(),
    }
}

fn code_name(code: Code) -> String {
    match code {
        Code::Cancelled => "Canceled".to_owned(),
        code => format!("{code:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_worded_as_by_go() {
        let refused = |status: tonic::Status| text(&Error::from(status));
        assert_eq!(
            refused(tonic::Status::not_found("etcdserver: key not found")),
            "etcdserver: key not found"
        );
        assert_eq!(refused(tonic::Status::cancelled("x")), "rpc error: code = Canceled desc = x");
        assert_eq!(refused(tonic::Status::data_loss("x")), "rpc error: code = DataLoss desc = x");
        assert_eq!(text(&Error::TimeUp(Some("refused".into()))), "context deadline exceeded");
    }
}
