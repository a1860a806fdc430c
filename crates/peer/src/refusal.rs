//! How a request is turned down, and the answer that needs no words.

use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};

use crate::{Body, pipeline::body_of, shared::Unwanted};

/// Why a request is turned down.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Another method than this.
    Method(&'static str),
    /// Status and text.
    Text(StatusCode, String),
    /// A message that was understood and is not for this member.
    Unwanted(Unwanted),
}

pub(crate) fn refuse(status: StatusCode, text: impl Into<String>) -> Refusal {
    Refusal::Text(status, text.into())
}

impl Refusal {
    /// The answer, as Go's server writes it.
    pub(crate) fn page(self) -> Response<Body> {
        match self {
            Refusal::Method(allowed) => {
                let mut page = error_page(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
                page.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
                page
            }
            Refusal::Text(status, text) => error_page(status, &text),
            // Not 403, from which etcd's members conclude that they were removed, and end.
            Refusal::Unwanted(Unwanted::Mismatch) => {
                error_page(StatusCode::INTERNAL_SERVER_ERROR, "error processing raft message")
            }
            Refusal::Unwanted(reason @ Unwanted::Removed) => {
                let mut page = Response::new(body_of(format!("{{\"message\":\"{}\"}}", reason.text())));
                *page.status_mut() = StatusCode::FORBIDDEN;
                page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                page
            }
        }
    }
}

fn error_page(status: StatusCode, text: &str) -> Response<Body> {
    let mut page = Response::new(body_of(format!("{text}\n")));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    page
}

/// Done.
pub(crate) fn no_content() -> Response<Body> {
    let mut page = Response::new(body_of(""));
    *page.status_mut() = StatusCode::NO_CONTENT;
    page
}
