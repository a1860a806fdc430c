//! A client of etcd's v3 API.
//!
//! A [`Client`] knows several endpoints of one cluster and asks them in turn until one answers: what a server says is
//! the answer, a server that cannot be reached is none. Calls carry the token of the user that logged in.

mod client;
mod connect;
mod endpoint;
mod watch;

pub use client::{Client, Settings};
pub use connect::{Tls, trust_everybody};
pub use endpoint::Endpoint;
pub use watch::Watch;

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
    /// No answer in time.
    #[error("context deadline exceeded")]
    TimeUp,
    /// A watch was canceled by the server, with its reason.
    #[error("the watch was canceled: {0}")]
    WatchCanceled(String),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Error {
        Error::Refused(Box::new(status))
    }
}
