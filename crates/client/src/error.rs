//! Why calls fail.

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that is none.
    #[error("{endpoint:?} is no endpoint: {reason}")]
    Endpoint {
        /// As given.
        endpoint: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Certificates or keys cannot be used.
    #[error("{0}")]
    Tls(String),
    /// A server's answer, or that no server could be reached.
    #[error("{}: {}", .0.code(), .0.message())]
    Refused(Box<tonic::Status>),
    /// No answer in time; with what went wrong last, if anything did.
    #[error("context deadline exceeded{}", .0.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default())]
    TimeUp(Option<String>),
    /// A watch was canceled by the server, with its reason.
    #[error("the watch was canceled: {0}")]
    WatchCanceled(String),
    /// The lease of a session ran out.
    #[error("session expired")]
    SessionExpired,
    /// The key of a lock or a candidate is gone while its session lives.
    #[error("{0}")]
    Lost(&'static str),
}

impl Error {
    /// The server's answer, when it is one.
    pub fn status(&self) -> Option<&tonic::Status> {
        match self {
            Error::Refused(status) => Some(status),
            _ => None,
        }
    }

    /// Whether a server refused with exactly this text.
    pub fn is(&self, message: &str) -> bool {
        self.status().is_some_and(|status| status.message() == message)
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Error {
        Error::Refused(Box::new(status))
    }
}

/// An error with all its reasons: the last one says what is wrong.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let reason = error.to_string();
        // Some repeat what they wrap.
        if !text.ends_with(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        next = error.source();
    }
    text
}
