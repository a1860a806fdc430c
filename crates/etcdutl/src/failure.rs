//! How a command fails: what is said, and the exit code.

/// Exit codes of etcd's tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// It failed.
    Error = 1,
    /// A flag has a value that is not supported.
    BadFeature = 4,
    /// The arguments are wrong.
    BadArgs = 128,
}

/// Why a command failed; the text is for people, and etcdutl's where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// How the process ends.
    pub code: Code,
    /// What is printed behind `Error: `.
    pub text: String,
}

impl Failure {
    /// It failed.
    pub fn new(text: impl Into<String>) -> Failure {
        Failure { code: Code::Error, text: text.into() }
    }

    /// A flag has a value that is not supported.
    pub fn bad_feature(text: impl Into<String>) -> Failure {
        Failure { code: Code::BadFeature, text: text.into() }
    }

    /// The arguments are wrong.
    pub fn bad_args(text: impl Into<String>) -> Failure {
        Failure { code: Code::BadArgs, text: text.into() }
    }
}
